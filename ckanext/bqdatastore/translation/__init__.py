"""What the translations of PostgreSQL's SQL to the engines' have in common."""

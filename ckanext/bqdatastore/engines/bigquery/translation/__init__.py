"""PostgreSQL's functions, operators and casts in BigQuery's words: a module for each kind."""

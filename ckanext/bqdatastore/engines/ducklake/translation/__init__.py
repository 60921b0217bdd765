"""How DuckDB says what PostgreSQL says: literals, casts, functions and aggregates, each by tables."""

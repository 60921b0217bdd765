"""How DuckDB says what PostgreSQL says, by tables: literals, casts, functions, aggregates."""

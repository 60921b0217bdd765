"""DuckLake: DuckDB over Parquet files with a transactional catalog."""

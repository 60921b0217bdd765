"""Files of records, read by DuckDB as a library, whatever engine the rows are for."""

"""A file or URL becomes a table."""

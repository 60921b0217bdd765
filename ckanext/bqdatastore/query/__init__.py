"""Requests become one sqlglot tree each; knows no engine and no CKAN."""

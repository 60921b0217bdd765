"""BigQuery: tables in a dataset of Google's analytics service."""

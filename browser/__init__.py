"""CKAN's pages for tables, used in Chromium as a person does."""

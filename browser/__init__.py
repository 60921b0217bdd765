"""CKAN's pages for tables, used in Chromium as a person does, on our backend and on CKAN's own."""

"""CKAN's own DataStore tests, unmodified, run on this extension's backend."""

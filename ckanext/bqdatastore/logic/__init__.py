"""CKAN actions and auth functions that the plugin adds."""

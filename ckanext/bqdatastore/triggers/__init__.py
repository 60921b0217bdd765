"""Trigger functions: PL/pgSQL that only PostgreSQL can run, on rows that are kept elsewhere.

`database` runs functions in the database that `ckanext.bqdatastore.trigger_url` names, `passage` is
one passing of rows through a temporary table there, `carriers` says how values travel, `writes`
is what the backend calls.
"""

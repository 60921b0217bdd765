#!/bin/bash
# The roles and databases of a CKAN site. PostgreSQL's image runs it once, on an empty volume.
# What the reading role may see of the catalog, the extension grants when it makes the catalog.
set -euo pipefail

psql --no-psqlrc --set=ON_ERROR_STOP=1 --username postgres \
    --set=owner_password="$CKAN_DB_PASSWORD" --set=reader_password="$DATASTORE_READ_PASSWORD" <<'SQL'
CREATE ROLE ckan_default LOGIN PASSWORD :'owner_password';
CREATE ROLE datastore_default LOGIN PASSWORD :'reader_password';
CREATE DATABASE ckan_default OWNER ckan_default;
CREATE DATABASE datastore_default OWNER ckan_default;
REVOKE CONNECT ON DATABASE ckan_default FROM PUBLIC;
GRANT CONNECT ON DATABASE datastore_default TO datastore_default;
\connect datastore_default
REVOKE CREATE, USAGE ON SCHEMA public FROM PUBLIC;
GRANT CREATE, USAGE ON SCHEMA public TO ckan_default;
GRANT USAGE ON SCHEMA public TO datastore_default;
SQL

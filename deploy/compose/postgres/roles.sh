#!/bin/sh
# Runs once, on an empty cluster: the database, its owner, who is the push door's, and a reader, who is the feed door's
# and may do nothing but what the migrations grant to valgnatt_feed.
set -eu

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
  --set=owner_password="$OWNER_PASSWORD" --set=reader_password="$READER_PASSWORD" <<'SQL'
CREATE ROLE valgnatt LOGIN PASSWORD :'owner_password';
CREATE ROLE valgnatt_feed NOLOGIN;
GRANT valgnatt_feed TO valgnatt;
CREATE ROLE valgnatt_reader LOGIN PASSWORD :'reader_password' IN ROLE valgnatt_feed;
CREATE DATABASE valgnatt OWNER valgnatt;
REVOKE CONNECT, TEMPORARY ON DATABASE valgnatt FROM PUBLIC;
GRANT CONNECT ON DATABASE valgnatt TO valgnatt_reader;
SQL

#!/bin/sh
# Runs once, on an empty cluster: creates the database, its owner (for the push door) and a reader (for the feed door) that
# has only the rights that the migrations grant to valgnatt_feed.
# Passwords are in files and reach psql in its environment, because every user of the machine can read a command line.
set -eu
owner_password=$(cat "$OWNER_PASSWORD_FILE")
reader_password=$(cat "$READER_PASSWORD_FILE")
: "${owner_password:?$OWNER_PASSWORD_FILE is empty}" "${reader_password:?$READER_PASSWORD_FILE is empty}"

OWNER_PASSWORD=$owner_password READER_PASSWORD=$reader_password \
  psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv reader_password READER_PASSWORD
CREATE ROLE valgnatt LOGIN PASSWORD :'owner_password';
CREATE ROLE valgnatt_feed NOLOGIN;
CREATE ROLE valgnatt_signer NOLOGIN; -- for the login of a signer, if there is one
GRANT valgnatt_feed, valgnatt_signer TO valgnatt;
CREATE ROLE valgnatt_reader LOGIN PASSWORD :'reader_password' IN ROLE valgnatt_feed;
ALTER ROLE valgnatt_reader SET temp_file_limit = '256MB'; -- per session; temporary files could fill the disk
CREATE DATABASE valgnatt OWNER valgnatt;
REVOKE CONNECT, TEMPORARY ON DATABASE valgnatt FROM PUBLIC;
GRANT CONNECT ON DATABASE valgnatt TO valgnatt_feed, valgnatt_signer;
\connect valgnatt
-- Large objects and messages in the write-ahead log could be used to fill the disk, and advisory locks to fill the lock
-- table.
REVOKE EXECUTE ON FUNCTION lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea) FROM PUBLIC;
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT oid FROM pg_proc
             WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_((try_)?advisory_(xact_)?lock|logical_emit_message$)' LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END $$;
SQL

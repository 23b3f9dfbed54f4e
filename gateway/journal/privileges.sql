-- For a server that is the gateway's own: withdraw, in this database, what Postgres grants to everybody.
--
-- The feed's login then has the functions of 0002_embargo.sql and little else: no statistics, sizes, WAL positions or
-- transaction numbers, which would tell how much is accepted before its time; no large objects, advisory locks or
-- temporary tables, by which it could get in the way of others. The owner is a superuser and keeps everything. Catalogs
-- belong to one database, so no other database of the server changes.

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO valgnatt_feed', current_database());
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA pg_catalog, information_schema FROM PUBLIC;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA pg_catalog, information_schema FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC;

-- What a connection needs before it calls anything of ours: it sets and verifies its parameters.
GRANT EXECUTE ON FUNCTION
    pg_catalog.pg_is_in_recovery(),
    pg_catalog.clock_timestamp(),
    pg_catalog.current_setting(text),
    pg_catalog.current_setting(text, boolean),
    pg_catalog.set_config(text, text, boolean),
    pg_catalog.pg_show_all_settings(),
    pg_catalog.texteq(text, text),
    pg_catalog.hashtext(text)
TO valgnatt_feed;
GRANT SELECT ON pg_catalog.pg_settings TO valgnatt_feed;

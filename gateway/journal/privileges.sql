-- For a server that only the gateway uses: revoke, in this database, the default privileges of PUBLIC.
--
-- The logins of feeds and signers then have the functions of valgnatt_public and valgnatt_signing, and little else: no
-- statistics, sizes, WAL positions or transaction IDs, which would reveal how much has been accepted under the embargo; no
-- large objects, advisory locks or temporary tables, with which they could disturb others. An owner that is not a superuser is granted what PUBLIC loses.
-- Catalogs belong to one database: migrate.py revokes CONNECT on the others from PUBLIC, because their catalogs would
-- show the statistics of this one.

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO valgnatt_feed, valgnatt_signer', current_database());
END $$;

DO $$
DECLARE
    owner text := (SELECT r.rolname FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
                   WHERE n.nspname = 'valgnatt' AND NOT r.rolsuper);
    ours CONSTANT regnamespace[] := ARRAY['pg_catalog', 'information_schema']::regnamespace[];
BEGIN
    IF owner IS NOT NULL THEN
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), owner);
        EXECUTE format('GRANT USAGE ON LANGUAGE plpgsql, sql TO %I', owner);
        EXECUTE coalesce((SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', string_agg(p.oid::regprocedure::text, ', '), owner)
                 FROM pg_proc p
                 WHERE p.pronamespace = ANY (ours) AND has_function_privilege('public', p.oid, 'EXECUTE')), 'SELECT');
        EXECUTE coalesce((SELECT format('GRANT SELECT ON %s TO %I', string_agg(c.oid::regclass::text, ', '), owner)
                 FROM pg_class c
                 WHERE c.relnamespace = ANY (ours) AND c.relkind IN ('r', 'v')
                   AND has_table_privilege('public', c.oid, 'SELECT')), 'SELECT');
    END IF;
END $$;

REVOKE ALL ON ALL TABLES IN SCHEMA pg_catalog, information_schema FROM PUBLIC;
REVOKE EXECUTE ON ALL ROUTINES IN SCHEMA pg_catalog, information_schema FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC;

-- What a connection needs to set and verify its parameters, before it calls any function of the gateway.
GRANT EXECUTE ON FUNCTION
    pg_catalog.pg_is_in_recovery(),
    pg_catalog.clock_timestamp(),
    pg_catalog.current_setting(text),
    pg_catalog.current_setting(text, boolean),
    pg_catalog.set_config(text, text, boolean),
    pg_catalog.pg_show_all_settings(),
    pg_catalog.texteq(text, text),
    pg_catalog.hashtext(text)
TO valgnatt_feed, valgnatt_signer;
GRANT SELECT ON pg_catalog.pg_settings TO valgnatt_feed, valgnatt_signer;

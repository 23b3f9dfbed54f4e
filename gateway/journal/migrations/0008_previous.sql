-- The previous election of an election, mapped to its registry: a document of its own, which the feeds show.
--
-- It is written with the registry in one act, replaced with it until a report is accepted, and fixed with it. Like the
-- registry, it is public from the beginning and changes with no report, so the function does not check the embargo.

CREATE TABLE valgnatt.previous (
    election integer PRIMARY KEY REFERENCES valgnatt.election (key),
    document bytea NOT NULL             -- the document, JSON with sorted keys
);

CREATE FUNCTION valgnatt_public.previous(p_election integer) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT p.document FROM valgnatt.previous p WHERE p.election = p_election
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt_public FROM PUBLIC;
GRANT EXECUTE ON FUNCTION valgnatt_public.previous(integer) TO valgnatt_feed;

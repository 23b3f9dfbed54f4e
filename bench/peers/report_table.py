"""The table of reports of a peer that commits to Postgres: no look-ups, no chain, one unique key."""


def report_table(schema: str) -> str:
    """Return the statements that create an empty table `report` in a schema of its own."""
    return f"""
DROP SCHEMA IF EXISTS {schema} CASCADE;
CREATE SCHEMA {schema};
CREATE TABLE {schema}.report (
    sequence    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    unit        text NOT NULL,
    revision    integer NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now(),
    body        bytea NOT NULL,
    UNIQUE (unit, revision)
);
"""

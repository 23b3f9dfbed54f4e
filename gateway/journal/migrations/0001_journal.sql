-- The journal: accepted reports in one gapless, commit-ordered record per election.
--
-- A report's place is given once, when it is accepted, under the lock of its election's head row: 1, 2, 3 ... with
-- the chain drawn through it. Since publication keeps the order of acceptance, that place is also its sequence in
-- the public record. So a release is one row: it sets head.released_at, and by that alone everything accepted is
-- public, in order, in one step. No report is ever updated or deleted.

CREATE SCHEMA IF NOT EXISTS valgnatt;

CREATE TABLE valgnatt.election (
    key       integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id        text NOT NULL UNIQUE,
    registry  bytea NOT NULL,          -- the registry document, JSON with sorted keys
    loaded_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row an election, written by every append; small, so that it stays on its page.
CREATE TABLE valgnatt.head (
    election     integer PRIMARY KEY REFERENCES valgnatt.election (key),
    version      bigint NOT NULL DEFAULT 1,  -- rises with every administrative act: registry, embargo, close, tokens
    publish_from timestamptz NOT NULL,
    released_at  timestamptz,                -- the flag of the embargo; set once, never cleared
    closed_at    timestamptz,
    accepted     bigint NOT NULL DEFAULT 0,  -- reports accepted: the last place given
    chain        bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    last_at      timestamptz NOT NULL DEFAULT '-infinity'  -- the clock of the last append; time never goes back
) WITH (fillfactor = 10);

CREATE TABLE valgnatt.report (
    election    integer NOT NULL,       -- no foreign key: only append_v1 inserts, and it holds the head row's lock
    sequence    bigint NOT NULL,
    unit        text NOT NULL,
    revision    integer NOT NULL,
    received_at timestamptz NOT NULL,   -- the push door had read it
    accepted_at timestamptz NOT NULL,
    digest      bytea NOT NULL,
    chain       bytea NOT NULL,
    body        bytea NOT NULL,         -- canonical bytes
    PRIMARY KEY (election, sequence),
    UNIQUE (election, unit, revision)
);

CREATE FUNCTION valgnatt.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'accepted reports are never changed' USING ERRCODE = 'VG003';
END $$;

CREATE TRIGGER report_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.report
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();

CREATE TABLE valgnatt.token (
    key        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    election   integer NOT NULL REFERENCES valgnatt.election (key),
    digest     bytea NOT NULL UNIQUE,   -- SHA-256 of the token; the token itself is nowhere
    areas      text[] NOT NULL,
    role       text NOT NULL DEFAULT 'sender' CHECK (role IN ('sender', 'operator')),
    note       text NOT NULL DEFAULT '',
    issued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE INDEX token_election ON valgnatt.token (election);

-- When each token was last used; apart from the tokens, because it is written every second.
CREATE TABLE valgnatt.contact (
    token   bigint PRIMARY KEY REFERENCES valgnatt.token (key),
    last_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE valgnatt.act (
    key      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    election integer NOT NULL REFERENCES valgnatt.election (key),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    author   text NOT NULL,
    kind     text NOT NULL,
    detail   text NOT NULL
);

-- Append a batch of one election: decide each report in the order given, place what is new, and answer.
--
-- The head row is locked first, so batches of one election follow one another from here to the end of their
-- commits, and each statement below sees all that was committed before. The head row is written even where nothing
-- is new: an answer that rests on earlier commits then waits for them as they did.
--
-- Raises VG001 where the batch was checked against another version of the election (check again, then append),
-- VG002 for no such election.
--
-- Returns arrays by the place of the report: its sequence (null: not new), the unit's revision before it, and, where
-- some were not new, what stands under the same unit and revision.
CREATE FUNCTION valgnatt.append_v1(
    p_election integer,
    p_version bigint,
    p_units text[],
    p_revisions integer[],
    p_digests bytea[],
    p_bodies bytea[],
    p_received timestamptz[],
    OUT at timestamptz,
    OUT released_at timestamptz,
    OUT closed boolean,
    OUT sequences bigint[],
    OUT revisions_before integer[],
    OUT found_sequences bigint[],
    OUT found_at timestamptz[],
    OUT found_same boolean[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head valgnatt.head%ROWTYPE;
    chains bytea[];
    v_accepted bigint;
    sent integer := cardinality(p_units);
BEGIN
    SELECT * INTO head FROM valgnatt.head h WHERE h.election = p_election FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such election' USING ERRCODE = 'VG002';
    END IF;
    IF head.version <> p_version THEN
        RAISE EXCEPTION 'checked against version %, the election is at %', p_version, head.version
            USING ERRCODE = 'VG001';
    END IF;

    at := greatest(clock_timestamp(), head.last_at);
    released_at := head.released_at;
    IF released_at IS NULL AND at >= head.publish_from THEN
        released_at := at;
    END IF;
    closed := head.closed_at IS NOT NULL;
    v_accepted := head.accepted;

    IF sent > 0 THEN
        -- What stands before a report in its own batch will be accepted too, unless the election is closed.
        SELECT array_agg(greatest(coalesce(stored.revision, 0),
                                  CASE WHEN closed THEN 0 ELSE coalesce(batch.before, 0) END)
                         ORDER BY batch.place)
        INTO revisions_before
        FROM (
            SELECT place, unit,
                   max(revision) OVER (PARTITION BY unit ORDER BY place
                                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM unnest(p_units, p_revisions) WITH ORDINALITY AS s (unit, revision, place)
        ) AS batch
        CROSS JOIN LATERAL (
            SELECT max(r.revision) AS revision FROM valgnatt.report r
            WHERE r.election = p_election AND r.unit = batch.unit
        ) AS stored;

        IF closed THEN
            sequences := array_fill(NULL::bigint, ARRAY[sent]);
        ELSE
            FOR i IN 1 .. sent LOOP
                IF p_revisions[i] > revisions_before[i] THEN
                    v_accepted := v_accepted + 1;
                    head.chain := sha256(head.chain || p_digests[i]);
                    sequences[i] := v_accepted;
                    chains[i] := head.chain;
                ELSE
                    sequences[i] := NULL;
                    chains[i] := NULL;
                END IF;
            END LOOP;
        END IF;

        IF v_accepted > head.accepted THEN
            INSERT INTO valgnatt.report
                (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body)
            SELECT p_election, s.sequence, s.unit, s.revision, s.received_at, append_v1.at, s.digest, s.chain, s.body
            FROM unnest(sequences, p_units, p_revisions, p_received, p_digests, chains, p_bodies)
                AS s (sequence, unit, revision, received_at, digest, chain, body)
            WHERE s.sequence IS NOT NULL;
        END IF;

        IF v_accepted < head.accepted + sent THEN
            SELECT array_agg(r.sequence ORDER BY s.place),
                   array_agg(r.accepted_at ORDER BY s.place),
                   array_agg(r.digest = s.digest ORDER BY s.place)
            INTO found_sequences, found_at, found_same
            FROM unnest(p_units, p_revisions, p_digests) WITH ORDINALITY AS s (unit, revision, digest, place)
            LEFT JOIN valgnatt.report r
                ON r.election = p_election AND r.unit = s.unit AND r.revision = s.revision;
        END IF;
    END IF;

    UPDATE valgnatt.head h
    SET accepted = v_accepted, chain = head.chain, last_at = append_v1.at,
        released_at = append_v1.released_at
    WHERE h.election = p_election;

    IF released_at IS NOT NULL AND (v_accepted > head.accepted OR head.released_at IS NULL) THEN
        PERFORM pg_notify('valgnatt', '');
    END IF;
END $$;

-- What the feed's role may see: registries, and the record once it is released. Nothing below reveals how much
-- is accepted before that.
CREATE VIEW valgnatt.public_election WITH (security_barrier) AS
SELECT e.key, e.id, e.registry, h.version, h.publish_from, h.released_at, h.closed_at,
       CASE WHEN h.released_at IS NULL THEN 0 ELSE h.accepted END AS sequence,
       CASE WHEN h.released_at IS NULL THEN decode(repeat('00', 32), 'hex') ELSE h.chain END AS chain
FROM valgnatt.election e JOIN valgnatt.head h ON h.election = e.key;

CREATE VIEW valgnatt.publication WITH (security_barrier) AS
SELECT r.election, r.sequence, greatest(r.accepted_at, h.released_at) AS published_at, r.unit, r.revision,
       r.digest, r.chain, r.body, r.received_at, r.accepted_at
FROM valgnatt.report r JOIN valgnatt.head h ON h.election = r.election AND h.released_at IS NOT NULL;

CREATE VIEW valgnatt.public_contact WITH (security_barrier) AS
SELECT t.election, area, max(c.last_at) AS last_at
FROM valgnatt.contact c
JOIN valgnatt.token t ON t.key = c.token
JOIN valgnatt.head h ON h.election = t.election AND h.released_at IS NOT NULL
CROSS JOIN LATERAL unnest(t.areas) AS area
GROUP BY t.election, area;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'valgnatt_feed') THEN
        CREATE ROLE valgnatt_feed NOLOGIN;
        GRANT valgnatt_feed TO CURRENT_USER;  -- who made a role may not take it on by that alone (Postgres 16)
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role valgnatt_feed is missing and this user may not create it'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'as a database administrator: CREATE ROLE valgnatt_feed NOLOGIN; GRANT valgnatt_feed TO <this user>';
    WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this cluster was migrated at the same moment
END $$;

REVOKE ALL ON SCHEMA valgnatt FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt FROM PUBLIC;
GRANT USAGE ON SCHEMA valgnatt TO valgnatt_feed;
GRANT SELECT ON valgnatt.public_election, valgnatt.publication, valgnatt.public_contact TO valgnatt_feed;

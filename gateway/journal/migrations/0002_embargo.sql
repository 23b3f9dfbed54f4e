-- What a feed's login can touch before a release must not change with what is accepted.
--
-- Two things follow. The embargo is a row of its own, which no append updates except the one that releases. And whatever
-- does change with what is accepted (report, head, confirmation, contact) is stored apart for each election, as
-- partitions, so that reading a released election touches no block that an embargoed one changes. A feed reads through
-- functions that look at the embargo first; it has no right to any table, nor to the schema that they are in.
--
-- Also new: each append has a number, and the record is shown to feeds only as far as it is confirmed: durable on the
-- synchronous standby, where the server has one.

DROP VIEW valgnatt.public_contact, valgnatt.publication, valgnatt.public_election;
DROP FUNCTION valgnatt.append_v1(integer, bigint, text[], integer[], bytea[], bytea[], timestamptz[]);

CREATE TABLE valgnatt.embargo (
    election     integer PRIMARY KEY REFERENCES valgnatt.election (key),
    publish_from timestamptz NOT NULL,
    released_at  timestamptz,           -- set once, never cleared
    released_by  bigint,                -- the number of the append that set it
    CHECK ((released_at IS NULL) = (released_by IS NULL))
);
INSERT INTO valgnatt.embargo
SELECT h.election, h.publish_from, h.released_at, CASE WHEN h.released_at IS NOT NULL THEN 0 END FROM valgnatt.head h;

ALTER TABLE valgnatt.head RENAME TO head_before;
ALTER TABLE valgnatt.head_before RENAME CONSTRAINT head_pkey TO head_before_pkey;
ALTER TABLE valgnatt.report RENAME TO report_before;
ALTER TABLE valgnatt.report_before RENAME CONSTRAINT report_pkey TO report_before_pkey;
ALTER TABLE valgnatt.report_before
    RENAME CONSTRAINT report_election_unit_revision_key TO report_before_election_unit_revision_key;
ALTER TABLE valgnatt.contact RENAME TO contact_before;
ALTER TABLE valgnatt.contact_before RENAME CONSTRAINT contact_pkey TO contact_before_pkey;

-- No foreign keys from here on: rows are made only by add_election, append_v2, confirm_v1 and with a token's own row.
CREATE TABLE valgnatt.head (
    election         integer NOT NULL,
    version          bigint NOT NULL DEFAULT 1,  -- rises with every administrative act: registry, embargo, close, tokens
    closed_at        timestamptz,
    accepted         bigint NOT NULL DEFAULT 0,  -- reports accepted: the last place given
    chain            bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    last_at          timestamptz NOT NULL DEFAULT '-infinity',  -- the clock of the last append; time never goes back
    appends          bigint NOT NULL DEFAULT 0,  -- appends committed, those of nothing new with them
    confirmed_append bigint NOT NULL DEFAULT 0,  -- the last append made while no standby was to be waited for
    confirmed        bigint NOT NULL DEFAULT 0,  -- the last place given by then
    PRIMARY KEY (election)
) PARTITION BY LIST (election);

CREATE TABLE valgnatt.report (
    election    integer NOT NULL,
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
) PARTITION BY LIST (election);
CREATE TRIGGER report_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.report
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();

-- How far a push process knows the record to be on the synchronous standby: its commit's wait for it ended well.
CREATE TABLE valgnatt.confirmation (
    election integer NOT NULL,
    append   bigint NOT NULL DEFAULT 0,
    sequence bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (election)
) PARTITION BY LIST (election);

-- When each token was last used; apart from the tokens, because it is written every second.
CREATE TABLE valgnatt.contact (
    election integer NOT NULL,
    token    bigint NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (election, token)
) PARTITION BY LIST (election);

-- Make the partitions of an election. They are attached, not made in place: that needs no lock that an append would
-- have to wait for.
CREATE FUNCTION valgnatt.add_partitions(p_election integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    parent text;
    fillfactor integer;
BEGIN
    FOR parent, fillfactor IN
        VALUES ('head', 10), ('report', 100), ('confirmation', 10), ('contact', 50)
    LOOP
        EXECUTE format('CREATE TABLE valgnatt.%I (LIKE valgnatt.%I INCLUDING DEFAULTS) WITH (fillfactor = %s)',
                       parent || '_' || p_election, parent, fillfactor);
        EXECUTE format('ALTER TABLE valgnatt.%I ATTACH PARTITION valgnatt.%I FOR VALUES IN (%s)',
                       parent, parent || '_' || p_election, p_election);
    END LOOP;
    EXECUTE format('CREATE TRIGGER report_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change()', 'report_' || p_election);
END $$;

-- Give a new election its partitions, its head and its embargo.
CREATE FUNCTION valgnatt.add_election(p_election integer, p_publish_from timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM valgnatt.add_partitions(p_election);
    INSERT INTO valgnatt.embargo (election, publish_from) VALUES (p_election, p_publish_from);
    INSERT INTO valgnatt.head (election) VALUES (p_election);
    INSERT INTO valgnatt.confirmation (election) VALUES (p_election);
END $$;

SELECT valgnatt.add_partitions(e.key) FROM valgnatt.election e;
INSERT INTO valgnatt.head (election, version, closed_at, accepted, chain, last_at, confirmed)
SELECT h.election, h.version, h.closed_at, h.accepted, h.chain, h.last_at, h.accepted FROM valgnatt.head_before h;
INSERT INTO valgnatt.confirmation (election) SELECT h.election FROM valgnatt.head_before h;
INSERT INTO valgnatt.contact (election, token, last_at)
SELECT t.election, c.token, c.last_at FROM valgnatt.contact_before c JOIN valgnatt.token t ON t.key = c.token;
INSERT INTO valgnatt.report (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body)
SELECT r.election, r.sequence, r.unit, r.revision, r.received_at, r.accepted_at, r.digest, r.chain, r.body
FROM valgnatt.report_before r;
DROP TABLE valgnatt.head_before, valgnatt.contact_before, valgnatt.report_before;

-- Append a batch of one election: decide each report in the order given, place what is new, and answer.
--
-- The head row is locked first, so batches of one election follow one another from here to the end of their
-- commits, and each statement below sees all that was committed before. The head row is written even where nothing
-- is new: an answer that rests on earlier commits then waits for them as they did. Nobody is notified from here: a
-- full queue of notifications would make the commit fail.
--
-- Raises VG001 where the batch was checked against another version of the election (check again, then append),
-- VG002 for no such election, VG004 where a standby is required and the server waits for none.
--
-- Returns arrays by the place of the report: its sequence (null: not new), the unit's revision before it, and, where
-- some were not new, what stands under the same unit and revision. `append_number` and `accepted` are what confirm_v1
-- takes once the commit has returned; `waits_for_standby` says whether that is needed.
CREATE FUNCTION valgnatt.append_v2(
    p_election integer,
    p_version bigint,
    p_units text[],
    p_revisions integer[],
    p_digests bytea[],
    p_bodies bytea[],
    p_received timestamptz[],
    p_require_standby boolean,
    OUT at timestamptz,
    OUT released_at timestamptz,
    OUT closed boolean,
    OUT append_number bigint,
    OUT accepted bigint,
    OUT waits_for_standby boolean,
    OUT sequences bigint[],
    OUT revisions_before integer[],
    OUT found_sequences bigint[],
    OUT found_at timestamptz[],
    OUT found_same boolean[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head valgnatt.head%ROWTYPE;
    publish_from timestamptz;
    chains bytea[];
    sent integer := cardinality(p_units);
BEGIN
    waits_for_standby := current_setting('synchronous_standby_names') <> '';
    IF p_require_standby AND NOT waits_for_standby THEN
        RAISE EXCEPTION 'the server waits for no synchronous standby' USING ERRCODE = 'VG004';
    END IF;
    SELECT * INTO head FROM valgnatt.head h WHERE h.election = p_election FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such election' USING ERRCODE = 'VG002';
    END IF;
    IF head.version <> p_version THEN
        RAISE EXCEPTION 'checked against version %, the election is at %', p_version, head.version
            USING ERRCODE = 'VG001';
    END IF;

    append_number := head.appends + 1;
    at := greatest(clock_timestamp(), head.last_at);
    SELECT e.publish_from, e.released_at INTO publish_from, released_at
    FROM valgnatt.embargo e WHERE e.election = p_election;
    IF released_at IS NULL AND at >= publish_from THEN
        released_at := at;
        UPDATE valgnatt.embargo e SET released_at = append_v2.at, released_by = append_number
        WHERE e.election = p_election;
    END IF;
    closed := head.closed_at IS NOT NULL;
    accepted := head.accepted;

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
                    accepted := accepted + 1;
                    head.chain := sha256(head.chain || p_digests[i]);
                    sequences[i] := accepted;
                    chains[i] := head.chain;
                ELSE
                    sequences[i] := NULL;
                    chains[i] := NULL;
                END IF;
            END LOOP;
        END IF;

        IF accepted > head.accepted THEN
            INSERT INTO valgnatt.report
                (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body)
            SELECT p_election, s.sequence, s.unit, s.revision, s.received_at, append_v2.at, s.digest, s.chain, s.body
            FROM unnest(sequences, p_units, p_revisions, p_received, p_digests, chains, p_bodies)
                AS s (sequence, unit, revision, received_at, digest, chain, body)
            WHERE s.sequence IS NOT NULL;
        END IF;

        IF accepted < head.accepted + sent THEN
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
    SET accepted = append_v2.accepted, chain = head.chain, last_at = append_v2.at, appends = append_number,
        confirmed_append = CASE WHEN waits_for_standby THEN h.confirmed_append ELSE append_number END,
        confirmed = CASE WHEN waits_for_standby THEN h.confirmed ELSE append_v2.accepted END
    WHERE h.election = p_election;
END $$;

-- Note that an append is on the synchronous standby: its commit returned, and its wait was not cut short. The note itself
-- waits for the local disk only. It is never above what this server has, whichever server the append was made on.
CREATE FUNCTION valgnatt.confirm_v1(p_election integer, p_append bigint, p_accepted bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'local', true);
    UPDATE valgnatt.confirmation c
    SET append = greatest(c.append, least(p_append, h.appends)),
        sequence = greatest(c.sequence, least(p_accepted, h.accepted))
    FROM valgnatt.head h
    WHERE c.election = p_election AND h.election = p_election;
END $$;

-- What a feed may show of an election, as of one moment: nulls and zeros before the release is confirmed. The embargo is
-- looked at first; before its end no other table is touched. The statements are made for one election's own tables, so
-- that no plan depends on those of another.
CREATE FUNCTION valgnatt.shown(
    p_election integer,
    OUT released_at timestamptz,
    OUT closed_at timestamptz,
    OUT sequence bigint,
    OUT chain bytea,
    OUT accepted bigint
) LANGUAGE plpgsql STABLE AS $$
DECLARE
    embargo valgnatt.embargo%ROWTYPE;
    head record;
BEGIN
    sequence := 0;
    chain := decode(repeat('00', 32), 'hex');
    accepted := 0;
    SELECT * INTO embargo FROM valgnatt.embargo e WHERE e.election = p_election;
    IF embargo.released_at IS NULL THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT h.accepted, h.chain, h.closed_at, greatest(h.confirmed_append, c.append) AS append,'
                   ' least(h.accepted, greatest(h.confirmed, c.sequence)) AS confirmed'
                   ' FROM valgnatt.%I h CROSS JOIN valgnatt.%I c',
                   'head_' || p_election, 'confirmation_' || p_election)
    INTO head;
    IF head.append < embargo.released_by THEN
        RETURN;
    END IF;
    released_at := embargo.released_at;
    closed_at := head.closed_at;
    accepted := head.accepted;
    sequence := head.confirmed;
    IF sequence = accepted THEN
        chain := head.chain;
    ELSIF sequence > 0 THEN
        EXECUTE format('SELECT r.chain FROM valgnatt.%I r WHERE r.election = $1 AND r.sequence = $2',
                       'report_' || p_election)
        INTO chain USING p_election, sequence;
    END IF;
END $$;

-- The functions of the feed's role, in a schema of their own: without USAGE of the other one, a statement that names a
-- table there is refused before it is planned, and a planner reads blocks. SECURITY DEFINER, because the role has no
-- right to any table; a fixed search_path, so that nobody puts another function or operator in the place of one of these.

CREATE SCHEMA valgnatt_public;

CREATE FUNCTION valgnatt_public.elections()
RETURNS TABLE (
    key integer, id text, loaded_at timestamptz, publish_from timestamptz, released_at timestamptz,
    closed_at timestamptz, sequence bigint, chain bytea, accepted bigint, standby boolean
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    election record;
    shown record;
BEGIN
    FOR election IN
        SELECT e.key, e.id, e.loaded_at, m.publish_from
        FROM valgnatt.election e JOIN valgnatt.embargo m ON m.election = e.key ORDER BY e.key
    LOOP
        shown := valgnatt.shown(election.key);
        RETURN QUERY SELECT election.key, election.id, election.loaded_at, election.publish_from, shown.released_at,
                            shown.closed_at, shown.sequence, shown.chain, shown.accepted, pg_is_in_recovery();
    END LOOP;
END $$;

CREATE FUNCTION valgnatt_public.registry(p_election integer) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.registry FROM valgnatt.election e WHERE e.key = p_election
$$;

-- Up to `p_most` (at most 10 000) publications after a sequence, in order.
CREATE FUNCTION valgnatt_public.record(p_election integer, p_after bigint, p_most integer)
RETURNS TABLE (
    sequence bigint, published_at timestamptz, unit text, revision integer, digest bytea, chain bytea, body bytea,
    received_at timestamptz, accepted_at timestamptz
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown(p_election);
BEGIN
    IF shown.released_at IS NOT NULL AND shown.sequence > p_after THEN
        RETURN QUERY EXECUTE format(
            'SELECT r.sequence, greatest(r.accepted_at, $4), r.unit, r.revision, r.digest, r.chain, r.body,'
            ' r.received_at, r.accepted_at FROM valgnatt.%I r'
            ' WHERE r.election = $1 AND r.sequence > $2 AND r.sequence <= $3 ORDER BY r.sequence',
            'report_' || p_election)
        USING p_election, p_after, least(shown.sequence, p_after + least(p_most, 10000)), shown.released_at;
    END IF;
END $$;

-- What lies past a sequence, by unit.
CREATE FUNCTION valgnatt_public.unapplied(p_election integer, p_after bigint)
RETURNS TABLE (unit text, accepted bigint, oldest_published_at timestamptz, last_accepted_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown(p_election);
BEGIN
    IF shown.released_at IS NOT NULL AND shown.sequence > p_after THEN
        RETURN QUERY EXECUTE format(
            'SELECT r.unit, count(*), min(greatest(r.accepted_at, $4)), max(r.accepted_at) FROM valgnatt.%I r'
            ' WHERE r.election = $1 AND r.sequence > $2 AND r.sequence <= $3 GROUP BY r.unit',
            'report_' || p_election)
        USING p_election, p_after, shown.sequence, shown.released_at;
    END IF;
END $$;

-- When a token of each area was last used.
CREATE FUNCTION valgnatt_public.contacts(p_election integer)
RETURNS TABLE (area text, last_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown(p_election);
BEGIN
    IF shown.released_at IS NOT NULL THEN
        RETURN QUERY EXECUTE format(
            'SELECT a.area, max(c.last_at) FROM valgnatt.%I c JOIN valgnatt.token t ON t.key = c.token'
            ' CROSS JOIN LATERAL unnest(t.areas) AS a (area) GROUP BY a.area',
            'contact_' || p_election);
    END IF;
END $$;

REVOKE ALL ON SCHEMA valgnatt FROM valgnatt_feed;
REVOKE ALL ON ALL TABLES IN SCHEMA valgnatt FROM valgnatt_feed;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt, valgnatt_public FROM PUBLIC;
REVOKE ALL ON SCHEMA valgnatt_public FROM PUBLIC;
GRANT USAGE ON SCHEMA valgnatt_public TO valgnatt_feed;
GRANT EXECUTE ON FUNCTION
    valgnatt_public.elections(),
    valgnatt_public.registry(integer),
    valgnatt_public.record(integer, bigint, integer),
    valgnatt_public.unapplied(integer, bigint),
    valgnatt_public.contacts(integer)
TO valgnatt_feed;

-- The signed record: openings, what the signer writes, and what feeds and the signer may read of both.
--
-- An election is a log whose first entry is its opening, whose entry n is the report of sequence n, and whose last one is
-- the closing. The opening is stored. Reports are read with record_v2. The closing follows from the head, once nothing
-- can follow it. Nothing here is on the path of an append, but for the one that ends the embargo.
--
-- The signer's role executes the functions of the feed's role and those of the schema valgnatt_signing. It has no right
-- to any table. The tables that it writes through them are read by no append and locked by no feed, and no foreign key
-- refers from them to others. So a signer delays neither, whatever it locks. Before the release is confirmed, functions
-- show of an election only its opening and checkpoints of size 1, also if the signer inserted others.

CREATE TABLE valgnatt.opening (
    election  integer NOT NULL REFERENCES valgnatt.election (key),
    history   integer NOT NULL CHECK (history >= 1),
    entry     bytea NOT NULL,           -- canonical bytes: election, entry, history, opened_at, previous, registry, rehearsal
    opened_at timestamptz NOT NULL,
    append    bigint,                   -- the append that ended the embargo, if it opened the election; null: an act did
    PRIMARY KEY (election, history)
);
CREATE TRIGGER opening_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.opening
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();

-- The opening entry of a history. Its keys are sorted, and an identifier of an election needs no escapes. `p_previous`
-- is canonical JSON; null: this is the first history.
CREATE FUNCTION valgnatt.opening_bytes(
    p_id text, p_registry bytea, p_history integer, p_at timestamptz, p_previous text
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(
        '{"election":"' || p_id
        || '","entry":"opening/1","history":' || p_history
        || ',"opened_at":"' || to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","previous":' || coalesce(p_previous, 'null')
        || ',"registry":"' || encode(sha256(p_registry), 'hex')
        || '","rehearsal":'
        || CASE WHEN convert_from(p_registry, 'UTF8')::json #>> '{election,rehearsal}' = 'true'
                THEN 'true' ELSE 'false' END
        || '}',
        'UTF8')
$$;

-- Open an election: write its first opening entry, unless it has one. Only under the head lock.
CREATE FUNCTION valgnatt.open(p_election integer, p_at timestamptz, p_append bigint) RETURNS void
LANGUAGE sql VOLATILE AS $$
    INSERT INTO valgnatt.opening (election, history, entry, opened_at, append)
    SELECT e.key, 1, valgnatt.opening_bytes(e.id, e.registry, 1, p_at, NULL), p_at, p_append
    FROM valgnatt.election e
    WHERE e.key = p_election AND NOT EXISTS (SELECT FROM valgnatt.opening o WHERE o.election = p_election)
$$;

-- The end of the embargo opens an election that nobody has opened, in the same commit, whichever program ends it.
CREATE FUNCTION valgnatt.open_at_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM valgnatt.open(NEW.election, NEW.released_at, NEW.released_by);
    RETURN NULL;
END $$;
CREATE TRIGGER embargo_opens AFTER UPDATE ON valgnatt.embargo
    FOR EACH ROW WHEN (OLD.released_at IS NULL AND NEW.released_at IS NOT NULL)
    EXECUTE FUNCTION valgnatt.open_at_release();

SELECT valgnatt.open(m.election, m.released_at, m.released_by)
FROM valgnatt.embargo m WHERE m.released_at IS NOT NULL;

-- Registry and previous election are fixed from the opening on, also for programs of the version before.
CREATE FUNCTION valgnatt.refuse_opened() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed record := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
    key integer := CASE WHEN TG_TABLE_NAME = 'election' THEN to_jsonb(changed) ->> 'key'
                        ELSE to_jsonb(changed) ->> 'election' END;
BEGIN
    IF EXISTS (SELECT FROM valgnatt.opening o WHERE o.election = key) THEN
        RAISE EXCEPTION 'the election is opened: its registry and its previous election are fixed' USING ERRCODE = 'VG003';
    END IF;
    RETURN changed;
END $$;
CREATE TRIGGER election_opened BEFORE UPDATE ON valgnatt.election
    FOR EACH ROW WHEN (OLD.id <> NEW.id OR OLD.registry <> NEW.registry)
    EXECUTE FUNCTION valgnatt.refuse_opened();
CREATE TRIGGER previous_opened BEFORE INSERT OR UPDATE OR DELETE ON valgnatt.previous
    FOR EACH ROW EXECUTE FUNCTION valgnatt.refuse_opened();

-- What the signer writes. Times are those that programs can read: nobody shall end a feed with one that they cannot.

-- The log of a history, as `log` in /v1/elections shows it. Without one, an election has no log.
CREATE TABLE valgnatt.log (
    election  integer NOT NULL,
    history   integer NOT NULL,
    origin    text NOT NULL UNIQUE,
    vkeys     text[] NOT NULL,          -- the current keys of the log
    witnesses text[] NOT NULL,          -- the keys of the configured witnesses
    PRIMARY KEY (election, history)
);

CREATE TABLE valgnatt.checkpoint (
    election  integer NOT NULL,
    history   integer NOT NULL,
    size      bigint NOT NULL CHECK (size >= 1),
    root      bytea NOT NULL CHECK (octet_length(root) = 32),
    signed_at timestamptz NOT NULL CHECK (signed_at >= '1970-01-01Z' AND signed_at < '10000-01-01Z'),
    note      text NOT NULL CHECK (octet_length(note) <= 8192),  -- with the signature lines of the log, not of witnesses
    PRIMARY KEY (election, history, size)
);
CREATE TRIGGER checkpoint_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();

-- The newest cosignature of each witness for a checkpoint.
CREATE TABLE valgnatt.cosignature (
    election integer NOT NULL,
    history  integer NOT NULL,
    size     bigint NOT NULL,
    witness  text NOT NULL,             -- its key
    at       timestamptz NOT NULL CHECK (at >= '1970-01-01Z' AND at < '10000-01-01Z'),  -- what the witness has signed
    line     text NOT NULL,             -- without its end of line
    PRIMARY KEY (election, history, size, witness)
) WITH (fillfactor = 70);

-- The row that signers of an election lock, one at a time. The fence rises with every round: what a signer writes in a
-- round requires that no other round has begun since.
CREATE TABLE valgnatt.signer (
    election    integer PRIMARY KEY,
    fence       bigint NOT NULL DEFAULT 0,
    signer      text NOT NULL DEFAULT '',     -- which one began the last round
    began_at    timestamptz,
    changes     bigint NOT NULL DEFAULT 0,    -- changes of log, checkpoint and cosignature
    checkpoints bigint NOT NULL DEFAULT 0,    -- checkpoints inserted, of all histories
    writes      double precision NOT NULL DEFAULT 1000,  -- writes that are allowed at writes_at; 50 more per second
    writes_at   timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);

-- The openings of an election that may be shown. One that the end of the embargo made is, once that end is confirmed.
CREATE FUNCTION valgnatt.shown_openings(p_election integer, p_released_at timestamptz) RETURNS SETOF valgnatt.opening
LANGUAGE sql STABLE AS $$
    SELECT o.* FROM valgnatt.opening o
    WHERE o.election = p_election AND (o.append IS NULL OR p_released_at IS NOT NULL)
    ORDER BY o.history
$$;

-- The closing entry of an election; null: more may follow. `p_shown` is what may be shown of it. A closed election gets
-- no reports, and no holds but those that are open, so these bytes never change.
CREATE FUNCTION valgnatt.closing_bytes(p_election integer, p_shown record) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
    head record;
BEGIN
    IF p_shown.released_at IS NULL OR p_shown.closed_at IS NULL OR p_shown.sequence <> p_shown.accepted THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT h.accepted, h.open_holds, h.hold_lines FROM valgnatt.%I h', 'head_' || p_election) INTO head;
    IF head.open_holds > 0 OR head.accepted <> p_shown.sequence OR head.hold_lines <> p_shown.hold_lines THEN
        RETURN NULL;
    END IF;
    RETURN convert_to(
        '{"chain":"' || encode(p_shown.chain, 'hex')
        || '","closed_at":"' || to_char(p_shown.closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","entry":"closing/1","sequence":' || p_shown.sequence || '}',
        'UTF8');
END $$;

-- Every history of every opened election, in order: its entries that are no reports, its log, the size of its newest
-- checkpoint (0: none), and a number that differs whenever its log, checkpoints or cosignatures have changed.
CREATE FUNCTION valgnatt_public.logs()
RETURNS TABLE (
    key integer, id text, history integer, opening bytea, closing bytea, origin text, vkeys text[], witnesses text[],
    size bigint, changes bigint
) LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    election record;
    shown record;
BEGIN
    FOR election IN SELECT e.key, e.id FROM valgnatt.election e ORDER BY e.key LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM valgnatt.opening o WHERE o.election = election.key);
        shown := valgnatt.shown_v2(election.key);
        RETURN QUERY
            SELECT election.key, election.id, o.history, o.entry,
                   CASE WHEN o.history = max(o.history) OVER () THEN valgnatt.closing_bytes(election.key, shown) END,
                   l.origin, coalesce(l.vkeys, '{}'), coalesce(l.witnesses, '{}'),
                   coalesce((SELECT max(c.size) FROM valgnatt.checkpoint c
                             WHERE c.election = election.key AND c.history = o.history
                               AND (c.size = 1 OR shown.released_at IS NOT NULL)), 0),
                   coalesce(s.changes, 0)
            FROM valgnatt.shown_openings(election.key, shown.released_at) o
            LEFT JOIN valgnatt.log l ON l.election = election.key AND l.history = o.history
            LEFT JOIN valgnatt.signer s ON s.election = election.key
            ORDER BY o.history;
    END LOOP;
END $$;

-- Up to `p_most` (at most 1 000) checkpoints of a history that are larger than a size, the smallest first.
CREATE FUNCTION valgnatt_public.checkpoints(p_election integer, p_history integer, p_after bigint, p_most integer)
RETURNS TABLE (size bigint, root bytea, signed_at timestamptz, note text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown_v2(p_election);
BEGIN
    RETURN QUERY
        SELECT c.size, c.root, c.signed_at, c.note FROM valgnatt.checkpoint c
        WHERE c.election = p_election AND c.history = p_history AND c.size > p_after
          AND (c.size = 1 OR shown.released_at IS NOT NULL)
        ORDER BY c.size LIMIT least(p_most, 1000);
END $$;

-- The cosignatures of the checkpoints that are larger than a size, up to another one; at most 16 000.
CREATE FUNCTION valgnatt_public.cosignatures(p_election integer, p_history integer, p_after bigint, p_until bigint)
RETURNS TABLE (size bigint, witness text, at timestamptz, line text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    shown record := valgnatt.shown_v2(p_election);
BEGIN
    RETURN QUERY
        SELECT c.size, c.witness, c.at, c.line FROM valgnatt.cosignature c
        WHERE c.election = p_election AND c.history = p_history AND c.size > p_after AND c.size <= p_until
          AND (c.size = 1 OR shown.released_at IS NOT NULL)
        ORDER BY c.size, c.witness LIMIT 16000;
END $$;

-- Lock the signer's row of an election for a write. Raises VG006 if another round has begun than that of `p_fence`
-- (null: any), and VG008 if there were too many writes: then nothing is locked for longer than it takes to say so.
CREATE FUNCTION valgnatt.lock_signer(p_election integer, p_fence bigint) RETURNS valgnatt.signer
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    signer valgnatt.signer%ROWTYPE;
BEGIN
    SELECT * INTO signer FROM valgnatt.signer s WHERE s.election = p_election;
    PERFORM valgnatt.remaining_writes(signer);
    -- Also where a pooler has given this transaction a session with other settings.
    PERFORM set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'remote_apply'
                                             THEN 'remote_apply' ELSE 'on' END, true),
            set_config('client_min_messages', 'warning', true);
    SELECT * INTO signer FROM valgnatt.signer s WHERE s.election = p_election FOR UPDATE;
    IF signer.election IS NULL OR signer.fence <> p_fence THEN
        RAISE EXCEPTION 'another signer has begun a round' USING ERRCODE = 'VG006';
    END IF;
    signer.writes := valgnatt.remaining_writes(signer) - 1;
    signer.writes_at := clock_timestamp();
    RETURN signer;
END $$;

-- How many writes are left, at least one: at most 1 000 at once, and 50 per second. Raises VG008.
CREATE FUNCTION valgnatt.remaining_writes(p_signer valgnatt.signer) RETURNS double precision
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    remaining double precision := least(
        1000, p_signer.writes + 50 * greatest(0, extract(epoch FROM clock_timestamp() - p_signer.writes_at)));
BEGIN
    IF remaining < 1 THEN
        RAISE EXCEPTION 'too many writes of the signer' USING ERRCODE = 'VG008';
    END IF;
    RETURN remaining;
END $$;

-- Count a write of the signer, and whether it was a change or a checkpoint.
CREATE FUNCTION valgnatt.count_write(p_signer valgnatt.signer, p_changes integer, p_checkpoints integer) RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE valgnatt.signer s
    SET writes = p_signer.writes, writes_at = p_signer.writes_at, changes = s.changes + p_changes,
        checkpoints = s.checkpoints + p_checkpoints
    WHERE s.election = p_signer.election
$$;

-- The functions of the signer's role.

CREATE SCHEMA valgnatt_signing;

-- Begin a round of a signer, and return its fence, and which signer began the round before, and when. The commit waits for
-- the synchronous standby, which then has everything that was read before. Raises VG002 if the election is not opened.
CREATE FUNCTION valgnatt_signing.begin_round(
    p_election integer, p_signer text, p_require_standby boolean,
    OUT fence bigint, OUT previous_signer text, OUT previous_at timestamptz
) LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signer valgnatt.signer%ROWTYPE;
    shown record := valgnatt.shown_v2(p_election);
BEGIN
    PERFORM valgnatt.waits_for_standby(p_require_standby);
    IF NOT EXISTS (SELECT FROM valgnatt.shown_openings(p_election, shown.released_at)) THEN
        RAISE EXCEPTION 'the election is not opened' USING ERRCODE = 'VG002';
    END IF;
    IF p_signer IS NULL OR octet_length(p_signer) > 64 THEN
        RAISE EXCEPTION 'a signer is named by at most 64 bytes' USING ERRCODE = 'VG007';
    END IF;
    IF NOT EXISTS (SELECT FROM valgnatt.signer s WHERE s.election = p_election) THEN
        INSERT INTO valgnatt.signer (election) VALUES (p_election) ON CONFLICT DO NOTHING;
    END IF;
    signer := valgnatt.lock_signer(p_election, NULL);
    previous_signer := signer.signer;
    previous_at := signer.began_at;
    fence := signer.fence + 1;
    UPDATE valgnatt.signer s
    SET fence = begin_round.fence, signer = p_signer, began_at = clock_timestamp(), writes = signer.writes,
        writes_at = signer.writes_at
    WHERE s.election = p_election;
END $$;

-- Declare the log of the newest history. Its origin never changes.
CREATE FUNCTION valgnatt_signing.declare_log(
    p_election integer, p_history integer, p_fence bigint, p_origin text, p_vkeys text[], p_witnesses text[]
) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signer valgnatt.signer%ROWTYPE := valgnatt.lock_signer(p_election, coalesce(p_fence, 0));
    changed integer;
BEGIN
    PERFORM valgnatt.require_newest(p_election, p_history);
    IF (octet_length(p_origin) <= 512 AND p_origin ~ '^[^[:space:][:cntrl:]+]+$'
        AND cardinality(p_vkeys) BETWEEN 1 AND 8 AND cardinality(p_witnesses) BETWEEN 0 AND 16
        AND NOT EXISTS (SELECT FROM unnest(p_vkeys || p_witnesses) AS k (vkey)
                        WHERE (octet_length(k.vkey) <= 1024
                               AND k.vkey ~ '^[^[:space:][:cntrl:]+]+[+][0-9a-f]{8}[+][A-Za-z0-9+/=]+$') IS NOT TRUE)
       ) IS NOT TRUE
    THEN
        RAISE EXCEPTION 'an origin, 1 to 8 keys and at most 16 witnesses are required' USING ERRCODE = 'VG007';
    END IF;
    IF EXISTS (SELECT FROM valgnatt.log l
               WHERE l.origin = p_origin AND (l.election, l.history) <> (p_election, p_history)
                  OR l.origin <> p_origin AND (l.election, l.history) = (p_election, p_history)) THEN
        RAISE EXCEPTION 'the log has another origin, or its origin belongs to another one' USING ERRCODE = 'VG007';
    END IF;
    INSERT INTO valgnatt.log AS l (election, history, origin, vkeys, witnesses)
    VALUES (p_election, p_history, p_origin, p_vkeys, p_witnesses)
    ON CONFLICT (election, history) DO UPDATE SET vkeys = excluded.vkeys, witnesses = excluded.witnesses
    WHERE (l.vkeys, l.witnesses) IS DISTINCT FROM (excluded.vkeys, excluded.witnesses);
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM valgnatt.count_write(signer, changed, 0);
    RETURN changed > 0;
END $$;

-- Raise VG007 if a history is not the newest of an election.
CREATE FUNCTION valgnatt.require_newest(p_election integer, p_history integer) RETURNS void
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_history IS DISTINCT FROM (SELECT max(o.history) FROM valgnatt.opening o WHERE o.election = p_election) THEN
        RAISE EXCEPTION 'history % is not the newest of the election', p_history USING ERRCODE = 'VG007';
    END IF;
END $$;

-- Insert a checkpoint of the newest history: larger than all that are there, and no larger than what may be shown. Return
-- false if it is there already, byte for byte. Raises VG007 if it may not be inserted.
CREATE FUNCTION valgnatt_signing.insert_checkpoint(
    p_election integer, p_history integer, p_fence bigint, p_size bigint, p_root bytea, p_signed_at timestamptz, p_note text
) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signer valgnatt.signer%ROWTYPE := valgnatt.lock_signer(p_election, coalesce(p_fence, 0));
    shown record := valgnatt.shown_v2(p_election);
    newest valgnatt.checkpoint%ROWTYPE;
    origin text;
    opened_at timestamptz;
BEGIN
    PERFORM valgnatt.require_newest(p_election, p_history);
    SELECT l.origin, o.opened_at INTO origin, opened_at
    FROM valgnatt.log l JOIN valgnatt.opening o USING (election, history)
    WHERE l.election = p_election AND l.history = p_history;
    IF starts_with(p_note, origin || E'\n' || p_size || E'\n' || encode(p_root, 'base64') || E'\n\n') IS NOT TRUE THEN
        RAISE EXCEPTION 'the note does not have the origin of the log, the size and the root' USING ERRCODE = 'VG007';
    END IF;
    SELECT * INTO newest FROM valgnatt.checkpoint c
    WHERE c.election = p_election AND c.history = p_history ORDER BY c.size DESC LIMIT 1;
    IF newest.size = p_size AND newest.root = p_root AND newest.note = p_note THEN
        RETURN false;
    END IF;
    IF newest.size >= p_size THEN
        RAISE EXCEPTION 'there is a checkpoint of size % already', newest.size USING ERRCODE = 'VG007';
    END IF;
    IF p_size > 1 + shown.sequence + (valgnatt.closing_bytes(p_election, shown) IS NOT NULL)::integer THEN
        RAISE EXCEPTION 'size % is more than may be shown', p_size USING ERRCODE = 'VG007';
    END IF;
    IF signer.checkpoints > 1000 + greatest(0, extract(epoch FROM clock_timestamp() - opened_at)) THEN
        RAISE EXCEPTION 'more than one checkpoint per second' USING ERRCODE = 'VG008';
    END IF;
    INSERT INTO valgnatt.checkpoint (election, history, size, root, signed_at, note)
    VALUES (p_election, p_history, p_size, p_root, p_signed_at, p_note);
    PERFORM valgnatt.count_write(signer, 1, 1);
    RETURN true;
END $$;

-- Add the cosignature of a declared witness, or replace its earlier one for the same checkpoint. Return false if there is
-- one that is as new. A signer may add it in any round, because it changes nothing that another one has written.
CREATE FUNCTION valgnatt_signing.add_cosignature(
    p_election integer, p_history integer, p_size bigint, p_witness text, p_at timestamptz, p_line text
) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    signer valgnatt.signer%ROWTYPE := valgnatt.lock_signer(p_election, NULL);
    changed integer;
BEGIN
    IF NOT EXISTS (SELECT FROM valgnatt.checkpoint c
                   WHERE c.election = p_election AND c.history = p_history AND c.size = p_size)
        OR NOT EXISTS (SELECT FROM valgnatt.log l
                       WHERE l.election = p_election AND l.history = p_history AND p_witness = ANY (l.witnesses))
        OR (SELECT count(*) FROM valgnatt.cosignature c
            WHERE c.election = p_election AND c.history = p_history AND c.size = p_size AND c.witness <> p_witness) >= 16
        OR (octet_length(p_line) <= 1024 AND p_line ~ '^— [^[:space:][:cntrl:]+]+ [A-Za-z0-9+/=]+$') IS NOT TRUE
    THEN
        RAISE EXCEPTION 'not a signature line of a witness of the log for one of its checkpoints' USING ERRCODE = 'VG007';
    END IF;
    INSERT INTO valgnatt.cosignature AS c (election, history, size, witness, at, line)
    VALUES (p_election, p_history, p_size, p_witness, p_at, p_line)
    ON CONFLICT (election, history, size, witness) DO UPDATE SET at = excluded.at, line = excluded.line
    WHERE c.at < excluded.at;
    GET DIAGNOSTICS changed = ROW_COUNT;
    PERFORM valgnatt.count_write(signer, changed, 0);
    RETURN changed > 0;
END $$;

-- Send a message to the client, which so finds out whether warnings would arrive.
CREATE FUNCTION valgnatt_signing.message(p_text text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE NOTICE '%', left(p_text, 200);
END $$;

-- Without the signer's role, elections have no logs. Its rights are in signer.sql, which migrate.py executes once the role
-- is there, so that an administrator can create it later.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'valgnatt_signer') THEN
        CREATE ROLE valgnatt_signer NOLOGIN;
        GRANT valgnatt_signer TO CURRENT_USER;
    END IF;
EXCEPTION
    WHEN insufficient_privilege THEN
        NULL;
    WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this cluster was migrated at the same moment
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt, valgnatt_public, valgnatt_signing FROM PUBLIC;
REVOKE ALL ON SCHEMA valgnatt_signing FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    valgnatt_public.logs(),
    valgnatt_public.checkpoints(integer, integer, bigint, integer),
    valgnatt_public.cosignatures(integer, integer, bigint, bigint)
TO valgnatt_feed;

-- Held reports, the decisions on them, and the rules that hold them.
--
-- A report that a rule holds is accepted and durable, but it has no position: it is stored in `hold`, and is copied into
-- the record if it is released. A newer revision of its unit supersedes it, in the same commit. Everything happens under
-- the head lock, so the revisions of a unit rise along the record, and a unit has at most one open hold: its newest
-- revision. Each beginning and each end of a hold is a line of the public list of holds, numbered and chained.
--
-- Rules compare a report with the reports placed before it. A push process evaluates them in memory, and passes with each
-- append the chains up to which it has read the record and the list of holds. If either has grown since, nothing is
-- appended: the process reads the rest, and makes its second attempt under the head lock.

ALTER TABLE valgnatt.head
    ADD COLUMN hold_lines bigint NOT NULL DEFAULT 0,     -- lines of the list of holds
    ADD COLUMN hold_chain bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    ADD COLUMN open_holds integer NOT NULL DEFAULT 0;

-- The warnings of rules in the first receipt; null: none. Other warnings follow from the reports themselves.
ALTER TABLE valgnatt.report ADD COLUMN warnings text[];

CREATE TABLE valgnatt.hold (
    election      integer NOT NULL,
    unit          text NOT NULL,
    revision      integer NOT NULL,
    digest        bytea NOT NULL,
    counts_digest bytea NOT NULL,       -- SHA-256 of the canonical bytes of `counts`
    body          bytea NOT NULL,       -- canonical bytes
    token         bigint NOT NULL,      -- the sender's
    received_at   timestamptz NOT NULL,
    accepted_at   timestamptz NOT NULL,
    since         timestamptz NOT NULL, -- the unit has been held without interruption, also across superseded reports
    rules         text NOT NULL,        -- JSON: every rule that fired, with its evidence
    codes         text[] NOT NULL,      -- the rules that hold the report
    warnings      text[],               -- as in `report`
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'released', 'rejected', 'superseded')),
    ended_at      timestamptz,
    decided_by    bigint,               -- the operator's token
    reason        text,
    note          text,
    sequence      bigint,               -- its position, once it is released
    append        bigint,               -- the number of the append that ended it
    PRIMARY KEY (election, unit, revision),
    CHECK ((state = 'open') = (ended_at IS NULL) AND (state = 'open') = (append IS NULL)),
    CHECK ((state IN ('released', 'rejected')) = (decided_by IS NOT NULL AND reason IS NOT NULL)),
    CHECK ((state = 'released') = (sequence IS NOT NULL))
) PARTITION BY LIST (election);
CREATE UNIQUE INDEX hold_open ON valgnatt.hold (election, unit) WHERE state = 'open';

-- A hold ends once, and nothing else about it changes.
CREATE FUNCTION valgnatt.refuse_hold_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state <> 'open' OR NEW.state = 'open'
        OR (OLD.election, OLD.unit, OLD.revision, OLD.digest, OLD.counts_digest, OLD.body, OLD.token, OLD.received_at,
            OLD.accepted_at, OLD.since, OLD.rules, OLD.codes, OLD.warnings)
        IS DISTINCT FROM
           (NEW.election, NEW.unit, NEW.revision, NEW.digest, NEW.counts_digest, NEW.body, NEW.token, NEW.received_at,
            NEW.accepted_at, NEW.since, NEW.rules, NEW.codes, NEW.warnings)
    THEN
        RAISE EXCEPTION 'held reports are never changed, and end once' USING ERRCODE = 'VG003';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_ends_once BEFORE UPDATE ON valgnatt.hold
    FOR EACH ROW EXECUTE FUNCTION valgnatt.refuse_hold_change();
CREATE TRIGGER hold_stays BEFORE DELETE OR TRUNCATE ON valgnatt.hold
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();
CREATE TRIGGER hold_revision BEFORE INSERT ON valgnatt.hold
    FOR EACH ROW WHEN (NEW.revision > 2000000000) EXECUTE FUNCTION valgnatt.refuse_revision();

-- The public list of holds. A line has no figure, no person and no note, and a digest only once the report is released.
CREATE TABLE valgnatt.hold_line (
    election integer NOT NULL,
    number   bigint NOT NULL,           -- from 1, without gaps
    at       timestamptz NOT NULL,
    unit     text NOT NULL,
    revision integer NOT NULL,
    state    text NOT NULL CHECK (state IN ('held', 'released', 'rejected', 'superseded')),
    line     bytea NOT NULL,            -- canonical bytes: at, digest, number, reason, revision, rules, state, unit
    chain    bytea NOT NULL,            -- chain(n) = SHA-256(chain(n-1) || SHA-256(line)), from 32 zero bytes
    append   bigint NOT NULL,           -- the number of the append that wrote it
    PRIMARY KEY (election, number)
) PARTITION BY LIST (election);
CREATE TRIGGER hold_line_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.hold_line
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();

-- Changes of the policy; the newest row is the policy, and without one it is the registry's.
CREATE TABLE valgnatt.rules (
    key      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    election integer NOT NULL REFERENCES valgnatt.election (key),
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    author   bigint NOT NULL,           -- the operator's token
    document text NOT NULL              -- JSON
);
CREATE INDEX rules_election ON valgnatt.rules (election, key);
CREATE TRIGGER rules_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.rules
    FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change();

-- Triggers per statement apply to the table that a statement names, so each partition has its own.
CREATE FUNCTION valgnatt.protect_partitions(p_election integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER hold_stays BEFORE DELETE OR TRUNCATE ON valgnatt.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change()', 'hold_' || p_election);
    EXECUTE format('CREATE TRIGGER hold_line_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change()', 'hold_line_' || p_election);
END $$;

CREATE OR REPLACE FUNCTION valgnatt.add_partitions(p_election integer) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM valgnatt.add_partition(p_election, t.parent, t.fillfactor)
    FROM (VALUES ('head', 10), ('report', 100), ('confirmation', 10), ('contact', 50), ('refusal', 50), ('waiting', 50),
                 ('hold', 70), ('hold_line', 100))
        AS t (parent, fillfactor);
    EXECUTE format('CREATE TRIGGER report_stands BEFORE UPDATE OR DELETE OR TRUNCATE ON valgnatt.%I'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION valgnatt.refuse_change()', 'report_' || p_election);
    PERFORM valgnatt.protect_partitions(p_election);
END $$;

SELECT valgnatt.add_partition(e.key, t.parent, t.fillfactor)
FROM valgnatt.election e CROSS JOIN (VALUES ('hold', 70), ('hold_line', 100)) AS t (parent, fillfactor);
SELECT valgnatt.protect_partitions(e.key) FROM valgnatt.election e;

-- A line of the public list of holds. The keys are sorted, and the escapes are those of the reports' canonical bytes.
CREATE FUNCTION valgnatt.hold_line_bytes(
    p_number bigint, p_at timestamptz, p_unit text, p_revision integer, p_codes text[], p_state text, p_reason text,
    p_digest bytea
) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(
        '{"at":"' || to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","digest":' || coalesce('"' || encode(p_digest, 'hex') || '"', 'null')
        || ',"number":' || p_number
        || ',"reason":' || coalesce(to_json(p_reason)::text, 'null')
        || ',"revision":' || p_revision
        || ',"rules":[' || (SELECT coalesce(string_agg(to_json(c.code)::text, ',' ORDER BY c.place), '')
                            FROM unnest(p_codes) WITH ORDINALITY AS c (code, place))
        || '],"state":"' || p_state
        || '","unit":' || to_json(p_unit)::text || '}',
        'UTF8')
$$;

-- Return whether commits wait for a synchronous standby. Raises VG004 if they have to and do not.
CREATE FUNCTION valgnatt.waits_for_standby(p_require boolean) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    waits boolean := current_setting('synchronous_standby_names') <> '';
BEGIN
    IF p_require AND NOT waits THEN
        RAISE EXCEPTION 'the server waits for no synchronous standby' USING ERRCODE = 'VG004';
    END IF;
    RETURN waits;
END $$;

-- Lock and return the head of an election. Raises VG002 if there is no such election, and VG001 if it is at another
-- version.
CREATE FUNCTION valgnatt.lock_head(p_election integer, p_version bigint) RETURNS valgnatt.head
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head valgnatt.head%ROWTYPE;
BEGIN
    SELECT * INTO head FROM valgnatt.head h WHERE h.election = p_election FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such election' USING ERRCODE = 'VG002';
    END IF;
    IF head.version <> p_version THEN
        RAISE EXCEPTION 'checked against version %, the election is at %', p_version, head.version
            USING ERRCODE = 'VG001';
    END IF;
    RETURN head;
END $$;

-- Release an election if its embargo has ended, and return when it was released; null: it is not. Only within an append.
CREATE FUNCTION valgnatt.release(p_election integer, p_at timestamptz, p_append bigint) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    embargo valgnatt.embargo%ROWTYPE;
BEGIN
    SELECT * INTO embargo FROM valgnatt.embargo e WHERE e.election = p_election;
    IF embargo.released_at IS NULL AND p_at >= embargo.publish_from THEN
        embargo.released_at := p_at;
        UPDATE valgnatt.embargo e SET released_at = p_at, released_by = p_append WHERE e.election = p_election;
    END IF;
    RETURN embargo.released_at;
END $$;

-- Append a batch of one election: decide each report in the order given, place or hold what is new, and answer.
--
-- As append_v2, and also: `p_chain` and `p_hold_chain` are the ends of the record and of the list of holds as they were
-- known when the rules were evaluated (null: none was, since all are off). If they differ now, `behind` is true and
-- nothing was changed.
-- `p_rules` has, by the place of the report, the rules that fired and their evidence (JSON) if the report is to be held,
-- and null if it is to be placed; `p_codes` (JSON) the codes of those that hold it; `p_warnings` (JSON) those that warn.
-- The three are null if no rule fired in the whole batch.
--
-- `revisions_before` is the newest revision of the unit before the report, whatever its state, and `current_before` that
-- of its current report. `held_since` says since when the unit has been held (null: the report is not held).
CREATE FUNCTION valgnatt.append_v3(
    p_election integer,
    p_version bigint,
    p_chain bytea,
    p_hold_chain bytea,
    p_units text[],
    p_revisions integer[],
    p_digests bytea[],
    p_bodies bytea[],
    p_received timestamptz[],
    p_tokens bigint[],
    p_rules text[],
    p_codes text[],
    p_warnings text[],
    p_counts_digests bytea[],
    p_require_standby boolean,
    OUT at timestamptz,
    OUT released_at timestamptz,
    OUT closed boolean,
    OUT behind boolean,
    OUT append_number bigint,
    OUT accepted bigint,
    OUT chain bytea,
    OUT hold_lines bigint,
    OUT hold_chain bytea,
    OUT waits_for_standby boolean,
    OUT sequences bigint[],
    OUT revisions_before integer[],
    OUT current_before integer[],
    OUT held_since timestamptz[],
    OUT found_sequences bigint[],
    OUT found_at timestamptz[],
    OUT found_same boolean[],
    OUT found_warnings text[],
    OUT found_states text[],
    OUT found_since timestamptz[],
    OUT found_codes text[],
    OUT found_ended timestamptz[],
    OUT found_reasons text[]
) LANGUAGE plpgsql VOLATILE
-- Otherwise most statements are planned in each call, which takes longer than they do: a plan for one partition seems
-- cheaper than one for all, of which all but one are skipped when it starts.
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    head valgnatt.head%ROWTYPE;
    chains bytea[];
    sent integer := cardinality(p_units);
    new integer := 0;
    open_units text[];
    ended_revision integer;
    ended_codes text[];
    since timestamptz;
    codes text[];
BEGIN
    waits_for_standby := valgnatt.waits_for_standby(p_require_standby);
    head := valgnatt.lock_head(p_election, p_version);
    behind := p_chain IS NOT NULL AND (p_chain <> head.chain OR p_hold_chain <> head.hold_chain);
    IF behind THEN
        RETURN;
    END IF;

    append_number := head.appends + 1;
    at := greatest(clock_timestamp(), head.last_at);
    released_at := valgnatt.release(p_election, at, append_number);
    closed := head.closed_at IS NOT NULL;
    accepted := head.accepted;
    chain := head.chain;
    hold_lines := head.hold_lines;
    hold_chain := head.hold_chain;

    IF sent > 0 THEN
        -- A report before another in its own batch will be accepted too, unless the election is closed.
        IF head.hold_lines > 0 OR p_rules IS NOT NULL THEN
            -- The newest revision may be one that was held; the current one is what is in the record, or will be.
            SELECT array_agg(greatest(coalesce(stored.revision, 0), coalesce(held.revision, 0),
                                      CASE WHEN closed THEN 0 ELSE coalesce(batch.before, 0) END)
                             ORDER BY batch.place),
                   array_agg(greatest(coalesce(stored.revision, 0),
                                      CASE WHEN closed THEN 0 ELSE coalesce(batch.placed, 0) END)
                             ORDER BY batch.place)
            INTO revisions_before, current_before
            FROM (
                SELECT s.place, s.unit, max(s.revision) OVER earlier AS before,
                       max(CASE WHEN s.rules IS NULL THEN s.revision END) OVER earlier AS placed
                FROM unnest(p_units, p_revisions, p_rules) WITH ORDINALITY AS s (unit, revision, rules, place)
                WINDOW earlier AS (PARTITION BY s.unit ORDER BY s.place
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            ) AS batch
            CROSS JOIN LATERAL (
                SELECT max(h.revision) AS revision FROM valgnatt.hold h
                WHERE h.election = p_election AND h.unit = batch.unit
            ) AS held
            CROSS JOIN LATERAL (
                SELECT max(r.revision) AS revision FROM valgnatt.report r
                WHERE r.election = p_election AND r.unit = batch.unit
            ) AS stored;
            IF head.open_holds > 0 THEN
                SELECT array_agg(h.unit) INTO open_units FROM valgnatt.hold h
                WHERE h.election = p_election AND h.unit = ANY (p_units) AND h.state = 'open';
            END IF;
        ELSE
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
            current_before := revisions_before;
        END IF;

        IF p_rules IS NOT NULL THEN
            held_since := array_fill(NULL::timestamptz, ARRAY[sent]);
        END IF;
        IF closed THEN
            sequences := array_fill(NULL::bigint, ARRAY[sent]);
        ELSE
            FOR i IN 1 .. sent LOOP
                IF p_revisions[i] <= revisions_before[i] THEN
                    sequences[i] := NULL;
                    chains[i] := NULL;
                    CONTINUE;
                END IF;
                new := new + 1;
                since := NULL;
                IF p_units[i] = ANY (open_units) THEN
                    UPDATE valgnatt.hold h SET state = 'superseded', ended_at = append_v3.at, append = append_number
                    WHERE h.election = p_election AND h.unit = p_units[i] AND h.state = 'open'
                    RETURNING h.revision, h.since, h.codes INTO ended_revision, since, ended_codes;
                    open_units := array_remove(open_units, p_units[i]);
                    head.open_holds := head.open_holds - 1;
                    hold_lines := hold_lines + 1;
                    hold_chain := valgnatt.add_hold_line(
                        p_election, append_number, hold_chain, hold_lines, append_v3.at, p_units[i], ended_revision,
                        ended_codes, 'superseded', NULL, NULL);
                END IF;
                IF p_rules[i] IS NULL THEN
                    accepted := accepted + 1;
                    chain := sha256(chain || p_digests[i]);
                    sequences[i] := accepted;
                    chains[i] := chain;
                    CONTINUE;
                END IF;
                sequences[i] := NULL;
                chains[i] := NULL;
                held_since[i] := coalesce(since, append_v3.at);
                codes := ARRAY(SELECT jsonb_array_elements_text(p_codes[i]::jsonb));
                INSERT INTO valgnatt.hold
                    (election, unit, revision, digest, counts_digest, body, token, received_at, accepted_at, since,
                     rules, codes, warnings)
                VALUES (p_election, p_units[i], p_revisions[i], p_digests[i], p_counts_digests[i], p_bodies[i],
                        p_tokens[i], p_received[i], append_v3.at, held_since[i], p_rules[i], codes,
                        CASE WHEN p_warnings[i] IS NOT NULL
                             THEN ARRAY(SELECT jsonb_array_elements_text(p_warnings[i]::jsonb)) END);
                open_units := array_append(open_units, p_units[i]);
                head.open_holds := head.open_holds + 1;
                hold_lines := hold_lines + 1;
                hold_chain := valgnatt.add_hold_line(
                    p_election, append_number, hold_chain, hold_lines, append_v3.at, p_units[i], p_revisions[i],
                    codes, 'held', NULL, NULL);
            END LOOP;
        END IF;

        IF accepted > head.accepted THEN
            INSERT INTO valgnatt.report
                (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body, warnings)
            SELECT p_election, s.sequence, s.unit, s.revision, s.received_at, append_v3.at, s.digest, s.chain, s.body,
                   CASE WHEN s.warnings IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(s.warnings::jsonb)) END
            FROM unnest(sequences, p_units, p_revisions, p_received, p_digests, chains, p_bodies, p_warnings)
                AS s (sequence, unit, revision, received_at, digest, chain, body, warnings)
            WHERE s.sequence IS NOT NULL;
        END IF;

        IF new < sent THEN
            IF hold_lines = 0 THEN
                SELECT array_agg(r.sequence ORDER BY s.place),
                       array_agg(r.accepted_at ORDER BY s.place),
                       array_agg(r.digest = s.digest ORDER BY s.place),
                       array_agg(to_json(r.warnings)::text ORDER BY s.place)
                INTO found_sequences, found_at, found_same, found_warnings
                FROM unnest(p_units, p_revisions, p_digests) WITH ORDINALITY AS s (unit, revision, digest, place)
                LEFT JOIN valgnatt.report r
                    ON r.election = p_election AND r.unit = s.unit AND r.revision = s.revision;
            ELSE
                SELECT array_agg(coalesce(r.sequence, h.sequence) ORDER BY s.place),
                       array_agg(coalesce(h.accepted_at, r.accepted_at) ORDER BY s.place),
                       array_agg(coalesce(h.digest, r.digest) = s.digest ORDER BY s.place),
                       array_agg(to_json(coalesce(h.warnings, r.warnings))::text ORDER BY s.place),
                       array_agg(h.state ORDER BY s.place),
                       array_agg(h.since ORDER BY s.place),
                       array_agg(to_json(h.codes)::text ORDER BY s.place),
                       array_agg(h.ended_at ORDER BY s.place),
                       array_agg(h.reason ORDER BY s.place)
                INTO found_sequences, found_at, found_same, found_warnings,
                     found_states, found_since, found_codes, found_ended, found_reasons
                FROM unnest(p_units, p_revisions, p_digests) WITH ORDINALITY AS s (unit, revision, digest, place)
                LEFT JOIN valgnatt.report r
                    ON r.election = p_election AND r.unit = s.unit AND r.revision = s.revision
                LEFT JOIN valgnatt.hold h
                    ON h.election = p_election AND h.unit = s.unit AND h.revision = s.revision;
            END IF;
        END IF;
    END IF;

    UPDATE valgnatt.head h
    SET accepted = append_v3.accepted, chain = append_v3.chain, last_at = append_v3.at, appends = append_number,
        hold_lines = append_v3.hold_lines, hold_chain = append_v3.hold_chain, open_holds = head.open_holds,
        confirmed_append = CASE WHEN waits_for_standby THEN h.confirmed_append ELSE append_number END,
        confirmed = CASE WHEN waits_for_standby THEN h.confirmed ELSE append_v3.accepted END
    WHERE h.election = p_election;
END $$;

-- Add a line to the public list of holds, and return the chain through it. Only within an append.
CREATE FUNCTION valgnatt.add_hold_line(
    p_election integer, p_append bigint, p_chain bytea, p_number bigint, p_at timestamptz, p_unit text,
    p_revision integer, p_codes text[], p_state text, p_reason text, p_digest bytea
) RETURNS bytea LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    line bytea := valgnatt.hold_line_bytes(p_number, p_at, p_unit, p_revision, p_codes, p_state, p_reason, p_digest);
    chain bytea := sha256(p_chain || sha256(line));
BEGIN
    INSERT INTO valgnatt.hold_line (election, number, at, unit, revision, state, line, chain, append)
    VALUES (p_election, p_number, p_at, p_unit, p_revision, p_state, line, chain, p_append);
    RETURN chain;
END $$;

-- Lock the head for an append that evaluates its rules under the lock, and return how far the record and the list of
-- holds go. The session is ended by its server if it then does nothing for `p_idle_ms`, so that others wait no longer.
CREATE FUNCTION valgnatt.lock_v1(
    p_election integer, p_version bigint, p_idle_ms integer,
    OUT accepted bigint, OUT chain bytea, OUT hold_lines bigint, OUT hold_chain bytea
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head valgnatt.head%ROWTYPE;
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', p_idle_ms::text, true);
    head := valgnatt.lock_head(p_election, p_version);
    accepted := head.accepted;
    chain := head.chain;
    hold_lines := head.hold_lines;
    hold_chain := head.hold_chain;
END $$;

-- Decide on held reports: all or none, in the order given, in one commit. An append in every other respect.
--
-- `p_release` says whether they are released or rejected. A decision names a held report by unit, revision and digest.
-- If that was superseded by a held revision with the same counts, the decision applies to the latter, at most 200
-- revisions further in all; beyond that, it is superseded. A report that was decided in the same way before keeps its
-- first answer.
--
-- Returns arrays by the place of the report: `codes` (null: decided as requested; otherwise superseded,
-- decided_otherwise, not_held or revision_conflict, and then nothing was decided), and its revision, state, sequence and
-- the time and reason of its decision; `newest_revisions` that of the unit where something was refused.
CREATE FUNCTION valgnatt.decide_v1(
    p_election integer,
    p_version bigint,
    p_release boolean,
    p_units text[],
    p_revisions integer[],
    p_digests bytea[],
    p_reason text,
    p_note text,
    p_token bigint,
    p_require_standby boolean,
    OUT at timestamptz,
    OUT released_at timestamptz,
    OUT append_number bigint,
    OUT accepted bigint,
    OUT waits_for_standby boolean,
    OUT codes text[],
    OUT revisions integer[],
    OUT states text[],
    OUT sequences bigint[],
    OUT decided_at timestamptz[],
    OUT reasons text[],
    OUT newest_revisions integer[]
) LANGUAGE plpgsql VOLATILE AS $$
<<here>>
DECLARE
    head valgnatt.head%ROWTYPE;
    decision text := CASE WHEN p_release THEN 'released' ELSE 'rejected' END;
    hold valgnatt.hold%ROWTYPE;
    next_hold valgnatt.hold%ROWTYPE;
    next_revision integer;
    steps integer := 0;  -- bounded in all, so that no decision keeps the lock for long
    hold_lines bigint;
    refused boolean := false;
BEGIN
    waits_for_standby := valgnatt.waits_for_standby(p_require_standby);
    head := valgnatt.lock_head(p_election, p_version);

    append_number := head.appends + 1;
    at := greatest(clock_timestamp(), head.last_at);
    released_at := valgnatt.release(p_election, at, append_number);
    accepted := head.accepted;
    hold_lines := head.hold_lines;
    codes := array_fill(NULL::text, ARRAY[cardinality(p_units)]);

    FOR i IN 1 .. cardinality(p_units) LOOP
        revisions[i] := p_revisions[i];
        SELECT * INTO hold FROM valgnatt.hold h
        WHERE h.election = p_election AND h.unit = p_units[i] AND h.revision = p_revisions[i];
        IF NOT FOUND THEN
            codes[i] := 'not_held';
        ELSIF hold.digest <> p_digests[i] THEN
            codes[i] := 'revision_conflict';
        ELSE
            WHILE hold.state = 'superseded' AND steps < 200 LOOP
                steps := steps + 1;
                -- What superseded it is the next revision that was accepted, held or not.
                SELECT least((SELECT min(h.revision) FROM valgnatt.hold h WHERE h.election = p_election
                              AND h.unit = hold.unit AND h.revision > hold.revision),
                             (SELECT min(r.revision) FROM valgnatt.report r WHERE r.election = p_election
                              AND r.unit = hold.unit AND r.revision > hold.revision))
                INTO next_revision;
                SELECT * INTO next_hold FROM valgnatt.hold h
                WHERE h.election = p_election AND h.unit = hold.unit AND h.revision = next_revision;
                EXIT WHEN NOT FOUND OR next_hold.counts_digest <> hold.counts_digest;
                hold := next_hold;
            END LOOP;
            revisions[i] := hold.revision;
            IF hold.state = 'superseded' THEN
                codes[i] := 'superseded';
            ELSIF hold.state NOT IN ('open', decision) THEN
                codes[i] := 'decided_otherwise';
            END IF;
        END IF;
        states[i] := hold.state;
        sequences[i] := hold.sequence;
        decided_at[i] := CASE WHEN hold.state IN ('released', 'rejected') THEN hold.ended_at END;
        reasons[i] := hold.reason;
        newest_revisions[i] := NULL;
        IF codes[i] IS NOT NULL THEN
            refused := true;
            newest_revisions[i] := greatest(
                (SELECT max(r.revision) FROM valgnatt.report r WHERE r.election = p_election AND r.unit = p_units[i]),
                (SELECT max(h.revision) FROM valgnatt.hold h WHERE h.election = p_election AND h.unit = p_units[i]));
        END IF;
    END LOOP;

    IF NOT refused THEN
        FOR i IN 1 .. cardinality(p_units) LOOP
            SELECT * INTO hold FROM valgnatt.hold h
            WHERE h.election = p_election AND h.unit = p_units[i] AND h.revision = revisions[i];
            IF hold.state = 'open' THEN
                IF p_release THEN
                    accepted := accepted + 1;
                    hold.sequence := accepted;
                    head.chain := sha256(head.chain || hold.digest);
                    INSERT INTO valgnatt.report
                        (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body, warnings)
                    VALUES (p_election, accepted, hold.unit, hold.revision, hold.received_at, decide_v1.at, hold.digest,
                            head.chain, hold.body, hold.warnings);
                END IF;
                hold.state := decision;
                hold.ended_at := decide_v1.at;
                UPDATE valgnatt.hold h
                SET state = hold.state, ended_at = hold.ended_at, decided_by = p_token, reason = p_reason, note = p_note,
                    sequence = hold.sequence, append = append_number
                WHERE h.election = p_election AND h.unit = hold.unit AND h.revision = hold.revision;
                head.open_holds := head.open_holds - 1;
                hold_lines := hold_lines + 1;
                head.hold_chain := valgnatt.add_hold_line(
                    p_election, append_number, head.hold_chain, hold_lines, decide_v1.at, hold.unit, hold.revision,
                    hold.codes, decision, p_reason, CASE WHEN p_release THEN hold.digest END);
            END IF;
            states[i] := hold.state;
            sequences[i] := hold.sequence;
            decided_at[i] := hold.ended_at;
        END LOOP;
    END IF;

    UPDATE valgnatt.head h
    SET accepted = decide_v1.accepted, chain = head.chain, last_at = decide_v1.at, appends = append_number,
        hold_lines = here.hold_lines, hold_chain = head.hold_chain, open_holds = head.open_holds,
        confirmed_append = CASE WHEN waits_for_standby THEN h.confirmed_append ELSE append_number END,
        confirmed = CASE WHEN waits_for_standby THEN h.confirmed ELSE decide_v1.accepted END
    WHERE h.election = p_election;
END $$;

-- Change the policy: an administrative act, which raises the version. The head is written even if nothing changes, so
-- that the commit waits for an earlier one that made the change.
CREATE FUNCTION valgnatt.set_rules_v1(
    p_election integer, p_version bigint, p_document text, p_token bigint, p_require_standby boolean
) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    changed boolean;
BEGIN
    PERFORM valgnatt.waits_for_standby(p_require_standby);
    PERFORM valgnatt.lock_head(p_election, p_version);
    changed := p_document IS DISTINCT FROM (
        SELECT r.document FROM valgnatt.rules r WHERE r.election = p_election ORDER BY r.key DESC LIMIT 1);
    IF changed THEN
        INSERT INTO valgnatt.rules (election, author, document) VALUES (p_election, p_token, p_document);
        INSERT INTO valgnatt.act (election, author, kind, detail)
        VALUES (p_election, 'token ' || p_token, 'rules', left(p_document, 4000));
    END IF;
    UPDATE valgnatt.head h SET version = h.version + changed::integer WHERE h.election = p_election;
    RETURN changed;
END $$;

-- Push processes of the version before know no rules. They may go on while the gateways of an installation are replaced,
-- but only for elections in which no rule was ever set: nothing is placed past a rule that holds.
DO $$ BEGIN
    EXECUTE replace(pg_get_functiondef('valgnatt.append_v2'::regproc), 'append_v2', 'append_without_rules');
END $$;
CREATE OR REPLACE FUNCTION valgnatt.append_v2(
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
    hold_lines bigint;
BEGIN
    SELECT h.hold_lines INTO hold_lines FROM valgnatt.head h WHERE h.election = p_election FOR UPDATE;
    IF hold_lines > 0
        OR EXISTS (SELECT FROM valgnatt.rules r WHERE r.election = p_election)
        OR (SELECT convert_from(e.registry, 'UTF8')::jsonb #> '{election,rules}' IS NOT NULL
            FROM valgnatt.election e WHERE e.key = p_election)
    THEN
        RAISE EXCEPTION 'this program is too old for the rules of the election: upgrade it' USING ERRCODE = 'VG005';
    END IF;
    SELECT * INTO at, released_at, closed, append_number, accepted, waits_for_standby, sequences, revisions_before,
                  found_sequences, found_at, found_same
    FROM valgnatt.append_without_rules(p_election, p_version, p_units, p_revisions, p_digests, p_bodies, p_received,
                                       p_require_standby);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt FROM PUBLIC;

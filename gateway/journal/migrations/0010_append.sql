-- An append that takes less time for the usual batch, in which every report is new and none is or was held, and that
-- returns the reports before those of the batch, so that a push process need not read them with a second statement.
--
-- Processes of the version before go on with append_v3 while the gateways of an installation are replaced. Both take the
-- head lock first, and decide alike.

-- Append a batch of one election. As append_v3, which decides on every other batch, and also: if `p_predecessors`, and the
-- batch is usual, `predecessors` has the body of each unit's current report before the append, null if it had none or if
-- the batch has an earlier report of the unit.
CREATE FUNCTION valgnatt.append_v4(
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
    p_predecessors boolean,
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
    OUT found_reasons text[],
    OUT predecessors bytea[]
) LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan  -- see append_v3
AS $$
DECLARE
    head record;
    newest record;
    chains bytea[];
    sent CONSTANT integer := cardinality(p_units);
    usual boolean;
BEGIN
    -- The row of the embargo is as of the beginning of the statement, not of the lock. A release is never taken back, so if
    -- there is one, it still holds; if not, the row is read again below.
    SELECT h.closed_at, h.accepted, h.chain, h.appends, h.last_at, h.hold_lines, h.hold_chain, e.released_at
    INTO head
    FROM valgnatt.head h JOIN valgnatt.embargo e ON e.election = h.election
    WHERE h.election = p_election AND h.version = p_version
    FOR UPDATE OF h;
    at := greatest(clock_timestamp(), head.last_at);
    waits_for_standby := current_setting('synchronous_standby_names') <> '';
    usual := sent > 0 AND head.closed_at IS NULL AND head.hold_lines = 0
        AND p_rules IS NULL AND p_warnings IS NULL
        AND (p_chain IS NULL OR p_chain = head.chain AND p_hold_chain = head.hold_chain)
        AND (waits_for_standby OR NOT p_require_standby);

    IF usual AND sent <= 3 THEN
        -- Up to this number, a statement for each report takes less time than one with a window for all.
        FOR i IN 1 .. sent LOOP
            SELECT r.revision, CASE WHEN p_predecessors THEN r.body END AS body INTO newest FROM valgnatt.report r
            WHERE r.election = p_election AND r.unit = p_units[i] ORDER BY r.revision DESC LIMIT 1;
            revisions_before[i] := coalesce(newest.revision, 0);
            predecessors[i] := newest.body;
            usual := usual AND p_revisions[i] > revisions_before[i] AND p_units[i] <> ALL (p_units[: i - 1]);
        END LOOP;
    ELSIF usual THEN
        SELECT array_agg(greatest(coalesce(stored.revision, 0), coalesce(batch.before, 0)) ORDER BY batch.place),
               array_agg(CASE WHEN batch.before IS NULL THEN stored.body END ORDER BY batch.place),
               bool_and(batch.revision > greatest(coalesce(stored.revision, 0), coalesce(batch.before, 0)))
        INTO revisions_before, predecessors, usual
        FROM (
            SELECT s.place, s.unit, s.revision,
                   max(s.revision) OVER (PARTITION BY s.unit ORDER BY s.place
                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
            FROM unnest(p_units, p_revisions) WITH ORDINALITY AS s (unit, revision, place)
        ) AS batch
        LEFT JOIN LATERAL (
            SELECT r.revision, CASE WHEN p_predecessors THEN r.body END AS body FROM valgnatt.report r
            WHERE r.election = p_election AND r.unit = batch.unit ORDER BY r.revision DESC LIMIT 1
        ) AS stored ON true;
    END IF;
    IF usual IS NOT TRUE THEN
        predecessors := NULL;
        SELECT * INTO at, released_at, closed, behind, append_number, accepted, chain, hold_lines, hold_chain,
                      waits_for_standby, sequences, revisions_before, current_before, held_since, found_sequences,
                      found_at, found_same, found_warnings, found_states, found_since, found_codes, found_ended,
                      found_reasons
        FROM valgnatt.append_v3(p_election, p_version, p_chain, p_hold_chain, p_units, p_revisions, p_digests, p_bodies,
                                p_received, p_tokens, p_rules, p_codes, p_warnings, p_counts_digests, p_require_standby);
        RETURN;
    END IF;

    append_number := head.appends + 1;
    released_at := coalesce(head.released_at, valgnatt.release(p_election, at, append_number));
    closed := false;
    behind := false;
    accepted := head.accepted;
    chain := head.chain;
    hold_lines := 0;
    hold_chain := head.hold_chain;
    current_before := revisions_before;
    IF NOT p_predecessors THEN
        predecessors := NULL;
    END IF;
    FOR i IN 1 .. sent LOOP
        accepted := accepted + 1;
        chain := sha256(chain || p_digests[i]);
        sequences[i] := accepted;
        chains[i] := chain;
    END LOOP;
    INSERT INTO valgnatt.report
        (election, sequence, unit, revision, received_at, accepted_at, digest, chain, body)
    SELECT p_election, s.sequence, s.unit, s.revision, s.received_at, append_v4.at, s.digest, s.chain, s.body
    FROM unnest(sequences, p_units, p_revisions, p_received, p_digests, chains, p_bodies)
        AS s (sequence, unit, revision, received_at, digest, chain, body);
    UPDATE valgnatt.head h
    SET accepted = append_v4.accepted, chain = append_v4.chain, last_at = append_v4.at, appends = append_number,
        confirmed_append = CASE WHEN waits_for_standby THEN h.confirmed_append ELSE append_number END,
        confirmed = CASE WHEN waits_for_standby THEN h.confirmed ELSE append_v4.accepted END
    WHERE h.election = p_election;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA valgnatt FROM PUBLIC;

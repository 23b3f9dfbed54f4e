-- An append is planned once per session.
--
-- Otherwise most statements of the function are planned in each call, which takes longer than they do: a plan for one
-- partition seems cheaper than one for all, of which all but one are skipped when it starts. And of the open holds, only
-- those of the units of the append are read.

CREATE OR REPLACE FUNCTION valgnatt.append_v3(
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

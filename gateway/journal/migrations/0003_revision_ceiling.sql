-- A ceiling for the revisions of each unit, below the highest number there is. Without one, a single report under
-- revision 2 147 483 647 would be the last that its unit can ever send.
--
-- The ceiling is 2 000 000 000 until an operator raises it for one unit, a step above the unit's current revision. It
-- never falls, and it is raised under the head lock, so every accepted revision is at or below the ceiling of its unit.

CREATE TABLE valgnatt.revision_ceiling (
    election integer NOT NULL REFERENCES valgnatt.election (key),
    unit     text NOT NULL,
    ceiling  integer NOT NULL CHECK (ceiling > 2000000000),
    PRIMARY KEY (election, unit)
);

-- Push processes check reports against the ceiling before they append them, by the version of the election. This
-- trigger makes sure of it for every writer, also a process of an earlier version that still runs.
CREATE FUNCTION valgnatt.refuse_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.revision > coalesce((SELECT c.ceiling FROM valgnatt.revision_ceiling c
                                WHERE c.election = NEW.election AND c.unit = NEW.unit), 2000000000) THEN
        RAISE EXCEPTION 'revision % is above the ceiling of its unit', NEW.revision USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION valgnatt.refuse_revision() FROM PUBLIC;

CREATE TRIGGER report_revision BEFORE INSERT ON valgnatt.report
    FOR EACH ROW WHEN (NEW.revision > 2000000000) EXECUTE FUNCTION valgnatt.refuse_revision();

-- Units that are above it already go on as before, by one step. (The trigger's lock keeps others from being added.)
INSERT INTO valgnatt.revision_ceiling (election, unit, ceiling)
SELECT r.election, r.unit, least(max(r.revision)::bigint + 1000000, 2147483647)
FROM valgnatt.report r WHERE r.revision > 2000000000 GROUP BY r.election, r.unit;

-- Why an organization may scan a target, and what it never has scanned: proofs, written authorizations, exclusions, and
-- ranges that the operator has opened for one organization.

ALTER TABLE targets
    ADD COLUMN criticality text NOT NULL DEFAULT 'medium',
    ADD COLUMN owner       text,
    -- How gently it is to be examined: tasks of the organization at one of its hosts at once, requests in a second of a run.
    ADD COLUMN max_tasks   integer,
    ADD COLUMN max_rate    integer,
    ADD CONSTRAINT politeness_leaves_something CHECK (max_tasks >= 1 AND max_rate >= 1),
    ADD CONSTRAINT a_target_has_a_known_criticality CHECK (criticality IN ('low', 'medium', 'high', 'critical')),
    -- So that what belongs to a target belongs to its organization too.
    ADD CONSTRAINT a_target_belongs_to_its_organization UNIQUE (organization_id, id);

CREATE INDEX polite_targets ON targets (organization_id, value) WHERE max_tasks IS NOT NULL OR max_rate IS NOT NULL;

-- Whether an organization wants any target to be examined gently; most want none, and are not looked at further.
CREATE FUNCTION picket_is_polite(organization uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN EXISTS (SELECT FROM targets AS g
                   WHERE g.organization_id = organization AND (g.max_tasks IS NOT NULL OR g.max_rate IS NOT NULL));
END
$$;

-- How gently what a task looks at is to be examined: the least of what is said of its scan's target, of a name below it, and of
-- each of its addresses.
CREATE FUNCTION picket_politeness(organization uuid, examined text, shard jsonb)
    RETURNS TABLE (max_tasks integer, max_rate integer)
    LANGUAGE plpgsql STABLE ROWS 1
    AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        SELECT min(g.max_tasks), min(g.max_rate)
        FROM targets AS g
        WHERE g.organization_id = organization AND (g.max_tasks IS NOT NULL OR g.max_rate IS NOT NULL)
          AND g.value = ANY(ARRAY[examined, shard ->> 'target']
                            || ARRAY(SELECT a.address FROM jsonb_array_elements_text(shard -> 'addresses') AS a (address)));
END
$$;

-- The limits of one run, {seconds, rate}: those of its scan for its tool, and the rate of what it looks at; NULL for none. Every
-- claim asks it.
CREATE FUNCTION picket_run_limits(of_scan jsonb, of_tool text, organization uuid, examined text, shard jsonb) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    gentle boolean := picket_is_polite(organization);
BEGIN
    IF of_scan IS NULL AND NOT gentle THEN
        RETURN NULL;
    END IF;
    RETURN jsonb_build_object(
        'seconds', of_scan -> of_tool -> 'seconds',
        'rate', least((of_scan -> of_tool ->> 'rate')::integer,
                      (SELECT p.max_rate FROM picket_politeness(organization, examined, shard) AS p WHERE gentle)));
END
$$;

-- What a scan relies on: {by, id, also: [{by, id}], ranges, only: [{tool, params}]} (`domain/grounds.rs`); of the grounds one
-- is enough, and by `passive` there are no tasks but those of `only`.
ALTER TABLE scans ADD COLUMN authority jsonb NOT NULL DEFAULT '{"by": "operator", "id": null, "ranges": []}';
-- Unfinished scans that end with what they rely on.
CREATE INDEX scans_that_rely ON scans (organization_id, id)
    WHERE state IN ('created', 'queued', 'running', 'paused')
      AND (authority ->> 'by' IN ('proof', 'authorization') OR authority -> 'ranges' <> '[]'::jsonb);

CREATE TABLE target_proofs (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    target_id       uuid NOT NULL,
    method          text NOT NULL,
    -- SHA-256 of the token; the token itself was shown once.
    digest          bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    -- Until when it waits to be found for the first time.
    expires_at      timestamptz NOT NULL,

    -- Change as the token is looked for.
    verified_at     timestamptz,
    verified_until  timestamptz,
    checked_at      timestamptz,
    failures        integer NOT NULL DEFAULT 0,
    -- When it had been missing too often.
    ended_at        timestamptz,
    -- When it was looked whether somebody else has proven the same.
    compared_at     timestamptz,

    FOREIGN KEY (organization_id, target_id) REFERENCES targets (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT a_target_is_proven_once_by_each_method UNIQUE (target_id, method),
    CONSTRAINT a_proof_has_a_known_method CHECK (method IN ('dns_txt', 'http_file', 'meta_tag')),
    CONSTRAINT a_proof_has_a_digest CHECK (length(digest) = 32),
    CONSTRAINT a_found_proof_has_its_time CHECK ((verified_at IS NULL) = (verified_until IS NULL)),
    CONSTRAINT only_a_found_proof_ends CHECK (ended_at IS NULL OR verified_at IS NOT NULL)
);
CREATE INDEX proofs_to_check ON target_proofs (checked_at) WHERE verified_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX proofs_to_compare ON target_proofs (id) WHERE verified_at IS NOT NULL AND compared_at IS NULL;
CREATE INDEX targets_by_value ON targets (value);
CALL picket_isolate('target_proofs');

CREATE TABLE target_authorizations (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    target_id       uuid NOT NULL,

    -- Change with every new document.
    scope           text NOT NULL,
    not_before      timestamptz NOT NULL,
    not_after       timestamptz NOT NULL,
    -- Who signed the document, and its SHA-256; the document is the organization's.
    approver        text NOT NULL,
    document_sha256 bytea NOT NULL,
    recorded_at     timestamptz NOT NULL,
    recorded_by     text NOT NULL,

    FOREIGN KEY (organization_id, target_id) REFERENCES targets (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT a_target_is_authorized_once UNIQUE (target_id),
    CONSTRAINT an_authorization_has_a_known_scope CHECK (scope IN ('target', 'subdomains')),
    CONSTRAINT an_authorization_has_a_window CHECK (not_before < not_after),
    CONSTRAINT a_document_has_a_digest CHECK (length(document_sha256) = 32)
);
CREATE INDEX authorizations_of_an_organization ON target_authorizations (organization_id, id);
CALL picket_isolate('target_authorizations');

CREATE TABLE exclusions (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    created_at      timestamptz NOT NULL,
    created_by      text NOT NULL,
    kind            text NOT NULL,
    value           text NOT NULL,
    reason          text,
    -- {days, begins, ends, time_zone}: the hours of the week in which it holds (`domain/window.rs`); NULL for always.
    hours           jsonb,

    CONSTRAINT an_exclusion_has_a_known_kind CHECK (kind IN ('host', 'network', 'names')),
    CONSTRAINT a_thing_is_excluded_once UNIQUE (organization_id, value)
);
CREATE INDEX exclusions_of_an_organization ON exclusions (organization_id, id DESC);
CREATE INDEX exclusions_by_hours ON exclusions (organization_id) WHERE hours IS NOT NULL;
CALL picket_isolate('exclusions');

CREATE TABLE organization_ranges (
    -- Never change; the operator's.
    organization_id uuid NOT NULL REFERENCES organizations,
    range           text NOT NULL,
    created_at      timestamptz NOT NULL,

    PRIMARY KEY (organization_id, range),
    CONSTRAINT a_range_is_a_network CHECK (range::cidr IS NOT NULL)
);
CALL picket_isolate('organization_ranges');

-- Whether this database knows a time zone as others do: what Postgres takes for an abbreviation has no summer here, and one
-- elsewhere.
CREATE FUNCTION picket_knows_zone(zone text) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN upper(zone) NOT IN ('CET', 'EET', 'MET', 'WET', 'EST', 'MST', 'HST') AND (now() AT TIME ZONE zone) IS NOT NULL;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN false;
END
$$;

-- Whether an exclusion with these hours holds at a moment, as `domain/window.rs` says it: hours that end before they begin go on
-- into the next day. Times are `HH:MM`, so they compare as texts. Behind a zone that is not known any more it always holds.
CREATE FUNCTION picket_in_force(hours jsonb, moment timestamptz) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    zone text := hours ->> 'time_zone';
    begins text := hours ->> 'begins';
    ends text := hours ->> 'ends';
    place timestamp;
    clock text;
    is_on boolean;
BEGIN
    IF hours IS NULL OR NOT picket_knows_zone(zone) THEN
        RETURN true;
    END IF;
    place := moment AT TIME ZONE zone;
    clock := to_char(place, 'HH24:MI');
    is_on := hours -> 'days' ? to_char(place, 'dy');
    IF begins < ends THEN
        RETURN is_on AND clock >= begins AND clock < ends;
    END IF;
    RETURN (is_on AND clock >= begins) OR (hours -> 'days' ? to_char(place - interval '1 day', 'dy') AND clock < ends);
END
$$;

-- Whether an exclusion keeps a task from being done, as `domain/exclusion.rs` says it of targets.
CREATE FUNCTION picket_covers(kind text, value text, shard jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
SELECT CASE kind
    WHEN 'network' THEN EXISTS (SELECT FROM jsonb_array_elements_text(shard -> 'addresses') AS a (address)
                                WHERE a.address::inet <<= value::inet)
    WHEN 'host' THEN shard ->> 'target' = value
        OR EXISTS (SELECT FROM jsonb_array_elements(shard -> 'hosts') AS h (host) WHERE h.host ->> 'name' = value)
    -- A pattern has no character that LIKE reads otherwise but the one that is replaced.
    ELSE (shard ->> 'target' LIKE replace(value, '*', '%') AND shard -> 'hosts' <> '[]'::jsonb)
        OR EXISTS (SELECT FROM jsonb_array_elements(shard -> 'hosts') AS h (host)
                   WHERE h.host ->> 'name' LIKE replace(value, '*', '%'))
END
$$;

-- Whether what a scan relies on holds at that moment: one of its grounds, where it has some, and all of its ranges.
CREATE FUNCTION picket_stands(organization uuid, authority jsonb, moment timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
SELECT (authority ->> 'by' NOT IN ('proof', 'authorization') OR EXISTS (
    SELECT FROM jsonb_array_elements(jsonb_build_array(authority) || coalesce(authority -> 'also', '[]')) AS g (ground)
    WHERE CASE g.ground ->> 'by'
        WHEN 'proof' THEN EXISTS (
            SELECT FROM target_proofs AS p
            WHERE p.id = (g.ground ->> 'id')::uuid AND p.organization_id = organization AND p.verified_until > moment
              AND p.ended_at IS NULL)
        WHEN 'authorization' THEN EXISTS (
            SELECT FROM target_authorizations AS a
            WHERE a.id = (g.ground ->> 'id')::uuid AND a.organization_id = organization AND a.not_before <= moment
              AND a.not_after > moment)
        ELSE false
    END
)) AND NOT EXISTS (
    SELECT FROM jsonb_array_elements_text(authority -> 'ranges') AS r (range)
    WHERE NOT EXISTS (SELECT FROM organization_ranges AS o WHERE o.organization_id = organization AND o.range = r.range))
$$;

-- The moment by which it is decided what may be done: the database's, since no two processes that ask have the same clock.
-- A test puts a moment of its own in its place, in its own database.
CREATE FUNCTION picket_now() RETURNS timestamptz
    LANGUAGE sql STABLE
    RETURN now();

-- Whether a task may begin now: what its scan relies on holds, and nothing excludes it.
-- Every claim asks it, so it is in the language that keeps its plans.
CREATE FUNCTION picket_may_begin(organization uuid, scan uuid, tool text, params jsonb, shard jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
DECLARE
    relied_on jsonb := (SELECT s.authority FROM scans AS s WHERE s.id = scan);
BEGIN
    IF relied_on IS NULL OR (relied_on ->> 'by' IN ('proof', 'authorization') OR relied_on -> 'ranges' <> '[]'::jsonb)
        AND NOT picket_stands(organization, relied_on, picket_now()) THEN
        RETURN false;
    END IF;
    -- What does more than look is of no such scan: somebody else wrote it.
    IF relied_on ->> 'by' = 'passive' AND NOT EXISTS (
        SELECT FROM jsonb_array_elements(relied_on -> 'only') AS o (one)
        WHERE o.one = jsonb_build_object('tool', tool, 'params', params)) THEN
        RETURN false;
    END IF;
    RETURN NOT EXISTS (SELECT FROM exclusions AS e
                       WHERE e.organization_id = organization AND picket_covers(e.kind, e.value, shard)
                         AND (e.hours IS NULL OR picket_in_force(e.hours, picket_now())));
END
$$;

-- What is known about one target, in one statement that is its whole transaction and names the tenant first. `names` are the
-- target's canonical text and the names above it.
CREATE FUNCTION picket_grounds(tenant uuid, names text[], moment timestamptz)
    RETURNS TABLE (proofs json, authorizations json, exclusions text[], ranges text[])
    LANGUAGE plpgsql ROWS 1
    AS $$
DECLARE
    named text := set_config('picket.organization', tenant::text, true);
BEGIN
    RETURN QUERY SELECT
        (SELECT coalesce(json_agg(json_build_array(p.id, p.method, t.value, encode(p.digest, 'hex'), p.checked_at, p.failures)), '[]')
         FROM targets AS t
         JOIN target_proofs AS p ON p.target_id = t.id
         WHERE t.organization_id = tenant AND t.value = ANY(names) AND p.verified_until > moment AND p.ended_at IS NULL),
        -- A name may be allowed by the networks that it leads to.
        (SELECT coalesce(json_agg(json_build_array(a.id, a.scope, t.value)), '[]')
         FROM target_authorizations AS a
         JOIN targets AS t ON t.id = a.target_id
         WHERE a.organization_id = tenant AND (t.value = ANY(names) OR t.kind <> 'host')
           AND a.not_before <= moment AND a.not_after > moment),
        ARRAY(SELECT e.value FROM exclusions AS e
              WHERE e.organization_id = tenant AND (e.hours IS NULL OR picket_in_force(e.hours, moment))),
        ARRAY(SELECT r.range FROM organization_ranges AS r WHERE r.organization_id = tenant);
END
$$;
REVOKE EXECUTE ON FUNCTION picket_grounds FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_grounds TO picket_tenant;

-- Scans that grow from what their tasks found.
ALTER TABLE scans
    -- Hosts × ports of all tasks so far; grows with them.
    ADD COLUMN probes bigint NOT NULL DEFAULT 0,
    -- What was shown of its progress before tasks were replayed: it is never shown less.
    ADD COLUMN progress_floor integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT a_floor_is_a_percentage CHECK (progress_floor BETWEEN 0 AND 99),
    -- Tasks of the first stage that are not made yet, and what they are made from: {total, later: [{tool, needs, params, opens,
    -- target, first, addresses, size}]} (`domain/later.rs`). Both stay as they are when the scan is stopped.
    ADD COLUMN unmade         bigint NOT NULL DEFAULT 0,
    ADD COLUMN pages          jsonb,
    ADD CONSTRAINT what_is_not_made_is_known CHECK (unmade >= 0 AND (unmade > 0) = (pages IS NOT NULL)),
    ADD CONSTRAINT a_scan_is_over_when_all_is_made CHECK (unmade = 0 OR state NOT IN ('completed', 'failed'));
CREATE INDEX scans_to_make_tasks_of ON scans (id)
    WHERE unmade > 0 AND state IN ('created', 'queued', 'running', 'paused');

-- A line for each task that is not made, as it would stand. Row-level security holds: it runs as who asks.
CREATE FUNCTION picket_unmade(scan uuid) RETURNS TABLE (tool text, state text, gap text, target text)
    LANGUAGE sql STABLE ROWS 1
    AS $$
SELECT l.later ->> 'tool', CASE s.state WHEN 'cancelled' THEN 'cancelled' ELSE 'ready' END,
       CASE s.state WHEN 'cancelled' THEN 'cancelled' END, l.later ->> 'target'
FROM scans AS s
CROSS JOIN LATERAL jsonb_array_elements(s.pages -> 'later') AS l (later)
CROSS JOIN LATERAL generate_series(1, ((l.later ->> 'addresses')::bigint + (l.later ->> 'size')::bigint - 1)
                                      / (l.later ->> 'size')::bigint)
WHERE s.id = scan AND s.unmade > 0
$$;
REVOKE EXECUTE ON FUNCTION picket_unmade FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_unmade TO picket_tenant, picket_operator;

-- Whether a pattern covers a task that is not made yet, as `picket_covers` says it of shards.
CREATE FUNCTION picket_covers_pages(pattern text, network inet, target text, later jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN jsonb_array_length(later) > 0 AND (picket_covers(pattern, network, target, '{}') OR network IS NOT NULL AND EXISTS (
        SELECT FROM jsonb_array_elements(later) AS l (range)
        WHERE family((l.range ->> 'first')::inet) = family(network)
          AND (l.range ->> 'first')::inet <= set_masklen(broadcast(network), CASE family(network) WHEN 4 THEN 32 ELSE 128 END)
          AND (l.range ->> 'first')::inet + ((l.range ->> 'addresses')::bigint - 1)
              >= set_masklen(network(network)::inet, CASE family(network) WHEN 4 THEN 32 ELSE 128 END)
    ));

ALTER TABLE tasks
    -- Never change: what is planned from the result (options of the plan, slugs of tools), and the task of whose result
    -- this one was planned.
    ADD COLUMN opens      text[] NOT NULL DEFAULT '{}',
    ADD COLUMN grown_from uuid,
    -- Parts of the scan's whole work, which is 1. The reserve is what may still grow from the task; it is handed on to what
    -- does. So the sum over all tasks that ended is the progress, and it never goes back.
    ADD COLUMN share      double precision NOT NULL DEFAULT 0,
    ADD COLUMN reserve    double precision NOT NULL DEFAULT 0,
    ADD CONSTRAINT a_share_is_a_part CHECK (share >= 0 AND reserve >= 0);

-- Of a part of the work: what belongs to a task itself, and what to those that may grow from it.
CREATE FUNCTION picket_share(part double precision, opens text) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN opens = '' THEN part ELSE part / 3 END;
CREATE FUNCTION picket_reserve(part double precision, opens text) RETURNS double precision
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN opens = '' THEN 0 ELSE part * 2 / 3 END;

-- Percent of the known work of a scan that has ended, 99 at most: that all of it has is the scan's state to say. Rounding
-- errors of the parts are far below a millionth. Row-level security holds: it runs as who asks.
-- Every read of a scan asks it, so it is in the language that keeps its plans.
CREATE FUNCTION picket_progress(scan uuid) RETURNS integer
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN greatest(
        (SELECT floor(least(coalesce(sum(t.share + t.reserve), 0) * 100 + 0.000001, 99))::integer
         FROM tasks AS t WHERE t.scan_id = scan AND t.state IN ('done', 'failed', 'cancelled')),
        (SELECT CASE WHEN s.unmade > 0 AND s.state = 'cancelled' THEN 99 ELSE s.progress_floor END
         FROM scans AS s WHERE s.id = scan)
    );
END
$$;
REVOKE EXECUTE ON FUNCTION picket_progress FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_progress TO picket_tenant, picket_operator;

-- Whether a list of ports such as `1-1000,8080` has that port; without a list nobody knows, and it is taken to have it.
CREATE FUNCTION picket_has_port(ports text, port integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    AS $$
SELECT ports IS NULL OR EXISTS (
    SELECT FROM unnest(string_to_array(ports, ',')) AS r (range)
    WHERE port BETWEEN split_part(r.range, '-', 1)::integer AND split_part(r.range, '-', -1)::integer)
$$;

-- What became of each finding between two scans. One that the later scan does not have is fixed only where the later scan
-- looked in full at what had shown it: a task that is done without a gap, of the same tool, with the same parameters but
-- its speed, at that host. By the same measure one that the base does not have, and some scan before the base had, is
-- reopened. Row-level security holds: it runs as who asks.
-- A service which grew out of a port scan is gone when its port is closed: both scans ended the same port scan there without a
-- gap, and the later one did not see the port open.
CREATE FUNCTION picket_scan_comparison(base uuid, later uuid)
    RETURNS TABLE (finding_id uuid, outcome text, severity text)
    LANGUAGE sql STABLE
    AS $$
WITH looked AS MATERIALIZED (
    SELECT DISTINCT t.scan_id, t.tool, t.params - 'timing' AS params, h.host,
           t.opens && ARRAY['web_scan', 'ssl_scan', 'ssh-audit'] AND t.grown_from IS NULL AS is_first
    FROM tasks AS t
    CROSS JOIN LATERAL (
        SELECT a.host FROM jsonb_array_elements_text(t.shard -> 'addresses') AS a (host)
        UNION ALL
        SELECT p.host ->> 'name' FROM jsonb_array_elements(t.shard -> 'hosts') AS p (host)
    ) AS h
    WHERE t.scan_id IN (base, later) AND t.state = 'done' AND t.gap IS NULL
), seen AS MATERIALIZED (
    SELECT s.scan_id, s.finding_id, s.severity, t.tool, t.params - 'timing' AS params, t.grown_from IS NOT NULL AS is_grown
    FROM sightings AS s
    JOIN tasks AS t ON t.scan_id = s.scan_id AND t.id = s.task_id
    WHERE s.scan_id IN (base, later)
), open AS MATERIALIZED (
    -- By the address, and by each name that is pinned to it.
    SELECT f.host, f.port
    FROM sightings AS s
    JOIN findings AS f ON f.id = s.finding_id
    WHERE s.scan_id = later AND f.rule = 'port.open'
    UNION
    SELECT p.host ->> 'name', f.port
    FROM sightings AS s
    JOIN findings AS f ON f.id = s.finding_id
    JOIN tasks AS t ON t.scan_id = s.scan_id AND t.id = s.task_id
    JOIN LATERAL jsonb_array_elements(t.shard -> 'hosts') AS p (host) ON p.host ->> 'address' = f.host
    WHERE s.scan_id = later AND f.rule = 'port.open'
), paired AS (
    SELECT coalesce(n.finding_id, o.finding_id) AS id, n.finding_id IS NOT NULL AS is_seen,
           o.finding_id IS NOT NULL AS was_seen, coalesce(n.severity, o.severity) AS severity,
           coalesce(n.tool, o.tool) AS tool, coalesce(n.params, o.params) AS params,
           o.is_grown AS was_grown
    FROM (SELECT * FROM seen WHERE scan_id = later) AS n
    FULL JOIN (SELECT * FROM seen WHERE scan_id = base) AS o ON o.finding_id = n.finding_id
)
SELECT p.id,
       CASE
           WHEN p.is_seen AND p.was_seen THEN 'unchanged'
           WHEN p.was_seen AND l.host IS NOT NULL THEN 'fixed'
           WHEN p.was_seen AND p.was_grown AND f.port IS NOT NULL
                AND EXISTS (SELECT FROM looked AS b
                            JOIN looked AS n ON n.tool = b.tool AND n.params = b.params AND n.host = b.host
                            WHERE b.scan_id = base AND n.scan_id = later AND b.is_first AND n.is_first AND b.host = f.host
                              -- Of a port scan in parts, the part with that port.
                              AND picket_has_port(b.params ->> 'ports', f.port))
                AND NOT EXISTS (SELECT FROM open AS o WHERE o.host = f.host AND o.port = f.port) THEN 'fixed'
           WHEN p.was_seen THEN 'not_examined'
           WHEN l.host IS NOT NULL AND EXISTS (
               SELECT FROM sightings AS e
               JOIN scans AS x ON x.id = base
               WHERE e.finding_id = p.id AND e.scan_id NOT IN (base, later) AND e.seen_at < x.created_at
           ) THEN 'reopened'
           ELSE 'new'
       END,
       p.severity
FROM paired AS p
JOIN findings AS f ON f.id = p.id
-- Where the scan that does not have it looked.
LEFT JOIN LATERAL (
    SELECT DISTINCT d.host FROM looked AS d
    WHERE d.scan_id = CASE WHEN p.is_seen THEN base ELSE later END
      AND d.tool = p.tool AND d.params = p.params AND d.host = f.host
) AS l ON true
$$;
REVOKE EXECUTE ON FUNCTION picket_scan_comparison FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_scan_comparison TO picket_tenant;

-- The newest runs of a tool, for its median, and what has ended since a moment.
CREATE INDEX ended_tasks ON tasks (tool, ended_at DESC, state) WHERE state IN ('done', 'failed');

-- How long a run of each tool takes; the steward measures it now and then, so that no request reads the tasks. Of no
-- customer: a median over all organizations.
CREATE TABLE tool_durations (
    tool        text PRIMARY KEY,
    runs        bigint NOT NULL,
    median_ms   bigint NOT NULL,
    measured_at timestamptz NOT NULL,
    CONSTRAINT a_median_is_of_something CHECK (runs > 0 AND median_ms >= 0)
);
GRANT SELECT, INSERT, UPDATE ON tool_durations TO picket_operator;

-- Saved ways to scan. A version never changes; a scan keeps what it was made with.
CREATE TABLE scan_profiles (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    created_at      timestamptz NOT NULL,

    -- Change by the client.
    name            text NOT NULL,
    description     text NOT NULL,
    -- The newest.
    version         integer NOT NULL,
    updated_at      timestamptz NOT NULL,

    CONSTRAINT a_scan_profile_belongs_to_its_organization UNIQUE (organization_id, id),
    CONSTRAINT a_scan_profile_is_named_once UNIQUE (organization_id, name)
);
CALL picket_isolate('scan_profiles');

CREATE TABLE scan_profile_versions (
    organization_id uuid NOT NULL,
    profile_id      uuid NOT NULL,
    version         integer NOT NULL,
    -- {tool, parameters} or {scan_type, options}, and {limits}: limits of the runs by tool
    wanted          jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    created_by      text NOT NULL,
    PRIMARY KEY (profile_id, version),
    FOREIGN KEY (organization_id, profile_id) REFERENCES scan_profiles (organization_id, id)
);
CALL picket_isolate('scan_profile_versions');

ALTER TABLE scans
    -- The id of a saved profile, which may be gone by now, or the name of one that everybody has; set in the transaction
    -- that creates the scan.
    ADD COLUMN profile         text,
    ADD COLUMN profile_version integer,
    -- Limits of its runs by tool: {slug: {seconds, rate}} (`domain/run_limits.rs`); NULL for none.
    ADD COLUMN limits          jsonb;

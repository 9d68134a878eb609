CREATE TABLE scans (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    -- The v2 dialect's id.
    number          bigint NOT NULL,
    dialect         text NOT NULL,
    plan            text NOT NULL,
    target          text NOT NULL,
    -- NULL for a plan of several tools.
    tool            text,
    -- As the client asked: parameters of the tool (v1), options of the plan (v2).
    request         jsonb NOT NULL,
    notify          text[] NOT NULL DEFAULT '{}',
    -- What the plan cannot look at: [{tool, target, gap}].
    gaps            jsonb NOT NULL DEFAULT '[]',
    requested_by    text NOT NULL,
    traceparent     text,
    created_at      timestamptz NOT NULL,
    -- The scan that it repeats, which may be removed by now; set in the transaction that creates it. What a scan repeats in
    -- part stands beside it; what it repeats as a whole does not count any more.
    rerun_of        uuid,
    is_partial      boolean NOT NULL DEFAULT false,

    -- Change as the scan proceeds.
    state           text NOT NULL,
    started_at      timestamptz,
    ended_at        timestamptz,
    failure         text,

    CONSTRAINT a_scan_is_numbered_once UNIQUE (organization_id, number),
    CONSTRAINT a_scan_belongs_to_its_organization UNIQUE (organization_id, id),
    CONSTRAINT a_scan_has_a_known_dialect CHECK (dialect IN ('v1', 'v2')),
    CONSTRAINT a_scan_has_a_known_plan CHECK (plan IN ('quick', 'full', 'custom')),
    CONSTRAINT a_scan_has_a_known_state
        CHECK (state IN ('created', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    CONSTRAINT a_final_scan_has_an_end
        CHECK ((state IN ('completed', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT a_failed_scan_has_a_reason CHECK ((state = 'failed') = (failure IS NOT NULL)),
    CONSTRAINT a_begun_scan_has_a_start
        CHECK (state NOT IN ('running', 'paused', 'completed') OR started_at IS NOT NULL),
    CONSTRAINT a_waiting_scan_has_no_start CHECK (state NOT IN ('created', 'queued') OR started_at IS NULL)
) WITH (fillfactor = 80);
CREATE INDEX scans_of_an_organization ON scans (organization_id, created_at DESC, id DESC);
CREATE INDEX scans_by_target ON scans (organization_id, target, id);
CREATE INDEX scans_by_state ON scans (organization_id, state, created_at DESC, id DESC);
CALL picket_isolate('scans');

-- The state machine of `domain/scan.rs`, repeated where no program can pass it by.
CREATE FUNCTION scans_move_only_forward() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    -- In parentheses: PL/pgSQL takes the first THEN outside of them for its own.
    IF NOT (CASE OLD.state
        WHEN 'created' THEN NEW.state IN ('queued', 'running', 'failed', 'cancelled')
        WHEN 'queued'  THEN NEW.state IN ('running', 'failed', 'cancelled')
        WHEN 'running' THEN NEW.state IN ('paused', 'completed', 'failed', 'cancelled')
        WHEN 'paused'  THEN NEW.state IN ('running', 'completed', 'failed', 'cancelled')
        ELSE false
    END) THEN
        RAISE EXCEPTION 'a scan cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER scans_move_only_forward BEFORE UPDATE OF state ON scans
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION scans_move_only_forward();

CREATE TABLE tasks (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    scan_id         uuid NOT NULL,
    tool            text NOT NULL,
    pool            text NOT NULL,
    level           text NOT NULL,
    params          jsonb NOT NULL,
    shard           jsonb NOT NULL,
    -- The address, where it is one: what admission holds to a few tasks at once.
    host            text GENERATED ALWAYS AS (
        CASE WHEN jsonb_array_length(shard -> 'addresses') = 1 THEN shard -> 'addresses' ->> 0 END
    ) STORED,
    created_at      timestamptz NOT NULL,

    -- Change as the task proceeds. (id, attempt) is the fence; `failures` alone leads to the end of retries.
    state           text NOT NULL DEFAULT 'ready',
    attempt         integer NOT NULL DEFAULT 0,
    failures        integer NOT NULL DEFAULT 0,
    -- Infinity while its scan is paused, so that nobody who looks for what is ready walks over it.
    ready_at        timestamptz NOT NULL,
    queued_at       timestamptz,
    worker_id       uuid,
    lease_until     timestamptz,
    started_at      timestamptz,
    ended_at        timestamptz,
    -- What is missing from the result, and what there is to say of it.
    gap             text,
    detail          text,
    -- Why it was put back when it was last: {code, detail}. Stays when it ends.
    last_reason     jsonb,
    -- Measured: how the tool ended.
    exit_code       integer,
    output_bytes    bigint,
    tool_hash       text,
    -- Of one that was given up and whose scan has ended: the scan that an operator had made to repeat it, which may be gone by
    -- now.
    replayed_as     uuid,
    -- Of a task that was stopped while it ran: how many observations its worker had read by then. They are stored.
    kept            integer,

    FOREIGN KEY (organization_id, scan_id) REFERENCES scans (organization_id, id),
    CONSTRAINT a_task_has_a_known_state
        CHECK (state IN ('ready', 'queued', 'running', 'done', 'failed', 'cancelled')),
    CONSTRAINT a_task_has_a_known_pool CHECK (pool IN ('net', 'net.raw', 'web', 'tls', 'import', 'simulate')),
    CONSTRAINT a_task_has_a_known_level CHECK (level IN ('L0', 'L1', 'L2')),
    CONSTRAINT a_running_task_has_a_lease
        CHECK ((state = 'running') = (lease_until IS NOT NULL) AND (state <> 'running' OR worker_id IS NOT NULL)),
    CONSTRAINT a_final_task_has_an_end
        CHECK ((state IN ('done', 'failed', 'cancelled')) = (ended_at IS NOT NULL)),
    CONSTRAINT a_failed_task_has_a_gap CHECK (state NOT IN ('failed', 'cancelled') OR gap IS NOT NULL),
    CONSTRAINT only_what_was_stopped_is_kept CHECK (kept IS NULL OR (state = 'cancelled' AND kept > 0)),
    CONSTRAINT a_queued_task_has_its_time CHECK (state <> 'queued' OR queued_at IS NOT NULL),
    CONSTRAINT attempts_only_grow CHECK (attempt >= 0 AND failures >= 0 AND failures <= attempt)
) WITH (fillfactor = 70);
-- Tasks of a scan; unique, so that sightings can refer to it and find their way back by the scan.
CREATE UNIQUE INDEX tasks_of_a_scan ON tasks (scan_id, id);
-- Admission walks ready tasks by organization and age; terminal rows are in none of these.
-- With the id, since the tasks of a scan are of one age: whoever takes the oldest few reads no more than those.
CREATE INDEX ready_tasks ON tasks (pool, organization_id, ready_at, id) WHERE state = 'ready';
CREATE INDEX queued_tasks ON tasks (queued_at) WHERE state = 'queued';
CREATE INDEX leased_tasks ON tasks (lease_until) WHERE state = 'running';
-- Whether anything of a scan is left to do.
CREATE INDEX unended_tasks ON tasks (scan_id) WHERE state IN ('ready', 'queued', 'running');
CREATE INDEX tasks_in_flight ON tasks (organization_id) WHERE state IN ('queued', 'running');
CALL picket_isolate('tasks');

-- The organizations with ready tasks of a pool: one look into the index for each of them, however many tasks they have.
CREATE FUNCTION picket_waiting(of_pool text) RETURNS TABLE (organization_id uuid)
    LANGUAGE sql STABLE
    AS $$
WITH RECURSIVE waiting (organization_id) AS (
  (SELECT t.organization_id FROM tasks AS t WHERE t.state = 'ready' AND t.pool = of_pool ORDER BY t.organization_id LIMIT 1)
  UNION ALL
  SELECT (SELECT t.organization_id FROM tasks AS t
          WHERE t.state = 'ready' AND t.pool = of_pool AND t.organization_id > w.organization_id
          ORDER BY t.organization_id
          LIMIT 1)
  FROM waiting AS w
  WHERE w.organization_id IS NOT NULL
)
SELECT w.organization_id FROM waiting AS w WHERE w.organization_id IS NOT NULL
$$;

-- What admission keeps of fairness over time (`domain/admission/turn.rs`): the clock of each pool, in tasks, and the moment by
-- it until which an organization has had its share.
CREATE TABLE pool_clocks (
    pool   text PRIMARY KEY,
    moment double precision NOT NULL,
    CONSTRAINT a_clock_is_a_number CHECK (moment >= 0 AND moment < 'infinity')
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON pool_clocks TO picket_operator;

CREATE TABLE organization_turns (
    organization_id uuid NOT NULL REFERENCES organizations,
    pool            text NOT NULL,
    moment          double precision NOT NULL,
    PRIMARY KEY (organization_id, pool),
    CONSTRAINT a_turn_is_a_number CHECK (moment > '-infinity' AND moment < 'infinity')
) WITH (fillfactor = 50);
CALL picket_isolate('organization_turns');

-- The state machine of `domain/task.rs`; and an attempt never goes back, so a fence never fits twice.
CREATE FUNCTION tasks_move_only_forward() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.state <> NEW.state AND NOT (CASE OLD.state
        WHEN 'ready'   THEN NEW.state IN ('queued', 'failed', 'cancelled')
        WHEN 'queued'  THEN NEW.state IN ('ready', 'running', 'cancelled')
        WHEN 'running' THEN NEW.state IN ('ready', 'done', 'failed', 'cancelled')
        ELSE false
    END) THEN
        RAISE EXCEPTION 'a task cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.attempt < OLD.attempt THEN
        RAISE EXCEPTION 'the attempt of a task never goes back' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER tasks_move_only_forward BEFORE UPDATE ON tasks
    FOR EACH ROW EXECUTE FUNCTION tasks_move_only_forward();

-- The worse of two severities.
CREATE FUNCTION picket_worse(one text, other text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN array_position(ARRAY['critical', 'high', 'medium', 'low', 'info', 'unknown'], one)
                   <= array_position(ARRAY['critical', 'high', 'medium', 'low', 'info', 'unknown'], other)
                THEN one ELSE other END;

-- What is known of the software behind a port after another look at it. A look that learned less than is known of the
-- same service (a port scan without version detection) takes nothing away.
CREATE FUNCTION picket_richer_service(known jsonb, seen jsonb, in_one_scan boolean) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    RETURN CASE
        WHEN known IS NULL THEN seen
        WHEN seen IS NULL THEN known
        WHEN (known ->> 'product') IS NOT NULL AND (seen ->> 'product') IS NULL
             AND (in_one_scan OR (seen ->> 'name') IS NOT DISTINCT FROM (known ->> 'name')) THEN known
        WHEN in_one_scan AND (known ->> 'product') IS NULL = ((seen ->> 'product') IS NULL)
             AND (length(known::text), known::text COLLATE "C") >= (length(seen::text), seen::text COLLATE "C") THEN known
        ELSE seen
    END;

CREATE TABLE findings (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    fingerprint     bytea NOT NULL,
    rule            text NOT NULL,
    cve             text,
    host            text NOT NULL,
    port            integer,
    protocol        text,
    url             text,
    subject         text NOT NULL,
    first_scan_id   uuid NOT NULL,
    first_seen_at   timestamptz NOT NULL,

    -- Change as later scans see it.
    title           text NOT NULL,
    severity        text NOT NULL,
    cvss            double precision,
    description     text NOT NULL,
    remediation     text NOT NULL,
    service         jsonb,
    confidence      text NOT NULL DEFAULT 'medium',
    cwe             integer,
    refs            text[] NOT NULL DEFAULT '{}',
    last_scan_id    uuid NOT NULL,
    last_seen_at    timestamptz NOT NULL,
    -- The severity as a number, worst greatest: row-level security keeps a function of a column out of an index's conditions.
    gravity         integer NOT NULL GENERATED ALWAYS AS (
        array_position(ARRAY['unknown', 'info', 'low', 'medium', 'high', 'critical'], severity)) STORED,

    CONSTRAINT a_finding_is_known_once UNIQUE (organization_id, fingerprint),
    CONSTRAINT a_finding_belongs_to_its_organization UNIQUE (organization_id, id),
    CONSTRAINT a_fingerprint_is_a_sha256 CHECK (length(fingerprint) = 32),
    CONSTRAINT a_finding_has_a_known_severity
        CHECK (severity IN ('critical', 'high', 'medium', 'low', 'info', 'unknown')),
    CONSTRAINT a_finding_has_a_known_confidence CHECK (confidence IN ('low', 'medium', 'high')),
    CONSTRAINT a_port_is_a_port CHECK (port BETWEEN 0 AND 65535),
    CONSTRAINT a_score_is_a_cvss_score CHECK (cvss BETWEEN 0 AND 10)
);
-- The list over all scans, worst first, and its filters that may fit few of many.
CREATE INDEX findings_worst_first ON findings (organization_id, gravity DESC, last_seen_at DESC, id DESC);
CREATE INDEX findings_by_cve ON findings (organization_id, cve) WHERE cve IS NOT NULL;
CREATE INDEX findings_by_rule ON findings (organization_id, rule);
CREATE INDEX findings_by_host ON findings (organization_id, host);
CREATE INDEX findings_by_last_scan ON findings (organization_id, last_scan_id);
CALL picket_isolate('findings');

-- The appearance of a finding in one scan.
CREATE TABLE sightings (
    organization_id uuid NOT NULL,
    scan_id         uuid NOT NULL,
    finding_id      uuid NOT NULL,
    -- The fence whose result it is.
    task_id         uuid NOT NULL,
    attempt         integer NOT NULL,
    severity        text NOT NULL,
    cvss            double precision,
    evidence        text NOT NULL,
    -- The tools that saw it in this scan.
    sources         text[] NOT NULL DEFAULT '{}',
    seen_at         timestamptz NOT NULL,
    PRIMARY KEY (scan_id, finding_id),
    FOREIGN KEY (organization_id, scan_id) REFERENCES scans (organization_id, id),
    -- By the scan as well: to remove a task is to look its sightings up.
    FOREIGN KEY (scan_id, task_id) REFERENCES tasks (scan_id, id),
    FOREIGN KEY (organization_id, finding_id) REFERENCES findings (organization_id, id)
);
CREATE INDEX sightings_of_a_finding ON sightings (finding_id);
CALL picket_isolate('sightings');

-- The place of a level among the levels, strongest first: what has a smaller one suffices for what needs a greater one. Names
-- are never compared.
CREATE FUNCTION picket_rank(level text) RETURNS integer
    LANGUAGE sql IMMUTABLE
    RETURN array_position(ARRAY['L0', 'L1', 'L2'], level);

-- Worker processes; not a customer's rows.
CREATE TABLE workers (
    -- Never change.
    id           uuid PRIMARY KEY,
    started_at   timestamptz NOT NULL,
    -- Of the program.
    version      text NOT NULL DEFAULT '',

    -- Change with every heartbeat.
    heartbeat_at timestamptz NOT NULL,
    pools        text[] NOT NULL,
    level        text NOT NULL,
    tools        text[] NOT NULL,
    slots        integer NOT NULL,
    busy         integer NOT NULL DEFAULT 0,
    -- Runs that ended, lately.
    tasks_per_second double precision NOT NULL DEFAULT 0,
    draining     boolean NOT NULL DEFAULT false,

    -- What the self-test of its sandbox said: raw sockets or not, the levels with reasons, and what runs were kept from.
    raw             boolean NOT NULL DEFAULT false,
    -- As which level it counts for tasks (`SandboxLevel::counted`); NULL for none.
    counts_as       text,
    proven_at       timestamptz,
    dropped_packets bigint NOT NULL DEFAULT 0,
    proofs          jsonb NOT NULL DEFAULT '[]',
    -- {slug: {version, hash}}
    tool_versions   jsonb NOT NULL DEFAULT '{}',
    CHECK (level IN ('L0', 'L1', 'L2', 'none')),
    CHECK (counts_as IN ('L0', 'L1', 'L2'))
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON workers TO picket_operator;
GRANT SELECT ON workers TO picket_tenant;

-- What each role last knew of its dependencies, for `ready`.
CREATE TABLE role_heartbeats (
    role         text PRIMARY KEY,
    heartbeat_at timestamptz NOT NULL,
    broker_up    boolean NOT NULL
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE ON role_heartbeats TO picket_operator;

-- A scan as its client sees it, by id or by number, with the counts of what it found and a line for each task, in one
-- statement that is its whole transaction: it names the tenant first, so that row-level security shows that tenant's rows
-- and no others, and the name goes with the transaction.
CREATE FUNCTION picket_scan_overview(tenant uuid, wanted uuid, wanted_number bigint)
    RETURNS TABLE (
        id uuid, organization_id uuid, number bigint, dialect text, plan text, target text, tool text, request jsonb,
        notify text[], gaps jsonb, created_at timestamptz, state text, started_at timestamptz, ended_at timestamptz,
        failure text, rerun_of uuid, severities text[], sightings bigint[], tasks json[], progress integer, profile text, profile_version integer
    )
    LANGUAGE plpgsql ROWS 1
    AS $$
#variable_conflict use_column
DECLARE
    -- An assignment costs a third of what a query does.
    named text := set_config('picket.organization', tenant::text, true);
BEGIN
    IF wanted IS NULL THEN
        wanted := (SELECT id FROM scans WHERE organization_id = tenant AND number = wanted_number);
    END IF;
    RETURN QUERY
        SELECT s.id, s.organization_id, s.number, s.dialect, s.plan, s.target, s.tool, s.request, s.notify, s.gaps,
               s.created_at, s.state, s.started_at, s.ended_at, s.failure, s.rerun_of, f.severities, f.sightings,
               -- A stopped task that left something counts as done with a gap: partial, not skipped.
               ARRAY(SELECT json_build_array(t.tool, CASE WHEN t.kept IS NULL THEN t.state ELSE 'done' END, t.gap, t.detail, t.shard ->> 'target')
                     FROM tasks AS t WHERE t.scan_id = wanted ORDER BY t.id)
               || CASE WHEN s.unmade > 0 THEN ARRAY(
                      SELECT json_build_array(u.tool, u.state, u.gap, NULL, u.target) FROM picket_unmade(wanted) AS u) END,
               picket_progress(wanted), s.profile, s.profile_version
        FROM scans AS s
        CROSS JOIN (SELECT array_agg(severity) AS severities, array_agg(found) AS sightings
                    FROM (SELECT g.severity, count(*) AS found
                          FROM sightings AS g WHERE g.scan_id = wanted GROUP BY g.severity) AS counted) AS f
        WHERE s.id = wanted;
END
$$;
REVOKE EXECUTE ON FUNCTION picket_scan_overview FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_scan_overview TO picket_tenant;

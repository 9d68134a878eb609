-- What is done again and again, the hours in which nothing is done, and what operators stop.

CREATE TABLE schedules (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    created_at      timestamptz NOT NULL,
    kind            text NOT NULL,

    -- Change by the client. Who made it, or changed it last: its scans are asked for in that name.
    owner           text NOT NULL,
    updated_at      timestamptz NOT NULL,
    name            text NOT NULL,
    cron            text NOT NULL,
    time_zone       text NOT NULL,
    jitter_seconds  integer NOT NULL,
    overlap         text NOT NULL,
    missed          text NOT NULL,
    enabled         boolean NOT NULL,
    -- As the client asked, and what is planned of it at each tick.
    body            jsonb NOT NULL,
    request         jsonb NOT NULL,

    -- Change with each tick: the next one, and when it runs with its jitter. NULL while it is off.
    next_tick_at    timestamptz,
    next_run_at     timestamptz,
    -- The last scan that it made; it may be removed by now.
    last_scan_id    uuid,

    CONSTRAINT a_schedule_belongs_to_its_organization UNIQUE (organization_id, id),
    CONSTRAINT a_schedule_has_a_known_kind CHECK (kind IN ('scan', 'report')),
    CONSTRAINT a_schedule_has_a_known_overlap CHECK (overlap IN ('skip', 'queue', 'replace')),
    CONSTRAINT a_schedule_has_a_known_way_with_missed_ticks CHECK (missed IN ('skip', 'once')),
    CONSTRAINT a_jitter_is_not_negative CHECK (jitter_seconds >= 0),
    CONSTRAINT a_schedule_that_is_off_is_never_due CHECK (enabled OR next_run_at IS NULL),
    CONSTRAINT a_tick_has_its_moment CHECK ((next_tick_at IS NULL) = (next_run_at IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX schedules_of_an_organization ON schedules (organization_id, id DESC);
CREATE INDEX due_schedules ON schedules (next_run_at) WHERE next_run_at IS NOT NULL;
CALL picket_isolate('schedules');

-- What became of a tick. Its row is written in the transaction that makes the scan, so a tick is done once.
CREATE TABLE schedule_runs (
    organization_id uuid NOT NULL,
    schedule_id     uuid NOT NULL,
    -- The moment that the pattern means.
    tick_at         timestamptz NOT NULL,
    decided_at      timestamptz NOT NULL,
    outcome         text NOT NULL,
    detail          text,
    -- What it made; both may be removed by now.
    scan_id         uuid,
    report_id       uuid,
    PRIMARY KEY (schedule_id, tick_at),
    FOREIGN KEY (organization_id, schedule_id) REFERENCES schedules (organization_id, id) ON DELETE CASCADE,
    CONSTRAINT a_run_has_a_known_outcome CHECK (outcome IN ('started', 'waiting', 'skipped', 'missed', 'refused'))
);
CREATE UNIQUE INDEX one_tick_waits ON schedule_runs (schedule_id) WHERE outcome = 'waiting';
CALL picket_isolate('schedule_runs');

-- Hours of the week, by the clocks of a place, in which an organization wants nothing scanned: all of it, what has a tag, or
-- what fits a pattern.
CREATE TABLE blackout_windows (
    organization_id uuid NOT NULL REFERENCES organizations,
    position        integer NOT NULL,
    name            text NOT NULL,
    days            text[] NOT NULL,
    -- `HH:MM`; hours that end before they begin go on into the next day.
    begins          text NOT NULL,
    ends            text NOT NULL,
    time_zone       text NOT NULL,
    tag             text,
    pattern         text,
    -- The network that the pattern is, if it is one.
    network         inet,
    -- Whether what runs when it opens is stopped and waits, too; else it is let finish.
    pauses          boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, position)
);
CALL picket_isolate('blackout_windows');
ALTER TABLE organization_counters
    -- When a window was taken away while it was open: what it held could not have run before.
    ADD windows_lapsed_at timestamptz;

-- Whether a pattern covers a part of a scan's target: every address of a network, every name below `*.`, or one target; or a
-- name below the target that the scan has found, which is the target of its task.
CREATE FUNCTION picket_covers(pattern text, network inet, target text, shard jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN CASE
        WHEN network IS NOT NULL THEN EXISTS (
            SELECT FROM jsonb_array_elements_text(shard -> 'addresses') AS a (address) WHERE a.address::inet <<= network
        )
        WHEN starts_with(pattern, '*.') THEN right(target, length(pattern) - 1) = substr(pattern, 2)
            OR right(shard ->> 'target', length(pattern) - 1) = substr(pattern, 2)
        ELSE target = pattern OR shard ->> 'target' = pattern
    END;

-- Whether a window or a switch concerns a task: by its pattern and by its tag, each where it has one. A task may be of a name
-- that was found below the scan's target.
CREATE FUNCTION picket_closes(tag text, pattern text, network inet, organization uuid, target text, shard jsonb)
    RETURNS boolean
    LANGUAGE plpgsql STABLE
    AS $$
BEGIN
    RETURN (pattern IS NULL OR picket_covers(pattern, network, target, shard))
       AND (tag IS NULL OR EXISTS (
           SELECT FROM targets AS g
           WHERE g.organization_id = organization AND g.value IN (target, shard ->> 'target') AND tag = ANY(g.tags)
       ));
END
$$;

-- What operators have stopped: everything, an organization, or a target. Rows stay when they are lifted. Only the operator
-- role reads them: they name targets and organizations.
CREATE TABLE kill_switches (
    -- Never change.
    id              uuid PRIMARY KEY,
    created_at      timestamptz NOT NULL,
    created_by      text NOT NULL,
    reason          text NOT NULL,
    -- NULL for every organization.
    organization_id uuid REFERENCES organizations,
    -- NULL for every target.
    pattern         text,
    network         inet,

    -- Change once.
    lifted_at       timestamptz,
    lifted_by       text,
    CONSTRAINT who_lifts_is_known CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
CREATE UNIQUE INDEX a_kill_switch_is_thrown_once ON kill_switches (
    coalesce(organization_id, '00000000-0000-0000-0000-000000000000'), coalesce(pattern, '')
) WHERE lifted_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON kill_switches TO picket_operator;

-- What of that concerns one organization, for the transaction that makes its scan. As the owner: a tenant does not read the
-- table.
CREATE FUNCTION picket_halts(tenant uuid) RETURNS TABLE (pattern text, network inet, reason text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    RETURN QUERY
        SELECT k.pattern, k.network, k.reason
        FROM public.kill_switches AS k
        WHERE k.lifted_at IS NULL AND (k.organization_id IS NULL OR k.organization_id = tenant);
END
$$;
REVOKE EXECUTE ON FUNCTION picket_halts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_halts TO picket_tenant, picket_operator;

-- Who operates the platform over HTTP; set by `picket admin`.
ALTER TABLE users
    ADD platform_role text,
    ADD CONSTRAINT a_platform_role_is_known CHECK (platform_role = 'operator');

-- A worker that is to take no more.
ALTER TABLE workers
    ADD drain_requested_at timestamptz;

-- What a switch may cover, and what operators look at.
CREATE INDEX unfinished_scans ON scans (organization_id, id) WHERE state IN ('created', 'queued', 'running', 'paused');
CREATE INDEX ended_scans ON scans (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX given_up_tasks ON tasks (ended_at DESC) WHERE state = 'failed' AND (gap = 'worker_lost' OR failures >= 3);

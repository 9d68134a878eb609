-- The two moments of a run that every task comes to, its claim and its end, for several runs at once: a worker with many slots
-- would else pay a transaction for each. Each run names its own tenant, so row-level security holds for each as if it were
-- alone. Scans are locked first and in the order of their ids, then tasks in the order of theirs, as everywhere.

-- Claims more tasks of scans that run, in one statement that is its whole transaction. No row for every other case: what
-- begins a scan, refuses a task or is stale is left to whoever asked.
CREATE FUNCTION picket_claim(tenants uuid[], of_scans uuid[], of_tasks uuid[], of_attempts integer[], worker uuid,
                             lease_seconds float8, levels text[])
    RETURNS TABLE (id uuid, organization_id uuid, scan_id uuid, attempt integer, tool text, params jsonb, shard jsonb,
                   opens text[], failures integer, traceparent text, limits jsonb)
    LANGUAGE plpgsql ROWS 8
    AS $$
#variable_conflict use_column
DECLARE
    m record;
    begun timestamptz := clock_timestamp();
    locked uuid;
    trace text;
    examined text;
    of_scan_limits jsonb;
BEGIN
    -- Many wait for it: whoever holds a scan for long is waited for by one alone, who asks again by itself. What is not come
    -- to in time is as if it could not be claimed like this.
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR m IN
        SELECT u.tenant, u.of_scan, u.task, u.of_attempt
        FROM unnest(tenants, of_scans, of_tasks, of_attempts) AS u (tenant, of_scan, task, of_attempt)
        ORDER BY u.of_scan, u.task
    LOOP
        EXIT WHEN clock_timestamp() > begun + interval '300 ms';
        PERFORM set_config('picket.organization', m.tenant::text, true);
        IF locked IS DISTINCT FROM m.of_scan THEN
            SELECT s.id, s.traceparent, s.target, s.limits
            INTO locked, trace, examined, of_scan_limits
            FROM scans AS s
            WHERE s.id = m.of_scan AND s.organization_id = m.tenant AND s.state = 'running'
            FOR NO KEY UPDATE;
        END IF;
        CONTINUE WHEN locked IS DISTINCT FROM m.of_scan;
        RETURN QUERY
            UPDATE tasks AS t
            SET state = 'running', attempt = t.attempt + 1, worker_id = worker, started_at = clock_timestamp(),
                lease_until = clock_timestamp() + make_interval(secs => lease_seconds)
            WHERE t.id = m.task AND t.scan_id = m.of_scan AND t.attempt = m.of_attempt AND t.state = 'queued'
              AND t.level = ANY(levels) AND picket_may_begin(m.tenant, m.of_scan, t.tool, t.params, t.shard)
              AND NOT EXISTS (SELECT FROM picket_halts(m.tenant) AS h
                              WHERE h.pattern IS NULL OR picket_covers(h.pattern, h.network, examined, t.shard))
            RETURNING t.id, t.organization_id, t.scan_id, t.attempt, t.tool, t.params, t.shard, t.opens, t.failures, trace,
                      picket_run_limits(of_scan_limits, t.tool, m.tenant, examined, t.shard);
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION picket_claim FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_claim TO picket_tenant;

-- Adds lines to the live output of a scan, numbered without gaps; behind `most` one line says that it was cut.
CREATE FUNCTION picket_tell(tenant uuid, of_scan uuid, task uuid, of_attempt integer, moment timestamptz, said jsonb,
                            most bigint, cut jsonb)
    RETURNS void
    LANGUAGE plpgsql
    AS $$
BEGIN
    WITH head AS (
        INSERT INTO scan_outputs AS h (scan_id, organization_id, lines)
        VALUES (of_scan, tenant, jsonb_array_length(said))
        ON CONFLICT (scan_id) DO UPDATE SET lines = h.lines + excluded.lines
        RETURNING h.lines - jsonb_array_length(said) AS before
    )
    INSERT INTO output_lines (organization_id, scan_id, number, task_id, attempt, at, line)
    SELECT tenant, of_scan, h.before + l.place, task, of_attempt, moment,
           CASE WHEN h.before + l.place > most THEN cut ELSE l.line END
    FROM head AS h, jsonb_array_elements(said) WITH ORDINALITY AS l (line, place)
    WHERE h.before + l.place <= most + 1;
END
$$;
REVOKE EXECUTE ON FUNCTION picket_tell FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_tell TO picket_tenant, picket_operator;

-- Ends runs whose fence holds, with the last lines of their output and with the raw output: one that is small comes with it
-- (`contents`), one that is in the object store has its row already. A row for each run that was ended: whether its raw output
-- is named, and whether anything of its scan is still to do. The tenant of the last one stays named.
CREATE FUNCTION picket_end_runs(
        tenants uuid[], of_scans uuid[], of_tasks uuid[], of_attempts integer[], states text[], gaps text[], details text[],
        exit_codes integer[], outputs bigint[], hashes text[], said jsonb[], of_artifacts uuid[], sizes bigint[],
        digests text[], cuts boolean[], stored bigint[], contents bytea[], moment timestamptz, most_lines bigint, cut jsonb)
    RETURNS TABLE (place bigint, is_told boolean, is_going_on boolean)
    LANGUAGE plpgsql ROWS 8
    AS $$
#variable_conflict use_column
DECLARE
    m record;
    begun timestamptz := clock_timestamp();
    used text;
    -- Places, since a worker may hold two claims of one task, an old one and the one that counts.
    ended bigint[] := '{}';
    untold bigint[] := '{}';
    looked uuid;
BEGIN
    FOR m IN SELECT DISTINCT u.of_scan, u.tenant FROM unnest(of_scans, tenants) AS u (of_scan, tenant) ORDER BY u.of_scan LOOP
        PERFORM set_config('picket.organization', m.tenant::text, true);
        PERFORM FROM scans AS s WHERE s.id = m.of_scan FOR NO KEY UPDATE;
        -- What others hold keeps nobody else waiting: then each run ends by itself.
        IF cardinality(tenants) > 1 AND clock_timestamp() > begun + interval '500 ms' THEN
            RAISE EXCEPTION 'the scans of these runs are not free' USING ERRCODE = 'lock_not_available';
        END IF;
    END LOOP;
    FOR m IN
        SELECT u.*
        FROM unnest(tenants, of_scans, of_tasks, of_attempts, states, gaps, details, exit_codes, outputs, hashes,
                    of_artifacts, sizes, digests, cuts, stored, contents) WITH ORDINALITY
          AS u (tenant, of_scan, task, of_attempt, state, gap, detail, exit_code, output_bytes, tool_hash, artifact,
                size_bytes, sha256, is_cut, stored_bytes, content, nth)
        ORDER BY u.task
    LOOP
        PERFORM set_config('picket.organization', m.tenant::text, true);
        UPDATE tasks AS t
        SET state = m.state, gap = m.gap, detail = m.detail, exit_code = m.exit_code, output_bytes = m.output_bytes,
            tool_hash = m.tool_hash, ended_at = moment, lease_until = NULL,
            failures = t.failures + CASE WHEN m.state = 'failed' THEN 1 ELSE 0 END
        WHERE t.id = m.task AND t.attempt = m.of_attempt AND t.state = 'running'
        RETURNING t.tool INTO used;
        CONTINUE WHEN NOT FOUND;
        ended := ended || m.nth;
        IF m.content IS NOT NULL THEN
            INSERT INTO artifacts (id, organization_id, scan_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256,
                                   is_cut, state, stored_bytes, content)
            VALUES (m.artifact, m.tenant, m.of_scan, m.task, m.of_attempt, used, 'output', moment, m.size_bytes, m.sha256,
                    m.is_cut, 'stored', m.stored_bytes, m.content);
        ELSIF m.artifact IS NOT NULL THEN
            -- Not one that was doomed meanwhile.
            UPDATE artifacts AS a
            SET state = CASE WHEN m.stored_bytes IS NULL THEN 'lost' ELSE 'stored' END, stored_bytes = m.stored_bytes
            WHERE a.id = m.artifact AND a.state = 'storing';
            IF NOT FOUND THEN
                untold := untold || m.nth;
            END IF;
        END IF;
    END LOOP;
    -- Behind all tasks, and by the scans, as whoever takes tasks from lost workers does.
    FOR m IN
        SELECT u.*
        FROM unnest(tenants, of_scans, of_tasks, of_attempts, said) WITH ORDINALITY
          AS u (tenant, of_scan, task, of_attempt, lines, nth)
        WHERE u.nth = ANY(ended) AND u.lines IS NOT NULL
        ORDER BY u.of_scan, u.task
    LOOP
        PERFORM set_config('picket.organization', m.tenant::text, true);
        PERFORM picket_tell(m.tenant, m.of_scan, m.task, m.of_attempt, moment, m.lines, most_lines, cut);
    END LOOP;
    FOR m IN
        SELECT u.tenant, u.of_scan, u.nth
        FROM unnest(tenants, of_scans) WITH ORDINALITY AS u (tenant, of_scan, nth)
        WHERE u.nth = ANY(ended)
        ORDER BY u.of_scan
    LOOP
        IF looked IS DISTINCT FROM m.of_scan THEN
            looked := m.of_scan;
            PERFORM set_config('picket.organization', m.tenant::text, true);
            -- In the words of an index: of a scan with ten thousand tasks, each that ends asks this.
            is_going_on := EXISTS (SELECT FROM tasks AS t
                                   WHERE t.scan_id = m.of_scan AND t.state IN ('ready', 'queued', 'running'))
                OR EXISTS (SELECT FROM scans AS s WHERE s.id = m.of_scan AND s.unmade > 0);
        END IF;
        place := m.nth;
        is_told := NOT m.nth = ANY(untold);
        RETURN NEXT;
    END LOOP;
END
$$;
REVOKE EXECUTE ON FUNCTION picket_end_runs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION picket_end_runs TO picket_tenant;

-- The invariants of docs/faults.md, over the whole history of a drained platform: each statement returns what breaks one, as
-- (what, which). The line before it names the invariant.

-- I1: what was answered 201 is there and has ended
SELECT 'was accepted and is lost', a.scan_id::text
FROM faults.accepted AS a WHERE NOT EXISTS (SELECT FROM scans AS s WHERE s.id = a.scan_id)
UNION ALL
SELECT 'has not ended: ' || state, id::text FROM scans WHERE ended_at IS NULL
UNION ALL
SELECT 'task has not ended: ' || state, id::text FROM tasks WHERE ended_at IS NULL
UNION ALL
SELECT 'report has not ended: ' || state, id::text FROM reports WHERE ended_at IS NULL;

-- I2: a scan, a task, a report ends once, and results are of one fence
SELECT kind || ' ended ' || count(*) || ' times', id::text
FROM faults.history
WHERE becomes IN ('done', 'completed', 'failed', 'cancelled', 'delivered', 'exhausted', 'withdrawn')
GROUP BY kind, id HAVING count(*) > 1
UNION ALL
SELECT kind || ' went on after its end: ' || was || ' to ' || becomes, id::text
FROM faults.history
WHERE was IN ('done', 'completed', 'failed', 'cancelled', 'delivered', 'exhausted', 'withdrawn') AND was <> becomes
UNION ALL
SELECT 'sighting of attempt ' || g.attempt || ' in a task that ended in attempt ' || t.attempt, t.id::text
FROM sightings AS g JOIN tasks AS t ON t.id = g.task_id
WHERE g.attempt <> t.attempt
UNION ALL
SELECT 'sighting of a task that left no result: ' || t.state, t.id::text
FROM sightings AS g JOIN tasks AS t ON t.id = g.task_id
WHERE NOT (t.state = 'done' OR t.state = 'cancelled' AND t.kept IS NOT NULL)
UNION ALL
SELECT 'scan has ' || count(*) || ' events of its end', scan_id::text
FROM events WHERE name IN ('scan.completed', 'scan.failed', 'scan.cancelled')
GROUP BY scan_id HAVING count(*) > 1
UNION ALL
SELECT 'scan has ' || count(*) || ' events of its start', scan_id::text
FROM events WHERE name = 'scan.started'
GROUP BY scan_id HAVING count(*) > 1;

-- I3: every event is published, numbered in order, and delivered or given up
SELECT 'event is not published: ' || name, id::text FROM events WHERE published_at IS NULL
UNION ALL
SELECT 'public event was not fanned out: ' || name, id::text FROM events WHERE public AND fanned_out_at IS NULL
UNION ALL
SELECT 'numbers of events have a gap or come twice', organization_id::text
FROM events WHERE public
GROUP BY organization_id
HAVING count(sequence) <> count(*) OR max(sequence) <> count(*) OR count(DISTINCT sequence) <> count(*)
UNION ALL
SELECT 'scan has no event of its ' || missing.what, s.id::text
FROM scans AS s
CROSS JOIN LATERAL (VALUES ('creation', 'scan.created', true), ('start', 'scan.started', s.started_at IS NOT NULL),
                           ('end', 'scan.' || s.state, s.ended_at IS NOT NULL)) AS missing (what, name, due)
WHERE missing.due AND NOT EXISTS (SELECT FROM events AS e WHERE e.scan_id = s.id AND e.name = missing.name)
UNION ALL
SELECT 'events of a scan are out of order: ' || later.name || ' before ' || earlier.name, earlier.scan_id::text
FROM events AS earlier JOIN events AS later ON later.scan_id = earlier.scan_id AND later.sequence < earlier.sequence
WHERE (earlier.name, later.name) IN (
    ('scan.created', 'scan.started'), ('scan.created', 'scan.completed'), ('scan.created', 'scan.failed'),
    ('scan.created', 'scan.cancelled'), ('scan.started', 'scan.completed'))
UNION ALL
SELECT 'webhook has no delivery of ' || e.name, e.id::text
FROM webhooks AS w JOIN events AS e ON e.organization_id = w.organization_id AND e.name = ANY(w.events)
WHERE e.at > w.created_at AND w.disabled_at IS NULL AND w.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM deliveries AS d WHERE d.webhook_id = w.id AND d.event_id = e.id)
UNION ALL
SELECT 'delivery has not ended: ' || state, id::text FROM deliveries WHERE ended_at IS NULL
UNION ALL
SELECT 'delivery counts as delivered and was not heard', d.id::text
FROM deliveries AS d JOIN faults.listens AS l USING (webhook_id)
WHERE d.state = 'delivered' AND NOT EXISTS (
    SELECT FROM faults.heard AS h WHERE h.webhook_id = d.webhook_id AND h.event_id = d.event_id
                                    AND h.status BETWEEN 200 AND 299)
UNION ALL
SELECT 'one id came with two bodies', event_id::text
FROM faults.heard GROUP BY webhook_id, event_id HAVING count(DISTINCT body) > 1
UNION ALL
SELECT 'an id was heard that no event has', h.event_id::text
FROM faults.heard AS h WHERE NOT EXISTS (SELECT FROM events AS e WHERE e.id = h.event_id);

-- I4: a finding is known once, seen once in a scan, a plan grows once, and redelivery adds nothing
SELECT 'finding is known ' || count(*) || ' times', encode(fingerprint, 'hex')
FROM findings GROUP BY organization_id, fingerprint HAVING count(*) > 1
UNION ALL
SELECT 'finding is seen ' || count(*) || ' times in one scan', g.scan_id::text
FROM sightings AS g JOIN findings AS f ON f.id = g.finding_id
GROUP BY g.scan_id, f.fingerprint HAVING count(*) > 1
UNION ALL
SELECT 'finding was told ' || count(*) || ' times', body #>> '{data,finding_id}'
FROM events WHERE name = 'finding.found'
GROUP BY organization_id, body #>> '{data,finding_id}' HAVING count(*) > 1
UNION ALL
SELECT 'scan has ' || found.n || ' findings instead of ' || a.findings, a.scan_id::text
FROM faults.accepted AS a
JOIN scans AS s ON s.id = a.scan_id AND s.state = 'completed'
CROSS JOIN LATERAL (SELECT count(*) AS n FROM sightings AS g WHERE g.scan_id = a.scan_id) AS found
WHERE a.findings IS NOT NULL AND found.n <> a.findings
  AND NOT EXISTS (SELECT FROM tasks AS t WHERE t.scan_id = a.scan_id AND (t.state <> 'done' OR t.gap IS NOT NULL))
UNION ALL
SELECT 'task was planned ' || count(*) || ' times from results: ' || tool, scan_id::text
FROM tasks WHERE grown_from IS NOT NULL
GROUP BY scan_id, tool, params, shard -> 'addresses' HAVING count(*) > 1
UNION ALL
SELECT 'task was planned from one that left no result: ' || coalesce(first.state, 'none'), t.id::text
FROM tasks AS t LEFT JOIN tasks AS first ON first.id = t.grown_from AND first.scan_id = t.scan_id
WHERE t.grown_from IS NOT NULL AND first.state IS DISTINCT FROM 'done'
UNION ALL
SELECT 'delivery was made ' || count(*) || ' times', event_id::text
FROM deliveries GROUP BY webhook_id, event_id HAVING count(*) > 1
UNION ALL
-- The scans of a schedule are asked for in the name of its owner, which each has for itself here.
SELECT 'schedule made ' || made.n || ' scans in ' || ticks.n || ' ticks', s.id::text
FROM schedules AS s
CROSS JOIN LATERAL (SELECT count(*) AS n FROM scans AS c WHERE c.requested_by = s.owner) AS made
CROSS JOIN LATERAL (SELECT count(*) AS n FROM schedule_runs AS r WHERE r.schedule_id = s.id AND r.outcome = 'started')
    AS ticks
WHERE made.n <> ticks.n
UNION ALL
SELECT 'tick names a scan that nobody made', r.schedule_id::text
FROM schedule_runs AS r
WHERE r.outcome = 'started' AND r.report_id IS NULL
  AND NOT EXISTS (SELECT FROM faults.history AS h WHERE h.kind = 'scans' AND h.id = r.scan_id AND h.was IS NULL);

-- I5: nothing of one organization is with another one
SELECT 'task of another organization than its scan', t.id::text
FROM tasks AS t JOIN scans AS s ON s.id = t.scan_id WHERE t.organization_id <> s.organization_id
UNION ALL
SELECT 'sighting of another organization than its scan or finding', g.scan_id::text
FROM sightings AS g JOIN scans AS s ON s.id = g.scan_id JOIN findings AS f ON f.id = g.finding_id
WHERE g.organization_id <> s.organization_id OR g.organization_id <> f.organization_id
UNION ALL
SELECT 'event of another organization than its scan', e.id::text
FROM events AS e JOIN scans AS s ON s.id = e.scan_id WHERE e.organization_id <> s.organization_id
UNION ALL
SELECT 'delivery of another organization than its event or webhook', d.id::text
FROM deliveries AS d JOIN events AS e ON e.id = d.event_id JOIN webhooks AS w ON w.id = d.webhook_id
WHERE d.organization_id <> e.organization_id OR d.organization_id <> w.organization_id
UNION ALL
SELECT 'a word of another organization in ' || shown.place, shown.which
FROM faults.canaries AS c
JOIN (
    SELECT organization_id, 'a scan', id::text, target || request::text FROM scans
    UNION ALL SELECT organization_id, 'a task', id::text, shard::text || coalesce(detail, '') FROM tasks
    UNION ALL SELECT organization_id, 'a finding', id::text, host || title || description || subject FROM findings
    UNION ALL SELECT organization_id, 'a sighting', finding_id::text, evidence FROM sightings
    UNION ALL SELECT organization_id, 'an event', id::text, body::text FROM events
    UNION ALL SELECT organization_id, 'a delivery', id::text, encode(body, 'escape') FROM deliveries
    UNION ALL SELECT organization_id, 'the audit log', sequence::text, entry FROM audit_log
    UNION ALL SELECT organization_id, 'the live output', scan_id::text, line::text FROM output_lines
    UNION ALL SELECT w.organization_id, 'what a webhook heard', h.event_id::text, h.body
              FROM faults.heard AS h JOIN webhooks AS w ON w.id = h.webhook_id
) AS shown (organization_id, place, which, content) ON shown.organization_id <> c.organization_id
WHERE position(c.word IN shown.content) > 0;

-- I6: no limit is exceeded at any time, and nothing is held after the end
SELECT 'tasks in flight: ' || max(n) || ' of ' || min(tasks_in_flight), organization_id::text
FROM (
    SELECT h.organization_id, l.tasks_in_flight, sum(
        CASE WHEN h.becomes = 'queued' AND h.was = 'ready' THEN 1
             WHEN h.was IN ('queued', 'running') AND h.becomes NOT IN ('queued', 'running') THEN -1
             ELSE 0 END) OVER (PARTITION BY h.organization_id ORDER BY h.place) AS n
    FROM faults.history AS h
    JOIN organizations AS o ON o.id = h.organization_id
    JOIN faults.limits AS l ON l.plan = o.plan
    WHERE h.kind = 'tasks'
) AS summed
WHERE n > tasks_in_flight GROUP BY organization_id
UNION ALL
SELECT 'unfinished scans: ' || max(n) || ' of ' || min(concurrent_scans), organization_id::text
FROM (
    SELECT h.organization_id, l.concurrent_scans, sum(
        CASE WHEN h.was IS NULL AND h.becomes NOT IN ('completed', 'failed', 'cancelled') THEN 1
             WHEN h.was NOT IN ('completed', 'failed', 'cancelled') AND h.becomes IN ('completed', 'failed', 'cancelled')
             THEN -1
             ELSE 0 END) OVER (PARTITION BY h.organization_id ORDER BY h.place) AS n
    FROM faults.history AS h
    JOIN organizations AS o ON o.id = h.organization_id
    JOIN faults.limits AS l ON l.plan = o.plan
    WHERE h.kind = 'scans'
) AS summed
WHERE n > concurrent_scans GROUP BY organization_id
UNION ALL
SELECT 'task of an ended scan still holds its place: ' || t.state, t.id::text
FROM tasks AS t JOIN scans AS s ON s.id = t.scan_id
WHERE s.ended_at IS NOT NULL AND t.state IN ('ready', 'queued', 'running')
UNION ALL
SELECT 'delivery is being sent by nobody', id::text FROM deliveries WHERE state = 'sending' AND lease_until < now();

-- I7: the audit log is whole, and knows of everything that was accepted
SELECT 'audit row does not follow the one before', organization_id || ' ' || sequence
FROM (
    SELECT *, lag(hash, 1, sha256(uuid_send(organization_id))) OVER chain AS hash_before,
           lag(sequence, 1, 0::bigint) OVER chain AS sequence_before
    FROM audit_log WINDOW chain AS (PARTITION BY organization_id ORDER BY sequence)
) AS row
WHERE sequence <> sequence_before + 1
   OR hash <> sha256(hash_before || int8send(sequence) || convert_to(entry, 'UTF8'))
UNION ALL
SELECT 'head of the audit log is not its last row', c.organization_id::text
FROM organization_counters AS c
LEFT JOIN LATERAL (
    SELECT sequence, hash FROM audit_log AS a WHERE a.organization_id = c.organization_id ORDER BY sequence DESC LIMIT 1
) AS last ON true
WHERE c.audit_sequence <> coalesce(last.sequence, 0) OR c.audit_hash IS DISTINCT FROM last.hash
UNION ALL
SELECT 'scan has ' || count(l.sequence) || ' audit rows of its creation', a.scan_id::text
FROM faults.accepted AS a
JOIN scans AS s ON s.id = a.scan_id
LEFT JOIN audit_log AS l ON l.organization_id = s.organization_id AND l.action = 'scan.created' AND l.object = a.wire
WHERE a.wire IS NOT NULL
GROUP BY a.scan_id HAVING count(l.sequence) <> 1
UNION ALL
SELECT 'what was done has ' || count(l.sequence) || ' audit rows: ' || a.action, a.object
FROM faults.audited AS a LEFT JOIN audit_log AS l ON l.action = a.action AND l.object = a.object
GROUP BY a.action, a.object HAVING count(l.sequence) <> 1
UNION ALL
SELECT gone || ' scans were removed, and the audit log tells of ' || told, organization_id::text
FROM (
    SELECT o.id AS organization_id,
           (SELECT count(DISTINCT h.id) FROM faults.history AS h
            WHERE h.organization_id = o.id AND h.kind = 'scans' AND h.was IS NULL
              AND NOT EXISTS (SELECT FROM scans AS s WHERE s.id = h.id)) AS gone,
           -- One that a client deleted is told by itself, old ones by how many there were.
           (SELECT coalesce(sum(CASE l.action WHEN 'scan.deleted' THEN 1
                                ELSE coalesce((l.entry::jsonb -> 'after' ->> 'scans')::bigint, 0) END), 0)
            FROM audit_log AS l
            WHERE l.organization_id = o.id AND l.action IN ('results.removed', 'scan.deleted')) AS told
    FROM organizations AS o
) AS removed
WHERE gone <> told
UNION ALL
SELECT 'audit log says that a scan was deleted which is there', s.id::text
FROM faults.accepted AS a
JOIN scans AS s ON s.id = a.scan_id
JOIN audit_log AS l ON l.organization_id = s.organization_id AND l.action = 'scan.deleted' AND l.object = a.wire;

-- I8: nothing is left of what died
SELECT 'left over', what FROM faults.leftovers;

-- I10: nothing says "clean" of what was killed, truncated or never run
SELECT 'task is clean though its tool did not end well', id::text
FROM tasks
WHERE state = 'done' AND gap IS NULL AND (exit_code IS NULL OR exit_code <> 0 AND tool IN ('nmap', 'simulate'))
UNION ALL
SELECT 'scan completed without any result', s.id::text
FROM scans AS s
WHERE s.state = 'completed'
  AND NOT EXISTS (SELECT FROM tasks AS t WHERE t.scan_id = s.id AND (t.state = 'done' OR t.kept IS NOT NULL))
UNION ALL
SELECT 'scan is clean though a gap was due', s.id::text
FROM faults.accepted AS a JOIN scans AS s ON s.id = a.scan_id
WHERE a.gap_due AND s.state = 'completed'
  AND NOT EXISTS (SELECT FROM tasks AS t WHERE t.scan_id = s.id AND (t.state <> 'done' OR t.gap IS NOT NULL))
UNION ALL
SELECT 'task has findings missing and says nothing of it', t.id::text
FROM faults.accepted AS a JOIN tasks AS t ON t.scan_id = a.scan_id
WHERE a.findings > 0 AND t.state = 'done' AND t.gap IS NULL
  AND NOT EXISTS (SELECT FROM sightings AS g WHERE g.scan_id = a.scan_id);

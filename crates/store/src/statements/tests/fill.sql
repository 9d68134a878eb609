-- Many rows of one organization, for `explained.rs`. Every id is made of a word and a number.
INSERT INTO organizations (id, created_at, name, plan) VALUES (md5('org')::uuid, now(), 'Acme', 'trial');
INSERT INTO organization_counters (organization_id) VALUES (md5('org')::uuid);
INSERT INTO scans (id, organization_id, number, dialect, plan, target, request, requested_by, created_at, state, started_at,
                   ended_at)
    SELECT md5('scan' || g)::uuid, md5('org')::uuid, g, 'v1', 'custom', 'example.com', '{}', 'usr_x',
           now() - make_interval(mins => g), 'completed', now() - make_interval(mins => g), now() - make_interval(mins => g - 1)
    FROM generate_series(1, 5000) AS g;
INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, ready_at, state, ended_at)
    SELECT md5('task' || g)::uuid, md5('org')::uuid, md5('scan' || g)::uuid, 'nmap', 'net', 'L2', '{}',
           '{"target": "example.com", "addresses": ["192.0.2.7"], "hosts": []}', now(), now(), 'done', now()
    FROM generate_series(1, 5000) AS g;
INSERT INTO findings (id, organization_id, fingerprint, rule, host, subject, first_scan_id, first_seen_at, title, severity,
                      description, remediation, last_scan_id, last_seen_at)
    SELECT md5('finding' || g)::uuid, md5('org')::uuid, sha256(('finding' || g)::bytea), 'r', 'example.com', '',
           md5('scan1')::uuid, now(), 't', 'high', '', '', md5('scan1')::uuid, now()
    FROM generate_series(1, 20000) AS g;
INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, severity, evidence, seen_at)
    SELECT md5('org')::uuid, md5('scan' || g)::uuid, md5('finding' || (g * 4 + k))::uuid, md5('task' || g)::uuid, 1, 'high',
           '', now()
    FROM generate_series(1, 4990) AS g, generate_series(1, 4) AS k;
INSERT INTO events (id, organization_id, name, routing_key, public, body, at, sequence, published_at, fanned_out_at)
    SELECT md5('event' || g)::uuid, md5('org')::uuid, 'scan.created', 'x', true, '{}', now(), g, now(), now()
    FROM generate_series(1, 20000) AS g;
INSERT INTO webhooks (id, organization_id, dialect, created_at, url, events, secret)
    SELECT md5('hook' || g)::uuid, md5('org')::uuid, 'v1', now(), 'https://example.com/', '{scan.completed}', 'sealed'
    FROM generate_series(0, 49) AS g;
-- A few wait, the others have arrived.
INSERT INTO deliveries (id, organization_id, webhook_id, event_id, event, body, created_at, state, next_attempt_at, ended_at)
    SELECT md5('delivery' || g)::uuid, md5('org')::uuid, md5('hook' || g % 50)::uuid, md5('event' || g)::uuid,
           'scan.completed', '', now(), CASE WHEN g <= 300 THEN 'pending' ELSE 'delivered' END,
           CASE WHEN g <= 300 THEN now() END, CASE WHEN g > 300 THEN now() END
    FROM generate_series(1, 20000) AS g;
INSERT INTO delivery_attempts (organization_id, delivery_id, attempt, started_at, duration_ms, status)
    SELECT md5('org')::uuid, md5('delivery' || g)::uuid, 1, now(), 1, 200
    FROM generate_series(1, 20000) AS g;
ANALYZE;

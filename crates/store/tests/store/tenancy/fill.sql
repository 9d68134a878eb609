-- A row of an organization in every table of customers; `{org}` is its id. Every other id is made of it and a word.
-- To add a table: its INSERT here; the tests fail until every isolated table has a row.
INSERT INTO organizations (id, created_at, name, plan) VALUES ('{org}', now(), 'Acme', 'trial');
INSERT INTO organization_counters (organization_id) VALUES ('{org}');
INSERT INTO users (id, created_at, email, name) VALUES (md5('{org}user')::uuid, now(), '{org}@example.com', 'A');
INSERT INTO memberships (organization_id, user_id, role, created_at)
    VALUES ('{org}', md5('{org}user')::uuid, 'owner', now());
INSERT INTO api_keys (id, organization_id, created_by, created_at, name, prefix, digest, scopes)
    VALUES (md5('{org}key')::uuid, '{org}', md5('{org}user')::uuid, now(), 'k', 'pk_', sha256('{org}key'), '{}');
INSERT INTO targets (id, organization_id, created_at, kind, value)
    VALUES (md5('{org}target')::uuid, '{org}', now(), 'host', 'example.com');
INSERT INTO scan_profiles (id, organization_id, created_at, name, description, version, updated_at)
    VALUES (md5('{org}profile')::uuid, '{org}', now(), 'p', '', 1, now());
INSERT INTO scan_profile_versions (organization_id, profile_id, version, wanted, created_at, created_by)
    VALUES ('{org}', md5('{org}profile')::uuid, 1, '{}', now(), 'usr_x');
INSERT INTO target_proofs (id, organization_id, target_id, method, digest, created_at, expires_at)
    VALUES (md5('{org}proof')::uuid, '{org}', md5('{org}target')::uuid, 'dns_txt', sha256('{org}proof'), now(), now());
INSERT INTO target_authorizations (id, organization_id, target_id, scope, not_before, not_after, approver,
                                   document_sha256, recorded_at, recorded_by)
    VALUES (md5('{org}written')::uuid, '{org}', md5('{org}target')::uuid, 'target', now(), now() + interval '1 day', 'A',
            sha256('{org}document'), now(), 'usr_x');
INSERT INTO exclusions (id, organization_id, created_at, created_by, kind, value)
    VALUES (md5('{org}exclusion')::uuid, '{org}', now(), 'usr_x', 'host', 'example.org');
INSERT INTO organization_ranges (organization_id, range, created_at) VALUES ('{org}', '10.0.0.0/8', now());
INSERT INTO scans (id, organization_id, number, dialect, plan, target, request, requested_by, created_at, state)
    VALUES (md5('{org}scan')::uuid, '{org}', 1, 'v1', 'custom', 'example.com', '{}', 'usr_x', now(), 'created');
INSERT INTO tasks (id, organization_id, scan_id, tool, pool, level, params, shard, created_at, ready_at)
    VALUES (md5('{org}task')::uuid, '{org}', md5('{org}scan')::uuid, 'nmap', 'net', 'L2', '{}', '{}', now(), now());
INSERT INTO scan_outputs (scan_id, organization_id, lines) VALUES (md5('{org}scan')::uuid, '{org}', 1);
INSERT INTO output_lines (organization_id, scan_id, number, task_id, attempt, at, line)
    VALUES ('{org}', md5('{org}scan')::uuid, 1, md5('{org}task')::uuid, 1, now(), '{"kind": "cut"}');
INSERT INTO artifacts (id, organization_id, scan_id, task_id, attempt, tool, kind, created_at, size_bytes, sha256, is_cut)
    VALUES (md5('{org}artifact')::uuid, '{org}', md5('{org}scan')::uuid, md5('{org}task')::uuid, 1, 'nmap', 'output', now(),
            1, '', false);
INSERT INTO findings (id, organization_id, fingerprint, rule, host, subject, first_scan_id, first_seen_at, title, severity,
                      description, remediation, last_scan_id, last_seen_at)
    VALUES (md5('{org}finding')::uuid, '{org}', sha256('{org}finding'), 'r', 'example.com', '', md5('{org}scan')::uuid,
            now(), 't', 'high', '', '', md5('{org}scan')::uuid, now());
INSERT INTO sightings (organization_id, scan_id, finding_id, task_id, attempt, severity, evidence, seen_at)
    VALUES ('{org}', md5('{org}scan')::uuid, md5('{org}finding')::uuid, md5('{org}task')::uuid, 1, 'high', '', now());
INSERT INTO events (id, organization_id, name, routing_key, public, body, at)
    VALUES (md5('{org}event')::uuid, '{org}', 'scan.created', 'x', false, '{}', now());
INSERT INTO webhooks (id, organization_id, dialect, created_at, url, events, secret)
    VALUES (md5('{org}hook')::uuid, '{org}', 'v1', now(), 'https://example.com/', '{scan.completed}', 'sealed');
INSERT INTO deliveries (id, organization_id, webhook_id, event_id, event, body, created_at, next_attempt_at)
    VALUES (md5('{org}delivery')::uuid, '{org}', md5('{org}hook')::uuid, md5('{org}event')::uuid, 'scan.completed', '',
            now(), now());
INSERT INTO delivery_attempts (organization_id, delivery_id, attempt, started_at, duration_ms, status)
    VALUES ('{org}', md5('{org}delivery')::uuid, 1, now(), 1, 200);
INSERT INTO reports (id, organization_id, number, format, scan_ids, request, requested_by, created_at)
    VALUES (md5('{org}report')::uuid, '{org}', 1, 'pdf', ARRAY[md5('{org}scan')::uuid], '{}', 'usr_x', now());
INSERT INTO sessions (id, organization_id, user_id, created_at, expires_at, user_agent, address, last_used_at,
                      authenticated_at)
    VALUES (md5('{org}session')::uuid, '{org}', md5('{org}user')::uuid, now(), now(), '', '', now(), now());
INSERT INTO refresh_tokens (digest, organization_id, session_id, created_at, expires_at)
    VALUES (sha256('{org}refresh'), '{org}', md5('{org}session')::uuid, now(), now());
INSERT INTO mfa_challenges (digest, user_id, organization_id, created_at, expires_at)
    VALUES (sha256('{org}challenge'), md5('{org}user')::uuid, '{org}', now(), now());
INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at)
    VALUES (md5('{org}invitation')::uuid, '{org}', 'a@example.com', 'viewer', sha256('{org}invitation'),
            md5('{org}user')::uuid, now(), now());
INSERT INTO mails (id, organization_id, recipient, locale, template, created_at, expires_at, letter, next_attempt_at)
    VALUES (md5('{org}mail')::uuid, '{org}', 'a@example.com', 'en', 'invitation', now(), now(), 'sealed', now());
INSERT INTO idempotency_keys (organization_id, subject, route, key, request_digest, created_at, expires_at, lease_until)
    VALUES ('{org}', 'usr_x', 'POST /scans', 'k', '', now(), now(), now());
INSERT INTO schedules (id, organization_id, created_at, kind, owner, updated_at, name, cron, time_zone, jitter_seconds,
                       overlap, missed, enabled, body, request)
    VALUES (md5('{org}schedule')::uuid, '{org}', now(), 'scan', 'usr_x', now(), 'n', '0 0 * * *', 'UTC', 0, 'skip', 'skip',
            false, '{}', '{}');
INSERT INTO schedule_runs (organization_id, schedule_id, tick_at, decided_at, outcome)
    VALUES ('{org}', md5('{org}schedule')::uuid, now(), now(), 'missed');
INSERT INTO blackout_windows (organization_id, position, name, days, begins, ends, time_zone)
    VALUES ('{org}', 0, 'n', '{mon}', '09:00', '17:00', 'UTC');
INSERT INTO organization_turns (organization_id, pool, moment) VALUES ('{org}', 'net', 0);
SELECT picket_audit('{org}', now(), '{"actor": "usr_x", "action": "scan.created"}');

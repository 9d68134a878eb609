-- Who somebody is and what they did: sessions, second factors, identities at providers, invitations, mail, the answers
-- that idempotency keys replay, and the audit log.

ALTER TABLE organizations
    -- Change by its owner.
    ADD require_mfa      boolean NOT NULL DEFAULT false,
    -- Where members and keys may call from; empty means anywhere.
    ADD allowed_ranges   text[] NOT NULL DEFAULT '{}',
    -- Days that results are kept; NULL means as long as the plan allows.
    ADD retention_days   integer,
    ADD sla_days         jsonb NOT NULL DEFAULT '{}',
    ADD branding         jsonb NOT NULL DEFAULT '{}',
    -- Change by the operator.
    ADD trial_ends_at    timestamptz,
    ADD suspended_at     timestamptz,
    ADD suspended_reason text,
    ADD CONSTRAINT retention_is_positive CHECK (retention_days > 0),
    ADD CONSTRAINT a_suspended_organization_has_a_reason CHECK ((suspended_at IS NULL) = (suspended_reason IS NULL));

ALTER TABLE organization_counters
    -- The head of the audit log's chain.
    ADD audit_sequence bigint NOT NULL DEFAULT 0,
    ADD audit_hash     bytea;

ALTER TABLE users
    -- A person who signs in through a provider has no password.
    ALTER password_hash DROP NOT NULL,
    ADD locale              text NOT NULL DEFAULT 'en',
    ADD time_zone           text NOT NULL DEFAULT 'UTC',
    -- Names the object in the store.
    ADD avatar              text,
    ADD email_verified_at   timestamptz,
    ADD password_changed_at timestamptz,
    -- Change by the operator.
    ADD disabled_at         timestamptz,
    -- The second factor. Both secrets are sealed; the pending one counts for nothing until a code proves it.
    ADD totp_pending        bytea,
    ADD totp_secret         bytea,
    ADD totp_enabled_at     timestamptz,
    -- The last step whose code was accepted: a code is good once.
    ADD totp_step           bigint,
    -- When wrong codes of an app were shown lately, over all logins and sessions; the latest ten.
    ADD totp_failures       timestamptz[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT a_locale_is_known CHECK (locale IN ('en', 'zh', 'id')),
    ADD CONSTRAINT an_enabled_factor_has_a_secret CHECK ((totp_secret IS NULL) = (totp_enabled_at IS NULL));

-- One signed-in device. An access token names its session and is worth what the session is worth now.
CREATE TABLE sessions (
    -- Never change.
    id               uuid PRIMARY KEY,
    organization_id  uuid NOT NULL REFERENCES organizations,
    user_id          uuid NOT NULL REFERENCES users,
    created_at       timestamptz NOT NULL,
    -- However often it is refreshed.
    expires_at       timestamptz NOT NULL,
    user_agent       text NOT NULL,

    -- Change as the session is used.
    address          text NOT NULL,
    last_used_at     timestamptz NOT NULL,
    -- When password or provider, and the second factor, were shown last.
    authenticated_at timestamptz NOT NULL,
    mfa              boolean NOT NULL DEFAULT false,
    revoked_at       timestamptz,
    revoked_reason   text,

    CONSTRAINT a_revoked_session_has_a_reason CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX sessions_of_a_user ON sessions (user_id, id DESC) WHERE revoked_at IS NULL;
-- The steward takes rows away that are long over; so for the tables below.
CREATE INDEX ended_sessions ON sessions (least(revoked_at, expires_at));
CALL picket_isolate('sessions');

-- The family of a session: each use replaces the token by its successor.
CREATE TABLE refresh_tokens (
    -- SHA-256 of the token.
    digest          bytea PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    session_id      uuid NOT NULL REFERENCES sessions ON DELETE CASCADE,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    used_at         timestamptz,
    CONSTRAINT a_refresh_digest_is_a_sha256 CHECK (length(digest) = 32)
);
CREATE INDEX refresh_tokens_of_a_session ON refresh_tokens (session_id);
CREATE UNIQUE INDEX a_session_has_one_live_refresh_token ON refresh_tokens (session_id) WHERE used_at IS NULL;
CALL picket_isolate('refresh_tokens');

-- What was mailed to prove an address, to reset a password or to change the address; bound to the address it went to.
CREATE TABLE email_tokens (
    digest     bytea PRIMARY KEY,
    purpose    text NOT NULL,
    user_id    uuid NOT NULL REFERENCES users,
    email      text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    CONSTRAINT an_email_token_has_a_purpose CHECK (purpose IN ('verify', 'reset', 'change')),
    CONSTRAINT an_email_digest_is_a_sha256 CHECK (length(digest) = 32)
);
CREATE INDEX email_tokens_of_a_user ON email_tokens (user_id, purpose);
CREATE INDEX ended_email_tokens ON email_tokens (least(used_at, expires_at));
GRANT SELECT, INSERT, UPDATE, DELETE ON email_tokens TO picket_operator;

-- A login that waits for its second factor.
CREATE TABLE mfa_challenges (
    digest          bytea PRIMARY KEY,
    user_id         uuid NOT NULL REFERENCES users,
    -- The organization to sign in to.
    organization_id uuid NOT NULL REFERENCES organizations,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    -- Wrong codes; the fifth burns it.
    failures        integer NOT NULL DEFAULT 0,
    used_at         timestamptz,
    CONSTRAINT a_challenge_digest_is_a_sha256 CHECK (length(digest) = 32)
);
CREATE INDEX mfa_challenges_of_a_user ON mfa_challenges (user_id);
CREATE INDEX expired_mfa_challenges ON mfa_challenges (expires_at);
CALL picket_isolate('mfa_challenges');

CREATE TABLE mfa_backup_codes (
    user_id uuid NOT NULL REFERENCES users,
    digest  bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (user_id, digest)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON mfa_backup_codes TO picket_operator;

-- A person at a provider. The provider's subject is the identity, never the address.
CREATE TABLE identities (
    provider     text NOT NULL,
    subject      text NOT NULL,
    user_id      uuid NOT NULL REFERENCES users,
    email        text,
    created_at   timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (provider, subject),
    CONSTRAINT a_user_has_one_identity_a_provider UNIQUE (provider, user_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON identities TO picket_operator;

-- A code flow that was started and has not come back.
CREATE TABLE oauth_states (
    -- SHA-256 of `state`, and of the cookie that binds it to the browser.
    digest         bytea PRIMARY KEY,
    browser_digest bytea NOT NULL,
    provider       text NOT NULL,
    -- Sealed: the PKCE verifier and, for OpenID providers, the nonce.
    secrets        bytea NOT NULL,
    redirect_after text,
    -- Set when a signed-in person links an identity.
    user_id        uuid REFERENCES users,
    session_id     uuid REFERENCES sessions ON DELETE CASCADE,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    used_at        timestamptz,
    CONSTRAINT a_state_digest_is_a_sha256 CHECK (length(digest) = 32 AND length(browser_digest) = 32),
    CONSTRAINT a_link_names_person_and_session CHECK ((user_id IS NULL) = (session_id IS NULL))
);
-- Each start removes some that have expired.
CREATE INDEX expired_oauth_states ON oauth_states (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_states TO picket_operator;

CREATE TABLE invitations (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    email           text NOT NULL,
    role            text NOT NULL,
    digest          bytea NOT NULL UNIQUE,
    invited_by      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,

    -- Change once.
    accepted_at     timestamptz,
    withdrawn_at    timestamptz,

    CONSTRAINT an_invitation_has_a_known_role CHECK (role IN ('owner', 'admin', 'analyst', 'viewer')),
    CONSTRAINT an_invitation_ends_once CHECK (accepted_at IS NULL OR withdrawn_at IS NULL)
);
CREATE UNIQUE INDEX an_address_is_invited_once ON invitations (organization_id, lower(email))
    WHERE accepted_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX ended_invitations ON invitations (least(accepted_at, withdrawn_at, expires_at));
CALL picket_isolate('invitations');

ALTER TABLE memberships ADD last_seen_at timestamptz;

ALTER TABLE api_keys
    -- Where it may be used from; empty means anywhere.
    ADD allowed_ranges text[] NOT NULL DEFAULT '{}',
    -- The key that replaces it; this one ends with the grace period.
    ADD rotated_to     uuid REFERENCES api_keys;

-- Letters on their way. The dispatcher sends them; (id, attempt) is the fence.
CREATE TABLE mails (
    -- Never change.
    id              uuid PRIMARY KEY,
    -- NULL when it concerns a person and no organization.
    organization_id uuid REFERENCES organizations,
    -- NULL of a letter that is put together when it is sent; so is its letter.
    recipient       text,
    locale          text NOT NULL,
    template        text NOT NULL,
    -- The scan whose end it tells of, which may be removed by now, and to whom.
    scan_id         uuid,
    -- The same of a target whose proof it tells of.
    target_id       uuid,
    reader          uuid REFERENCES users,
    created_at      timestamptz NOT NULL,
    -- From then on it is worth nothing to its reader, and is not sent any more.
    expires_at      timestamptz NOT NULL,

    -- Change as it is sent. Sealed, since a letter holds tokens; gone once it has ended.
    letter          bytea,
    state           text NOT NULL DEFAULT 'pending',
    attempt         integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    lease_until     timestamptz,
    ended_at        timestamptz,
    error           text,

    CONSTRAINT a_mail_has_a_known_state CHECK (state IN ('pending', 'sending', 'sent', 'failed')),
    CONSTRAINT a_pending_mail_has_a_time CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT a_mail_being_sent_has_a_lease CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    CONSTRAINT a_final_mail_has_an_end_and_no_letter
        CHECK ((state IN ('sent', 'failed')) = (ended_at IS NOT NULL)
               AND (ended_at IS NULL AND scan_id IS NULL AND target_id IS NULL) = (letter IS NOT NULL)),
    CONSTRAINT a_mail_has_a_recipient_or_a_reader
        CHECK ((recipient IS NULL) = (reader IS NOT NULL) AND num_nonnulls(recipient, scan_id, target_id) = 1)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX a_scans_end_is_told_once ON mails (scan_id) WHERE scan_id IS NOT NULL;
CREATE INDEX due_mails ON mails (next_attempt_at) WHERE state = 'pending';
-- Who is written to how often.
CREATE INDEX mails_to_an_address ON mails (lower(recipient), created_at);
-- How many ends of scans an organization was told of lately.
CREATE INDEX told_ends ON mails (organization_id, created_at) WHERE scan_id IS NOT NULL;
CREATE INDEX mails_to_a_reader ON mails (reader, created_at) WHERE target_id IS NOT NULL;
CREATE INDEX leased_mails ON mails (lease_until) WHERE state = 'sending';
CREATE INDEX ended_mails ON mails (ended_at) WHERE ended_at IS NOT NULL;
CALL picket_isolate('mails');
CREATE TRIGGER ended_mails_stay_ended BEFORE UPDATE ON mails
    FOR EACH ROW EXECUTE FUNCTION ended_rows_stay_ended();

-- Answers to replay (`docs/contract.md` §9).
CREATE TABLE idempotency_keys (
    organization_id uuid NOT NULL REFERENCES organizations,
    -- Who sent it: `usr_…` or `key_…`.
    subject         text NOT NULL,
    -- Method and pattern of the route.
    route           text NOT NULL,
    key             text NOT NULL,
    -- SHA-256 of path, query and body.
    request_digest  bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    -- While it is in flight; who comes after that takes it over.
    lease_until     timestamptz,
    -- The answer: sealed, since some show a secret once.
    status          integer,
    answer          bytea,
    PRIMARY KEY (organization_id, subject, route, key),
    CONSTRAINT an_answer_has_a_status CHECK ((status IS NULL) = (answer IS NULL)),
    CONSTRAINT an_answer_is_no_longer_in_flight CHECK ((status IS NULL) = (lease_until IS NOT NULL))
);
CREATE INDEX expired_idempotency_keys ON idempotency_keys (expires_at);
CALL picket_isolate('idempotency_keys');

-- How many reports of an organization are not done.
CREATE INDEX unfinished_reports_of_an_organization ON reports (organization_id) WHERE state IN ('queued', 'running');

-- What was done, by whom. Rows are added and never changed: each one's hash covers the one before.
CREATE TABLE audit_log (
    organization_id uuid NOT NULL REFERENCES organizations,
    sequence        bigint NOT NULL,
    at              timestamptz NOT NULL,
    -- The text that is hashed (`domain/audit.rs`); the columns below say nothing that it does not.
    entry           text NOT NULL,
    hash            bytea NOT NULL,
    actor           text NOT NULL GENERATED ALWAYS AS (entry::jsonb ->> 'actor') STORED,
    action          text NOT NULL GENERATED ALWAYS AS (entry::jsonb ->> 'action') STORED,
    object          text GENERATED ALWAYS AS (entry::jsonb ->> 'object') STORED,
    address         text GENERATED ALWAYS AS (entry::jsonb ->> 'address') STORED,
    PRIMARY KEY (organization_id, sequence),
    CONSTRAINT an_audit_hash_is_a_sha256 CHECK (length(hash) = 32)
);
CREATE INDEX audit_log_by_time ON audit_log (organization_id, at);
CREATE INDEX audit_log_by_action ON audit_log (organization_id, action, sequence DESC);
CREATE INDEX audit_log_by_actor ON audit_log (organization_id, actor, sequence DESC);
CREATE INDEX audit_log_by_address ON audit_log (organization_id, address, sequence DESC);
CREATE INDEX audit_log_by_object ON audit_log (organization_id, object, sequence DESC);
CALL picket_isolate('audit_log');
-- Not TRUNCATE either, which nobody was granted.
REVOKE UPDATE, DELETE ON audit_log FROM picket_tenant, picket_operator;

CREATE FUNCTION audit_rows_stay() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is never changed' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_rows_stay BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_rows_stay();
CREATE TRIGGER audit_rows_stay_all BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION audit_rows_stay();

-- Adds a row to the organization's chain: hash = SHA-256(hash before, sequence as 8 bytes, entry). The first row's
-- predecessor is SHA-256 of the organization's id.
CREATE FUNCTION picket_audit(organization uuid, at timestamptz, entry text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
DECLARE
    head organization_counters;
    next bytea;
BEGIN
    SELECT c.* INTO STRICT head FROM organization_counters AS c WHERE c.organization_id = organization FOR NO KEY UPDATE;
    head.audit_sequence := head.audit_sequence + 1;
    next := sha256(coalesce(head.audit_hash, sha256(uuid_send(organization)))
                   || int8send(head.audit_sequence) || convert_to(entry, 'UTF8'));
    INSERT INTO audit_log (organization_id, sequence, at, entry, hash)
        VALUES (organization, head.audit_sequence, at, entry, next);
    UPDATE organization_counters AS c SET audit_sequence = head.audit_sequence, audit_hash = next
        WHERE c.organization_id = organization;
    RETURN head.audit_sequence;
END
$$;

-- Whose rights changed, so that gateways may remember who somebody is: each reads a few times a second what is new. A row
-- is seen when the change itself is, and its transaction tells a reader whether it was seen before.
CREATE TABLE rights_changes (
    xid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
    -- A person, a session, a key or an organization.
    subject    uuid NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (xid, subject)
);
CREATE INDEX old_rights_changes ON rights_changes (changed_at);
GRANT SELECT, DELETE ON rights_changes TO picket_operator;

-- As the owner, since nobody else may write there. Takes the column that names whose rights the row decides.
CREATE FUNCTION picket_note_rights() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
BEGIN
    INSERT INTO public.rights_changes (subject) VALUES ((to_jsonb(OLD) ->> TG_ARGV[0])::uuid) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION picket_note_rights FROM PUBLIC;

-- What the look-up of a caller reads, but for when somebody was seen last; a test holds the columns against its statements.
-- A new row takes nothing from anybody.
CREATE TRIGGER rights_change AFTER DELETE OR UPDATE OF id, plan, require_mfa, allowed_ranges, suspended_at
    ON organizations FOR EACH ROW EXECUTE FUNCTION picket_note_rights('id');
CREATE TRIGGER rights_change AFTER DELETE OR UPDATE OF id, disabled_at
    ON users FOR EACH ROW EXECUTE FUNCTION picket_note_rights('id');
CREATE TRIGGER rights_change AFTER DELETE OR UPDATE OF organization_id, user_id, role
    ON memberships FOR EACH ROW EXECUTE FUNCTION picket_note_rights('user_id');
CREATE TRIGGER rights_change AFTER DELETE OR
    UPDATE OF id, organization_id, user_id, expires_at, authenticated_at, mfa, revoked_at
    ON sessions FOR EACH ROW EXECUTE FUNCTION picket_note_rights('id');
CREATE TRIGGER rights_change AFTER DELETE OR
    UPDATE OF id, organization_id, created_by, digest, scopes, expires_at, allowed_ranges, revoked_at
    ON api_keys FOR EACH ROW EXECUTE FUNCTION picket_note_rights('id');

-- Two roles that own nothing and cannot log in. A connection takes one of them for each transaction:
-- picket_tenant sees the rows of one organization, picket_operator sees all (loops, look-ups before the tenant is known).
-- Roles belong to the cluster, so another database's migration may have made them, even in this very moment.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['picket_tenant', 'picket_operator'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO picket_tenant, picket_operator;

-- The organization of this transaction; NULL, and so no row at all, when none was set.
CREATE FUNCTION picket_organization() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('picket.organization', true), '')::uuid $$;

-- Locks a table to its tenant. Every table with the rows of customers calls it; a test reads the catalogue for those
-- that did not.
CREATE PROCEDURE picket_isolate(name regclass, organization_column text DEFAULT 'organization_id')
    LANGUAGE plpgsql
    AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('CREATE POLICY its_own_organization ON %s TO picket_tenant
                    USING (%2$I = picket_organization()) WITH CHECK (%2$I = picket_organization())', name, organization_column);
    EXECUTE format('CREATE POLICY the_operator ON %s TO picket_operator USING (true) WITH CHECK (true)', name);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO picket_tenant, picket_operator', name);
END
$$;

CREATE TABLE organizations (
    -- Never change.
    id              uuid PRIMARY KEY,
    created_at      timestamptz NOT NULL,

    -- Change by its owner, or by the operator.
    name            text NOT NULL,
    plan            text NOT NULL,

    -- Changes as events are relayed.
    event_sequence  bigint NOT NULL DEFAULT 0,

    CONSTRAINT an_organization_has_a_known_plan CHECK (plan IN ('trial', 'starter', 'professional', 'enterprise')),
    CONSTRAINT an_organization_has_a_name CHECK (length(name) BETWEEN 1 AND 200)
);
CALL picket_isolate('organizations', 'id');

-- Numbers that the v2 dialect shows instead of ids. Apart from `organizations`, since each create locks its row.
CREATE TABLE organization_counters (
    organization_id uuid PRIMARY KEY REFERENCES organizations,
    scans           bigint NOT NULL DEFAULT 0,
    reports         bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CALL picket_isolate('organization_counters');

-- A person; may belong to several organizations, so this table has no tenant and only the operator role reads it.
CREATE TABLE users (
    -- Never change.
    id            uuid PRIMARY KEY,
    created_at    timestamptz NOT NULL,

    -- Change by the person.
    email         text NOT NULL,
    name          text NOT NULL,
    password_hash text NOT NULL
);
CREATE UNIQUE INDEX an_address_has_one_user ON users (lower(email));
GRANT SELECT, INSERT, UPDATE ON users TO picket_operator;

CREATE TABLE memberships (
    organization_id uuid NOT NULL REFERENCES organizations,
    user_id         uuid NOT NULL REFERENCES users,
    role            text NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id),
    CONSTRAINT a_member_has_a_known_role CHECK (role IN ('owner', 'admin', 'analyst', 'viewer'))
);
CREATE INDEX memberships_of_a_user ON memberships (user_id);
CALL picket_isolate('memberships');

CREATE TABLE api_keys (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    created_by      uuid NOT NULL REFERENCES users,
    created_at      timestamptz NOT NULL,
    name            text NOT NULL,
    -- The first characters, to recognise a key by; SHA-256 of the whole.
    prefix          text NOT NULL,
    digest          bytea NOT NULL UNIQUE,
    scopes          text[] NOT NULL,
    expires_at      timestamptz,

    -- Change as the key is used and withdrawn.
    last_used_at    timestamptz,
    revoked_at      timestamptz,

    CONSTRAINT a_digest_is_a_sha256 CHECK (length(digest) = 32)
);
CREATE INDEX api_keys_of_an_organization ON api_keys (organization_id, id DESC);
CALL picket_isolate('api_keys');

CREATE TABLE targets (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    created_at      timestamptz NOT NULL,
    kind            text NOT NULL,
    value           text NOT NULL,

    -- Change by the client.
    tags            text[] NOT NULL DEFAULT '{}',

    CONSTRAINT a_target_has_a_known_kind CHECK (kind IN ('host', 'address', 'network')),
    CONSTRAINT a_target_is_listed_once UNIQUE (organization_id, value)
);
CREATE INDEX targets_of_an_organization ON targets (organization_id, id DESC);
CALL picket_isolate('targets');

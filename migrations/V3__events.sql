-- What happened: written in the transaction that caused it, relayed to the broker afterwards (the outbox).
CREATE TABLE events (
    -- Never change. `position` is the order of writing, not of committing.
    position        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid NOT NULL UNIQUE,
    organization_id uuid NOT NULL,
    name            text NOT NULL,
    routing_key     text NOT NULL,
    public          boolean NOT NULL,
    scan_id         uuid,
    body            jsonb NOT NULL,
    traceparent     text,
    at              timestamptz NOT NULL,

    -- Change as the event is relayed and fanned out.
    sequence        bigint,
    claimed_until   timestamptz,
    published_at    timestamptz,
    fanned_out_at   timestamptz,

    CONSTRAINT a_published_public_event_has_a_number CHECK (NOT public OR published_at IS NULL OR sequence IS NOT NULL),
    CONSTRAINT only_public_events_are_fanned_out CHECK (public OR fanned_out_at IS NULL)
) WITH (fillfactor = 70);
CREATE INDEX unnumbered_events ON events (position) WHERE public AND sequence IS NULL;
CREATE INDEX unpublished_events ON events (position) WHERE published_at IS NULL;
CREATE INDEX events_to_fan_out ON events (position) WHERE public AND fanned_out_at IS NULL;
-- What only processes hear comes and goes with every task, and is in neither of these.
CREATE UNIQUE INDEX an_event_is_numbered_once ON events (organization_id, sequence) WHERE sequence IS NOT NULL;
CREATE INDEX events_of_a_scan ON events (scan_id, position) WHERE scan_id IS NOT NULL AND public;
CALL picket_isolate('events');

CREATE TABLE webhooks (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    dialect         text NOT NULL,
    created_at      timestamptz NOT NULL,

    -- Change by the client.
    url             text NOT NULL,
    -- Names in the webhook's dialect.
    events          text[] NOT NULL,
    -- Sealed; readable with the platform's key alone.
    secret          bytea NOT NULL,
    disabled_at     timestamptz,
    disabled_reason text,
    deleted_at      timestamptz,

    -- Changes as its receiver asks for a pause (Retry-After): nothing is sent before.
    held_until      timestamptz,

    CONSTRAINT a_webhook_belongs_to_its_organization UNIQUE (organization_id, id),
    CONSTRAINT a_webhook_has_a_known_dialect CHECK (dialect IN ('v1', 'v2')),
    CONSTRAINT a_webhook_hears_something CHECK (cardinality(events) > 0),
    CONSTRAINT a_disabled_webhook_has_a_reason CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX webhooks_of_an_organization ON webhooks (organization_id, id DESC) WHERE deleted_at IS NULL;
CALL picket_isolate('webhooks');

-- One event on its way to one webhook.
CREATE TABLE deliveries (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    webhook_id      uuid NOT NULL,
    event_id        uuid NOT NULL REFERENCES events (id),
    -- The name in the webhook's dialect, and the bytes that are signed.
    event           text NOT NULL,
    body            bytea NOT NULL,
    created_at      timestamptz NOT NULL,

    -- Change with every attempt; (id, attempt) is the fence.
    state           text NOT NULL DEFAULT 'pending',
    attempt         integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    lease_until     timestamptz,
    ended_at        timestamptz,

    FOREIGN KEY (organization_id, webhook_id) REFERENCES webhooks (organization_id, id),
    -- By the event first: each event that is removed looks here.
    CONSTRAINT a_delivery_is_made_once UNIQUE (event_id, webhook_id),
    CONSTRAINT a_delivery_has_a_known_state CHECK (state IN ('pending', 'sending', 'delivered', 'exhausted', 'withdrawn')),
    CONSTRAINT a_pending_delivery_has_a_time CHECK ((state = 'pending') = (next_attempt_at IS NOT NULL)),
    CONSTRAINT a_delivery_being_sent_has_a_lease CHECK ((state = 'sending') = (lease_until IS NOT NULL)),
    CONSTRAINT a_final_delivery_has_an_end
        CHECK ((state IN ('delivered', 'exhausted', 'withdrawn')) = (ended_at IS NOT NULL)),
    CONSTRAINT a_body_is_bounded CHECK (length(body) <= 65536)
) WITH (fillfactor = 70);
CREATE INDEX due_deliveries ON deliveries (webhook_id, next_attempt_at) WHERE state = 'pending';
CREATE INDEX leased_deliveries ON deliveries (lease_until) WHERE state = 'sending';
CREATE INDEX deliveries_of_a_webhook ON deliveries (webhook_id, id DESC);
CALL picket_isolate('deliveries');

CREATE TABLE delivery_attempts (
    organization_id uuid NOT NULL,
    delivery_id     uuid NOT NULL REFERENCES deliveries,
    attempt         integer NOT NULL,
    started_at      timestamptz NOT NULL,
    duration_ms     bigint NOT NULL,
    -- One of both: what the receiver answered, or why there is no answer.
    status          integer,
    error           text,
    -- The error as one word, for programs.
    error_class     text,
    response        text,
    -- The address that was called, as far as it was known. For operators: no client is shown it.
    peer            text,
    PRIMARY KEY (delivery_id, attempt),
    CONSTRAINT an_attempt_has_an_answer_or_an_error CHECK ((status IS NULL) <> (error IS NULL)),
    CONSTRAINT an_error_has_a_class CHECK ((error IS NULL) = (error_class IS NULL))
);
CALL picket_isolate('delivery_attempts');

CREATE TABLE reports (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    number          bigint NOT NULL,
    format          text NOT NULL,
    scan_ids        uuid[] NOT NULL,
    request         jsonb NOT NULL,
    requested_by    text NOT NULL,
    traceparent     text,
    created_at      timestamptz NOT NULL,

    -- Change as the report is rendered; (id, attempt) is the fence.
    state           text NOT NULL DEFAULT 'queued',
    attempt         integer NOT NULL DEFAULT 0,
    failures        integer NOT NULL DEFAULT 0,
    lease_until     timestamptz,
    ended_at        timestamptz,
    failure         text,
    size_bytes      bigint,
    sha256          text,
    warnings        text[] NOT NULL DEFAULT '{}',

    CONSTRAINT a_report_is_numbered_once UNIQUE (organization_id, number),
    CONSTRAINT a_report_has_a_known_format CHECK (format IN ('pdf', 'html', 'json')),
    CONSTRAINT a_report_has_a_known_state CHECK (state IN ('queued', 'running', 'done', 'failed')),
    CONSTRAINT a_running_report_has_a_lease CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CONSTRAINT a_final_report_has_an_end CHECK ((state IN ('done', 'failed')) = (ended_at IS NOT NULL)),
    CONSTRAINT a_failed_report_has_a_reason CHECK ((state = 'failed') = (failure IS NOT NULL)),
    CONSTRAINT a_done_report_has_a_size CHECK ((state = 'done') = (size_bytes IS NOT NULL AND sha256 IS NOT NULL)),
    CONSTRAINT a_report_is_about_scans CHECK (cardinality(scan_ids) BETWEEN 1 AND 100)
) WITH (fillfactor = 80);
CREATE INDEX reports_of_an_organization ON reports (organization_id, created_at DESC, id DESC);
CREATE INDEX unfinished_reports ON reports (created_at) WHERE state IN ('queued', 'running');
CALL picket_isolate('reports');

-- Reports and deliveries: what has ended stays ended, and an attempt never goes back, so a fence never fits twice.
CREATE FUNCTION ended_rows_stay_ended() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    IF OLD.ended_at IS NOT NULL AND NEW.state <> OLD.state THEN
        RAISE EXCEPTION 'a row of % cannot go from % to %', TG_TABLE_NAME, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.attempt < OLD.attempt THEN
        RAISE EXCEPTION 'the attempt of a row of % never goes back', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER ended_reports_stay_ended BEFORE UPDATE ON reports
    FOR EACH ROW EXECUTE FUNCTION ended_rows_stay_ended();
CREATE TRIGGER ended_deliveries_stay_ended BEFORE UPDATE ON deliveries
    FOR EACH ROW EXECUTE FUNCTION ended_rows_stay_ended();

-- Messages that nobody could take, as the steward took them from the broker: for people to look at. Nothing of the platform
-- depends on them, since a message is a hint.
CREATE TABLE dead_letters (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Which queue put it aside, without the namespace, and why; `unknown` where the broker's words are none that we know.
    queue       text NOT NULL,
    reason      text NOT NULL,
    routing_key text NOT NULL,
    size_bytes  bigint NOT NULL,
    -- Its beginning, whatever it is.
    content     bytea NOT NULL,
    seen_at     timestamptz NOT NULL,
    CONSTRAINT only_a_beginning_is_kept CHECK (octet_length(content) <= 4096)
);
CREATE INDEX dead_letters_by_queue ON dead_letters (queue, seen_at);
CREATE INDEX dead_letters_by_age ON dead_letters (seen_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters TO picket_operator;

-- What the faults suite writes down beside the product, in a schema of its own: every change of state with its time, what was
-- answered, what was heard. The checker reads both and believes neither alone.
CREATE SCHEMA faults;

-- Answered 201. What each scan must have found when it was done without a gap; and whether a gap is due.
CREATE TABLE faults.accepted (
    scan_id  uuid PRIMARY KEY,
    -- The id as the API answered it: the audit log must know of that one. NULL when it was stored by hand.
    wire     text,
    findings bigint,
    gap_due  boolean NOT NULL DEFAULT false
);
-- What was done besides, and must be in the audit log.
CREATE TABLE faults.audited (action text NOT NULL, object text NOT NULL);
-- What the receivers of webhooks were sent, and what they answered.
CREATE TABLE faults.heard (webhook_id uuid NOT NULL, event_id uuid NOT NULL, body text NOT NULL, status integer NOT NULL);
-- The webhooks whose receiver writes down what it hears.
CREATE TABLE faults.listens (webhook_id uuid PRIMARY KEY);
-- A word of each organization that nobody else may ever be shown.
CREATE TABLE faults.canaries (organization_id uuid PRIMARY KEY, word text NOT NULL);
-- What is left of processes that died: filled by the runner before it checks.
CREATE TABLE faults.leftovers (what text NOT NULL);
-- The limits of the product's one table, filled by the runner.
CREATE TABLE faults.limits (plan text PRIMARY KEY, tasks_in_flight bigint NOT NULL, concurrent_scans bigint NOT NULL);

-- In the order of writing: an end is written down before it is committed, a beginning is committed only after whoever
-- counted saw the ends. So a sum over it never says more than there was at one time.
CREATE TABLE faults.history (
    place           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind            text NOT NULL,
    id              uuid NOT NULL,
    organization_id uuid NOT NULL,
    was             text,
    becomes         text NOT NULL,
    attempt         integer
);

CREATE FUNCTION faults.note() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    AS $$
DECLARE
    before jsonb := CASE WHEN TG_OP = 'UPDATE' THEN to_jsonb(OLD) END;
    after  jsonb := to_jsonb(NEW);
BEGIN
    IF before IS NULL OR (before ->> 'state', before ->> 'ended_at', before ->> 'attempt')
                         IS DISTINCT FROM (after ->> 'state', after ->> 'ended_at', after ->> 'attempt') THEN
        INSERT INTO faults.history (kind, id, organization_id, was, becomes, attempt)
            VALUES (TG_TABLE_NAME, NEW.id, NEW.organization_id, before ->> 'state', NEW.state, (after ->> 'attempt')::integer);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON scans FOR EACH ROW EXECUTE FUNCTION faults.note();
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION faults.note();
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON deliveries FOR EACH ROW EXECUTE FUNCTION faults.note();
CREATE TRIGGER noted AFTER INSERT OR UPDATE ON reports FOR EACH ROW EXECUTE FUNCTION faults.note();

-- What is kept of the runs of tools beside their findings: the lines of the live output, and their raw output.

-- How many lines a scan's live output has, so that they are numbered without gaps in the order in which they are committed:
-- whoever adds some holds this row until then.
CREATE TABLE scan_outputs (
    scan_id         uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    -- Also those that were not kept any more.
    lines           bigint NOT NULL,
    FOREIGN KEY (organization_id, scan_id) REFERENCES scans (organization_id, id)
) WITH (fillfactor = 50);
CALL picket_isolate('scan_outputs');

CREATE TABLE output_lines (
    organization_id uuid NOT NULL,
    scan_id         uuid NOT NULL,
    -- From 1, without gaps.
    number          bigint NOT NULL,
    -- The fence whose line it is.
    task_id         uuid NOT NULL,
    attempt         integer NOT NULL,
    at              timestamptz NOT NULL,
    line            jsonb NOT NULL,
    PRIMARY KEY (scan_id, number),
    FOREIGN KEY (organization_id, scan_id) REFERENCES scans (organization_id, id),
    CONSTRAINT a_line_is_bounded CHECK (octet_length(line::text) <= 4096)
);
CALL picket_isolate('output_lines');

-- The raw output of one run of a tool, or a report that was imported, as a document of the object store. The row is there
-- before its document and goes after it, whatever becomes of the task and the scan meanwhile, so that no document is left that
-- no row names: hence no reference to either. A small one is in its row, and has no document.
CREATE TABLE artifacts (
    -- Never change.
    id              uuid PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES organizations,
    scan_id         uuid NOT NULL,
    -- The fence whose output it is.
    task_id         uuid NOT NULL,
    attempt         integer NOT NULL,
    tool            text NOT NULL,
    kind            text NOT NULL,
    created_at      timestamptz NOT NULL,
    -- Of what the tool printed, and how much of it is kept.
    size_bytes      bigint NOT NULL,
    sha256          text NOT NULL,
    is_cut          boolean NOT NULL,

    -- Change: `stored` in the transaction that ends the run.
    state           text NOT NULL DEFAULT 'storing',
    -- Compressed.
    stored_bytes    bigint,

    -- Never changes: the whole of it, compressed, where it is small.
    content         bytea,

    CONSTRAINT a_small_artifact_is_whole CHECK (content IS NULL
        OR (state IN ('stored', 'doomed') AND stored_bytes = octet_length(content) AND stored_bytes <= 8192)),
    CONSTRAINT an_artifact_has_a_known_kind CHECK (kind IN ('output', 'import')),
    CONSTRAINT an_artifact_has_a_known_state CHECK (state IN ('storing', 'stored', 'lost', 'doomed')),
    CONSTRAINT a_stored_artifact_has_a_size CHECK (state <> 'stored' OR stored_bytes IS NOT NULL)
) WITH (fillfactor = 80);
CREATE INDEX artifacts_of_a_scan ON artifacts (scan_id, id);
CREATE INDEX artifacts_by_age ON artifacts (organization_id, created_at) WHERE state IN ('stored', 'lost');
CREATE INDEX artifacts_to_sweep ON artifacts (created_at) WHERE state IN ('storing', 'doomed');
CALL picket_isolate('artifacts');

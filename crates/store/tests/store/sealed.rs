//! The table of sealed columns, against the catalogue.

use std::collections::BTreeSet;

use picket_store::sealed::SealedColumn;
use picket_testkit::Database;

/// Columns of bytes that hold digests, hashes or documents: nothing that could be turned back into a secret.
const NOT_SECRET: &[&str] = &[
    "api_keys.digest",
    "artifacts.content",
    "audit_log.hash",
    "dead_letters.content",
    "deliveries.body",
    "email_tokens.digest",
    "findings.fingerprint",
    "idempotency_keys.request_digest",
    "invitations.digest",
    "mfa_backup_codes.digest",
    "mfa_challenges.digest",
    "oauth_states.browser_digest",
    "oauth_states.digest",
    "organization_counters.audit_hash",
    "refresh_tokens.digest",
    "target_authorizations.document_sha256",
    "target_proofs.digest",
];

#[tokio::test]
async fn every_column_of_bytes_is_sealed_or_known_to_be_no_secret() {
    let database = Database::new().await;
    let sql = "SELECT table_name || '.' || column_name FROM information_schema.columns
               WHERE table_schema = 'public' AND data_type = 'bytea'";
    let rows = database.connect().await.query(sql, &[]).await.unwrap();
    let found: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let sealed = SealedColumn::ALL.iter().map(|one| format!("{}.{}", one.table(), one.column()));
    let known: BTreeSet<String> = sealed.chain(NOT_SECRET.iter().map(|one| (*one).to_owned())).collect();
    let strange: Vec<_> = found.difference(&known).collect();
    assert!(strange.is_empty(), "neither in `sealed.rs` nor known to be no secret: {strange:?}");
    let stale: Vec<_> = known.difference(&found).collect();
    assert!(stale.is_empty(), "no such column of bytes: {stale:?}");
}

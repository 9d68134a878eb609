//! What goes when it has ended, and what stays.

use picket_domain::UserId;
use picket_store::{
    StoreError,
    expired::{self, Expiring, MOST},
};

use crate::scenario::{Scenario, now};

/// A table, whose rows these inserts make with one time each: `{at}` is when the row ends, `{id}` a number of its own.
struct Case {
    what: Expiring,
    bound: &'static str,
    inserts: &'static [&'static str],
}

const LATE: &str = "now() + interval '100 years'";

const CASES: &[Case] = &[
    // The first, since sweeping sessions makes more of them.
    Case {
        what: Expiring::RightsChanges,
        bound: "1 day",
        inserts: &["INSERT INTO rights_changes (subject, changed_at) VALUES (gen_random_uuid(), {at})"],
    },
    Case {
        what: Expiring::DeadLetters,
        bound: "30 days",
        inserts: &["INSERT INTO dead_letters (queue, reason, routing_key, size_bytes, content, seen_at)
             VALUES ('reports', 'rejected', 'x', 0, '', {at})"],
    },
    Case {
        what: Expiring::Sessions,
        bound: "30 days",
        inserts: &[
            "INSERT INTO sessions (id, organization_id, user_id, created_at, expires_at, user_agent, address, last_used_at, authenticated_at)
             VALUES (gen_random_uuid(), {organization}, {user}, now(), {at}, '', '', now(), now())",
            "INSERT INTO sessions (id, organization_id, user_id, created_at, expires_at, user_agent, address, last_used_at, authenticated_at,
                                   revoked_at, revoked_reason)
             VALUES (gen_random_uuid(), {organization}, {user}, now(), {late}, '', '', now(), now(), {at}, 'x')",
        ],
    },
    Case {
        what: Expiring::EmailTokens,
        bound: "7 days",
        inserts: &[
            "INSERT INTO email_tokens (digest, purpose, user_id, email, created_at, expires_at)
             VALUES ({digest}, 'verify', {user}, 'a@b.c', now(), {at})",
            "INSERT INTO email_tokens (digest, purpose, user_id, email, created_at, expires_at, used_at)
             VALUES ({digest}, 'verify', {user}, 'a@b.c', now(), {late}, {at})",
        ],
    },
    Case {
        what: Expiring::Invitations,
        bound: "90 days",
        inserts: &[
            "INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at)
             VALUES (gen_random_uuid(), {organization}, gen_random_uuid()::text, 'viewer', {digest}, {user}, now(), {at})",
            "INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at, accepted_at)
             VALUES (gen_random_uuid(), {organization}, 'a@b.c', 'viewer', {digest}, {user}, now(), {late}, {at})",
            "INSERT INTO invitations (id, organization_id, email, role, digest, invited_by, created_at, expires_at, withdrawn_at)
             VALUES (gen_random_uuid(), {organization}, 'a@b.c', 'viewer', {digest}, {user}, now(), {late}, {at})",
        ],
    },
    Case {
        what: Expiring::MfaChallenges,
        bound: "1 day",
        inserts: &["INSERT INTO mfa_challenges (digest, user_id, organization_id, created_at, expires_at)
             VALUES ({digest}, {user}, {organization}, now(), {at})"],
    },
    Case {
        what: Expiring::OauthStates,
        bound: "1 day",
        inserts: &["INSERT INTO oauth_states (digest, browser_digest, provider, secrets, created_at, expires_at)
             VALUES ({digest}, {digest}, 'github', 'x', now(), {at})"],
    },
    Case {
        what: Expiring::IdempotencyKeys,
        bound: "0 days",
        inserts: &["INSERT INTO idempotency_keys
               (organization_id, subject, route, key, request_digest, created_at, expires_at, status, answer)
             VALUES ({organization}, 'usr_x', 'POST /x', gen_random_uuid()::text, 'x', now(), {at}, 201, 'x')"],
    },
];

/// A scenario with a person.
async fn start() -> (Scenario, String, String) {
    let scenario = Scenario::new().await;
    let user = UserId::mint(now());
    let insert = "INSERT INTO users (id, created_at, email, name, password_hash) VALUES ($1, now(), 'a@b.c', 'A', 'x') RETURNING 1";
    scenario.row(insert, &[&user.uuid()]).await;
    let (organization, user) = (format!("'{}'", scenario.organization.uuid()), format!("'{}'", user.uuid()));
    (scenario, organization, user)
}

async fn sweep(scenario: &Scenario, what: Expiring) -> u64 {
    let work = async |tx: &picket_store::Tx<'_>| Ok::<_, StoreError>(expired::sweep(tx, what, now()).await?);
    scenario.db.operate("test", work).await.unwrap()
}

#[tokio::test]
async fn each_table_keeps_what_is_a_second_younger_than_its_bound() {
    let (scenario, organization, user) = start().await;
    for Case { what, bound, inserts } in CASES {
        for insert in *inserts {
            for second in ["-1", "1"] {
                let at = format!("(timestamptz '{}' - interval '{bound}' + interval '{second} s')", now());
                let sql = insert
                    .replace("{organization}", &organization)
                    .replace("{user}", &user)
                    .replace("{digest}", "sha256(uuid_send(gen_random_uuid()))")
                    .replace("{late}", LATE)
                    .replace("{at}", &at);
                scenario.execute(&sql).await;
            }
        }
        let half = i64::try_from(inserts.len()).unwrap();
        assert_eq!(sweep(&scenario, *what).await, u64::try_from(half).unwrap(), "{}", what.name());
        let kept = format!("SELECT count(*) FROM {}", what.name());
        assert_eq!(scenario.row(&kept, &[]).await.get::<_, i64>(0), half, "{}", what.name());
        assert_eq!(sweep(&scenario, *what).await, 0, "{}", what.name());
    }
}

#[tokio::test]
async fn used_refresh_tokens_stay_as_long_as_their_session_and_go_before_it_a_thousand_at_a_time() {
    let (scenario, organization, user) = start().await;
    let session = |ended: &str| {
        format!(
            "WITH session AS (
               INSERT INTO sessions (id, organization_id, user_id, created_at, expires_at, user_agent, address, last_used_at, authenticated_at)
               VALUES (gen_random_uuid(), {organization}, {user}, now(), timestamptz '{}' - interval '{ended}', '', '', now(), now())
               RETURNING *
             )
             INSERT INTO refresh_tokens (digest, organization_id, session_id, created_at, expires_at, used_at)
             SELECT sha256(uuid_send(gen_random_uuid())), organization_id, id, created_at, expires_at,
                    timestamptz '2001-01-01T00:00:00Z'
             FROM session, generate_series(1, 1005)",
            now()
        )
    };
    for ended in ["30 days 1 second", "29 days 23 hours 59 minutes", "-1 day"] {
        scenario.execute(&session(ended)).await;
    }
    assert_eq!(sweep(&scenario, Expiring::Sessions).await, 0, "a session with tokens goes after them");
    assert_eq!(sweep(&scenario, Expiring::RefreshTokens).await, MOST);
    assert_eq!(sweep(&scenario, Expiring::RefreshTokens).await, 5);
    assert_eq!(sweep(&scenario, Expiring::RefreshTokens).await, 0);
    assert_eq!(sweep(&scenario, Expiring::Sessions).await, 1);
    let kept = scenario.row("SELECT count(*), count(DISTINCT session_id) FROM refresh_tokens", &[]).await;
    assert_eq!((kept.get::<_, i64>(0), kept.get::<_, i64>(1)), (2_010, 2));
}

//! `picket admin organization` and `picket admin user`.

use picket_domain::SessionId;
use picket_store::sessions::{self, NewSession};

use crate::program::{EMAIL, Program, now};

async fn sign_in(program: &Program) {
    let new = NewSession {
        id: SessionId::mint(now()),
        organization_id: program.organization,
        user_id: program.user,
        expires_at: "2126-01-15T14:30:00Z".parse().unwrap(),
        user_agent: "test",
        address: "192.0.2.1",
        mfa: false,
        refresh_digest: std::array::from_fn(|_| rand::random()),
    };
    program.db.operate("test", async |tx| sessions::open(tx, &new, now()).await).await.unwrap();
}

const LIVE: &str = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL";

#[tokio::test]
async fn a_plan_is_set_once_and_told_in_the_log() {
    let program = Program::new().await;
    let id = program.organization.to_string();
    let set = |plan: &str| program.run(&["admin", "organization", "set-plan", &id, plan]);
    assert_eq!(set("enterprise").good(), format!("organization {id} is on plan enterprise\n"));
    assert_eq!(set("enterprise").good(), format!("organization {id} is on plan enterprise already\n"));
    assert_eq!(program.value::<String>("SELECT plan FROM organizations").await, "enterprise");
    assert!(program.value::<bool>("SELECT trial_ends_at IS NULL FROM organizations").await);
    let log = program.log().await;
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!(
        (log[0]["actor"].as_str(), log[0]["action"].as_str()),
        (Some("operator"), Some("organization.administered"))
    );
    assert_eq!((&log[0]["before"]["plan"], &log[0]["after"]["plan"]), (&"trial".into(), &"enterprise".into()));
    assert!(set("trial").good().ends_with("on plan trial\n"));
    assert!(program.value::<bool>("SELECT trial_ends_at > now() + interval '13 days' FROM organizations").await);
    assert_eq!(set("gold").code, Some(2));
    let unknown = program.run(&["admin", "organization", "set-plan", "org_00000000000000000000000001", "starter"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(1), ""));
    assert!(unknown.err.contains("organization"), "{unknown:?}");
    assert_eq!(program.run(&["admin", "organization", "set-plan", "usr_1", "starter"]).code, Some(2));
}

#[tokio::test]
async fn a_range_is_opened_for_one_organization_and_closed() {
    let program = Program::new().await;
    let id = program.organization.to_string();
    let run = |command: &str, range: &str| program.run(&["admin", command, &id, range]);
    let said = |state: &str| format!("range 10.1.0.0/16 of organization {id} is {state}\n");
    assert_eq!(run("allow-range", "10.1.0.0/16").good(), said("open"));
    assert_eq!(run("allow-range", "10.1.0.0/16").good(), said("open already"));
    assert_eq!(program.value::<String>("SELECT range FROM organization_ranges").await, "10.1.0.0/16");
    assert_eq!(run("withdraw-range", "10.1.0.0/16").good(), said("closed"));
    assert_eq!(run("withdraw-range", "10.1.0.0/16").good(), said("closed already"));
    for wrong in ["10.1.2.3/16", "10.1", "example.com"] {
        assert_eq!(run("allow-range", wrong).code, Some(2), "{wrong}");
    }
    assert_eq!(program.actions().await, ["organization.administered"; 2]);
    let unknown = program.run(&["admin", "allow-range", "org_00000000000000000000000001", "10.1.0.0/16"]);
    assert_eq!(unknown.code, Some(1));
}

#[tokio::test]
async fn an_organization_is_suspended_with_a_reason_and_resumed() {
    let program = Program::new().await;
    let id = program.organization.to_string();
    let run = |arguments: &[&str]| program.run(&[&["admin", "organization"], arguments].concat());
    assert_eq!(run(&["suspend", &id]).code, Some(2), "without a reason");
    assert_eq!(run(&["suspend", &id, "--reason", ""]).code, Some(2));
    assert_eq!(run(&["suspend", &id, "--reason", "a\nb"]).code, Some(2));
    assert_eq!(run(&["suspend", &id, "--reason", "unpaid"]).good(), format!("organization {id} is suspended\n"));
    assert!(run(&["suspend", &id, "--reason", "other"]).good().contains("already"));
    let line = run(&["list"]).good();
    let fields: Vec<_> = line.trim_end().split('\t').collect();
    assert_eq!(
        (fields[0], fields[1], fields[2], fields[4], fields[5]),
        (id.as_str(), "trial", "1", "suspended: unpaid", "Acme")
    );
    assert_eq!(run(&["resume", &id]).good(), format!("organization {id} is not suspended\n"));
    assert!(run(&["resume", &id]).good().contains("already"));
    assert!(run(&["list"]).good().contains("\tactive\t"));
    assert_eq!(program.actions().await, ["organization.administered"; 2]);
}

#[tokio::test]
async fn a_disabled_user_loses_every_session_and_comes_back() {
    let program = Program::new().await;
    sign_in(&program).await;
    sign_in(&program).await;
    let run = |what: &str, email: &str| program.run(&["admin", "user", what, email]);
    assert_eq!(run("disable", "ADA@example.com").good(), "user ADA@example.com is disabled\n");
    assert_eq!(program.value::<i64>(LIVE).await, 0);
    assert!(program.value::<bool>("SELECT disabled_at IS NOT NULL FROM users").await);
    assert!(run("disable", EMAIL).good().contains("already"));
    assert!(run("enable", EMAIL).good().contains("enabled"));
    assert!(program.value::<bool>("SELECT disabled_at IS NULL FROM users").await);
    let log = program.log().await;
    assert_eq!(program.actions().await, ["user.disabled", "user.enabled"]);
    assert_eq!(
        (&log[0]["after"]["sessions_revoked"], log[0]["object"].as_str()),
        (&2.into(), Some(program.user.to_string().as_str()))
    );
    let nobody = run("disable", "nobody@example.com");
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.err.contains("a user that exists"), "{nobody:?}");
}

#[tokio::test]
async fn a_lost_factor_is_taken_off_with_codes_challenges_and_sessions() {
    let program = Program::new().await;
    assert!(program.run(&["admin", "user", "reset-mfa", EMAIL]).good().contains("already"));
    sign_in(&program).await;
    let sql = format!(
        "UPDATE users SET totp_secret = 'x', totp_enabled_at = now(), totp_step = 7, totp_failures = ARRAY[now()];
         INSERT INTO mfa_backup_codes (user_id, digest) SELECT id, 'x' FROM users;
         INSERT INTO mfa_challenges (digest, user_id, organization_id, created_at, expires_at)
         SELECT sha256('x'), id, '{}', now(), now() FROM users",
        program.organization.uuid()
    );
    program.admin.batch_execute(&sql).await.unwrap();
    let said = program.run(&["admin", "user", "reset-mfa", EMAIL]).good();
    assert_eq!(said, format!("user {EMAIL} is without a second factor\n"));
    assert!(program.value::<bool>("SELECT totp_secret IS NULL AND totp_enabled_at IS NULL FROM users").await);
    assert_eq!(program.value::<i32>("SELECT cardinality(totp_failures) FROM users").await, 0);
    assert_eq!(program.value::<i64>("SELECT count(*) FROM mfa_backup_codes").await, 0);
    assert_eq!(program.value::<i64>("SELECT count(*) FROM mfa_challenges WHERE used_at IS NULL").await, 0);
    assert_eq!(program.value::<i64>(LIVE).await, 0);
    assert_eq!(program.actions().await, ["mfa.disabled"]);
}

#[tokio::test]
async fn sessions_are_revoked_by_hand() {
    let program = Program::new().await;
    sign_in(&program).await;
    let revoke = || program.run(&["admin", "user", "revoke-sessions", EMAIL]).good();
    assert_eq!(revoke(), format!("user {EMAIL} is signed out everywhere\n"));
    assert!(revoke().contains("already"));
    assert_eq!(program.value::<i64>(LIVE).await, 0);
    assert_eq!(program.actions().await, ["session.revoked"]);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_done() {
    let program = Program::new().await;
    program.admin.batch_execute("REVOKE INSERT ON audit_log FROM picket_operator").await.unwrap();
    let id = program.organization.to_string();
    assert_eq!(program.run(&["admin", "organization", "set-plan", &id, "enterprise"]).code, Some(1));
    assert_eq!(program.value::<String>("SELECT plan FROM organizations").await, "trial");
    assert_eq!(program.run(&["admin", "user", "disable", EMAIL]).code, Some(1));
    assert!(program.value::<bool>("SELECT disabled_at IS NULL FROM users").await);
}

#[tokio::test]
async fn somebody_becomes_an_operator_of_the_platform_and_is_none_again() {
    let program = Program::new().await;
    let run = |command: &str| program.run(&["admin", "user", command, EMAIL]);
    assert_eq!(run("make-operator").good(), format!("user {EMAIL} is an operator\n"));
    assert!(run("make-operator").good().contains("already"));
    assert_eq!(program.value::<String>("SELECT platform_role FROM users").await, "operator");
    assert_eq!(run("unmake-operator").good(), format!("user {EMAIL} is no operator\n"));
    assert!(program.value::<bool>("SELECT platform_role IS NULL FROM users").await);
    let log = program.log().await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0]["action"].as_str(), Some("user.platform_role_changed"));
    assert_eq!(
        (log[0]["after"]["platform_role"].as_str(), log[1]["after"]["platform_role"].as_str()),
        (Some("operator"), None)
    );
}

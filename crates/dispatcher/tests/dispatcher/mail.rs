//! Letters through a public mail server: what arrives, over which connection, and what nobody else learns.

use std::collections::BTreeMap;

use picket_dispatcher::{DispatcherSettings, SmtpSettings, SmtpTls};
use picket_domain::{Letter, Locale, Role};
use picket_kit::Sealer;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    log::Log,
    mail_server::{MailServer, reset, smtp},
    stage::{Stage, eventually, now, quick},
};

const LINK: &str =
    "https://api.example/api/v1/auth/verify-email?token=0123456789abcdefghijklmnopqrstuvwxyz0123456789&lang=x";

/// Every letter, with words that it must hold in its body.
fn letters() -> Vec<(Letter, &'static str)> {
    let (name, link) = ("Zoë <名>".to_owned(), LINK.to_owned());
    let expires_at = now() + jiff::SignedDuration::from_hours(24);
    let at = "2026-01-15T14:30:00Z".parse().unwrap();
    let (inviter, organization) = ("Zoë <名>".to_owned(), "Größe & Söhne 有限公司".to_owned());
    let address = "192.0.2.7".to_owned();
    vec![
        (Letter::VerifyAddress { name: name.clone(), link: link.clone(), expires_at }, " UTC"),
        (Letter::AddressTaken { name: name.clone(), link: link.clone() }, "Picket"),
        (Letter::ResetPassword { name: name.clone(), link: link.clone(), expires_at }, " UTC"),
        (Letter::PasswordChanged { name: name.clone(), at, address }, "192.0.2.7"),
        (Letter::MfaChanged { name: name.clone(), enabled: true, at }, "2026-01-15 14:30 UTC"),
        (Letter::MfaChanged { name, enabled: false, at }, "2026-01-15 14:30 UTC"),
        (Letter::Invitation { inviter, organization, role: Role::Owner, link, expires_at }, "Größe & Söhne 有限公司"),
    ]
}

#[tokio::test]
async fn every_letter_arrives_whole_in_every_language() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(server.settings());
    let mut expected = BTreeMap::new();
    for locale in Locale::ALL {
        for (index, (letter, holds)) in letters().into_iter().enumerate() {
            let recipient = format!("ada+{index}.{}@example.com", locale.name());
            let id = stage.post(&recipient, locale, &letter).await;
            expected.insert(recipient, (id, locale, letter, holds));
        }
    }
    assert_eq!(expected.len(), 21);
    let mut subjects = BTreeMap::new();
    for (recipient, (id, locale, letter, holds)) in &expected {
        let row = stage.mail_in(*id, "sent", 1).await;
        assert!(!row.has_letter && row.error.is_none());
        let [arrived] = &server.letters_to(recipient)[..] else { panic!("{recipient} has not one letter") };
        check_envelope(arrived, recipient, &id.to_string());
        let (text, html) = (arrived["text"].as_str().unwrap(), arrived["html"].as_str().unwrap());
        assert!(text.contains(holds) && text.contains("Zoë <名>"), "{text}");
        assert!(html.contains("Zoë &lt;名&gt;") && html.contains(&format!("<html lang=\"{}", locale.name())), "{html}");
        let has_link = serde_json::to_value(letter).unwrap().get("link").is_some();
        assert_eq!(text.lines().any(|line| line == LINK), has_link, "{text}");
        assert_eq!(html.contains(&format!("href=\"{}\"", LINK.replace('&', "&amp;"))), has_link, "{html}");
        subjects.insert(arrived["headers"]["subject"].as_str().unwrap().to_owned(), recipient);
    }
    assert_eq!(subjects.len(), 21, "{subjects:?}");
    assert!(subjects.contains_key("Invitation to join Größe & Söhne 有限公司 on Picket"), "{subjects:?}");
    assert!(
        subjects.contains_key("请确认您的邮箱地址") && subjects.contains_key("Buat kata sandi baru"),
        "{subjects:?}"
    );
    dispatcher.stop().await;
}

fn check_envelope(arrived: &Value, recipient: &str, id: &str) {
    assert_eq!(arrived["sender"], "no-reply@picket.example");
    assert_eq!(arrived["recipients"], json!([recipient]));
    assert_eq!(arrived["types"], json!(["multipart/alternative", "text/plain", "text/html"]));
    assert_eq!(arrived["defects"], json!([]), "{arrived}");
    let headers = arrived["headers"].as_object().unwrap();
    let header = |name: &str| headers[name].as_str().unwrap();
    assert_eq!((header("from"), header("to")), ("Picket <no-reply@picket.example>", recipient));
    assert_eq!((header("reply-to"), header("auto-submitted")), ("help@picket.example", "auto-generated"));
    assert_eq!(header("message-id"), format!("<{id}@picket.example>"));
    let date = jiff::fmt::rfc2822::parse(header("date")).unwrap().timestamp();
    assert!(now().duration_since(date).as_secs().abs() < 120, "{date}");
    let names: Vec<&String> = headers.keys().collect();
    assert_eq!(names.len(), 9, "{names:?}");
}

#[tokio::test]
async fn an_organizations_name_cannot_add_a_header() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let dispatcher = stage.dispatcher(server.settings());
    let letter = Letter::Invitation {
        inviter: "Eve\r\n.\r\nRSET".to_owned(),
        organization: "A\r\nBcc: all@x.test\r\n\r\n<h1>".to_owned() + &"x".repeat(200),
        role: Role::Viewer,
        link: LINK.to_owned(),
        expires_at: now() + jiff::SignedDuration::from_hours(1),
    };
    let id = stage.post("ada@example.com", Locale::En, &letter).await;
    stage.mail_in(id, "sent", 1).await;
    let arrived = server.letters_to("ada@example.com").remove(0);
    check_envelope(&arrived, "ada@example.com", &id.to_string());
    let subject = arrived["headers"]["subject"].as_str().unwrap();
    assert!(subject.starts_with("Invitation to join A  Bcc: all@x.test    <h1>xxx"), "{subject}");
    assert!(subject.chars().count() < 140, "{subject}");
    assert_eq!(server.lines().len(), 1);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_letter_goes_over_tls_and_with_a_password_or_waits() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let stage = Stage::new().await;
    for (tls, implicit) in [(SmtpTls::Starttls, false), (SmtpTls::Implicit, true)] {
        let options =
            json!({"certificate": certificate, "key": key, "implicit": implicit, "password": "canary-password"});
        let Some(server) = MailServer::start(&options).await else { return };
        let good = SmtpSettings {
            host: "localhost".to_owned(),
            tls,
            username: Some("picket".to_owned()),
            password: Some(SecretString::from("canary-password")),
            extra_authorities: Some(certificate.clone()),
            ..smtp(server.port)
        };
        let id = stage.post("ada@example.com", Locale::En, &reset()).await;
        for (attempt, reason, wrong) in [
            (1, "smtp 535 5.7.8", SmtpSettings { password: Some(SecretString::from("wrong")), ..good.clone() }),
            (2, "tls", SmtpSettings { extra_authorities: None, ..good.clone() }),
            (3, "tls", SmtpSettings { host: "127.0.0.1".to_owned(), ..good.clone() }),
        ] {
            let dispatcher = stage.dispatcher(DispatcherSettings { smtp: Some(wrong), ..quick() });
            let row = stage.mail_in(id, "pending", attempt).await;
            assert!(row.error.as_deref().is_some_and(|error| error.starts_with(reason)), "{row:?}");
            dispatcher.stop().await;
            stage.hurry_mails().await;
        }
        let dispatcher = stage.dispatcher(DispatcherSettings { smtp: Some(good), ..quick() });
        stage.mail_in(id, "sent", 4).await;
        let arrived = server.letters_to("ada@example.com").remove(0);
        assert_eq!((&arrived["encrypted"], &arrived["user"]), (&json!(true), &json!("picket")), "{arrived}");
        dispatcher.stop().await;
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    let demanding = SmtpSettings { tls: SmtpTls::Starttls, ..smtp(server.port) };
    let dispatcher = stage.dispatcher(DispatcherSettings { smtp: Some(demanding), ..quick() });
    let id = stage.post("ada@example.com", Locale::En, &reset()).await;
    let row = stage.mail_in(id, "pending", 1).await;
    assert_eq!(row.error.as_deref(), Some("not offered by the server"));
    assert!(server.lines().is_empty());
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_letter_that_was_just_written_wakes_an_idle_dispatcher() {
    let Some(server) = MailServer::plain().await else { return };
    let stage = Stage::new().await;
    // No timer helps: what arrives was told of.
    let dispatcher = stage.dispatcher(DispatcherSettings { sweep_ms: 3_600_000, ..server.settings() });
    let listening = "SELECT EXISTS (SELECT FROM pg_stat_activity \
                     WHERE query = 'LISTEN picket_mails' AND datname = current_database())";
    eventually("a listener", async || {
        stage.admin.query_one(listening, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
    let id = stage.post("ada@example.com", Locale::Id, &reset()).await;
    stage.mail_in(id, "sent", 1).await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn neither_logs_nor_rows_keep_an_address_a_link_or_a_servers_words() {
    let log = Log::collect();
    let Some(server) = MailServer::plain().await else { return };
    let mut stage = Stage::new().await;
    let own = stage.sealer.clone();
    stage.sealer = Sealer::new(&Sealer::generate_key()).unwrap();
    let unreadable = stage.post("canary-shut@example.com", Locale::En, &reset()).await;
    stage.sealer = own;
    let dispatcher = stage.dispatcher(server.settings());
    let sent = stage.post("canary-taken@example.com", Locale::En, &reset()).await;
    let failed = stage.post("refused-canary@example.com", Locale::Zh, &reset()).await;
    let later = stage.post("later-canary@example.com", Locale::Id, &reset()).await;
    assert!(!stage.mail_in(sent, "sent", 1).await.has_letter);
    for (id, state, reason) in [
        (failed, "failed", "smtp 550 5.1.1"),
        (later, "pending", "smtp 451 4.3.0"),
        (unreadable, "failed", "unreadable letter"),
    ] {
        let row = stage.mail_in(id, state, 1).await;
        assert_eq!((row.error.as_deref(), row.has_letter), (Some(reason), state == "pending"));
    }
    stage.hurry_mails().await;
    assert!(!stage.mail_in(later, "sent", 2).await.has_letter);
    dispatcher.stop().await;

    let text = log.text();
    for id in [failed, later, unreadable] {
        assert!(text.contains(&id.to_string()), "no line about {id}");
    }
    assert!(!text.contains("canary"), "{:?}", text.lines().find(|line| line.contains("canary")));
    let dump = "SELECT count(*) FROM mails WHERE row_to_json(mails)::text LIKE '%canary-of-a-letter%'";
    assert_eq!(stage.admin.query_one(dump, &[]).await.unwrap().get::<_, i64>(0), 0);
    let kept = "SELECT count(*) FROM mails WHERE letter IS NOT NULL";
    assert_eq!(stage.admin.query_one(kept, &[]).await.unwrap().get::<_, i64>(0), 0);
}

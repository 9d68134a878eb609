//! Settings that cannot be used, and what is kept of a server's words.

use secrecy::SecretString;

use super::*;

fn settings() -> SmtpSettings {
    SmtpSettings {
        host: "mail.example".to_owned(),
        port: None,
        tls: SmtpTls::None,
        username: None,
        password: None,
        from: "Picket <no-reply@picket.example>".to_owned(),
        reply_to: None,
        helo: None,
        extra_authorities: None,
        timeout_seconds: 30,
    }
}

fn refused(settings: &SmtpSettings) -> String {
    Mailer::new(settings).err().unwrap().to_string()
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    assert!(Mailer::new(&settings()).is_ok());
    let secret = || Some(SecretString::from("canary"));
    let username = Some("picket".to_owned());
    for (wrong, named) in [
        (SmtpSettings { from: "nobody".to_owned(), ..settings() }, "dispatcher.smtp.from"),
        (SmtpSettings { reply_to: Some("@".to_owned()), ..settings() }, "dispatcher.smtp.reply_to"),
        (SmtpSettings { username: username.clone(), ..settings() }, "username and password"),
        (SmtpSettings { username, password: secret(), ..settings() }, "dispatcher.smtp.tls"),
        (SmtpSettings { helo: Some("a\r\nb".to_owned()), ..settings() }, "dispatcher.smtp.helo"),
        (SmtpSettings { timeout_seconds: 46, ..settings() }, "timeout_seconds"),
        (SmtpSettings { timeout_seconds: 0, ..settings() }, "timeout_seconds"),
        (
            SmtpSettings { tls: SmtpTls::Implicit, extra_authorities: Some("/none".into()), ..settings() },
            "extra_authorities",
        ),
    ] {
        assert!(refused(&wrong).contains(named), "{named}");
        assert!(!format!("{wrong:?}").contains("canary"));
    }
}

#[test]
fn the_port_follows_from_how_the_connection_is_secured() {
    for (tls, port) in [(SmtpTls::Implicit, 465), (SmtpTls::Starttls, 587), (SmtpTls::None, 25)] {
        assert_eq!(SmtpSettings { tls, ..settings() }.port(), port);
        assert_eq!(SmtpSettings { tls, port: Some(2_525), ..settings() }.port(), 2_525);
    }
}

#[test]
fn an_address_that_mail_cannot_go_to_fails_at_once() {
    let mailer = Mailer::new(&settings()).unwrap();
    for address in ["", "ada", "ada@x\r\nBcc: b@x", "ada@x.test, bob@x.test", "<ada@x.test>", "Ada <ada@x.test>"] {
        let letter = Rendered { subject: "s".to_owned(), text: "t".to_owned(), html: "h".to_owned() };
        let failure = mailer.message(MailId::mint(Timestamp::UNIX_EPOCH), address, letter, Timestamp::UNIX_EPOCH);
        assert_eq!(failure.err(), Some(Failure::permanent("unusable address")), "{address:?}");
    }
}

#[test]
fn of_a_servers_words_only_codes_are_kept() {
    for status in ["5.1.1", "4.7.10", "5.100.999"] {
        assert!(is_status(status));
    }
    for words in ["", "ada@example.com", "5.1", "5.1.1.1", "5.1.x", "5.1.1000", "5..1"] {
        assert!(!is_status(words), "{words}");
    }
}

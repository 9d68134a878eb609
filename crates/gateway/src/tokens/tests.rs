//! Tokens that must open nothing: forged, foreign, expired, of another use.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;

fn tokens() -> Tokens {
    crate::crypto::install();
    Tokens::new(None, 15).unwrap()
}

fn now() -> Timestamp {
    "2026-01-15T14:30:00Z".parse().unwrap()
}

fn bearer() -> Bearer {
    Bearer {
        user_id: UserId::mint(now()),
        organization_id: OrganizationId::mint(now()),
        session_id: SessionId::mint(now()),
    }
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The token with its header and claims changed, signed anew with the right key.
fn forged(tokens: &Tokens, change_header: impl Fn(&mut Value), change_claims: impl Fn(&mut Value)) -> String {
    let token = tokens.issue(bearer(), now()).unwrap();
    let read = |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let parts: Vec<&str> = token.split('.').collect();
    let (mut header, mut claims) = (read(parts[0]), read(parts[1]));
    change_header(&mut header);
    change_claims(&mut claims);
    let message = format!("{}.{}", part(&header), part(&claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &tokens.encoding, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_token_names_its_bearer_until_it_ends() {
    let (tokens, bearer) = (tokens(), bearer());
    let token = tokens.issue(bearer, now()).unwrap();
    assert_eq!(tokens.verify(&token, now()), Some(bearer));
    assert_eq!(tokens.verify(&token, now() + SignedDuration::from_secs(899)), Some(bearer));
    assert_eq!(tokens.verify(&token, now() + SignedDuration::from_secs(900)), None);
    assert_eq!(tokens.verify(&token, now() - SignedDuration::from_secs(60)), None);
}

#[test]
fn a_token_of_another_key_is_none() {
    let token = tokens().issue(bearer(), now()).unwrap();
    assert_eq!(tokens().verify(&token, now()), None);
}

#[test]
fn a_forged_token_that_changes_nothing_proves_the_forger() {
    let tokens = tokens();
    assert!(tokens.verify(&forged(&tokens, |_| {}, |_| {}), now()).is_some());
}

#[test]
fn a_header_that_says_anything_else_is_refused() {
    let tokens = tokens();
    let changes = [
        json!({"alg": "none"}),
        json!({"alg": "HS256"}),
        json!({"alg": "hS256"}),
        json!({"alg": "eddsa"}),
        json!({"typ": "JWT"}),
        json!({"kid": "../../../etc/passwd"}),
        json!({"kid": "' OR 1=1 --"}),
        json!({"kid": null}),
        json!({"jku": "https://example.com/keys"}),
        json!({"x5u": "https://example.com/cert"}),
        json!({"crit": ["exp"]}),
        json!({"anything": 1}),
    ];
    for change in changes {
        let token = forged(&tokens, |header| merge(header, &change), |_| {});
        assert_eq!(tokens.verify(&token, now()), None, "{change}");
    }
}

#[test]
fn claims_that_are_not_exactly_ours_are_refused() {
    let tokens = tokens();
    let changes = [
        json!({"exp": "1800000000"}),
        json!({"exp": 1_800_000_000.5}),
        json!({"exp": -1}),
        json!({"exp": null}),
        json!({"iss": "somebody"}),
        json!({"aud": "something"}),
        json!({"token_use": "refresh"}),
        json!({"sub": "scan_00000000000000000000000000"}),
        json!({"role": "owner"}),
    ];
    for change in changes {
        let token = forged(&tokens, |_| {}, |claims| merge(claims, &change));
        assert_eq!(tokens.verify(&token, now()), None, "{change}");
    }
}

#[test]
fn rubbish_is_no_token() {
    let tokens = tokens();
    for text in ["", ".", "..", "a.b.c", "eyJ", &"x".repeat(10_000)] {
        assert_eq!(tokens.verify(text, now()), None);
    }
}

/// Sets the fields of `change`; null removes one.
fn merge(value: &mut Value, change: &Value) {
    let fields = value.as_object_mut().unwrap();
    for (name, value) in change.as_object().unwrap() {
        if value.is_null() {
            fields.remove(name);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
}

//! Tokens that must open nothing: forged, foreign, expired, of another use.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

fn tokens() -> Tokens {
    of(&generate_signing_key(), &[])
}

/// Signs with one key and accepts others.
fn of(key: &SecretString, others: &[SecretString]) -> Tokens {
    crate::crypto::install();
    Tokens::new(Some(key), others, 15).unwrap()
}

/// The public half of a key, as PEM (RFC 8410 §4).
fn public_half(key: &SecretString) -> SecretString {
    let shown = serde_json::to_value(of(key, &[]).public_keys()).unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(shown["keys"][0]["x"].as_str().unwrap()).unwrap();
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = STANDARD.encode([prefix.as_slice(), &bytes].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n").into()
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
fn while_keys_are_exchanged_both_are_good_and_one_signs() {
    let (old, new) = (generate_signing_key(), generate_signing_key());
    let before = of(&old, &[]).issue(bearer(), now()).unwrap();
    for other in [old.clone(), public_half(&old)] {
        let tokens = of(&new, &[other]);
        assert!(tokens.verify(&before, now()).is_some(), "what the old key signed is good");
        let after = tokens.issue(bearer(), now()).unwrap();
        assert!(of(&new, &[]).verify(&after, now()).is_some(), "the new key signs");
        assert!(of(&old, &[]).verify(&after, now()).is_none());
        let shown = serde_json::to_value(tokens.public_keys()).unwrap();
        let ids: Vec<_> = shown["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect();
        assert_eq!(ids, [json!(decode_header(&after).unwrap().kid), json!(decode_header(&before).unwrap().kid)]);
    }
    assert!(of(&new, &[]).verify(&before, now()).is_none(), "the old key is withdrawn");
}

#[test]
fn a_known_key_cannot_stand_for_another() {
    let (old, new) = (generate_signing_key(), generate_signing_key());
    let tokens = of(&new, &[public_half(&old)]);
    let other = of(&old, &[]).accepted[0].id.clone();
    // Signed by the new key, said to be of the old one.
    assert_eq!(tokens.verify(&forged(&tokens, |header| merge(header, &json!({"kid": other})), |_| {}), now()), None);
}

#[test]
fn a_key_that_is_none_names_its_setting() {
    crate::crypto::install();
    let good = generate_signing_key();
    for bad in ["", "/nowhere/key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        let error = Tokens::new(Some(&bad.into()), &[], 15).err().unwrap().to_string();
        assert!(error.starts_with("gateway.signing_key: expected "), "{error}");
        let error = Tokens::new(Some(&good), &[bad.into()], 15).err().unwrap().to_string();
        assert!(error.starts_with("gateway.previous_signing_keys: expected "), "{error}");
    }
}

#[test]
fn a_key_may_be_named_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    let key = generate_signing_key();
    std::fs::write(&path, key.expose_secret()).unwrap();
    let token = of(&key, &[]).issue(bearer(), now()).unwrap();
    let named = path.to_str().unwrap().into();
    assert!(of(&named, &[]).verify(&token, now()).is_some());
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
        json!({"exp": 18_000_000_000_u64}),
        json!({"nbf": "1700000000"}),
        json!({"nbf": 1_700_000_000.5}),
        json!({"nbf": -1}),
        json!({"nbf": null}),
        json!({"nbf": now().as_second() + 60}),
        json!({"iat": null}),
        json!({"aud": ["picket-api", "something"]}),
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

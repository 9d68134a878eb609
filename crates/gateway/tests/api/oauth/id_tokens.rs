//! ID tokens that are not what they claim.

use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::{
    Stage,
    stand_in::{IdToken, Key},
};

type Forgery = (&'static str, fn(&mut IdToken));

/// Header and claims without a signature that counts.
fn unsigned(header: &Value, claims: &Value) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(header), part(claims))
}

const FORGERIES: &[Forgery] = &[
    ("signed by another key", |token| token.key = Key::new("first")),
    ("alg none", |token| token.raw = Some(unsigned(&json!({"alg": "none"}), &token.claims))),
    ("alg in another case", |token| {
        token.raw = Some(unsigned(&json!({"alg": "eddsa", "kid": "first"}), &token.claims))
    }),
    ("signed with the public key as a secret", |token| {
        let public = token.key.public()["x"].as_str().unwrap().to_owned();
        token.key.encoding = EncodingKey::from_base64_secret(&public.replace('-', "+").replace('_', "/"))
            .unwrap_or_else(|_| EncodingKey::from_secret(public.as_bytes()));
        token.header.alg = Algorithm::HS256;
    }),
    ("another key's name", |token| token.header.kid = Some("../first".to_owned())),
    ("a key of its own", |token| {
        let own = Key::new("own");
        token.header.jwk = serde_json::from_value(own.public()).ok();
        token.header.kid = Some("own".to_owned());
        token.key = own;
    }),
    ("another nonce", |token| token.claims["nonce"] = json!("x")),
    ("no nonce", |token| {
        token.claims.as_object_mut().unwrap().remove("nonce");
    }),
    ("another issuer", |token| token.claims["iss"] = json!("https://evil.example")),
    ("many issuers", |token| token.claims["iss"] = json!([token.claims["iss"], "https://evil.example"])),
    ("no issuer", |token| {
        token.claims.as_object_mut().unwrap().remove("iss");
    }),
    ("for somebody else", |token| token.claims["aud"] = json!("other")),
    ("for nobody", |token| token.claims["aud"] = json!([])),
    ("for many, issued to nobody", |token| token.claims["aud"] = json!(["picket", "other"])),
    ("issued to another", |token| token.claims["azp"] = json!("other")),
    ("expired", |token| token.claims["exp"] = json!(token.claims["iat"].as_i64().unwrap() - 61)),
    ("expiry as text", |token| token.claims["exp"] = json!("9999999999")),
    ("no expiry", |token| {
        token.claims.as_object_mut().unwrap().remove("exp");
    }),
    ("of the future", |token| token.claims["iat"] = json!(token.claims["iat"].as_i64().unwrap() + 61)),
    ("no subject", |token| {
        token.claims.as_object_mut().unwrap().remove("sub");
    }),
    ("too long", |token| token.claims["name"] = json!("x".repeat(20_000))),
    ("no token", |token| token.raw = Some(String::new())),
];

#[tokio::test]
async fn an_id_token_that_is_not_what_it_claims_signs_nobody_in() {
    let stage = Stage::new().await;
    for (what, forge) in FORGERIES {
        stage.provider.state().forge = *forge;
        let answer = stage.sign_in("google").await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text);
        answer.assert_problem(400, "sign_in_refused");
        stage.assert_nothing_was_made().await;
    }
    stage.provider.state().forge = |_| {};
    assert_eq!(stage.sign_in("google").await.status, 200, "the provider is good otherwise");
}

#[tokio::test]
async fn a_token_for_many_that_was_issued_to_us_is_taken() {
    let stage = Stage::new().await;
    stage.provider.state().forge = |token| {
        token.claims["aud"] = json!(["other", "picket"]);
        token.claims["azp"] = json!("picket");
    };
    assert_eq!(stage.sign_in("google").await.status, 200);
}

#[tokio::test]
async fn a_subject_that_cannot_be_kept_signs_nobody_in() {
    let stage = Stage::new().await;
    for forge in [
        (|token| token.claims["sub"] = json!("")) as fn(&mut IdToken),
        |token| token.claims["sub"] = json!("x".repeat(256)),
        |token| token.claims["sub"] = json!("a\0b"),
    ] {
        stage.provider.state().forge = forge;
        stage.sign_in("google").await.assert_problem(503, "unavailable");
    }
    stage.assert_nothing_was_made().await;
}

#[tokio::test]
async fn keys_are_read_once_and_again_when_the_provider_changes_them() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        assert_eq!(stage.sign_in("google").await.status, 200);
    }
    assert_eq!(stage.provider.state().key_reads, 1);
    stage.provider.state().key = Key::new("second");
    // A moment ago they were read: who sends tokens with made-up keys does not make us ask each time.
    stage.sign_in("google").await.assert_problem(400, "sign_in_refused");
    assert_eq!(stage.provider.state().key_reads, 1);
    stage.app.clock.advance(SignedDuration::from_secs(10));
    assert_eq!(stage.sign_in("google").await.status, 200);
    assert_eq!(stage.provider.state().key_reads, 2);
    stage.app.clock.advance(SignedDuration::from_hours(1));
    assert_eq!(stage.sign_in("google").await.status, 200);
    assert_eq!(stage.provider.state().key_reads, 3);
}

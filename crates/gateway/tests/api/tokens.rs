//! Access tokens that must open nothing, over HTTP; and the keys that the good ones are signed with.

use std::net::TcpListener;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use picket_gateway::generate_signing_key;
use picket_kit::Clock;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::harness::{Member, TestApp, dead_redis};

const ME: &str = "/api/v1/auth/me";

/// A gateway, a token that it has given out, and what a forger can make of that.
struct Forge {
    app: TestApp,
    member: Member,
    header: Value,
    claims: Value,
}

impl Forge {
    async fn new() -> Self {
        let clock = Clock::fixed("2026-01-15T14:30:00Z".parse().unwrap());
        let app = TestApp::spawn_at(clock, |_| {}).await;
        let member = app.member("ada@example.com").await;
        let parts: Vec<Value> = member
            .token
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        let forge = Self { app, member, header: parts[0].clone(), claims: parts[1].clone() };
        // The forger signs as we do: what is refused below is refused for what was changed.
        let unchanged = forge.token(&json!({}), &json!({}));
        assert_eq!(forge.app.get(ME, Some(&unchanged)).await.status, 200);
        forge
    }

    /// Header and claims with these changes (null removes), as they are signed.
    fn message(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}", part(&merged(&self.header, header)), part(&merged(&self.claims, claims)))
    }

    /// The same, signed with the gateway's own key.
    fn token(&self, header: &Value, claims: &Value) -> String {
        signed(&self.message(header, claims), &self.app.keys.signing)
    }

    async fn assert_refused(&self, name: &str, token: &str) {
        let answer = self.app.get(ME, Some(token)).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text);
        answer.assert_problem(401, "unauthenticated");
    }

    /// The gateway's public key as it shows it.
    async fn public_key(&self) -> Vec<u8> {
        let shown = self.app.get("/.well-known/jwks.json", None).await.json();
        URL_SAFE_NO_PAD.decode(shown["keys"][0]["x"].as_str().unwrap()).unwrap()
    }
}

fn merged(value: &Value, change: &Value) -> Value {
    let mut fields = value.as_object().unwrap().clone();
    for (name, value) in change.as_object().unwrap() {
        fields.remove(name);
        if !value.is_null() {
            fields.insert(name.clone(), value.clone());
        }
    }
    Value::Object(fields)
}

fn signed(message: &str, key: &SecretString) -> String {
    let key = EncodingKey::from_ed_pem(key.expose_secret().as_bytes()).unwrap();
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::EdDSA).unwrap();
    format!("{message}.{signature}")
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let forge = Forge::new().await;
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let message = forge.message(&json!({"alg": name}), &json!({}));
        forge.assert_refused(name, &format!("{message}.")).await;
        forge.assert_refused(name, &message).await;
    }
    let message = forge.message(&json!({}), &json!({}));
    forge.assert_refused("an empty signature", &format!("{message}.")).await;
}

#[tokio::test]
async fn a_token_signed_with_the_public_key_as_a_secret_is_refused() {
    let forge = Forge::new().await;
    let public = forge.public_key().await;
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", URL_SAFE_NO_PAD.encode(&public));
    for secret in [public.as_slice(), URL_SAFE_NO_PAD.encode(&public).as_bytes(), pem.as_bytes()] {
        for name in ["HS256", "hS256", "EdDSA"] {
            let message = forge.message(&json!({"alg": name}), &json!({}));
            let key = EncodingKey::from_secret(secret);
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
            forge.assert_refused(name, &format!("{message}.{signature}")).await;
        }
    }
}

#[tokio::test]
async fn a_token_of_another_algorithm_is_refused() {
    let forge = Forge::new().await;
    let names = ["hS256", "HS384", "HS512", "ES256", "ES384", "RS256", "RS512", "PS256", "eddsa", "EDDSA", "Ed25519"];
    for name in names {
        forge.assert_refused(name, &forge.token(&json!({"alg": name}), &json!({}))).await;
    }
    forge.assert_refused("a number", &forge.token(&json!({"alg": 1}), &json!({}))).await;
    forge.assert_refused("missing", &forge.token(&json!({"alg": null}), &json!({}))).await;
}

#[tokio::test]
async fn the_name_of_a_key_is_never_a_path_a_query_or_an_address() {
    let forge = Forge::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/key.pem", listener.local_addr().unwrap());
    let own = forge.header["kid"].as_str().unwrap().to_uppercase();
    for kid in [
        "../../../../dev/null",
        "/etc/passwd",
        "' OR '1'='1",
        "x' UNION SELECT 'key",
        "| id",
        "0000000000000000",
        "",
        &own,
        &url,
        &"x".repeat(500),
    ] {
        forge.assert_refused(kid, &forge.token(&json!({"kid": kid}), &json!({}))).await;
    }
    for kid in [json!(null), json!(1), json!(["x"]), json!({"$ne": 1})] {
        forge.assert_refused("kid", &forge.token(&json!({"kid": kid}), &json!({}))).await;
    }
    assert!(listener.accept().is_err(), "nobody called");
}

#[tokio::test]
async fn a_header_that_brings_its_own_key_is_refused_and_nobody_is_called() {
    let forge = Forge::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let own = URL_SAFE_NO_PAD.encode(forge.public_key().await);
    for header in [
        json!({"jku": url}),
        json!({"x5u": url}),
        json!({"jku": url, "kid": "theirs"}),
        json!({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": own}}),
        json!({"x5c": ["MIIB"]}),
        json!({"crit": ["exp"]}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"cty": "JWT"}),
        json!({"zip": "DEF"}),
        json!({"unknown": 1}),
    ] {
        forge.assert_refused(&header.to_string(), &forge.token(&header, &json!({}))).await;
    }
    assert!(listener.accept().is_err(), "nobody called");
}

#[tokio::test]
async fn times_that_are_not_whole_seconds_are_refused() {
    let forge = Forge::new().await;
    let now = forge.app.clock.now().as_second();
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!((now + 600).to_string()),
            json!(now as f64 + 600.5),
            json!(-1),
            json!(null),
            json!([now]),
            json!(u64::MAX),
            json!(1e300),
            json!(true),
        ] {
            let claims = json!({name: value});
            forge.assert_refused(&claims.to_string(), &forge.token(&json!({}), &claims)).await;
        }
    }
    forge.assert_refused("over", &forge.token(&json!({}), &json!({"exp": now}))).await;
    forge.assert_refused("not yet", &forge.token(&json!({}), &json!({"nbf": now + 60}))).await;
}

#[tokio::test]
async fn a_token_for_somebody_else_or_for_another_use_is_refused() {
    let forge = Forge::new().await;
    for claims in [
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"aud": ["picket-api"]}),
        json!({"iss": "https://attacker.example"}),
        json!({"iss": null}),
        json!({"token_use": "refresh"}),
        json!({"token_use": "mfa"}),
        json!({"token_use": "verify"}),
        json!({"token_use": null}),
        json!({"sub": null}),
        json!({"sid": null}),
        json!({"role": "owner"}),
        json!({"sub": "usr_00000000000000000000000001"}),
        json!({"org": "org_00000000000000000000000001"}),
        json!({"sid": "ses_00000000000000000000000001"}),
    ] {
        forge.assert_refused(&claims.to_string(), &forge.token(&json!({}), &claims)).await;
    }
    for typ in [json!("JWT"), json!("jwt"), json!("AT+JWT"), json!(null), json!(1)] {
        forge.assert_refused(&typ.to_string(), &forge.token(&json!({"typ": typ}), &json!({}))).await;
    }
}

#[tokio::test]
async fn a_token_that_was_changed_or_cut_is_refused() {
    let forge = Forge::new().await;
    let good = &forge.member.token;
    let (message, signature) = good.rsplit_once('.').unwrap();
    let other = signed(message, &generate_signing_key());
    let mut reversed: Vec<char> = signature.chars().collect();
    reversed.reverse();
    let reversed: String = reversed.into_iter().collect();
    let long = forge.token(&json!({}), &json!({"jti": "x".repeat(20_000)}));
    for token in [
        &other,
        &format!("{message}.{reversed}"),
        &good[..good.len() - 1],
        &good[..good.len() / 2],
        &format!("{good}="),
        &format!("{good}.x"),
        &good.replace('.', " "),
        message,
        &long,
    ] {
        forge.assert_refused(token, token).await;
    }
    // Headers end at 32 KiB or before; whoever refuses it, it opens nothing.
    let huge = forge.app.get(ME, Some(&"x".repeat(100_000))).await;
    assert!((400..500).contains(&huge.status), "{}", huge.status);
    assert_eq!(forge.app.get(ME, Some(good)).await.status, 200);
}

#[tokio::test]
async fn a_token_in_the_address_or_in_a_cookie_is_none() {
    let forge = Forge::new().await;
    let token = &forge.member.token;
    for path in [format!("{ME}?access_token={token}"), format!("{ME}?token={token}&api_key={token}")] {
        forge.app.get(&path, None).await.assert_problem(401, "unauthenticated");
    }
    let cookie = format!("access_token={token}; Authorization=Bearer {token}");
    let answer = forge.app.request("GET", ME, None, |request| request.header("cookie", cookie)).await;
    answer.assert_problem(401, "unauthenticated");
}

#[tokio::test]
async fn the_key_set_shows_public_halves_alone() {
    let next = generate_signing_key();
    let app = TestApp::spawn_with(|settings| settings.previous_signing_keys = vec![next.clone()]).await;
    let answer = app.get("/.well-known/jwks.json", None).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-ratelimit-limit"), None);
    let keys = answer.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2);
    for key in &keys {
        let fields: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(fields, ["alg", "crv", "kid", "kty", "use", "x"]);
        let constant = ["kty", "crv", "use", "alg"].map(|name| key[name].as_str().unwrap());
        assert_eq!(constant, ["OKP", "Ed25519", "sig", "EdDSA"]);
        assert_eq!(URL_SAFE_NO_PAD.decode(key["x"].as_str().unwrap()).unwrap().len(), 32);
    }
    let member = app.member("ada@example.com").await;
    let header = URL_SAFE_NO_PAD.decode(member.token.split('.').next().unwrap()).unwrap();
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["kid"], keys[0]["kid"], "the first one signs");
}

#[tokio::test]
async fn keys_are_exchanged_while_both_gateways_serve() {
    let old = TestApp::spawn().await;
    let before = old.member("ada@example.com").await.token;
    let (next, last) = (generate_signing_key(), old.keys.signing.clone());
    let new = old.replica(|settings| {
        settings.signing_key = Some(next.clone());
        settings.previous_signing_keys = vec![last];
    });
    assert_eq!(new.get(ME, Some(&before)).await.status, 200, "the old key's tokens go on");
    let after = new.sign_in("ada@example.com").await;
    assert_eq!(new.get(ME, Some(&after)).await.status, 200);
    old.get(ME, Some(&after)).await.assert_problem(401, "unauthenticated");
    // A gateway that has heard of the next key accepts it before it signs with it.
    let prepared = old.beside(dead_redis(), |settings| settings.previous_signing_keys = vec![next]);
    for token in [&before, &after] {
        assert_eq!(prepared.get(ME, Some(token)).await.status, 200);
    }
}

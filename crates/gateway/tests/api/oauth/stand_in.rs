//! A provider of ours, shaped like GitHub below `/github` and like OpenID Connect beside it. It holds us to the rules (client
//! secret, redirect URI, PKCE, codes that are good once), and lies when it is told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::ServerHandle,
    web::{self, Data, Form, Query},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{CLIENT_ID, CLIENT_SECRET, PUBLIC_URL};

type Fields = BTreeMap<String, String>;

/// The provider; it stops with the test.
pub(crate) struct StandIn {
    pub(crate) base: String,
    state: Arc<Mutex<State>>,
    handle: ServerHandle,
}

/// What it is like.
pub(crate) struct State {
    /// Who is signed in there.
    pub(crate) subject: u64,
    pub(crate) email: String,
    pub(crate) verified: Value,
    /// What is wrong with its token endpoint.
    pub(crate) fault: Fault,
    /// `iss` of its answers; its own by default.
    pub(crate) answer_issuer: Option<String>,
    /// Changes header, claims and key of the next ID tokens.
    pub(crate) forge: fn(&mut IdToken),
    /// The key's name, and the keys that it shows.
    pub(crate) key: Key,
    /// Whether it takes a code again, which it must not.
    pub(crate) takes_codes_again: bool,
    /// How often its keys were asked for.
    pub(crate) key_reads: usize,
    /// Codes with what they were given for.
    codes: BTreeMap<String, Fields>,
    issuer: String,
}

/// What is wrong with the token endpoint.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Nothing,
    /// A good answer in a megabyte.
    Huge,
    /// No answer, ever.
    Slow,
    /// To itself.
    Redirects,
    Nonsense,
    Breaks,
    /// It does not know us.
    Disowns,
}

/// A token before it is signed.
pub(crate) struct IdToken {
    pub(crate) header: Header,
    pub(crate) claims: Value,
    pub(crate) key: Key,
    /// Taken as it is instead of signing.
    pub(crate) raw: Option<String>,
}

/// A key pair.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) encoding: EncodingKey,
}

impl Key {
    /// A new key of that name.
    pub(crate) fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let seed = &pair.serialize_der()[16..48];
        let pkcs8 = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20], seed].concat();
        Self { id: id.to_owned(), encoding: EncodingKey::from_ed_der(&pkcs8) }
    }

    /// What everybody may see of it.
    pub(crate) fn public(&self) -> Value {
        let mut public =
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding, Algorithm::EdDSA).unwrap()).unwrap();
        public["kid"] = json!(self.id);
        public
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            subject: 583_231,
            email: "ada@example.com".to_owned(),
            verified: json!(true),
            fault: Fault::Nothing,
            answer_issuer: None,
            forge: |_| {},
            key: Key::new("first"),
            takes_codes_again: false,
            key_reads: 0,
            codes: BTreeMap::new(),
            issuer: String::new(),
        }));
        let shared = Data::new(state.clone());
        let server = HttpServer::new(move || App::new().app_data(shared.clone()).configure(routes))
            .workers(1)
            .disable_signals()
            .bind("127.0.0.1:0")
            .unwrap();
        let base = format!("http://{}", server.addrs()[0]);
        state.lock().unwrap().issuer.clone_from(&base);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { base, state, handle }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Stops answering at all.
    pub(crate) async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/github/authorize", web::get().to(authorize))
        .route("/authorize", web::get().to(authorize))
        .route("/github/token", web::post().to(github_token))
        .route("/token", web::post().to(token))
        .route("/github/user", web::get().to(user))
        .route("/github/emails", web::get().to(emails))
        .route("/jwks", web::get().to(keys))
        .route("/.well-known/openid-configuration", web::get().to(description));
}

type Shared = Data<Arc<Mutex<State>>>;

/// Signs in whoever is there, without asking.
async fn authorize(shared: Shared, request: HttpRequest, Query(query): Query<Fields>) -> HttpResponse {
    let mut state = shared.lock().unwrap();
    let name = if request.path().starts_with("/github") { "github" } else { "google" };
    assert_eq!(query["client_id"], CLIENT_ID);
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["redirect_uri"], format!("{PUBLIC_URL}/api/v1/oauth/{name}/callback"));
    assert_eq!(query["code_challenge_method"], "S256");
    let code = format!("code {}/{}", state.codes.len(), &query["state"]);
    let mut back: url::Url = query["redirect_uri"].parse().unwrap();
    back.query_pairs_mut().append_pair("code", &code).append_pair("state", &query["state"]).append_pair("scope", "x");
    if let Some(issuer) = &state.answer_issuer {
        back.query_pairs_mut().append_pair("iss", issuer);
    }
    state.codes.insert(code, query);
    HttpResponse::Found().insert_header(("location", back.as_str())).finish()
}

/// What a code was given for, when everything that is shown with it is right. A code is good once.
fn redeem(state: &mut State, form: &Fields) -> Option<Fields> {
    let code = form.get("code")?;
    let grant = if state.takes_codes_again { state.codes.get(code)?.clone() } else { state.codes.remove(code)? };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form.get("code_verifier")?));
    let fits = challenge == *grant.get("code_challenge")?
        && form.get("redirect_uri") == grant.get("redirect_uri")
        && form.get("grant_type")? == "authorization_code";
    fits.then_some(grant)
}

/// The answer of a faulty endpoint.
async fn fault(shared: &Shared) -> Option<HttpResponse> {
    let fault = shared.lock().unwrap().fault;
    match fault {
        Fault::Nothing => None,
        Fault::Huge => {
            Some(HttpResponse::Ok().json(json!({"access_token": "x".repeat(1 << 20), "token_type": "bearer"})))
        }
        Fault::Slow => std::future::pending().await,
        Fault::Redirects => {
            Some(HttpResponse::TemporaryRedirect().insert_header(("location", "/github/user")).finish())
        }
        Fault::Nonsense => Some(HttpResponse::Ok().content_type("application/json").body("<html>")),
        Fault::Breaks => Some(HttpResponse::InternalServerError().body("oops")),
        Fault::Disowns => Some(HttpResponse::Unauthorized().json(json!({"error": "invalid_client"}))),
    }
}

async fn github_token(shared: Shared, Form(form): Form<Fields>) -> HttpResponse {
    if let Some(fault) = fault(&shared).await {
        return fault;
    }
    assert_eq!((form["client_id"].as_str(), form["client_secret"].as_str()), (CLIENT_ID, CLIENT_SECRET));
    match redeem(&mut shared.lock().unwrap(), &form) {
        Some(_) => HttpResponse::Ok()
            .json(json!({"access_token": "gho_canary", "token_type": "bearer", "scope": "user:email"})),
        // As GitHub does, with the status of a success.
        None => HttpResponse::Ok().json(json!({"error": "bad_verification_code", "error_description": "expired"})),
    }
}

fn is_authorized(request: &HttpRequest, expected: &str) -> bool {
    request.headers().get("authorization").is_some_and(|value| value == expected)
}

async fn user(shared: Shared, request: HttpRequest) -> HttpResponse {
    if !is_authorized(&request, "Bearer gho_canary") {
        return HttpResponse::Unauthorized().finish();
    }
    let id = shared.lock().unwrap().subject;
    HttpResponse::Ok().json(json!({"id": id, "login": "ada", "name": "Ada", "email": "public@example.com"}))
}

async fn emails(shared: Shared, request: HttpRequest) -> HttpResponse {
    if !is_authorized(&request, "Bearer gho_canary") {
        return HttpResponse::Unauthorized().finish();
    }
    let state = shared.lock().unwrap();
    HttpResponse::Ok().json(json!([
        {"email": "other@example.com", "primary": false, "verified": true, "visibility": null},
        {"email": state.email, "primary": true, "verified": state.verified, "visibility": "private"},
    ]))
}

async fn description(shared: Shared) -> HttpResponse {
    let issuer = shared.lock().unwrap().issuer.clone();
    HttpResponse::Ok().json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
    }))
}

async fn keys(shared: Shared) -> HttpResponse {
    let mut state = shared.lock().unwrap();
    state.key_reads += 1;
    HttpResponse::Ok().json(json!({"keys": [{"kty": "future"}, state.key.public()]}))
}

async fn token(shared: Shared, request: HttpRequest, Form(form): Form<Fields>) -> HttpResponse {
    if let Some(fault) = fault(&shared).await {
        return fault;
    }
    let secret: String = url::form_urlencoded::byte_serialize(CLIENT_SECRET.as_bytes()).collect();
    assert!(is_authorized(&request, &format!("Basic {}", STANDARD.encode(format!("{CLIENT_ID}:{secret}")))));
    let mut state = shared.lock().unwrap();
    let Some(grant) = redeem(&mut state, &form) else {
        return HttpResponse::BadRequest().json(json!({"error": "invalid_grant"}));
    };
    let now = jiff::civil::datetime(2026, 1, 15, 14, 30, 0, 0).in_tz("UTC").unwrap().timestamp().as_second();
    let mut token = IdToken {
        header: Header { kid: Some(state.key.id.clone()), ..Header::new(Algorithm::EdDSA) },
        claims: json!({
            "iss": state.issuer, "aud": CLIENT_ID, "sub": state.subject.to_string(), "iat": now, "exp": now + 86_400,
            "nonce": grant["nonce"], "email": state.email, "email_verified": state.verified, "name": "Ada"
        }),
        key: state.key.clone(),
        raw: None,
    };
    (state.forge)(&mut token);
    let signed = || jsonwebtoken::encode(&token.header, &token.claims, &token.key.encoding).unwrap();
    let id_token = token.raw.clone().unwrap_or_else(signed);
    HttpResponse::Ok().json(json!({"access_token": "ya29_canary", "token_type": "Bearer", "id_token": id_token}))
}

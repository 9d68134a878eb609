//! The pages that a person meets who follows the link of an invitation: the offer, with a form for who has no account, and
//! what came of it. Every text of somebody else's is escaped (`html.rs`).

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};

use super::view::OfferView;
use crate::{
    FieldError,
    html::{self, Field, Form},
};

/// Who has an account accepts with it; nothing here takes its password.
const SIGN_IN: &str = "This address has an account. Sign in with it, then send POST to the address of this page with your \
                       access token. If you cannot sign in, set a new password at /api/v1/account/reset-password first; if \
                       you are in no organization any more, send POST without a token after that.";
const REGISTER: &str = "Say how you are called and choose a password of 12 to 128 characters that is not easy to guess: that \
                        makes your account.";

/// What was filled in, and what was wrong with it.
#[derive(Default)]
pub(super) struct Filled<'a> {
    /// The name; a password is never shown again.
    pub name: &'a str,
    /// The faults.
    pub errors: &'a [FieldError],
}

/// The offer; `path` is where it is, and where the form goes.
pub(super) fn offer(status: StatusCode, offer: &OfferView, path: &str, filled: &Filled<'_>) -> HttpResponse {
    let title = format!("You are invited to {}", offer.organization);
    let how = if offer.registered { SIGN_IN } else { REGISTER };
    let text = format!(
        "{} can join as {} until {}. {how} If you did not expect this, do nothing.",
        offer.email,
        offer.role.name(),
        offer.expires_at
    );
    let field = |name, label, kind, autocomplete, value| Field { name, label: Some(label), kind, autocomplete, value };
    let fields = [
        field("name", "Name", "text", "name", filled.name),
        field("password", "Password", "password", "new-password", ""),
    ];
    let form = Form { action: path, fields: &fields, button: "Join" };
    page(status, &title, &text, filled.errors, (!offer.registered).then_some(form))
}

/// Somebody has joined.
pub(super) fn joined(status: StatusCode, organization: &str) -> HttpResponse {
    page(status, &format!("You have joined {organization}"), "Sign in with your address and your password.", &[], None)
}

/// Programs get JSON at the same address.
fn page(status: StatusCode, title: &str, text: &str, errors: &[FieldError], form: Option<Form<'_>>) -> HttpResponse {
    let mut page = html::page(status, title, text, errors, form);
    page.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept"));
    page
}

#[cfg(test)]
mod tests {
    use actix_web::body::{MessageBody, to_bytes};
    use picket_domain::Role;

    use super::*;

    async fn text(page: HttpResponse<impl MessageBody>) -> String {
        let bytes = to_bytes(page.into_body()).await.map_err(|_| "the body").unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn names_of_others_stay_text() {
        let mut view = OfferView {
            organization: "<script>alert(1)</script>".to_owned(),
            email: "\"<b>\"@example.com".to_owned(),
            role: Role::Viewer,
            expires_at: "2026-01-15T14:30:00Z".parse().unwrap(),
            registered: false,
        };
        for registered in [false, true] {
            view.registered = registered;
            let filled = Filled { name: "\"><i>", errors: &[] };
            let page = text(offer(StatusCode::OK, &view, "/\"><u>", &filled)).await;
            assert!(["<script", "<b>", "<i>", "<u>"].iter().all(|markup| !page.contains(markup)), "{page}");
            assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
            assert_eq!(page.contains("<form"), !registered);
        }
        assert!(!text(joined(StatusCode::OK, "<b>")).await.contains("<b>"));
    }
}

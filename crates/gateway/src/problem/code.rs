//! The table of all codes: what a client may match on. A code is never renamed.

use actix_web::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! codes {
    ($($code:ident = $status:ident, $name:literal, $title:literal;)*) => {
        /// What a client may match on; the table of all codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        pub enum ProblemCode {
            $(#[doc = $title] #[serde(rename = $name)] $code,)*
        }

        impl ProblemCode {
            /// The HTTP status of the code.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)* }
            }

            /// Its name on the wire.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// A short title, the same for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }
        }
    };
}

codes! {
    Malformed            = BAD_REQUEST,            "malformed_request",      "Malformed request";
    Invalid              = BAD_REQUEST,            "invalid_request",        "Invalid request";
    TargetExcluded       = BAD_REQUEST,            "target_excluded",        "Target excluded";
    TargetForbidden      = BAD_REQUEST,            "target_forbidden",       "Target forbidden";
    UnreadableReport     = BAD_REQUEST,            "unreadable_report",      "Unreadable report";
    SignInRefused        = BAD_REQUEST,            "sign_in_refused",        "Sign-in refused";
    Unauthenticated      = UNAUTHORIZED,           "unauthenticated",        "Unauthenticated";
    WrongCredentials     = UNAUTHORIZED,           "wrong_credentials",      "Wrong credentials";
    EmailUnverified      = FORBIDDEN,              "email_unverified",       "Address not proven";
    Forbidden            = FORBIDDEN,              "forbidden",              "Forbidden";
    OperatorRequired     = FORBIDDEN,              "operator_required",      "Operator required";
    PersonRequired       = FORBIDDEN,              "person_required",        "Person required";
    MfaRequired          = FORBIDDEN,              "mfa_required",           "Second factor required";
    LoginRequired        = FORBIDDEN,              "login_required",         "Fresh login required";
    NotAMember           = FORBIDDEN,              "not_a_member",           "Not a member";
    AddressNotAllowed    = FORBIDDEN,              "address_not_allowed",    "Address not allowed";
    NotYourInvitation    = FORBIDDEN,              "not_your_invitation",    "Not your invitation";
    TargetNotAuthorized  = FORBIDDEN,              "target_not_authorized",  "Target not authorized";
    TrialEnded           = FORBIDDEN,              "trial_ended",            "Trial ended";
    NotFound             = NOT_FOUND,              "not_found",              "Not found";
    MethodNotAllowed     = METHOD_NOT_ALLOWED,     "method_not_allowed",     "Method not allowed";
    AccountExists        = CONFLICT,               "account_exists",         "Account exists";
    AlreadyExists        = CONFLICT,               "already_exists",         "Already exists";
    IdempotencyInFlight  = CONFLICT,               "idempotency_in_flight",  "Request in flight";
    IdempotencyMismatch  = CONFLICT,               "idempotency_mismatch",   "Idempotency key in use";
    LimitReached         = CONFLICT,               "limit_reached",          "Limit reached";
    LastOwner            = CONFLICT,               "last_owner",             "Last owner";
    InvalidState         = CONFLICT,               "invalid_state",          "Invalid state";
    ScanningHalted       = CONFLICT,               "scanning_halted",        "Scanning halted";
    Changed              = CONFLICT,               "changed_meanwhile",      "Changed meanwhile";
    NotReady             = CONFLICT,               "not_ready",              "Not ready";
    TooLarge             = PAYLOAD_TOO_LARGE,      "too_large",              "Too large";
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type";
    RangeNotSatisfiable  = RANGE_NOT_SATISFIABLE,  "range_not_satisfiable",  "Range not satisfiable";
    RateLimited          = TOO_MANY_REQUESTS,      "rate_limited",           "Rate limited";
    Internal             = INTERNAL_SERVER_ERROR,  "internal",               "Internal error";
    Unavailable          = SERVICE_UNAVAILABLE,    "unavailable",            "Unavailable";
}

//! Signatures as Standard Webhooks 1.0 has them: HMAC-SHA256 over `id.timestamp.body`, so that a receiver can check a
//! delivery with a public library and refuse an old one.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use picket_domain::{ClaimedDelivery, WebhookSecret};
use sha2::Sha256;

/// One signature, `v1,<base64>`. `timestamp` is in Unix seconds; `secret` are the bytes, without prefix and base64.
#[must_use]
pub fn sign(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    // HMAC takes keys of any length; a key that it refused would sign nothing, and no receiver would accept that.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return String::new() };
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// The headers of one attempt. `webhook-signature` is a list separated by blanks: while a secret is rotated it holds a
/// signature of each living secret.
#[must_use]
pub fn headers(delivery: &ClaimedDelivery, secrets: &[WebhookSecret], now: Timestamp) -> Vec<(&'static str, String)> {
    let (id, timestamp) = (delivery.event_id.to_string(), now.as_second());
    let signatures: Vec<String> =
        secrets.iter().map(|secret| sign(secret.expose(), &id, timestamp, &delivery.body)).collect();
    vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures.join(" ")),
        ("webhook-attempt", delivery.failures.saturating_add(1).to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use picket_domain::{DeliveryFence, DeliveryId, EventId, OrganizationId, WebhookId, WebhookUrl};

    use super::*;

    /// The vector that the public libraries of Standard Webhooks test themselves with.
    const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const TIMESTAMP: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_public_vector_is_signed_as_published() {
        let secret = STANDARD.decode(SECRET).unwrap();
        assert_eq!(sign(&secret, ID, TIMESTAMP, BODY), SIGNATURE);
    }

    #[test]
    fn every_part_of_the_message_is_signed() {
        let secret = STANDARD.decode(SECRET).unwrap();
        for other in [
            sign(&secret, "msg_other", TIMESTAMP, BODY),
            sign(&secret, ID, TIMESTAMP + 1, BODY),
            sign(&secret, ID, TIMESTAMP, b"{}"),
            sign(b"another secret", ID, TIMESTAMP, BODY),
        ] {
            assert_ne!(other, SIGNATURE);
        }
    }

    #[test]
    fn each_secret_gives_a_signature_of_its_own() {
        let now: Timestamp = "2026-01-15T14:45:00Z".parse().unwrap();
        let delivery = ClaimedDelivery {
            fence: DeliveryFence { delivery_id: DeliveryId::mint(now), attempt: 4 },
            organization_id: OrganizationId::mint(now),
            webhook_id: WebhookId::mint(now),
            event_id: EventId::mint(now),
            url: WebhookUrl::parse("https://example.com/").unwrap(),
            sealed_secret: Vec::new(),
            body: b"{}".to_vec(),
            failures: 2,
            traceparent: None,
        };
        let secrets = [1, 2].map(|byte| WebhookSecret::from_bytes([byte; 32]));
        let headers = headers(&delivery, &secrets, now);
        let value = |name| headers.iter().find(|(key, _)| *key == name).unwrap().1.as_str();
        let id = delivery.event_id.to_string();
        let expected = [1_u8, 2].map(|byte| sign(&[byte; 32], &id, now.as_second(), b"{}")).join(" ");
        assert_eq!(value("webhook-signature"), expected);
        assert_eq!((value("webhook-id"), value("webhook-timestamp")), (id.as_str(), "1768488300"));
        assert_eq!(value("webhook-attempt"), "3");
    }
}

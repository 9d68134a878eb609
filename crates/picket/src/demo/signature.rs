//! Whether a delivery is genuine, as Standard Webhooks 1.0 says a receiver should check it. Written for the receiver's
//! side alone: it shares no code with the sender, or the demo would prove nothing.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use super::receiver::Delivery;

/// How far the sender's clock and ours may differ.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// Why a delivery is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The secret has no readable form.
    #[error("expected a secret of the form whsec_ and base64")]
    Secret,
    /// The time is no time.
    #[error("expected a webhook-timestamp in Unix seconds")]
    Timestamp,
    /// The time is too far from ours: perhaps an old delivery, sent again by somebody else.
    #[error("expected a webhook-timestamp within five minutes of our clock")]
    Age,
    /// No signature fits.
    #[error("expected a webhook-signature made with the secret of this webhook")]
    Mismatch,
}

/// Believes a delivery or not. Comparing takes the same time whether or not the signature begins right.
pub(super) fn verify(secret: &SecretString, delivery: &Delivery) -> Result<(), SignatureError> {
    let secret = secret.expose_secret().strip_prefix("whsec_").ok_or(SignatureError::Secret)?;
    let key = STANDARD.decode(secret).map_err(|_| SignatureError::Secret)?;
    let seconds: i64 = delivery.timestamp.parse().map_err(|_| SignatureError::Timestamp)?;
    let sent_at = Timestamp::from_second(seconds).map_err(|_| SignatureError::Timestamp)?;
    if delivery.received_at.duration_since(sent_at).abs() > TOLERANCE {
        return Err(SignatureError::Age);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| SignatureError::Secret)?;
    mac.update(delivery.id.as_bytes());
    mac.update(b".");
    mac.update(delivery.timestamp.as_bytes());
    mac.update(b".");
    mac.update(&delivery.body);
    let mut given = delivery.signature.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    if given.any(|signature| mac.clone().verify_slice(&signature).is_ok()) {
        Ok(())
    } else {
        Err(SignatureError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification.
    fn published() -> (SecretString, Delivery) {
        let delivery = Delivery {
            id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
            timestamp: "1614265330".to_owned(),
            signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned(),
            body: br#"{"test": 2432232314}"#.to_vec(),
            received_at: Timestamp::from_second(1_614_265_331).unwrap(),
        };
        (SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), delivery)
    }

    #[test]
    fn the_published_example_is_believed() {
        let (secret, delivery) = published();
        assert_eq!(verify(&secret, &delivery), Ok(()));
        let rotated = Delivery { signature: format!("v1,AAAA v2,x {}", delivery.signature), ..delivery };
        assert_eq!(verify(&secret, &rotated), Ok(()));
    }

    #[test]
    fn whatever_was_changed_is_not_believed() {
        let (secret, delivery) = published();
        let changed = [
            Delivery { id: "msg_other".to_owned(), ..delivery.clone() },
            Delivery { timestamp: "1614265329".to_owned(), ..delivery.clone() },
            Delivery { body: b"{}".to_vec(), ..delivery.clone() },
            Delivery { signature: String::new(), ..delivery.clone() },
            Delivery { signature: "v1,".to_owned(), ..delivery.clone() },
            Delivery { signature: delivery.signature.replace("v1,", "v1a,"), ..delivery.clone() },
        ];
        for delivery in changed {
            assert_eq!(verify(&secret, &delivery), Err(SignatureError::Mismatch), "{delivery:?}");
        }
        assert_eq!(verify(&SecretString::from("whsec_AAAA"), &delivery), Err(SignatureError::Mismatch));
        assert_eq!(verify(&SecretString::from("AAAA"), &delivery), Err(SignatureError::Secret));
    }

    #[test]
    fn an_old_delivery_is_not_believed() {
        let (secret, delivery) = published();
        for (seconds, expected) in
            [(301, Err(SignatureError::Age)), (300, Ok(())), (-300, Ok(())), (-301, Err(SignatureError::Age))]
        {
            let received_at = Timestamp::from_second(1_614_265_330 + seconds).unwrap();
            assert_eq!(verify(&secret, &Delivery { received_at, ..delivery.clone() }), expected, "{seconds}");
        }
        let delivery = Delivery { timestamp: "soon".to_owned(), ..delivery };
        assert_eq!(verify(&secret, &delivery), Err(SignatureError::Timestamp));
    }
}

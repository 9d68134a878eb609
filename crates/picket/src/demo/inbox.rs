//! Deliveries that are believed: each is checked against the webhook's secret before a byte of it is read. One that cannot
//! be believed ends the demo.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::{
    answers::Payload,
    console::plain,
    failure::Failure,
    receiver::{Delivery, Receiver},
    signature,
};

/// What a webhook has told so far.
pub(super) struct Inbox<'r> {
    receiver: &'r Receiver,
    secret: SecretString,
    seen: usize,
    payloads: Vec<Payload>,
}

impl<'r> Inbox<'r> {
    /// Nothing was read yet.
    pub(super) const fn new(receiver: &'r Receiver, secret: SecretString) -> Self {
        Self { receiver, secret, seen: 0, payloads: Vec::new() }
    }

    /// Waits for an event about something; `None` when it does not come in time.
    ///
    /// # Errors
    /// When a delivery is not genuine.
    pub(super) async fn wait_for(
        &mut self,
        event: &str,
        is_it: impl Fn(&Value) -> bool,
        within: Duration,
    ) -> Result<Option<Payload>, Failure> {
        let deadline = Instant::now() + within;
        loop {
            self.read()?;
            if let Some(found) = self.payloads.iter().find(|one| one.event == event && is_it(&one.data)) {
                return Ok(Some(found.clone()));
            }
            if timeout_at(deadline, self.receiver.more_than(self.seen)).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// How many deliveries were believed; one that came twice counts once.
    pub(super) const fn count(&self) -> usize {
        self.payloads.len()
    }

    fn read(&mut self) -> Result<(), Failure> {
        let deliveries = self.receiver.deliveries(self.seen);
        self.seen = self.seen.saturating_add(deliveries.len());
        for delivery in deliveries {
            let payload = believed(&self.secret, &delivery)?;
            if self.payloads.iter().all(|known| known.id != payload.id) {
                self.payloads.push(payload);
            }
        }
        Ok(())
    }
}

fn believed(secret: &SecretString, delivery: &Delivery) -> Result<Payload, Failure> {
    let id = || plain(&delivery.id);
    signature::verify(secret, delivery).map_err(|source| Failure::Signature { id: id(), source })?;
    let payload: Payload =
        serde_json::from_slice(&delivery.body).map_err(|source| Failure::Payload { id: id(), source })?;
    if payload.id == delivery.id {
        Ok(payload)
    } else {
        Err(Failure::Unexpected { expected: format!("a body with the id {}", id()), found: plain(&payload.id) })
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use hmac::{Hmac, KeyInit, Mac};
    use jiff::Timestamp;
    use sha2::Sha256;

    use super::*;

    const KEY: &[u8] = b"a key of the test";

    fn secret() -> SecretString {
        SecretString::from(format!("whsec_{}", STANDARD.encode(KEY)))
    }

    fn delivery(id: &str, body: &str) -> Delivery {
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
        mac.update(format!("{id}.1000.{body}").as_bytes());
        Delivery {
            id: id.to_owned(),
            timestamp: "1000".to_owned(),
            signature: format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())),
            body: body.as_bytes().to_vec(),
            received_at: Timestamp::from_second(1001).unwrap(),
        }
    }

    #[test]
    fn a_signed_delivery_is_read() {
        let payload =
            believed(&secret(), &delivery("evt_1", r#"{"id":"evt_1","event":"scan.created","data":{}}"#)).unwrap();
        assert_eq!((payload.id.as_str(), payload.event.as_str()), ("evt_1", "scan.created"));
    }

    #[test]
    fn a_forged_or_confused_delivery_ends_the_demo() {
        let body = r#"{"id":"evt_1","event":"scan.created","data":{}}"#;
        let forged = Delivery { body: body.replace("created", "started").into_bytes(), ..delivery("evt_1", body) };
        assert!(matches!(believed(&secret(), &forged), Err(Failure::Signature { .. })));
        assert!(matches!(believed(&secret(), &delivery("evt_2", body)), Err(Failure::Unexpected { .. })));
        assert!(matches!(believed(&secret(), &delivery("evt_1", "{}")), Err(Failure::Payload { .. })));
    }
}

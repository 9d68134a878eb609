//! What may be examined: a target with its addresses, every one of them judged.

use std::net::IpAddr;

use picket_domain::{Authority, Exclusion, GroundRefused, PinnedHost, Target, TargetKind, classify};
use picket_outbound::LookupFailed;

use super::{Asker, PlanRefused, Planner};

/// A target that may be scanned, with the addresses that it had when that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The target.
    pub target: Target,
    /// Its addresses, where it is a name or an address. Those of a network are judged as a whole and never listed.
    pub addresses: Vec<IpAddr>,
    /// Why it may be scanned.
    pub authority: Authority,
}

impl Scope {
    /// How many addresses it has.
    pub(super) fn count(&self) -> u64 {
        match self.target.kind() {
            TargetKind::Network(_) => self.target.address_count(),
            TargetKind::Host(_) | TargetKind::Address(_) => u64::try_from(self.addresses.len()).unwrap_or(u64::MAX),
        }
    }

    /// The pins that the sandbox resolves `addresses` by; none when the target is no name.
    pub(super) fn hosts(&self, addresses: &[IpAddr]) -> Vec<PinnedHost> {
        let name = self.target.host().map(|host| host.ascii().to_owned());
        let pin =
            |name: String| addresses.iter().map(move |address| PinnedHost { name: name.clone(), address: *address });
        name.into_iter().flat_map(pin).collect()
    }
}

impl Planner {
    /// Reads, resolves and judges a target for who asks. `passive` tools may look at any public host or
    /// address, never at a network.
    ///
    /// # Errors
    /// When it cannot be read or resolved, is too large, or may not be scanned.
    pub async fn authorize(&self, asker: &Asker, text: &str, passive: bool) -> Result<Scope, PlanRefused> {
        let target = Target::parse(text)?;
        let most = asker.subscription.limits().addresses;
        if target.address_count() > u64::from(most) {
            let message = format!("expected at most {most} addresses in one scan with your plan");
            return Err(PlanRefused::field("target", "too_many_addresses", message));
        }
        // By its name, before its name servers hear of it.
        if self.deny_list.covers(&target, &[]) {
            return Err(DENIED);
        }
        if let Some(exclusion) = asker.grounds.exclusion(&target, &[]) {
            return Err(excluded(exclusion));
        }
        let (addresses, is_pinned) = self.addresses(&target).await?;
        if self.deny_list.covers(&target, &addresses) {
            return Err(DENIED);
        }
        match asker.grounds.decide(&target, &addresses, is_pinned, &self.allow_list, passive) {
            Ok(authority) => Ok(Scope { target, addresses, authority }),
            Err(GroundRefused::Excluded(exclusion)) => Err(excluded(&exclusion)),
            Err(GroundRefused::NotAuthorized) => Err(PlanRefused::TargetNotAuthorized(target.to_string())),
            Err(GroundRefused::Forbidden(address)) => {
                Err(PlanRefused::TargetForbidden { class: classify(address).name() })
            }
        }
    }

    /// The addresses of a target, and whether the operator has set them.
    async fn addresses(&self, target: &Target) -> Result<(Vec<IpAddr>, bool), PlanRefused> {
        match target.kind() {
            TargetKind::Host(name) => match self.pins.get(name.ascii()) {
                Some(address) => Ok((vec![*address], true)),
                None => {
                    let found = self.resolver.resolve(name.ascii()).await;
                    found.map(|addresses| (addresses, false)).map_err(|error| unresolvable(&error))
                }
            },
            TargetKind::Address(address) => Ok((vec![*address], false)),
            TargetKind::Network(_) => Ok((Vec::new(), false)),
        }
    }
}

/// What the operator never has scanned. Which entry it is says something of the operator's network.
const DENIED: PlanRefused = PlanRefused::TargetForbidden { class: "denied" };

fn excluded(exclusion: &Exclusion) -> PlanRefused {
    PlanRefused::TargetExcluded { exclusion: exclusion.to_string() }
}

/// The code of a name that may have addresses: its name servers did not say.
pub(super) const UNANSWERED: &str = "target_unanswered";

/// A name without usable addresses.
fn unresolvable(error: &LookupFailed) -> PlanRefused {
    let (code, message) = match error {
        LookupFailed::NoAddress => ("target_unresolvable", "expected a name that has an address"),
        LookupFailed::TooMany => ("too_many_addresses", "expected a name with at most 16 addresses"),
        LookupFailed::TooManyAliases => {
            ("target_unresolvable", "expected a name with at most 8 aliases before its addresses")
        }
        LookupFailed::Timeout | LookupFailed::Failed(_) => {
            (UNANSWERED, "expected a name that resolves; its name servers did not answer")
        }
    };
    PlanRefused::field("target", code, message)
}

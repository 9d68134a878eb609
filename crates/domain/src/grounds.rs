//! Why an organization may scan a target, and what it never has scanned: what Postgres knows, as a plain value. Loaded by
//! whoever plans, before planning; the decision is here, and the database looks again before each task begins.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use crate::{
    AllowList, AuthorizationId, Exclusion, HostName, ProofId, ProofMethod, Target, TargetKind, TargetVerdict, judge,
};

/// What holds for an organization at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Proofs and written authorizations that are valid now.
    pub grounds: Vec<Ground>,
    /// What is never scanned.
    pub exclusions: Vec<Exclusion>,
    /// Ranges of addresses that are not public, and that the operator has opened for this organization.
    pub ranges: Vec<IpNet>,
}

/// A proof, or a written authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    /// Which one.
    pub basis: Basis,
    /// What it was given for.
    pub target: Target,
    /// How far it reaches.
    pub reach: Reach,
}

/// How far a ground reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// That very host; the whole of a network.
    Target,
    /// The host, and every name below it.
    Below,
}

/// Why a scan is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Nothing is touched: a report was imported.
    Import,
    /// The operator's list.
    Operator,
    /// The tool only looks at what is public.
    Passive,
    /// Ranges that the operator has opened for the organization.
    Ranges,
    /// The organization has proven that it controls the target.
    Proof(ProofId),
    /// The organization says in writing that it may.
    Authorization(AuthorizationId),
}

/// What a scan relies on; stored with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Why it is allowed.
    pub basis: Basis,
    /// The organization's ranges that opened addresses of it.
    pub ranges: Vec<IpNet>,
}

/// Why a target may not be scanned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroundRefused {
    /// The organization has excluded it.
    Excluded(Exclusion),
    /// It leads to an address that nobody may scan here.
    Forbidden(IpAddr),
    /// Nothing says that the organization may.
    NotAuthorized,
}

impl Reach {
    /// How far a proof reaches: a record in the DNS of a registered domain speaks for all of it, everything else for that
    /// very host.
    #[must_use]
    pub fn of_proof(method: ProofMethod, target: &Target) -> Self {
        let rules_all = method == ProofMethod::DnsTxt && target.host().is_some_and(HostName::is_registrable);
        if rules_all { Self::Below } else { Self::Target }
    }

    /// The name on the wire and in the database, of a written authorization.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Below => "subdomains",
        }
    }

    /// The reach of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        [Self::Target, Self::Below].into_iter().find(|reach| reach.name() == name)
    }
}

impl Authority {
    /// One that no range of the organization's is part of.
    #[must_use]
    pub const fn of(basis: Basis) -> Self {
        Self { basis, ranges: Vec::new() }
    }

    /// As it is stored with the scan. Ids are in their stored form, since the database compares them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (by, id) = match self.basis {
            Basis::Import => ("import", None),
            Basis::Operator => ("operator", None),
            Basis::Passive => ("passive", None),
            Basis::Ranges => ("ranges", None),
            Basis::Proof(id) => ("proof", Some(id.uuid())),
            Basis::Authorization(id) => ("authorization", Some(id.uuid())),
        };
        json!({"by": by, "id": id.map(|id| id.to_string()), "ranges": self.ranges})
    }
}

impl Ground {
    /// Whether it allows the target. A network that is authorized in writing allows a name all of whose addresses lie in it.
    #[must_use]
    pub fn covers(&self, target: &Target, resolved: &[IpAddr]) -> bool {
        match (self.target.kind(), target.kind()) {
            (TargetKind::Host(own), TargetKind::Host(asked)) => {
                own == asked || (self.reach == Reach::Below && asked.is_below(own))
            }
            (TargetKind::Host(_), TargetKind::Address(_) | TargetKind::Network(_)) => false,
            (TargetKind::Address(_) | TargetKind::Network(_), TargetKind::Host(_)) => {
                let is_inside = |address: &IpAddr| self.holds(IpNet::from(*address));
                matches!(self.basis, Basis::Authorization(_)) && !resolved.is_empty() && resolved.iter().all(is_inside)
            }
            (_, TargetKind::Address(address)) => self.holds(IpNet::from(*address)),
            (_, TargetKind::Network(net)) => self.holds(*net),
        }
    }

    fn holds(&self, asked: IpNet) -> bool {
        match self.target.kind() {
            TargetKind::Host(_) => false,
            TargetKind::Address(address) => IpNet::from(*address).contains(&asked),
            TargetKind::Network(net) => net.contains(&asked),
        }
    }
}

impl Grounds {
    /// What excludes the target, if anything does. `resolved` is looked at for host names alone.
    #[must_use]
    pub fn exclusion(&self, target: &Target, resolved: &[IpAddr]) -> Option<&Exclusion> {
        self.exclusions.iter().find(|one| one.covers(target, resolved))
    }

    /// Decides about a target with its addresses, as [`judge`] does for the operator's list alone; every address is looked at.
    ///
    /// # Errors
    /// Why it may not be scanned.
    pub fn decide(
        &self,
        target: &Target,
        resolved: &[IpAddr],
        pinned_by_operator: bool,
        list: &AllowList,
        passive: bool,
    ) -> Result<Authority, GroundRefused> {
        if let Some(exclusion) = self.exclusion(target, resolved) {
            return Err(GroundRefused::Excluded(exclusion.clone()));
        }
        if judge(target, resolved, pinned_by_operator, list) == TargetVerdict::Allowed {
            return Ok(Authority::of(Basis::Operator));
        }
        let basis = match judge(target, resolved, pinned_by_operator, &list.with_ranges(&self.ranges)) {
            TargetVerdict::Forbidden { address } => return Err(GroundRefused::Forbidden(address)),
            TargetVerdict::Allowed => Basis::Ranges,
            TargetVerdict::NotAuthorized => {
                let ground = self.grounds.iter().find(|ground| ground.covers(target, resolved)).map(|one| one.basis);
                ground.or(passive.then_some(Basis::Passive)).ok_or(GroundRefused::NotAuthorized)?
            }
        };
        Ok(Authority { basis, ranges: self.ranges_around(target, resolved) })
    }

    /// The organization's ranges that hold an address of the target.
    fn ranges_around(&self, target: &Target, resolved: &[IpAddr]) -> Vec<IpNet> {
        let holds = |range: &&IpNet| match target.kind() {
            TargetKind::Host(_) => resolved.iter().any(|address| range.contains(address)),
            TargetKind::Address(address) => range.contains(address),
            TargetKind::Network(net) => range.contains(net) || net.contains(*range),
        };
        self.ranges.iter().filter(holds).copied().collect()
    }
}

#[cfg(test)]
mod tests;

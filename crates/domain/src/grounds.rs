//! Why an organization may scan a target, and what it never has scanned: what Postgres knows, as a plain value. Loaded by
//! whoever plans, before planning; the decision is here, and the database looks again before each task begins.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    AllowList, AuthorizationId, Exclusion, HostName, NewTask, ProofDigest, ProofId, ProofMethod, Target, TargetKind,
    TargetVerdict, judge,
};

/// The most further grounds that a scan remembers; each is looked at with every claim.
const MOST_FURTHER: usize = 16;

/// What holds for an organization at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grounds {
    /// Proofs and written authorizations that are valid now.
    pub grounds: Vec<Ground>,
    /// What is never scanned.
    pub exclusions: Vec<Exclusion>,
    /// Ranges of addresses that are not public, and that the operator has opened for this organization.
    pub ranges: Vec<IpNet>,
    /// Proofs among the grounds that have to be looked for before a scan begins to rely on them.
    pub stale: Vec<StaleProof>,
}

/// A proof that nobody has looked for in [`crate::LOOK_LASTS`], or that was missing at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleProof {
    /// Which one.
    pub id: ProofId,
    /// What it proves.
    pub target: Target,
    /// Where it is looked for.
    pub method: ProofMethod,
    /// Of the token.
    pub digest: ProofDigest,
    /// Whether the last look did not find it.
    pub was_missing: bool,
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
    /// Further proofs and written authorizations that allow it: it goes on while one of them all stands.
    pub also: Vec<Basis>,
    /// The organization's ranges that opened addresses of it.
    pub ranges: Vec<IpNet>,
    /// Where it is allowed only since its tools look and do no more: those tools with their canonical parameters,
    /// `{tool, params}`. Every other task of the scan is refused when it is claimed. Empty under any other basis.
    pub only: Vec<Value>,
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
        Self { basis, also: Vec::new(), ranges: Vec::new(), only: Vec::new() }
    }

    /// The same for these tasks alone, where it is allowed only since their tools do no more than look.
    #[must_use]
    pub fn for_tasks(mut self, tasks: &[NewTask]) -> Self {
        if self.basis == Basis::Passive {
            for task in tasks {
                let one = json!({"tool": task.tool, "params": task.params});
                if !self.only.contains(&one) {
                    self.only.push(one);
                }
            }
        }
        self
    }

    /// The proofs and written authorizations that it relies on, any one of which is enough; none where it relies on none.
    pub fn grounds(&self) -> impl Iterator<Item = Basis> {
        let is_ground = |basis: &Basis| basis.ground().is_some();
        std::iter::once(self.basis).chain(self.also.iter().copied()).filter(is_ground)
    }

    /// As it is stored with the scan. Ids are in their stored form, since the database compares them.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let also: Vec<Value> = self.also.iter().copied().map(Basis::to_json).collect();
        let Value::Object(mut stored) = self.basis.to_json() else { return Value::Null };
        stored.insert("also".to_owned(), Value::Array(also));
        stored.insert("ranges".to_owned(), json!(self.ranges));
        if !self.only.is_empty() {
            stored.insert("only".to_owned(), Value::Array(self.only.clone()));
        }
        Value::Object(stored)
    }

    /// As `to_json` wrote it; `None` for everything else.
    #[must_use]
    pub fn from_json(stored: &Value) -> Option<Self> {
        let ranges = stored.get("ranges")?.as_array()?.iter().map(|range| range.as_str()?.parse().ok());
        let also = stored.get("also").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Self {
            basis: Basis::from_json(stored)?,
            also: also.iter().map(Basis::from_json).collect::<Option<_>>()?,
            ranges: ranges.collect::<Option<_>>()?,
            only: stored.get("only").and_then(Value::as_array).cloned().unwrap_or_default(),
        })
    }
}

impl Basis {
    /// Its id, where it is a proof or a written authorization.
    const fn ground(self) -> Option<Uuid> {
        match self {
            Self::Proof(id) => Some(id.uuid()),
            Self::Authorization(id) => Some(id.uuid()),
            Self::Import | Self::Operator | Self::Passive | Self::Ranges => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Operator => "operator",
            Self::Passive => "passive",
            Self::Ranges => "ranges",
            Self::Proof(_) => "proof",
            Self::Authorization(_) => "authorization",
        }
    }

    fn to_json(self) -> Value {
        json!({"by": self.name(), "id": self.ground().map(|id| id.to_string())})
    }

    fn from_json(stored: &Value) -> Option<Self> {
        let id = || stored.get("id")?.as_str()?.parse::<Uuid>().ok();
        match stored.get("by")?.as_str()? {
            "proof" => Some(Self::Proof(ProofId::from_uuid(id()?))),
            "authorization" => Some(Self::Authorization(AuthorizationId::from_uuid(id()?))),
            by => [Self::Import, Self::Operator, Self::Passive, Self::Ranges].into_iter().find(|one| one.name() == by),
        }
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
        // Looking is for one site. Who looks at a whole network of strangers searches it.
        let may_look = passive && !matches!(target.kind(), TargetKind::Network(_));
        let mut covering = self.grounds.iter().filter(|ground| ground.covers(target, resolved)).map(|one| one.basis);
        let (basis, also) = match judge(target, resolved, pinned_by_operator, &list.with_ranges(&self.ranges)) {
            TargetVerdict::Forbidden { address } => return Err(GroundRefused::Forbidden(address)),
            TargetVerdict::Allowed => (Basis::Ranges, Vec::new()),
            TargetVerdict::NotAuthorized => {
                let first =
                    covering.next().or(may_look.then_some(Basis::Passive)).ok_or(GroundRefused::NotAuthorized)?;
                (first, covering.take(MOST_FURTHER).collect())
            }
        };
        Ok(Authority { basis, also, ranges: self.ranges_around(target, resolved), only: Vec::new() })
    }

    /// The stale proofs that a scan of the target would rely on alone; none where something fresh covers it by its name.
    pub fn to_look_for(&self, target: &Target) -> impl Iterator<Item = &StaleProof> {
        let is_stale = |ground: &Ground| self.stale.iter().any(|one| ground.basis == Basis::Proof(one.id));
        let covering: Vec<&Ground> = self.grounds.iter().filter(|ground| ground.covers(target, &[])).collect();
        let is_needed = covering.iter().all(|ground| is_stale(ground));
        let covers = move |one: &&StaleProof| covering.iter().any(|ground| ground.basis == Basis::Proof(one.id));
        self.stale.iter().filter(move |_| is_needed).filter(covers)
    }

    /// The same without that proof.
    #[must_use]
    pub fn without(mut self, proof: ProofId) -> Self {
        self.grounds.retain(|ground| ground.basis != Basis::Proof(proof));
        self.stale.retain(|one| one.id != proof);
        self
    }

    /// The same without the proofs and written authorizations that are not among these.
    #[must_use]
    pub fn only(mut self, bases: &[Basis]) -> Self {
        self.grounds.retain(|ground| bases.contains(&ground.basis));
        self
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

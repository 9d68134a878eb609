//! Names below a target: looked for with our own resolver alone, and judged like targets. A name is looked at further only
//! where the scan's own grounds allow it too, so that nothing is scanned under a proof that nobody looks at again.
//!
//! The answers are hostile: a domain may answer to every name, or to each with other addresses. Whatever is asked, kept and
//! told is bounded. It must never run inside a transaction, since it asks DNS.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use picket_domain::{
    Authority, Basis, ClaimedTask, Gap, Growing, Grown, HostName, NewTask, PlanGap, Shard, Target, TaskId,
};
use picket_outbound::{LookupFailed, certified_names};
use picket_scanners::{DISCOVERY, NameLine};

use super::{Asker, PlanRefused, Planner, ScanOptions, Scope, Whole, options::INCLUDE_SUBDOMAIN, shards};

/// Usual names, one a line.
const WORDS: &str = include_str!("words.txt");
/// The most names that are kept.
const MOST_FOUND: usize = 100;
/// The most refusals that are told.
const MOST_REFUSED: usize = 100;
/// Names that are asked for at once.
const AT_ONCE: usize = 8;
/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a search came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// The names with their addresses, each of which may be scanned, by name.
    pub found: Vec<Scope>,
    /// What may not be, and why.
    pub refused: Vec<PlanGap>,
    /// What the scan relies on from here on, if it looks at these names too.
    pub authority: Authority,
    /// Names that the name servers were asked for.
    pub asked: u64,
    /// Whether the domain answers to every name.
    pub is_wildcard: bool,
    certified: BTreeSet<String>,
}

/// Why there was no search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSearched {
    /// The name servers do not answer, so that nothing can be said of any name.
    #[error("the name servers did not answer")]
    Unanswered,
    /// It took too long.
    #[error("the name servers took too long")]
    TimedOut,
    /// What is below it is asked of something that is no name.
    #[error("expected a host name, which can have names below it")]
    NoName,
}

impl Names {
    /// What a search prints.
    #[must_use]
    pub fn lines(&self) -> Vec<NameLine> {
        let line = |scope: &Scope| {
            let name = scope.target.to_string();
            let is_certified = self.certified.contains(&name);
            NameLine::Name { name, addresses: scope.addresses.clone(), is_certified }
        };
        let end = NameLine::End { asked: self.asked, is_wildcard: self.is_wildcard };
        self.found.iter().map(line).chain([end]).collect()
    }

    /// What a task of each name would look at.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        self.found.iter().map(shards::whole).collect()
    }

    /// Takes a name away that an operator has stopped meanwhile.
    pub fn forbid(&mut self, name: &str) {
        self.found.retain(|scope| scope.target.to_string() != name);
        refuse(&mut self.refused, name, Gap::TargetForbidden);
    }
}

/// One name that was asked for.
struct Asked {
    name: String,
    is_certified: bool,
    answer: Result<Scope, PlanRefused>,
}

impl Planner {
    /// Looks for names below the task's target: usual ones, and those of the certificate at `port` of its first address.
    /// `relies` is what the scan relies on.
    ///
    /// # Errors
    /// When nothing can be said of any name.
    pub async fn search(
        &self,
        asker: &Asker,
        shard: &Shard,
        (port, relies): (u16, &Authority),
    ) -> Result<Names, NotSearched> {
        let parent = Target::parse(&shard.target).ok().and_then(|target| target.host().cloned());
        let parent = parent.ok_or(NotSearched::NoName)?;
        let searched = self.search_below(asker, (&parent, shard), port, relies);
        tokio::time::timeout(PATIENCE, searched).await.map_err(|_| NotSearched::TimedOut)?
    }

    async fn search_below(
        &self,
        asker: &Asker,
        (parent, shard): (&HostName, &Shard),
        port: u16,
        relies: &Authority,
    ) -> Result<Names, NotSearched> {
        let any = self.any_name(parent, asker).await?;
        let certified = match shard.addresses.first() {
            Some(address) => certified_names((*address, port).into(), parent.ascii()).await,
            None => Vec::new(),
        };
        let certified: BTreeSet<String> = certified.iter().filter_map(|name| below(name, parent)).collect();
        let usual = WORDS.lines().filter_map(|word| below(&format!("{word}.{}", parent.ascii()), parent));
        let usual = usual.filter(|name| !certified.contains(name));
        let names = certified.iter().map(|name| (name.clone(), true)).chain(usual.map(|name| (name, false)));
        // Of the scan's grounds alone: another one is nothing that its tasks are held against before they begin.
        let bases: Vec<Basis> = relies.grounds().collect();
        let asker = Asker { grounds: asker.grounds.clone().only(&bases), ..asker.clone() };
        let asks: Vec<_> = names.map(|(name, is_certified)| self.ask(&asker, name, is_certified)).collect();
        let mut answers: Vec<Asked> = stream::iter(asks).buffer_unordered(AT_ONCE).collect().await;
        answers.sort_by(|one, other| other.is_certified.cmp(&one.is_certified).then_with(|| one.name.cmp(&other.name)));
        let most = usize::try_from(asker.subscription.limits().addresses).unwrap_or(usize::MAX);
        let mut kept = Kept::new(relies, most.saturating_sub(shard.addresses.len()));
        let asked = u64::try_from(answers.len()).unwrap_or(u64::MAX).saturating_add(PROBES);
        for one in answers {
            kept.take(one, &any);
        }
        kept.names.found.sort_by_key(|scope| scope.target.to_string());
        Ok(Names { asked, is_wildcard: any != Any::None, certified, ..kept.names })
    }

    async fn ask(&self, asker: &Asker, name: String, is_certified: bool) -> Asked {
        let answer = self.authorize(asker, &name, false).await;
        Asked { name, is_certified, answer }
    }

    /// What the domain answers to names that nobody can have given.
    async fn any_name(&self, parent: &HostName, asker: &Asker) -> Result<Any, NotSearched> {
        let mut answers = Vec::new();
        for _ in 0..PROBES {
            let label = TaskId::mint(asker.now).uuid().simple().to_string();
            match self.resolver.resolve(&format!("{label}.{}", parent.ascii())).await {
                Ok(addresses) => answers.push(addresses),
                Err(LookupFailed::NoAddress) => {}
                // More than any name of ours may have.
                Err(LookupFailed::TooMany) => return Ok(Any::Changing),
                Err(LookupFailed::Timeout | LookupFailed::Failed(_)) => return Err(NotSearched::Unanswered),
            }
        }
        Ok(match answers.as_slice() {
            [] => Any::None,
            [first, rest @ ..] if rest.len() == 1 && rest.iter().all(|one| one == first) => Any::Always(first.clone()),
            _ => Any::Changing,
        })
    }
}

/// Names that are asked for to know whether the domain answers to all.
const PROBES: u64 = 2;

/// What a domain answers to names that it does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Any {
    /// That they do not exist.
    None,
    /// The same addresses.
    Always(Vec<IpAddr>),
    /// This and that: nothing tells a name that it has.
    Changing,
}

impl Any {
    /// Whether an answer says nothing of its name.
    fn explains(&self, addresses: &[IpAddr]) -> bool {
        match self {
            Self::None => false,
            Self::Always(same) => addresses.iter().all(|address| same.contains(address)),
            Self::Changing => true,
        }
    }
}

/// What is kept of the answers, in their order.
struct Kept {
    names: Names,
    /// What every name so far stands on, where it needs a ground.
    bases: Vec<Basis>,
    addresses_left: usize,
}

impl Kept {
    fn new(relies: &Authority, addresses_left: usize) -> Self {
        let authority = relies.clone();
        let (found, refused, certified) = (Vec::new(), Vec::new(), BTreeSet::new());
        let names = Names { found, refused, authority, asked: 0, is_wildcard: false, certified };
        Self { names, bases: relies.grounds().collect(), addresses_left }
    }

    fn take(&mut self, one: Asked, any: &Any) {
        let refused = match one.answer {
            Ok(scope) if !one.is_certified && any.explains(&scope.addresses) => return,
            Ok(scope) => self.keep(scope).err(),
            // That a usual name is excluded says its exclusion; whether it exists, nobody has asked.
            Err(PlanRefused::TargetExcluded { .. }) if !one.is_certified => return,
            Err(error) => gap(&error),
        };
        if let Some(gap) = refused {
            refuse(&mut self.names.refused, &one.name, gap);
        }
    }

    fn keep(&mut self, scope: Scope) -> Result<(), Gap> {
        let (count, left) = (scope.addresses.len(), self.addresses_left);
        if self.names.found.len() >= MOST_FOUND || count > left {
            return Err(Gap::LimitExceeded);
        }
        let own: Vec<Basis> = scope.authority.grounds().collect();
        if !own.is_empty() {
            let both: Vec<Basis> = self.bases.iter().copied().filter(|basis| own.contains(basis)).collect();
            let Some((first, rest)) = both.split_first() else { return Err(Gap::TargetNotAuthorized) };
            (self.names.authority.basis, self.names.authority.also) = (*first, rest.to_vec());
            self.bases = both;
        }
        for range in &scope.authority.ranges {
            if !self.names.authority.ranges.contains(range) {
                self.names.authority.ranges.push(*range);
            }
        }
        self.addresses_left = left.saturating_sub(count);
        self.names.found.push(scope);
        Ok(())
    }
}

/// The canonical form of a name that is really below its parent.
fn below(name: &str, parent: &HostName) -> Option<String> {
    let target = Target::parse(name).ok()?;
    target.host().filter(|host| host.is_below(parent)).map(|host| host.ascii().to_owned())
}

/// Why a name is not looked at; nothing to tell of one that is not there.
fn gap(error: &PlanRefused) -> Option<Gap> {
    match error {
        PlanRefused::Field { code: "too_many_addresses", .. } => Some(Gap::LimitExceeded),
        PlanRefused::Field { .. } => None,
        PlanRefused::TargetForbidden { .. } => Some(Gap::TargetForbidden),
        PlanRefused::TargetExcluded { .. } => Some(Gap::TargetExcluded),
        PlanRefused::TargetNotAuthorized(_) => Some(Gap::TargetNotAuthorized),
    }
}

fn refuse(refused: &mut Vec<PlanGap>, name: &str, gap: Gap) {
    if refused.len() < MOST_REFUSED {
        refused.push(PlanGap { tool: DISCOVERY.slug().to_owned(), target: name.to_owned(), gap });
    }
}

/// What is planned for the names that a task has found: for each what the plan's first stage is for its target. A name whose
/// addresses were all scanned for ports is looked at where its services usually are. The same names give the same tasks,
/// their ids excepted.
#[must_use]
pub fn grow_names(task: &ClaimedTask, names: &Names, growing: &Growing, now: Timestamp) -> Grown {
    let options = ScanOptions { include_subdomain: false, ..ScanOptions::from_json(&growing.request) };
    let mut grown = Grown { gaps: names.refused.clone(), ..Grown::default() };
    if options.is_empty() || !task.opens.iter().any(|name| name == INCLUDE_SUBDOMAIN) {
        return grown;
    }
    let mut scanned: BTreeSet<IpAddr> = task.shard.addresses.iter().copied().collect();
    for scope in &names.found {
        let is_scanned = scope.addresses.iter().all(|address| scanned.contains(address));
        let wanted = ScanOptions { port_scan: options.port_scan && !is_scanned, ..options };
        let whole = Whole::of(wanted, growing.plan, scope, now);
        let fits = |tasks: &[NewTask], probes: u64| {
            let count = grown.tasks.len().saturating_add(tasks.len());
            u64::try_from(count).is_ok_and(|count| count <= growing.tasks_left)
                && grown.probes.saturating_add(probes) <= growing.probes_left
        };
        if !fits(&whole.tasks, whole.probes) {
            refuse(&mut grown.gaps, &scope.target.to_string(), Gap::LimitExceeded);
            continue;
        }
        scanned.extend(&scope.addresses);
        grown.gaps.extend(whole.gaps(wanted, scope));
        grown.probes = grown.probes.saturating_add(whole.probes);
        grown.tasks.extend(whole.tasks);
    }
    if !grown.tasks.is_empty() {
        grown.authority = Some(names.authority.clone());
    }
    grown
}

#[cfg(test)]
mod tests;

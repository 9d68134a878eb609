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

use super::{
    Asker, PlanRefused, Planner, ScanOptions, Scope, Whole, options::INCLUDE_SUBDOMAIN, scope::UNANSWERED, shards,
};

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
    /// What the scan relied on when the search began.
    pub authority: Authority,
    /// Names that the name servers were asked for.
    pub asked: u64,
    /// Those among them that nothing was said of, though they were asked for twice.
    pub unanswered: u64,
    /// Whether a name that is missing here is really not there: every name was answered, none was refused, the certificate
    /// was read where there is one, and the domain does not answer to every name.
    pub is_whole: bool,
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
        let end = NameLine::End { asked: self.asked, is_wildcard: self.is_wildcard, is_whole: self.is_whole };
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
        self.is_whole = false;
        refuse(&mut self.refused, name, Gap::TargetForbidden);
    }
}

/// One name that was asked for.
struct Asked {
    name: String,
    is_certified: bool,
    answer: Result<Scope, PlanRefused>,
}

impl Asked {
    fn is_unanswered(&self) -> bool {
        matches!(self.answer, Err(PlanRefused::Field { code: UNANSWERED, .. }))
    }
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
        // Of the scan's grounds alone: another one is nothing that its tasks are held against before they begin.
        let bases: Vec<Basis> = relies.grounds().collect();
        let asker = &Asker { grounds: asker.grounds.clone().only(&bases), ..asker.clone() };
        let (any, probes) = self.any_name(parent, asker).await?;
        let listed = self.certified(asker, (parent, shard), port).await;
        let is_whole = listed.is_some() && any == Any::None;
        let certified: BTreeSet<String> = listed.iter().flatten().filter_map(|name| below(name, parent)).collect();
        let usual = WORDS.lines().filter_map(|word| below(&format!("{word}.{}", parent.ascii()), parent));
        let usual = usual.filter(|name| !certified.contains(name));
        let names = certified.iter().map(|name| (name.clone(), true)).chain(usual.map(|name| (name, false)));
        let (again, mut answers): (Vec<Asked>, Vec<Asked>) =
            self.ask_all(asker, names.collect()).await.into_iter().partition(Asked::is_unanswered);
        let again = again.into_iter().map(|one| (one.name, one.is_certified)).collect();
        answers.extend(self.ask_all(asker, again).await);
        answers.sort_by(|one, other| other.is_certified.cmp(&one.is_certified).then_with(|| one.name.cmp(&other.name)));
        let most = usize::try_from(asker.subscription.limits().addresses).unwrap_or(usize::MAX);
        let mut kept = Kept::new(relies, &shard.addresses, most);
        kept.names.is_whole = is_whole;
        let asked = answers.iter().filter(|one| !matches!(one.answer, Err(PlanRefused::TargetExcluded { .. }))).count();
        let asked = u64::try_from(asked).unwrap_or(u64::MAX).saturating_add(probes);
        for one in answers {
            kept.take(one, &any);
        }
        kept.names.found.sort_by_key(|scope| scope.target.to_string());
        Ok(Names { asked, is_wildcard: any != Any::None, certified, ..kept.names })
    }

    /// The names of the certificate that the first address shows; `None` when nobody knows, or it may not be asked. A worker
    /// calls there itself, so that no sandbox stands between: it is judged here, as of now.
    async fn certified(&self, asker: &Asker, (parent, shard): (&HostName, &Shard), port: u16) -> Option<Vec<String>> {
        let target = Target::parse(&shard.target).ok()?;
        let pin = self.pins.get(parent.ascii());
        let is_pinned = pin.is_some_and(|pin| shard.addresses.iter().all(|address| address == pin));
        asker.grounds.decide(&target, &shard.addresses, is_pinned, &self.allow_list, false).ok()?;
        certified_names((*shard.addresses.first()?, port).into(), parent.ascii()).await
    }

    async fn ask_all(&self, asker: &Asker, names: Vec<(String, bool)>) -> Vec<Asked> {
        let asks: Vec<_> = names.into_iter().map(|(name, is_certified)| self.ask(asker, name, is_certified)).collect();
        stream::iter(asks).buffer_unordered(AT_ONCE).collect().await
    }

    async fn ask(&self, asker: &Asker, name: String, is_certified: bool) -> Asked {
        let answer = self.authorize(asker, &name, false).await;
        Asked { name, is_certified, answer }
    }

    /// What the domain answers to names that nobody can have given, and how many were asked for.
    async fn any_name(&self, parent: &HostName, asker: &Asker) -> Result<(Any, u64), NotSearched> {
        let mut answers = Vec::new();
        for _ in 0..PROBES {
            let name = format!("{}.{}", TaskId::mint(asker.now).uuid().simple(), parent.ascii());
            // Nobody's servers are asked for what is excluded, and nothing below it will be.
            if Target::parse(&name).is_ok_and(|target| asker.grounds.exclusion(&target, &[]).is_some()) {
                return Ok((Any::None, 0));
            }
            match self.resolver.resolve(&name).await {
                Ok(addresses) => answers.push(addresses),
                Err(LookupFailed::NoAddress) => {}
                // More than any name of ours may have.
                Err(LookupFailed::TooMany | LookupFailed::TooManyAliases) => return Ok((Any::Changing, PROBES)),
                Err(LookupFailed::Timeout | LookupFailed::Failed(_)) => return Err(NotSearched::Unanswered),
            }
        }
        let any = match answers.as_slice() {
            [] => Any::None,
            [first, rest @ ..] if rest.len() == 1 && rest.iter().all(|one| one == first) => Any::Always(first.clone()),
            _ => Any::Changing,
        };
        Ok((any, PROBES))
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
    /// What covers every name so far.
    covering: Authority,
    /// The addresses of the target and of every name so far.
    addresses: BTreeSet<IpAddr>,
    most_addresses: usize,
}

impl Kept {
    fn new(relies: &Authority, addresses: &[IpAddr], most_addresses: usize) -> Self {
        let names = Names {
            found: Vec::new(),
            refused: Vec::new(),
            authority: relies.clone(),
            asked: 0,
            unanswered: 0,
            is_whole: true,
            is_wildcard: false,
            certified: BTreeSet::new(),
        };
        Self { names, covering: relies.clone(), addresses: addresses.iter().copied().collect(), most_addresses }
    }

    fn take(&mut self, one: Asked, any: &Any) {
        if one.is_unanswered() {
            self.names.unanswered = self.names.unanswered.saturating_add(1);
            self.names.is_whole = false;
            return;
        }
        let refused = match one.answer {
            Ok(scope) if !one.is_certified && any.explains(&scope.addresses) => return,
            Ok(scope) => self.keep(scope).err(),
            // That a usual name is excluded says its exclusion; whether it exists, nobody has asked.
            Err(PlanRefused::TargetExcluded { .. }) if !one.is_certified => {
                self.names.is_whole = false;
                return;
            }
            // The domain's answer to every name is refused: nothing says that this one is there.
            Err(_) if !one.is_certified && *any != Any::None => return,
            Err(error) => gap(&error),
        };
        if let Some(gap) = refused {
            self.names.is_whole = false;
            refuse(&mut self.names.refused, &one.name, gap);
        }
    }

    fn keep(&mut self, scope: Scope) -> Result<(), Gap> {
        // Of names at one address, it is looked at once for all.
        let added: BTreeSet<IpAddr> =
            scope.addresses.iter().copied().filter(|address| !self.addresses.contains(address)).collect();
        let count = self.addresses.len().saturating_add(added.len());
        if self.names.found.len() >= MOST_FOUND || (!added.is_empty() && count > self.most_addresses) {
            return Err(Gap::LimitExceeded);
        }
        self.covering = covering_both(&self.covering, &scope.authority).ok_or(Gap::TargetNotAuthorized)?;
        self.addresses.extend(added);
        self.names.found.push(scope);
        Ok(())
    }
}

/// What a scan relies on that looks at both; `None` where no ground covers both of them.
fn covering_both(scan: &Authority, name: &Authority) -> Option<Authority> {
    let mut both = scan.clone();
    let own: Vec<Basis> = name.grounds().collect();
    if !own.is_empty() {
        let mut common = scan.grounds().filter(|basis| own.contains(basis));
        both.basis = common.next()?;
        both.also = common.collect();
    }
    for range in &name.ranges {
        if !both.ranges.contains(range) {
            both.ranges.push(*range);
        }
    }
    Some(both)
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
    // Of what is planned alone: a name that is refused after all takes no ground from the scan.
    let mut authority = names.authority.clone();
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
        if !whole.tasks.is_empty() {
            let Some(both) = covering_both(&authority, &scope.authority) else {
                refuse(&mut grown.gaps, &scope.target.to_string(), Gap::TargetNotAuthorized);
                continue;
            };
            authority = both;
        }
        scanned.extend(&scope.addresses);
        grown.gaps.extend(whole.gaps(wanted, scope));
        grown.probes = grown.probes.saturating_add(whole.probes);
        grown.tasks.extend(whole.tasks);
    }
    if !grown.tasks.is_empty() {
        grown.authority = Some(authority);
    }
    grown
}

#[cfg(test)]
mod tests;

//! What every handler may use, built once at start.

use std::sync::Arc;

use jiff::Timestamp;
use picket_blobs::Blobs;
use picket_domain::{AllowList, DenyList, Grounds, OrganizationId};
use picket_kit::{ChildCommand, Clock, Sealer};
use picket_live::Live;
use picket_outbound::{HttpClient, OutboundSettings, Resolver};
use picket_planner::{Asker, Looked, Planner, Prover};
use picket_store::{
    Db, Tx, View, grounds,
    proofs::looks::{self, Missing},
};

use crate::{
    Caller, GatewayError, GatewaySettings, Problem, RequestContext, access::Limits, crypto, documentation::Documents,
    identify::Callers, imports::Imports, links::Links, oauth::Providers, openapi, passwords::Passwords,
    pictures::Pictures, route_table::RouteTable, streams::Streams, throttle::Throttle, tokens::Tokens,
};

/// What the gateway is given by whoever starts it.
#[derive(Clone)]
pub struct AppParts {
    /// The truth.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Seals secrets at rest.
    pub sealer: Sealer,
    /// Rendered reports.
    pub blobs: Blobs,
    /// How names of targets and webhooks are resolved and which addresses may be called. The gateway's own pins are added.
    pub outbound: OutboundSettings,
    /// What all gateways share; without it each counts requests for itself.
    pub live: Option<Live>,
    /// The program that decodes pictures, which calls [`crate::decode_picture_main`].
    pub picture_decoder: ChildCommand,
}

/// The dependencies of the handlers; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The truth.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Seals secrets at rest.
    pub sealer: Sealer,
    /// Rendered reports.
    pub blobs: Blobs,
    /// Judges the URLs that a client names, and fetches logos.
    pub http: HttpClient,
    /// Makes scans of requests; knows who may be scanned.
    pub planner: Arc<Planner>,
    /// Looks for what proves a target.
    pub prover: Prover,
    /// The operator's settings.
    pub settings: Arc<GatewaySettings>,
    pub(crate) routes: Arc<RouteTable>,
    pub(crate) documents: Arc<Documents>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) passwords: Passwords,
    pub(crate) pictures: Pictures,
    pub(crate) imports: Imports,
    pub(crate) providers: Arc<Providers>,
    pub(crate) callers: Arc<Callers>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) links: Arc<Links>,
    pub(crate) streams: Arc<Streams>,
    pub(crate) throttle: Arc<Throttle>,
}

impl App {
    /// Puts the parts together.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn new(parts: AppParts, settings: GatewaySettings) -> Result<Self, GatewayError> {
        crypto::install();
        let (allow_list, deny_list) = target_lists(&settings)?;
        let mut outbound = parts.outbound;
        for (name, address) in &settings.pin_hosts {
            outbound.pins.insert(name.clone(), vec![*address]);
        }
        let resolver = Resolver::new(&outbound)
            .map_err(|error| GatewayError::setting("pin_hosts", "a resolver that can be made", error))?;
        let planner = Planner::new(&settings.pin_hosts, resolver.clone(), allow_list).denying(deny_list);
        let planner = planner.simulating(settings.simulator);
        let proof_port = outbound.proof_http_port;
        let http = HttpClient::with_resolver(outbound, resolver.clone())
            .map_err(|error| GatewayError::setting("outbound", "certificate authorities that can be read", error))?;
        let prover = Prover::new(resolver, http.clone(), proof_port);
        let tokens =
            Tokens::new(settings.signing_key.as_ref(), &settings.previous_signing_keys, settings.access_token_minutes)?;
        let passwords = Passwords::new(password_threads(&settings))
            .map_err(|error| GatewayError::setting("password_threads", "memory for password hashes", error))?;
        let links = Links::new(&settings)?;
        let throttle = Throttle::new(parts.live.clone(), &settings);
        let streams = Streams::new(parts.live.clone(), &settings);
        let providers = Providers::new(&settings.oauth, settings.public_url.as_deref())?;
        let document = openapi();
        Ok(Self {
            db: parts.db,
            clock: parts.clock,
            sealer: parts.sealer,
            blobs: parts.blobs,
            http,
            planner: Arc::new(planner),
            prover,
            settings: Arc::new(settings),
            routes: Arc::new(RouteTable::new(&document)),
            documents: Arc::new(Documents::new(&document)),
            tokens: Arc::new(tokens),
            passwords,
            pictures: Pictures::new(parts.picture_decoder),
            imports: Imports::default(),
            providers: Arc::new(providers),
            callers: Arc::default(),
            limits: Arc::new(Limits::new(parts.live)),
            links: Arc::new(links),
            streams: Arc::new(streams),
            throttle: Arc::new(throttle),
        })
    }

    /// The caller as one who asks for a scan of `target`, with what allows and what forbids it at this moment. Proofs that
    /// nobody has seen in a day are looked for first, outside of any transaction.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn asker(
        &self,
        caller: &Caller,
        context: &RequestContext,
        target: &str,
    ) -> Result<Asker, Problem> {
        let (now, grounds) = self.grounds_seen(caller.organization_id, &caller.label(), target).await?;
        Ok(caller.asker(context, now, grounds))
    }

    /// What allows an organization to scan `target` and what forbids it at this moment, as for [`Self::asker`]. `actor` is who
    /// asks, in the words of the audit log.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn grounds_seen(
        &self,
        organization: OrganizationId,
        actor: &str,
        target: &str,
    ) -> Result<(Timestamp, Grounds), Problem> {
        let (now, grounds) = self.grounds(organization, target).await?;
        let Looked { grounds, found, missing } = self.prover.look_again(target, grounds).await;
        if !found.is_empty() || !missing.is_empty() {
            let missing: Vec<Missing> =
                missing.iter().map(|(one, why)| Missing { id: one.id, digest: one.digest, why: why.code() }).collect();
            let of = (organization, actor);
            let note = async |tx: &Tx<'_>| Ok::<_, Problem>(looks::note(tx, of, &found, &missing, now).await?);
            self.db.operate("note_proofs", note).await?;
        }
        Ok((now, grounds))
    }

    /// The same for one who only asks what a scan would come to: nobody is called, and proofs count as they were seen last.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) async fn dry_asker(
        &self,
        caller: &Caller,
        context: &RequestContext,
        target: &str,
    ) -> Result<Asker, Problem> {
        let (now, grounds) = self.grounds(caller.organization_id, target).await?;
        Ok(caller.asker(context, now, grounds))
    }

    async fn grounds(&self, organization: OrganizationId, target: &str) -> Result<(Timestamp, Grounds), Problem> {
        let now = self.clock.now();
        let load = async |view: &View<'_>| Ok::<_, Problem>(grounds::load(view, target, now).await?);
        Ok((now, self.db.view("load_grounds", organization, load).await?))
    }

    /// The same for one of the threads that serve: with connections to the database of its own.
    pub(crate) fn for_one_of(&self, threads: usize) -> Self {
        let db = self.db.for_one_of(threads).unwrap_or_else(|_| self.db.clone());
        Self { db, ..self.clone() }
    }
}

/// Half of the cores stay for those who serve.
fn password_threads(settings: &GatewaySettings) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    if settings.password_threads == 0 { (cores / 2).max(1) } else { settings.password_threads }
}

/// What the operator allows of this network, and what must never be scanned.
fn target_lists(settings: &GatewaySettings) -> Result<(AllowList, DenyList), GatewayError> {
    let allowed = AllowList::parse(&settings.allow_targets)
        .map_err(|error| GatewayError::setting("allow_targets", "host names, addresses and networks", error))?;
    let denied = DenyList::parse(&settings.deny_targets).map_err(|error| {
        GatewayError::setting("deny_targets", "host names, patterns, addresses and networks", error)
    })?;
    Ok((allowed, denied))
}

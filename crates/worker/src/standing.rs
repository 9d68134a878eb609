//! What the worker's sandbox has proven, now. Every claim and every heartbeat takes the level from here, and only the
//! self-test writes it (S31): a level that a setting or a message names is a wish, never a fact.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use picket_domain::{SandboxLevel, WorkerId};
use picket_kit::{Clock, Shutdown};
use picket_sandbox::{Attempt, Proof, Sandbox};
use picket_store::tasks::lease::Claimant;

use crate::{WorkerError, WorkerSettings, settings::LevelMin};

/// The last proof, and who claims with it.
pub(crate) struct Standing {
    worker_id: WorkerId,
    settings: WorkerSettings,
    proven: RwLock<(Proof, Timestamp)>,
}

impl Standing {
    /// Proves for the first time; a worker without an acceptable level must not start (S32).
    pub(crate) async fn establish(
        worker_id: WorkerId,
        settings: &WorkerSettings,
        sandbox: &Arc<Sandbox>,
        clock: &Clock,
    ) -> Result<Self, WorkerError> {
        let proof = prove(sandbox, settings.proving_slot()).await?;
        check(settings, &proof)?;
        Ok(Self { worker_id, settings: settings.clone(), proven: RwLock::new((proof, clock.now())) })
    }

    /// The same without a worker, in a slot that the self-tests of a running one do not use.
    pub(crate) async fn look(settings: &WorkerSettings, sandbox: &Arc<Sandbox>) -> Result<Proof, WorkerError> {
        let proof = prove(sandbox, settings.proving_slot().saturating_add(1)).await?;
        check(settings, &proof).map(|()| proof)
    }

    /// Who claims a task now; nobody when the level that was there at the start is lost.
    pub(crate) fn claimant(&self) -> Option<Claimant> {
        let (proof, _) = self.last();
        let level = proof.level.counted(proof.raw, self.settings.accepts_unsandboxed())?;
        Some(Claimant { worker_id: self.worker_id, level, lease_seconds: f64::from(self.settings.lease_seconds) })
    }

    /// The last proof, and when it was made.
    pub(crate) fn last(&self) -> (Proof, Timestamp) {
        // Two values that are written together: consistent whatever panicked elsewhere.
        self.proven.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Proves again and again until `ended`. A level that is lost is published as such, and a worker that has none any
    /// more is told to stop.
    pub(crate) async fn keep(&self, sandbox: &Arc<Sandbox>, clock: &Clock, stopping: &Shutdown) {
        let slot = self.settings.proving_slot();
        loop {
            if stopping.or(tokio::time::sleep(self.settings.prove_interval())).await.is_none() {
                return;
            }
            let Some(proven) = stopping.or(prove(sandbox, slot)).await else { return };
            let proof = proven.unwrap_or_else(|error| broken(sandbox, &error));
            let (before, _) = self.last();
            if proof.level != before.level || proof.raw != before.raw {
                tracing::warn!(
                    sandbox.level = proof.level.name(),
                    before = before.level.name(),
                    reasons = proof.reasons(),
                    "the sandbox's level has changed"
                );
            }
            let is_enough = check(&self.settings, &proof);
            *self.proven.write().unwrap_or_else(PoisonError::into_inner) = (proof, clock.now());
            if let Err(error) = is_enough {
                tracing::error!(error = picket_domain::cause(&error), "the worker stops");
                stopping.stop();
                return;
            }
        }
    }

    /// Whether what is proven still suffices for this worker to run.
    pub(crate) fn verdict(&self) -> Result<(), WorkerError> {
        check(&self.settings, &self.last().0)
    }
}

async fn prove(sandbox: &Arc<Sandbox>, slot: u32) -> Result<Proof, WorkerError> {
    let sandbox = Arc::clone(sandbox);
    Ok(tokio::task::spawn_blocking(move || sandbox.prove(slot)).await?)
}

/// What a self-test that did not come back proves: nothing.
fn broken(sandbox: &Sandbox, error: &WorkerError) -> Proof {
    tracing::error!(error = picket_domain::cause(error), "a self-test broke, no level counts any more");
    sandbox.distrust();
    let failure = Some(error.to_string());
    Proof { level: SandboxLevel::None, raw: false, attempts: vec![Attempt { level: SandboxLevel::L0, failure }] }
}

/// Whether the worker may work with what is proven.
fn check(settings: &WorkerSettings, proof: &Proof) -> Result<(), WorkerError> {
    let consented = settings.accepts_unsandboxed();
    if proof.level == SandboxLevel::None && !consented {
        return Err(WorkerError::NotProven { reasons: proof.reasons() });
    }
    let least = settings.sandbox_level_min.level();
    if proof.level > least && !(consented && settings.sandbox_level_min == LevelMin::None) {
        return Err(WorkerError::BelowMinimum { least, proven: proof.level, reasons: proof.reasons() });
    }
    let lacks = |pool: &picket_domain::Pool| match pool.weakest_level() {
        SandboxLevel::L0 => !(proof.level == SandboxLevel::L0 && proof.raw),
        level @ (SandboxLevel::L1 | SandboxLevel::L2 | SandboxLevel::None) => proof.level > level && !consented,
    };
    match settings.pools.iter().copied().find(lacks) {
        Some(pool) => Err(WorkerError::Pool { pool, proven: proof.level }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use picket_domain::Pool;

    use super::*;
    use crate::settings::Consent;

    fn proof(level: SandboxLevel, raw: bool) -> Proof {
        let attempts = vec![Attempt { level: SandboxLevel::L0, failure: Some("no helper".into()) }];
        Proof { level, raw, attempts }
    }

    fn standing(settings: WorkerSettings, proof: Proof) -> Standing {
        let worker_id = WorkerId::mint(Timestamp::UNIX_EPOCH);
        Standing { worker_id, settings, proven: RwLock::new((proof, Timestamp::UNIX_EPOCH)) }
    }

    fn consenting() -> WorkerSettings {
        WorkerSettings {
            sandbox_level_min: LevelMin::None,
            i_accept_unsandboxed_scans: Consent::Yes,
            ..WorkerSettings::default()
        }
    }

    #[test]
    fn without_a_level_only_the_two_settings_together_let_a_worker_start() {
        let none = proof(SandboxLevel::None, false);
        let error = check(&WorkerSettings::default(), &none).unwrap_err();
        assert!(error.to_string().contains("L0: no helper"), "{error}");
        let [min, consent] = [
            WorkerSettings { sandbox_level_min: LevelMin::None, ..WorkerSettings::default() },
            WorkerSettings { i_accept_unsandboxed_scans: Consent::Yes, ..WorkerSettings::default() },
        ];
        assert!(check(&min, &none).is_err() && check(&consent, &none).is_err());
        assert!(check(&consenting(), &none).is_ok());
    }

    #[test]
    fn a_level_below_the_operators_minimum_is_not_enough() {
        let strict = WorkerSettings { sandbox_level_min: LevelMin::L1, ..WorkerSettings::default() };
        assert!(check(&strict, &proof(SandboxLevel::L2, false)).is_err());
        assert!(check(&strict, &proof(SandboxLevel::L1, false)).is_ok());
        assert!(check(&strict, &proof(SandboxLevel::L0, false)).is_ok());
    }

    #[test]
    fn a_pool_of_raw_sockets_needs_them_proven() {
        let raw = WorkerSettings { pools: vec![Pool::NetRaw], ..WorkerSettings::default() };
        assert!(check(&raw, &proof(SandboxLevel::L0, true)).is_ok());
        assert!(check(&raw, &proof(SandboxLevel::L0, false)).is_err());
        assert!(check(&raw, &proof(SandboxLevel::L1, false)).is_err());
        let unsandboxed = WorkerSettings { pools: vec![Pool::NetRaw], ..consenting() };
        assert!(check(&unsandboxed, &proof(SandboxLevel::None, false)).is_err(), "never without a sandbox");
    }

    #[test]
    fn a_claim_names_what_the_proof_says_whatever_the_settings_wish() {
        let claimed = |settings: WorkerSettings, proof| standing(settings, proof).claimant().map(|one| one.level);
        for least in [LevelMin::L0, LevelMin::L1, LevelMin::L2, LevelMin::None] {
            let wish = WorkerSettings { sandbox_level_min: least, ..WorkerSettings::default() };
            assert_eq!(claimed(wish.clone(), proof(SandboxLevel::L2, false)), Some(SandboxLevel::L2));
            assert_eq!(claimed(wish.clone(), proof(SandboxLevel::None, false)), None);
            assert_eq!(claimed(wish, proof(SandboxLevel::L0, true)), Some(SandboxLevel::L0));
        }
        assert_eq!(claimed(WorkerSettings::default(), proof(SandboxLevel::L0, false)), Some(SandboxLevel::L1));
        assert_eq!(claimed(consenting(), proof(SandboxLevel::None, false)), Some(SandboxLevel::L2));
    }
}

//! The statements of all modules in one list, so that a test can prepare each against the migrated schema.

/// Declares the statements of a module. Each begins with a comment that names it in the database's own views.
macro_rules! statements {
    ($($(#[doc = $doc:literal])* $name:ident = $sql:literal;)*) => {
        $($(#[doc = $doc])* const $name: &str = $sql;)*

        #[cfg(test)]
        pub(crate) const STATEMENTS: &[&str] = &[$($name),*];
    };
}

pub(crate) use statements;

#[cfg(test)]
mod tests {
    mod explained;

    use std::collections::HashSet;

    /// To add a module: its line here.
    const MODULES: &[&[&str]] = &[
        crate::accounts::STATEMENTS,
        crate::administration::STATEMENTS,
        crate::api_keys::STATEMENTS,
        crate::artifacts::STATEMENTS,
        crate::audit::STATEMENTS,
        crate::audit::read::STATEMENTS,
        crate::authorizations::STATEMENTS,
        crate::avatars::STATEMENTS,
        crate::dead_letters::STATEMENTS,
        crate::deliveries::STATEMENTS,
        crate::deliveries::facts::STATEMENTS,
        crate::deliveries::lease::STATEMENTS,
        crate::deliveries::read::STATEMENTS,
        crate::durations::STATEMENTS,
        crate::email_tokens::STATEMENTS,
        crate::events::STATEMENTS,
        crate::exclusions::STATEMENTS,
        crate::expired::STATEMENTS,
        crate::findings::STATEMENTS,
        crate::findings::list::STATEMENTS,
        crate::grounds::STATEMENTS,
        crate::halts::STATEMENTS,
        crate::halts::stop::STATEMENTS,
        crate::idempotency::STATEMENTS,
        crate::identities::STATEMENTS,
        crate::invitations::STATEMENTS,
        crate::mails::STATEMENTS,
        crate::mails::lease::STATEMENTS,
        crate::mails::scan_end::STATEMENTS,
        crate::mails::target_news::STATEMENTS,
        crate::members::STATEMENTS,
        crate::mfa::STATEMENTS,
        crate::mfa::backup::STATEMENTS,
        crate::mfa::factor::STATEMENTS,
        crate::organizations::STATEMENTS,
        crate::orphans::STATEMENTS,
        crate::output::STATEMENTS,
        crate::people::STATEMENTS,
        crate::platform::STATEMENTS,
        crate::platform::repeat::STATEMENTS,
        crate::platform::replay::STATEMENTS,
        crate::profiles::STATEMENTS,
        crate::proofs::STATEMENTS,
        crate::proofs::looks::STATEMENTS,
        crate::quota::STATEMENTS,
        crate::ranges::STATEMENTS,
        crate::reports::STATEMENTS,
        crate::reports::content::STATEMENTS,
        crate::reports::read::STATEMENTS,
        crate::retention::STATEMENTS,
        crate::rights::STATEMENTS,
        crate::scans::STATEMENTS,
        crate::scans::compare::STATEMENTS,
        crate::scans::control::STATEMENTS,
        crate::scans::gate::STATEMENTS,
        crate::scans::grow::STATEMENTS,
        crate::scans::overview::STATEMENTS,
        crate::scans::pages::STATEMENTS,
        crate::scans::import::STATEMENTS,
        crate::scans::read::STATEMENTS,
        crate::scans::remove::STATEMENTS,
        crate::scans::timeline::STATEMENTS,
        crate::schedules::STATEMENTS,
        crate::schedules::ticks::STATEMENTS,
        crate::sealed::STATEMENTS,
        crate::sessions::STATEMENTS,
        crate::sessions::own::STATEMENTS,
        crate::sessions::refresh::STATEMENTS,
        crate::targets::STATEMENTS,
        crate::targets::bulk::STATEMENTS,
        crate::tasks::STATEMENTS,
        crate::tasks::admission::STATEMENTS,
        crate::tasks::admission::candidates::STATEMENTS,
        crate::tasks::admission::unserved::STATEMENTS,
        crate::tasks::authority::STATEMENTS,
        crate::tasks::chain::STATEMENTS,
        crate::tasks::ends::STATEMENTS,
        crate::tasks::lease::STATEMENTS,
        crate::tasks::read::STATEMENTS,
        crate::tasks::turns::STATEMENTS,
        crate::tx::STATEMENTS,
        crate::webhooks::STATEMENTS,
        crate::windows::STATEMENTS,
        crate::workers::STATEMENTS,
    ];

    #[test]
    fn every_statement_has_a_name_of_its_own() {
        let mut names = HashSet::new();
        for statement in MODULES.iter().copied().flatten() {
            let name = statement.lines().next().unwrap_or_default();
            assert!(name.starts_with("-- "), "{statement}");
            assert!(names.insert(name), "{name} twice");
        }
    }

    #[tokio::test]
    async fn every_statement_fits_the_schema() {
        let database = picket_testkit::Database::new().await;
        let client = database.connect().await;
        for statement in MODULES.iter().copied().flatten() {
            if let Err(error) = client.prepare(statement).await {
                panic!("{error:?}\n{statement}");
            }
        }
    }
}

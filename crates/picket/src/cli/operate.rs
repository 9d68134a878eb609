//! The command line of operators: `picket admin` and `picket audit`.

use std::{net::IpAddr, path::PathBuf};

use clap::Subcommand;
use ipnet::IpNet;
use picket_domain::{OrganizationId, Subscription};

/// What an operator may change. Each change is told in the audit log of whom it concerns.
#[derive(Debug, Subcommand)]
pub enum AdminCommand {
    /// Look at organizations, change their plans, lock them.
    #[command(subcommand)]
    Organization(OrganizationCommand),
    /// Lock people out, take off lost second factors.
    #[command(subcommand)]
    User(UserCommand),
    /// Open a range of addresses that are not public for one organization.
    AllowRange(RangeArguments),
    /// Close such a range; what relies on it and has not begun ends.
    WithdrawRange(RangeArguments),
    /// Seal every secret in the database anew with `sealing_key`; run it until it says that nothing is left.
    RotateKey,
}

/// A range of one organization.
#[derive(Debug, clap::Args)]
pub struct RangeArguments {
    /// `org_…`
    pub organization: OrganizationId,
    /// A network or an address, such as `10.1.0.0/16`.
    #[arg(value_parser = range)]
    pub range: IpNet,
}

/// What an operator may do with an organization.
#[derive(Debug, Subcommand)]
pub enum OrganizationCommand {
    /// Print all of them, oldest first, separated by tabs.
    List,
    /// Give one another plan; a trial ends in 14 days.
    SetPlan {
        /// `org_…`
        organization: OrganizationId,
        /// `trial`, `starter`, `professional` or `enterprise`.
        #[arg(value_parser = plan)]
        plan: Subscription,
    },
    /// Lock everybody out.
    Suspend {
        /// `org_…`
        organization: OrganizationId,
        /// Why, for the people of the organization.
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Let everybody in again.
    Resume {
        /// `org_…`
        organization: OrganizationId,
    },
}

/// What an operator may do with a person.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Lock somebody out of every organization.
    Disable {
        /// The address that the person signs in with.
        email: String,
    },
    /// Let somebody in again.
    Enable {
        /// The address that the person signs in with.
        email: String,
    },
    /// Take the second factor off, with its backup codes; every session ends.
    ResetMfa {
        /// The address that the person signs in with.
        email: String,
    },
    /// Let somebody operate the platform over HTTP (`/api/v1/admin`).
    MakeOperator {
        /// The address that the person signs in with.
        email: String,
    },
    /// Take that back.
    UnmakeOperator {
        /// The address that the person signs in with.
        email: String,
    },
    /// End every session.
    RevokeSessions {
        /// The address that the person signs in with.
        email: String,
    },
}

/// Checking the audit log from outside. Exit codes: 0 whole, 1 broken, 2 could not be checked.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the signed head of an organization's log, to be kept where nobody can change it.
    Head {
        /// `org_…`
        #[arg(long)]
        organization: OrganizationId,
    },
    /// Write the signed heads of all organizations into a folder, one file each.
    Heads {
        /// Made when it is missing.
        #[arg(long)]
        folder: PathBuf,
    },
    /// Print an organization's log as JSON lines.
    Export {
        /// `org_…`
        #[arg(long)]
        organization: OrganizationId,
    },
    /// Compute a chain anew and compare its end.
    Verify(VerifyArguments),
}

/// What to verify, against what.
#[derive(Debug, clap::Args)]
pub struct VerifyArguments {
    /// `org_…`: the log in the database.
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    pub organization: Option<OrganizationId>,
    /// A log as `picket audit export` wrote it; needs no database.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// A head as `picket audit head` printed it; without one nobody sees when rows were cut off at the end.
    #[arg(long)]
    pub head: Option<PathBuf>,
}

fn range(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| "expected a network such as 10.1.0.0/16, or an address".to_owned())?;
    if net.trunc() == net {
        Ok(net)
    } else {
        Err(format!("expected a network without host bits, such as {}", net.trunc()))
    }
}

fn plan(text: &str) -> Result<Subscription, String> {
    let known = || Subscription::ALL.map(Subscription::name).join(", ");
    Subscription::find(text).ok_or_else(|| format!("expected one of {}", known()))
}

fn reason(text: &str) -> Result<String, &'static str> {
    let is_reason = (1..=500).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_reason { Ok(text.to_owned()) } else { Err("expected 1 to 500 characters without control characters") }
}

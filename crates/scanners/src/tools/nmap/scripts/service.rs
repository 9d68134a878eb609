//! Scripts that look at databases, file servers and the like.

use picket_domain::Severity;

use super::super::script::Script;
use crate::{
    rules::{self, Rule},
    weakness::{Place, Weakness},
};

fn when(holds: bool, rule: Rule, script: &Script) -> Vec<Weakness> {
    if holds { vec![Weakness::of(rule, &script.output)] } else { Vec::new() }
}

/// `ftp-anon`; it marks folders that look writable.
pub(super) fn ftp_anon(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_allowed = script.output.contains("Anonymous FTP login allowed");
    let rule = if script.output.contains("[NSE: writeable]") { rules::FTP_ANONYMOUS_WRITE } else { rules::FTP_ANONYMOUS_LOGIN };
    when(is_allowed, rule, script)
}

/// `dns-recursion`.
pub(super) fn dns_recursion(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.output.contains("appears to be enabled"), rules::DNS_OPEN_RECURSION, script)
}

/// `redis-info`: without a password it gets the server's version.
pub(super) fn redis(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.root.find("Version").is_some(), rules::REDIS_NO_AUTHENTICATION, script)
}

/// `mongodb-databases`: the list of databases needs a login where logins are on.
pub(super) fn mongodb(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.root.find("databases").is_some_and(|list| !list.children.is_empty()), rules::MONGODB_NO_AUTHENTICATION, script)
}

/// `memcached-info`.
pub(super) fn memcached(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.root.value("Authentication") == Some("no"), rules::MEMCACHED_NO_AUTHENTICATION, script)
}

/// `mysql-empty-password`: a line per account.
pub(super) fn mysql_empty_password(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let accounts = script.output.lines().filter_map(|line| line.trim().strip_suffix(" account has empty password"));
    accounts
        .map(|account| {
            let severity = if account == "root" { Severity::Critical } else { Severity::High };
            Weakness::of(rules::MYSQL_EMPTY_PASSWORD, &script.output).about(account).rated(severity)
        })
        .collect()
}

/// `vnc-info`: the security type 1 is "none" (RFC 6143 §7.1.2).
pub(super) fn vnc(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let types = script.root.find("Security types").map(|types| types.children.iter()).into_iter().flatten();
    let is_open = types.into_iter().any(|kind| kind.value("type") == Some("1"));
    when(is_open || script.output.contains("does not require authentication"), rules::VNC_NO_AUTHENTICATION, script)
}

/// `x11-access`.
pub(super) fn x11(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.output.contains("access is granted"), rules::X11_OPEN_ACCESS, script)
}

/// `snmp-info` over version 1 or 2c with the community `public`; the engine's data of version 3 needs no login.
pub(super) fn snmp(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let information = place.service.and_then(|service| service.extra_info.as_deref()).unwrap_or_default();
    when(information.contains("public"), rules::SNMP_DEFAULT_COMMUNITY, script)
}

/// `nfs-showmount`.
pub(super) fn nfs(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.output.lines().any(|line| line.trim().starts_with('/')), rules::NFS_EXPORTS_LISTED, script)
}

/// `rsync-list-modules`.
pub(super) fn rsync(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(!script.output.trim().is_empty(), rules::RSYNC_MODULES_LISTED, script)
}

/// `smb-protocols`.
pub(super) fn smb_protocols(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    when(script.output.contains("SMBv1"), rules::SMB_PROTOCOL_1, script)
}

/// `smb-security-mode`.
pub(super) fn smb_security_mode(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let signing = script.root.value("message_signing").unwrap_or_default();
    let account = script.root.value("account_used").unwrap_or_default();
    let mut weaknesses = when(signing == "disabled", rules::SMB_SIGNING_DISABLED, script);
    weaknesses.extend(when(signing == "supported", rules::SMB_SIGNING_NOT_REQUIRED, script));
    weaknesses.extend(when(account == "guest", rules::SMB_GUEST_ACCESS, script));
    weaknesses
}

/// `smb2-security-mode`: a table per dialect.
pub(super) fn smb2_security_mode(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    if script.output.contains("signing is disabled") || script.output.contains("signing disabled") {
        return when(true, rules::SMB_SIGNING_DISABLED, script);
    }
    when(script.output.contains("enabled but not required"), rules::SMB_SIGNING_NOT_REQUIRED, script)
}

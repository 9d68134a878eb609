//! The command line of one run, written from types of ours. Nothing here is copied from a client: flags are constants,
//! numbers and addresses are printed anew.

use std::net::IpAddr;

use picket_domain::{Egress, Invocation, Network, Shard, TopPorts};

use super::params::{Selection, Shape, Technique};
use crate::ParamsError;

/// Addresses of one run; a longer list is the planner's to cut.
const MAX_ADDRESSES: usize = 4096;

/// Options of every run. `-Pn`: we were told to scan these addresses, so a host that answers no ping is scanned as well.
/// `-n`: names were resolved, and pinned, before. The rest bounds the run and keeps the XML on stdout free of references.
const ALWAYS: [&str; 18] = [
    "-n", "-Pn", "-oX", "-", "--no-stylesheet", "--noninteractive", "--stats-every", "10s", "--host-timeout", "30m",
    "--script-timeout", "2m", "--max-retries", "2", "--max-rate", "1000", "--max-hostgroup", "64",
];

/// What `-sC` means here: nmap's default scripts without those that call third parties, guess, or disturb.
const DEFAULT_SCRIPTS: &str =
    "default and not (external or intrusive or dos or brute or exploit or fuzzer or broadcast or malware)";

/// Where nmap keeps how often each port is open; `--top-ports` chooses by it.
const RANKING: &str = "/usr/share/nmap/nmap-services";

/// The command line of `shape` for the addresses of `shard`.
pub(super) fn invocation(shape: &Shape, shard: &Shard) -> Result<Invocation, ParamsError> {
    let is_v6 = check_addresses(&shard.addresses)?;
    let mut args: Vec<String> = Vec::with_capacity(40_usize.saturating_add(shard.addresses.len()));
    args.extend(ALWAYS.map(str::to_owned));
    args.extend(technique(shape.technique).iter().copied().map(str::to_owned));
    args.push(format!("-T{}", shape.timing));
    args.extend(shape.min_rate.into_iter().flat_map(|rate| ["--min-rate".to_owned(), rate.to_string()]));
    if is_v6 {
        args.push("-6".to_owned());
    }
    if shape.versions {
        args.push("-sV".to_owned());
    }
    args.extend(scripts(shape));
    args.extend(match &shape.selection {
        Selection::Top(count) => ["--top-ports".to_owned(), count.to_string()],
        Selection::Listed(ranges) => ["-p".to_owned(), ranges.to_string()],
    });
    args.push("--".to_owned());
    args.extend(shard.addresses.iter().map(IpAddr::to_string));
    let network = if shape.technique == Technique::Connect { Network::Connect } else { Network::Raw };
    let protocol = if shape.technique == Technique::Udp { "udp" } else { "tcp" };
    let (ports, top_ports) = match &shape.selection {
        Selection::Top(count) => (Vec::new(), Some(TopPorts { count: *count, protocol, ranking: RANKING })),
        Selection::Listed(ranges) => (ranges.pairs(), None),
    };
    let egress = Egress { addresses: shard.addresses.clone(), ports };
    let hosts = shard.hosts.clone();
    Ok(Invocation { args, hosts, network, egress, top_ports, ..Invocation::of("nmap", "/usr/bin/nmap") })
}

const fn technique(technique: Technique) -> &'static [&'static str] {
    match technique {
        Technique::Connect => &["--unprivileged", "-sT"],
        Technique::Raw { detects_os: true, .. } => &["--privileged", "-sS", "-O"],
        Technique::Raw { detects_os: false, .. } => &["--privileged", "-sS"],
        Technique::Udp => &["--privileged", "-sU"],
    }
}

/// nmap takes a list of names and expressions, separated by commas.
fn scripts(shape: &Shape) -> Vec<String> {
    let mut scripts: Vec<&str> = Vec::new();
    if shape.default_scripts {
        scripts.push(DEFAULT_SCRIPTS);
    }
    scripts.extend(&shape.scripts);
    if scripts.is_empty() { Vec::new() } else { vec!["--script".to_owned(), scripts.join(",")] }
}

/// Whether the addresses are IPv6; nmap cannot mix families in one run.
fn check_addresses(addresses: &[IpAddr]) -> Result<bool, ParamsError> {
    let fault = |code, message: &str| ParamsError { field: "shard.addresses".to_owned(), code, message: message.to_owned() };
    let is_v6 = addresses.first().ok_or_else(|| fault("empty", "expected at least one address"))?.is_ipv6();
    if addresses.len() > MAX_ADDRESSES {
        return Err(fault("too_many", "expected at most 4096 addresses in one run"));
    }
    if addresses.iter().any(|address| address.is_ipv6() != is_v6) {
        return Err(fault("mixed_families", "expected addresses of one family: cut the shard before"));
    }
    Ok(is_v6)
}

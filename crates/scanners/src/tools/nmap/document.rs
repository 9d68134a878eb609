//! The elements of nmap's XML (nmap.dtd).

use crate::xml::{Root, tags};

tags! {
    Run = "nmaprun",
    Host = "host",
    Status = "status",
    Address = "address",
    Ports = "ports",
    Port = "port",
    State = "state",
    Service = "service",
    Cpe = "cpe",
    HostScript = "hostscript",
    Script = "script",
    Table = "table",
    Elem = "elem",
    Os = "os",
    OsMatch = "osmatch",
    RunStats = "runstats",
    Finished = "finished",
}

/// nmap prints `<!DOCTYPE nmaprun>`.
pub(super) const ROOT: Root<Tag> = Root { tags: &[Tag::Run], doctypes: &["nmaprun"] };

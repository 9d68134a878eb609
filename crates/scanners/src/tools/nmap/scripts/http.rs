//! Scripts that look at web servers.

use picket_domain::Severity;

use super::super::script::Script;
use crate::{
    headers, paths, rules,
    weakness::{Place, Weakness},
};

/// `http-title`, and its name before nmap 5.35. Some titles give away that a folder is listed.
pub(super) fn title(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let title = script.root.value("title").or_else(|| script.output.lines().find(|line| !line.trim().is_empty()));
    let title = title.unwrap_or_default().trim();
    if title.is_empty() || title.starts_with("Site doesn't have a title") {
        return Vec::new();
    }
    let mut weaknesses = vec![Weakness::of(rules::HTTP_TITLE, &script.output).titled(&format!("Web page: {title}"))];
    if title.starts_with("Directory listing for /") || title.starts_with("Index of /") {
        weaknesses.push(Weakness::of(rules::HTTP_DIRECTORY_LISTING, &script.output).at("/"));
    }
    weaknesses
}

/// `http-server-header`.
pub(super) fn server_header(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let header = script.output.trim();
    if header.is_empty() {
        return Vec::new();
    }
    vec![Weakness::of(rules::HTTP_SERVER_HEADER, header).titled(&format!("The web server names its software: {header}"))]
}

/// `http-robots.txt`: the first line counts, the others list.
pub(super) fn robots(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    vec![Weakness::of(rules::HTTP_ROBOTS_TXT, &script.output).at("/robots.txt")]
}

/// `http-git`: a table per repository, whose key is `host:port/path`.
pub(super) fn git(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let found = |path: &str| Weakness::of(rules::HTTP_GIT_EXPOSED, &script.output).at(path);
    let paths: Vec<&str> = script.root.children.iter().filter_map(|table| path_of(&table.key)).collect();
    match paths.as_slice() {
        [] if script.output.contains("Git repository found") => vec![found("/.git/")],
        paths => paths.iter().map(|path| found(path)).collect(),
    }
}

/// The path behind `host:port`.
fn path_of(place: &str) -> Option<&str> {
    place.find('/').and_then(|start| place.get(start..))
}

/// `http-svn-info`.
pub(super) fn svn(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_found = script.root.find("Repository UUID").is_some() || script.output.contains("Repository UUID");
    if is_found { vec![Weakness::of(rules::HTTP_SVN_EXPOSED, &script.output).at("/.svn/")] } else { Vec::new() }
}

/// `http-methods`. Only what writes, tunnels or repeats counts; PATCH and the like belong to ordinary interfaces.
pub(super) fn methods(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    const LABEL: &str = "Potentially risky methods";
    let listed = script.output.lines().find_map(|line| line.trim().strip_prefix(LABEL));
    let listed = listed.map(|rest| rest.trim_start_matches(':').split_whitespace()).into_iter().flatten();
    let tabled = script.root.find(LABEL).map(|table| table.items()).into_iter().flatten();
    let mut methods: Vec<&str> = listed.chain(tabled).collect();
    methods.sort_unstable();
    methods.dedup();
    let weakness = |method: &str| match method {
        "TRACE" => Some(Weakness::of(rules::HTTP_TRACE_ENABLED, &script.output)),
        "PUT" | "DELETE" | "CONNECT" => {
            let title = format!("The web server announces the method {method}");
            Some(Weakness::of(rules::HTTP_RISKY_METHOD, &script.output).about(method).titled(&title))
        }
        _ => None,
    };
    methods.into_iter().filter_map(weakness).collect()
}

/// `http-trace`.
pub(super) fn trace(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_enabled = script.output.contains("TRACE is enabled");
    if is_enabled { vec![Weakness::of(rules::HTTP_TRACE_ENABLED, &script.output)] } else { Vec::new() }
}

/// `http-cookie-flags`: tables of paths, of cookies, of what is missing. A cookie is of the site, whatever page sets it.
pub(super) fn cookie_flags(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let mut weaknesses = Vec::new();
    for path in &script.root.children {
        for cookie in &path.children {
            for fault in cookie.items() {
                let rule = match fault {
                    fault if fault.starts_with("httponly") => rules::HTTP_COOKIE_WITHOUT_HTTPONLY,
                    fault if fault.starts_with("secure") => rules::HTTP_COOKIE_WITHOUT_SECURE,
                    _ => continue,
                };
                let evidence = format!("{} {}: {fault}", path.key, cookie.key);
                weaknesses.push(headers::cookie(rule, &cookie.key, &evidence));
            }
        }
    }
    weaknesses
}

/// `http-auth`: tables of schemes; older versions print them.
pub(super) fn auth(script: &Script, place: &Place<'_>) -> Vec<Weakness> {
    let mut tabled = script.root.children.iter().filter_map(|table| table.value("scheme"));
    let is_basic = tabled.any(|scheme| scheme.eq_ignore_ascii_case("basic"))
        || script.output.lines().any(|line| line.trim().starts_with("Basic "));
    if is_basic && !place.is_tls { vec![Weakness::of(rules::HTTP_BASIC_AUTH_WITHOUT_TLS, &script.output)] } else { Vec::new() }
}

/// `http-open-proxy`: only its clear verdict; "might be redirecting" says nothing.
pub(super) fn open_proxy(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_open = script.output.contains("Potentially OPEN proxy");
    if is_open { vec![Weakness::of(rules::HTTP_OPEN_PROXY, &script.output)] } else { Vec::new() }
}

/// `http-internal-ip-disclosure`.
pub(super) fn internal_address(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_leaked = script.output.contains("Internal IP Leaked");
    if is_leaked { vec![headers::weakness(rules::HTTP_INTERNAL_ADDRESS_DISCLOSED, &script.output)] } else { Vec::new() }
}

/// `http-cors`: the methods that the start page allows when asked by an origin that it cannot know. The script counts them
/// for the origin `*` alone.
pub(super) fn cors(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    const METHODS: [&str; 9] = ["HEAD", "GET", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH"];
    let is_open = script.output.split_whitespace().any(|word| METHODS.contains(&word));
    if is_open { vec![Weakness::of(rules::HTTP_CORS_ANY_ORIGIN, &script.output).at("/")] } else { Vec::new() }
}

/// `http-security-headers`: it lists what was sent, and of the missing ones tells HSTS alone. The others are not concluded
/// from its silence: of a site that sends none it prints nothing, and what it looks at may be a redirection.
pub(super) fn security_headers(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let is_missing = script.output.contains("HSTS not configured in HTTPS Server");
    if is_missing { vec![Weakness::of(rules::HTTP_HEADER_MISSING_HSTS, &script.output).at("/")] } else { Vec::new() }
}

/// `http-ls`: a table per listing.
pub(super) fn listing(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let volumes = script.root.find("volumes").map(|volumes| volumes.children.iter()).into_iter().flatten();
    volumes
        .filter_map(|volume| volume.value("volume"))
        .map(|path| Weakness::of(rules::HTTP_DIRECTORY_LISTING, &script.output).at(path))
        .collect()
}

/// `http-enum`: lines of `path: what it may be`.
pub(super) fn paths(script: &Script, _place: &Place<'_>) -> Vec<Weakness> {
    let lines = script.output.lines().filter_map(|line| line.trim().split_once(": "));
    lines.filter(|(path, _)| path.starts_with('/')).map(|(path, meaning)| path_found(path, meaning)).collect()
}

fn path_found(path: &str, meaning: &str) -> Weakness {
    let evidence = format!("{path}: {meaning}");
    // A refusal is told behind the meaning.
    let is_served = !["(401", "(403"].iter().any(|refusal| meaning.contains(refusal));
    let exposed = paths::exposed(path).filter(|(rule, _)| is_served && rule.severity > Severity::Info);
    if let Some((rule, place)) = exposed {
        return Weakness::of(rule, &evidence).at(&place);
    }
    if meaning.contains("directory listing") {
        return Weakness::of(rules::HTTP_DIRECTORY_LISTING, &evidence).at(path);
    }
    let is_backup = meaning.to_ascii_lowercase().contains("backup");
    let severity = if is_backup { Severity::Low } else { rules::HTTP_INTERESTING_PATH.severity };
    Weakness::of(rules::HTTP_INTERESTING_PATH, &evidence).at(path).rated(severity).titled(&format!("{meaning}: {path}"))
}

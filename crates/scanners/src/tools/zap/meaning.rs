//! What ZAP's plugins mean, by their numbers (<https://www.zaproxy.org/docs/alerts/>).

use picket_domain::Severity;

use super::alert::{Alert, Instance, plain};
use crate::{
    headers, paths,
    rules::{self, Rule},
    page::Page,
    weakness::Weakness,
};

/// What an alert is, and what it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// The site, at its root path.
    Site(Rule),
    /// A cookie of the site.
    Cookie(Rule),
    /// The service.
    Service(Rule),
    /// A page and a parameter.
    Injection(Rule),
    /// A file or folder.
    Served(Rule),
    /// A file or folder that its path tells of.
    Path,
    /// A check that no rule of ours is of.
    Own,
}

impl Sort {
    /// Whether every page is a finding of its own.
    pub(super) const fn is_of_page(self) -> bool {
        matches!(self, Self::Injection(_) | Self::Served(_) | Self::Path)
    }
}

const XSS: Sort = Sort::Injection(rules::WEB_CROSS_SITE_SCRIPTING);
const SQL: Sort = Sort::Injection(rules::WEB_SQL_INJECTION);
const COMMAND: Sort = Sort::Injection(rules::WEB_COMMAND_INJECTION);
const CODE: Sort = Sort::Injection(rules::WEB_CODE_INJECTION);

/// Plugins by number.
const PLUGINS: &[(u32, Sort)] = &[
    (0, Sort::Served(rules::HTTP_DIRECTORY_LISTING)),
    (2, Sort::Site(rules::HTTP_INTERNAL_ADDRESS_DISCLOSED)),
    (6, Sort::Injection(rules::WEB_PATH_TRAVERSAL)),
    (41, Sort::Served(rules::HTTP_GIT_EXPOSED)),
    (42, Sort::Served(rules::HTTP_SVN_EXPOSED)),
    (10_003, Sort::Site(rules::WEB_OUTDATED_COMPONENT)),
    (10_010, Sort::Cookie(rules::HTTP_COOKIE_WITHOUT_HTTPONLY)),
    (10_011, Sort::Cookie(rules::HTTP_COOKIE_WITHOUT_SECURE)),
    (10_015, Sort::Site(rules::HTTP_HEADER_MISSING_CACHE_CONTROL)),
    (10_020, Sort::Site(rules::HTTP_HEADER_MISSING_X_FRAME_OPTIONS)),
    (10_021, Sort::Site(rules::HTTP_HEADER_MISSING_X_CONTENT_TYPE_OPTIONS)),
    (10_023, Sort::Site(rules::WEB_ERROR_DISCLOSED)),
    (10_033, Sort::Served(rules::HTTP_DIRECTORY_LISTING)),
    (10_034, Sort::Service(rules::TLS_HEARTBLEED)),
    (10_036, Sort::Site(rules::HTTP_VERSION_DISCLOSED)),
    (10_037, Sort::Site(rules::HTTP_VERSION_DISCLOSED)),
    (10_038, Sort::Site(rules::HTTP_HEADER_MISSING_CSP)),
    (10_045, Sort::Served(rules::HTTP_CONFIGURATION_EXPOSED)),
    (10_054, Sort::Cookie(rules::HTTP_COOKIE_WITHOUT_SAMESITE)),
    (10_055, Sort::Site(rules::HTTP_HEADER_WEAK_CSP)),
    (10_063, Sort::Site(rules::HTTP_HEADER_MISSING_PERMISSIONS_POLICY)),
    (10_095, Sort::Served(rules::HTTP_BACKUP_EXPOSED)),
    (10_098, Sort::Site(rules::HTTP_CORS_ANY_ORIGIN)),
    (10_106, Sort::Site(rules::HTTP_NO_HTTPS)),
    (10_202, Sort::Site(rules::WEB_CROSS_SITE_REQUEST_FORGERY)),
    (20_012, Sort::Site(rules::WEB_CROSS_SITE_REQUEST_FORGERY)),
    (20_015, Sort::Service(rules::TLS_HEARTBLEED)),
    (20_019, Sort::Injection(rules::WEB_OPEN_REDIRECT)),
    (40_003, Sort::Injection(rules::WEB_HEADER_INJECTION)),
    (40_012, XSS),
    (40_014, XSS),
    (40_018, SQL),
    (40_019, SQL),
    (40_020, SQL),
    (40_021, SQL),
    (40_022, SQL),
    (40_024, SQL),
    (40_026, XSS),
    (40_027, SQL),
    (40_032, Sort::Served(rules::HTTP_CONFIGURATION_EXPOSED)),
    (40_034, Sort::Served(rules::HTTP_ENV_FILE_EXPOSED)),
    (40_035, Sort::Path),
    (40_040, Sort::Site(rules::HTTP_CORS_ANY_ORIGIN)),
    (40_046, Sort::Injection(rules::WEB_REQUEST_FORGERY)),
    (90_004, Sort::Site(rules::HTTP_HEADER_MISSING_CROSS_ORIGIN_POLICY)),
    (90_018, SQL),
    (90_019, CODE),
    (90_020, COMMAND),
    (90_022, Sort::Site(rules::WEB_ERROR_DISCLOSED)),
    (90_023, Sort::Injection(rules::WEB_XML_EXTERNAL_ENTITY)),
    (90_035, CODE),
    (90_036, CODE),
    (90_037, COMMAND),
];

/// Plugins that are of one CVE.
const KNOWN: &[(u32, &str, f64)] = &[(40_043, "CVE-2021-44228", 10.0), (40_045, "CVE-2022-22965", 9.8), (20_018, "CVE-2012-1823", 9.8), (10_048, "CVE-2014-6271", 9.8)];

/// What the alert is.
pub(super) fn sort(alert: &Alert) -> Sort {
    let (plugin, name) = (number(alert), alert.name.to_ascii_lowercase());
    match plugin {
        // One plugin for all that can be wrong with the header.
        10_035 if name.contains("not set") || alert.reference == "10035-1" => Sort::Site(rules::HTTP_HEADER_MISSING_HSTS),
        10_035 if !name.contains("disabled on plain") && !name.contains("plain http") => Sort::Site(rules::HTTP_HEADER_WEAK_HSTS),
        10_038 if alert.reference == "10038-2" || alert.reference == "10038-3" => Sort::Own,
        10_063 if alert.reference == "10063-2" => Sort::Own,
        _ => PLUGINS.iter().find(|(number, _)| *number == plugin).map_or(Sort::Own, |(_, sort)| *sort),
    }
}

/// The finding of a site, at its root path however many pages it was seen on: scans differ in what they crawl.
pub(super) fn of_site(sort: Sort, alert: &Alert, evidence: &str) -> Weakness {
    match sort {
        Sort::Site(rule) => headers::weakness(rule, evidence),
        Sort::Cookie(rule) | Sort::Service(rule) | Sort::Injection(rule) | Sort::Served(rule) => Weakness::of(rule, evidence),
        Sort::Path | Sort::Own => own(alert, "/", evidence),
    }
}

/// The finding of one page.
pub(super) fn of_page(sort: Sort, alert: &Alert, page: &Page, instance: &Instance, evidence: &str) -> Weakness {
    match sort {
        Sort::Injection(rule) => Weakness::of(rule, evidence).at(&page.path).about(&instance.param),
        Sort::Served(rule) => {
            let place = paths::exposed(&page.path).filter(|(named, _)| named.id == rule.id).map_or_else(|| page.path.clone(), |(_, place)| place);
            Weakness::of(rule, evidence).at(&place)
        }
        Sort::Path => paths::weakness(&page.path, evidence),
        Sort::Site(_) | Sort::Cookie(_) | Sort::Service(_) | Sort::Own => own(alert, &page.path, evidence),
    }
}

fn own(alert: &Alert, path: &str, evidence: &str) -> Weakness {
    let severity = match alert.risk.trim() {
        "0" => Severity::Info,
        "1" => Severity::Low,
        "2" => Severity::Medium,
        "3" => Severity::High,
        _ => Severity::Unknown,
    };
    let check = format!("zap:{}", alert.plugin.trim());
    let description = plain(&format!("{}\n{}", alert.description, alert.other));
    // Several alerts of one plugin are told apart by the number behind its own.
    let which = alert.reference.split_once('-').map(|(_, which)| which).unwrap_or_default();
    let weakness = Weakness::of_tool(&check, severity, &alert.name, &description, evidence).about(which).at(path).remedied(&plain(&alert.solution));
    match KNOWN.iter().find(|(plugin, ..)| *plugin == number(alert)) {
        Some((_, cve, score)) => weakness.known_as(cve, Some(*score)),
        None => weakness,
    }
}

fn number(alert: &Alert) -> u32 {
    alert.plugin.trim().parse().unwrap_or(u32::MAX)
}

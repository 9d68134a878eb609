//! What it means that a well-known path is served: one table for every tool that tries paths, so that they agree on one
//! finding. Judges by the name alone; whether something was really served is for the caller to know.

use crate::{
    rules::{self, Rule},
    weakness::Weakness,
};

/// Files whose name says it all, in lower case.
const NAMES: &[(&str, Rule)] = &[
    (".aws/credentials", rules::HTTP_CONFIGURATION_EXPOSED),
    (".docker/config.json", rules::HTTP_CONFIGURATION_EXPOSED),
    (".dockercfg", rules::HTTP_CONFIGURATION_EXPOSED),
    (".ftpconfig", rules::HTTP_CONFIGURATION_EXPOSED),
    (".git-credentials", rules::HTTP_CONFIGURATION_EXPOSED),
    (".htaccess", rules::HTTP_CONFIGURATION_EXPOSED),
    (".htpasswd", rules::HTTP_CONFIGURATION_EXPOSED),
    (".npmrc", rules::HTTP_CONFIGURATION_EXPOSED),
    (".pgpass", rules::HTTP_CONFIGURATION_EXPOSED),
    (".vscode/sftp.json", rules::HTTP_CONFIGURATION_EXPOSED),
    ("access_log", rules::HTTP_LOG_EXPOSED),
    ("actuator/env", rules::HTTP_CONFIGURATION_EXPOSED),
    ("actuator/heapdump", rules::HTTP_CONFIGURATION_EXPOSED),
    ("admin", rules::HTTP_ADMIN_INTERFACE),
    ("admin.php", rules::HTTP_ADMIN_INTERFACE),
    ("adminer", rules::HTTP_ADMIN_INTERFACE),
    ("adminer.php", rules::HTTP_ADMIN_INTERFACE),
    ("administrator", rules::HTTP_ADMIN_INTERFACE),
    ("api-docs", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("application.properties", rules::HTTP_CONFIGURATION_EXPOSED),
    ("application.yml", rules::HTTP_CONFIGURATION_EXPOSED),
    ("appsettings.json", rules::HTTP_CONFIGURATION_EXPOSED),
    ("config.inc", rules::HTTP_CONFIGURATION_EXPOSED),
    ("config.json", rules::HTTP_CONFIGURATION_EXPOSED),
    ("config.yaml", rules::HTTP_CONFIGURATION_EXPOSED),
    ("config.yml", rules::HTTP_CONFIGURATION_EXPOSED),
    ("database.yml", rules::HTTP_CONFIGURATION_EXPOSED),
    ("docker-compose.yaml", rules::HTTP_CONFIGURATION_EXPOSED),
    ("docker-compose.yml", rules::HTTP_CONFIGURATION_EXPOSED),
    ("dockerfile", rules::HTTP_CONFIGURATION_EXPOSED),
    ("error_log", rules::HTTP_LOG_EXPOSED),
    ("fpm-status", rules::HTTP_SERVER_STATUS_EXPOSED),
    ("id_dsa", rules::HTTP_PRIVATE_KEY_EXPOSED),
    ("id_ecdsa", rules::HTTP_PRIVATE_KEY_EXPOSED),
    ("id_ed25519", rules::HTTP_PRIVATE_KEY_EXPOSED),
    ("id_rsa", rules::HTTP_PRIVATE_KEY_EXPOSED),
    ("info.php", rules::HTTP_PHPINFO_EXPOSED),
    ("manager/html", rules::HTTP_ADMIN_INTERFACE),
    ("nginx_status", rules::HTTP_SERVER_STATUS_EXPOSED),
    ("openapi.json", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("openapi.yaml", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("php_info.php", rules::HTTP_PHPINFO_EXPOSED),
    ("phpinfo", rules::HTTP_PHPINFO_EXPOSED),
    ("phpinfo.php", rules::HTTP_PHPINFO_EXPOSED),
    ("phpmyadmin", rules::HTTP_ADMIN_INTERFACE),
    ("pma", rules::HTTP_ADMIN_INTERFACE),
    ("privatekey.pem", rules::HTTP_PRIVATE_KEY_EXPOSED),
    ("privkey.pem", rules::HTTP_PRIVATE_KEY_EXPOSED),
    ("robots.txt", rules::HTTP_ROBOTS_TXT),
    ("server-info", rules::HTTP_SERVER_STATUS_EXPOSED),
    ("server-status", rules::HTTP_SERVER_STATUS_EXPOSED),
    ("settings.py", rules::HTTP_CONFIGURATION_EXPOSED),
    ("swagger-ui", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("swagger-ui.html", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("swagger.json", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("swagger.yaml", rules::HTTP_API_DESCRIPTION_EXPOSED),
    ("web.config", rules::HTTP_CONFIGURATION_EXPOSED),
    ("wp-admin", rules::HTTP_ADMIN_INTERFACE),
    ("wp-login.php", rules::HTTP_ADMIN_INTERFACE),
];

/// Endings, the more telling ones first: `dump.sql.bak` is a dump before it is a copy.
const ENDINGS: &[(&str, Rule)] = &[
    (".sql", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".sql.bak", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".sql.bz2", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".sql.gz", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".sql.zip", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".sqlite", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".sqlite3", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".db", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".mdb", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".dump", rules::HTTP_DATABASE_DUMP_EXPOSED),
    (".key", rules::HTTP_PRIVATE_KEY_EXPOSED),
    (".ppk", rules::HTTP_PRIVATE_KEY_EXPOSED),
    (".pfx", rules::HTTP_PRIVATE_KEY_EXPOSED),
    (".p12", rules::HTTP_PRIVATE_KEY_EXPOSED),
    (".jks", rules::HTTP_PRIVATE_KEY_EXPOSED),
    (".log", rules::HTTP_LOG_EXPOSED),
    ("~", rules::HTTP_BACKUP_EXPOSED),
    (".bak", rules::HTTP_BACKUP_EXPOSED),
    (".backup", rules::HTTP_BACKUP_EXPOSED),
    (".old", rules::HTTP_BACKUP_EXPOSED),
    (".orig", rules::HTTP_BACKUP_EXPOSED),
    (".save", rules::HTTP_BACKUP_EXPOSED),
    (".swp", rules::HTTP_BACKUP_EXPOSED),
];

const ARCHIVES: [&str; 7] = [".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar", ".tar.bz2"];
/// Names of archives that hold a site rather than a download meant for visitors.
const ARCHIVE_NAMES: [&str; 10] = ["archive", "backup", "bak", "db", "dump", "html", "old", "site", "web", "www"];

/// The rule of what `path` names, and the path it is reported at; `None` for paths that say nothing by themselves.
pub(crate) fn exposed(path: &str) -> Option<(Rule, String)> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let lower = path.to_ascii_lowercase();
    for (folder, rule) in [(".git", rules::HTTP_GIT_EXPOSED), (".svn", rules::HTTP_SVN_EXPOSED)] {
        if let Some(root) = root_of(&lower, folder) {
            let root = path.get(..root).unwrap_or_default();
            return Some((rule, format!("{root}/{folder}/")));
        }
    }
    rule_of(lower.trim_matches('/')).map(|rule| (rule, path.to_owned()))
}

/// What a tool says of a path that was served: the rule of the path, else one worth a look.
pub(crate) fn weakness(path: &str, evidence: &str) -> Weakness {
    match exposed(path) {
        Some((rule, path)) => Weakness::of(rule, evidence).at(&path),
        None => Weakness::of(rules::HTTP_INTERESTING_PATH, evidence).at(path).titled(&format!("Served: {path}")),
    }
}

/// What a tool that tries paths found at one; `status` is the server's answer, where the tool tells it. A redirect or a
/// refusal says no more than that the path is known there.
pub(crate) fn found(path: &str, status: Option<u16>, evidence: &str) -> Weakness {
    match status {
        Some(200..=299) => weakness(path, evidence),
        Some(status) => {
            let title = format!("Path exists, answered with {status}: {path}");
            Weakness::of(rules::HTTP_INTERESTING_PATH, evidence).at(path).titled(&title)
        }
        None => Weakness::of(rules::HTTP_INTERESTING_PATH, evidence).at(path),
    }
}

/// Where the folder that holds `folder` ends.
fn root_of(path: &str, folder: &str) -> Option<usize> {
    let inside = format!("/{folder}/");
    path.find(&inside).or_else(|| path.strip_suffix(&format!("/{folder}")).map(str::len))
}

fn rule_of(path: &str) -> Option<Rule> {
    let file = path.rsplit('/').next().unwrap_or_default();
    let is_named = |name: &str| file == name || path == name || path.ends_with(&format!("/{name}"));
    if is_env(file) {
        return Some(rules::HTTP_ENV_FILE_EXPOSED);
    }
    if let Some((_, rule)) = NAMES.iter().find(|(name, _)| is_named(name)) {
        return Some(*rule);
    }
    let ending = ENDINGS.iter().find(|(ending, _)| file.len() > ending.len() && file.ends_with(ending));
    ending.map(|(_, rule)| *rule).or_else(|| is_site_archive(file).then_some(rules::HTTP_BACKUP_EXPOSED))
}

/// `.env` and its relatives, without the samples that hold no secrets.
fn is_env(file: &str) -> bool {
    let is_sample = [".example", ".sample", ".dist", ".template"].iter().any(|ending| file.ends_with(ending));
    !is_sample && (file == ".env" || file.starts_with(".env."))
}

fn is_site_archive(file: &str) -> bool {
    let stem = ARCHIVES.iter().find_map(|ending| file.strip_suffix(ending));
    stem.is_some_and(|stem| ARCHIVE_NAMES.iter().any(|name| stem == *name || stem.contains("backup")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_weakness_has_the_same_rule_and_place_whichever_file_gave_it_away() {
        for path in ["/.git", "/.git/", "/.git/HEAD", "/.git/config?x=1", "/.GIT/index"] {
            assert_eq!(exposed(path), Some((rules::HTTP_GIT_EXPOSED, "/.git/".to_owned())), "{path}");
        }
        assert_eq!(exposed("/shop/.git/HEAD").unwrap().1, "/shop/.git/");
        assert_eq!(exposed("/.svn/entries").unwrap().0, rules::HTTP_SVN_EXPOSED);
    }

    #[test]
    fn names_and_endings_say_what_a_file_is() {
        for (path, rule) in [
            ("/.env", rules::HTTP_ENV_FILE_EXPOSED),
            ("/api/.env.production", rules::HTTP_ENV_FILE_EXPOSED),
            ("/dump.sql.gz", rules::HTTP_DATABASE_DUMP_EXPOSED),
            ("/index.php~", rules::HTTP_BACKUP_EXPOSED),
            ("/backup-2026.tar.gz", rules::HTTP_BACKUP_EXPOSED),
            ("/.ssh/id_rsa", rules::HTTP_PRIVATE_KEY_EXPOSED),
            ("/phpinfo.php", rules::HTTP_PHPINFO_EXPOSED),
            ("/server-status", rules::HTTP_SERVER_STATUS_EXPOSED),
            ("/admin/", rules::HTTP_ADMIN_INTERFACE),
            ("/v2/api-docs", rules::HTTP_API_DESCRIPTION_EXPOSED),
            ("/logs/app.log", rules::HTTP_LOG_EXPOSED),
        ] {
            assert_eq!(exposed(path).map(|(rule, _)| rule), Some(rule), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_say_nothing() {
        for path in
            ["", "/", "/.gitignore", "/.env.example", "/download/app.zip", "/key", "/db", "/login", "/~", "/.key"]
        {
            assert_eq!(exposed(path), None, "{path}");
        }
    }
}

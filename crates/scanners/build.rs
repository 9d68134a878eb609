//! Makes a constant of every rule in `rules.toml`, so that an adapter cannot name a rule that does not exist.

use std::{collections::BTreeMap, env, error::Error, fmt::Write as _, fs, path::Path};

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    severity: String,
    cwe: Option<u32>,
    title: String,
    description: String,
    remediation: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=rules.toml");
    let rules: BTreeMap<String, Rule> = toml::from_str(&fs::read_to_string("rules.toml")?)?;
    let (mut code, mut names) = (String::new(), String::new());
    for (id, rule) in &rules {
        let name = id.replace(['.', '-'], "_").to_uppercase();
        let severity = match rule.severity.as_str() {
            "critical" => "Critical",
            "high" => "High",
            "medium" => "Medium",
            "low" => "Low",
            "info" => "Info",
            other => return Err(format!("expected a severity in the rule {id}, found {other}").into()),
        };
        let Rule { title, description, remediation, cwe, .. } = rule;
        writeln!(
            code,
            "/// `{id}`: {title}.\npub const {name}: Rule = Rule {{ id: {id:?}, severity: picket_domain::Severity::{severity}, \
             cwe: {cwe:?}, title: {title:?}, description: {description:?}, remediation: {remediation:?} }};"
        )?;
        write!(names, "{name}, ")?;
    }
    writeln!(code, "/// Every rule, by its name.\npub const ALL: &[Rule] = &[{names}];")?;
    fs::write(Path::new(&env::var_os("OUT_DIR").ok_or("expected OUT_DIR from cargo")?).join("rules.rs"), code)?;
    Ok(())
}

//! Settings: defaults, then a TOML file, then the environment (`PICKET_<SECTION>__<FIELD>`). Read once, at start.

use std::path::Path;

use figment::{
    Figment,
    providers::{Env, Format, Toml},
};
use serde::de::DeserializeOwned;

/// The settings are wrong; the text names the field and where it came from.
#[derive(Debug, thiserror::Error)]
#[error("settings: {0}")]
pub struct SettingsError(#[source] Box<figment::Error>);

/// Reads the settings; an unknown field is an error. `well_known` are variables with names of their own, such as
/// `DATABASE_URL`, and the field that each one fills.
///
/// # Errors
/// Names the field that is missing, unknown or of another type.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    well_known: &'static [(&'static str, &'static str)],
) -> Result<T, SettingsError> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        figment = figment.merge(Toml::file_exact(file));
    }
    for (variable, field) in well_known {
        figment = figment.merge(Env::raw().only(&[variable]).map(move |_| (*field).into()));
    }
    figment
        .merge(Env::prefixed("PICKET_").filter(|key| key.as_str().contains("__")).split("__"))
        .extract()
        .map_err(|error| SettingsError(Box::new(error)))
}

/// One variable of the environment, for the few programs that have no settings of their own (demo, bench).
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        section: Section,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Section {
        port: u16,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn a_file_gives_the_settings() {
        let settings: Settings = load(Some(file("[section]\nport = 80").path()), &[]).unwrap();
        assert_eq!(settings.section.port, 80);
    }

    #[test]
    fn an_error_names_the_field() {
        for (text, name) in [("[section]\nport = \"x\"", "port"), ("[section]\nports = 1\nport = 2", "ports")] {
            let error = load::<Settings>(Some(file(text).path()), &[]).err().unwrap();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

//! A measured figure beside what it is compared with, as a line of the table and as an entry of the JSON.

use std::{fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// A figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    name: String,
    /// Absent where it could not be measured; `beside` says why.
    value: Option<f64>,
    unit: String,
    beside: Option<String>,
    beside_value: Option<f64>,
    /// `value / beside_value`.
    ratio: Option<f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        let (name, value) = (name.into(), Some(value));
        Self { name, value, unit: unit.to_owned(), beside: None, beside_value: None, ratio: None }
    }

    /// What cannot be measured on this machine, and why: it has its row like everything else.
    pub(crate) fn absent(name: impl Into<String>, why: &str) -> Self {
        let (name, beside) = (name.into(), Some(why.replace(['|', '\n'], " ")));
        Self { name, value: None, unit: String::new(), beside, beside_value: None, ratio: None }
    }

    /// The same with what it is compared with, in the same unit.
    pub(crate) fn beside(self, name: impl Into<String>, value: f64) -> Self {
        let ratio = self.value.filter(|_| value > 0.0).map(|own| own / value);
        Self { beside: Some(name.into()), beside_value: Some(value), ratio, ..self }
    }

    /// The same with another number that says more of it, and is no measure for it.
    pub(crate) fn with(self, name: impl Into<String>, value: f64) -> Self {
        Self { beside: Some(name.into()), beside_value: Some(value), ratio: None, ..self }
    }
}

/// The value in the middle; of an even number, the upper one.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// The value below which `percent` of the values are.
pub(crate) fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = values.len().saturating_mul(percent) / 100;
    values.get(place.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// How many processes of the machine want a core, over the last minute (proc(5)).
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Prints the table.
pub(crate) fn print(figures: &[Figure]) {
    println!("| what | value | beside | its value | ratio |");
    println!("|---|---:|---|---:|---:|");
    for figure in figures {
        let beside = figure.beside.as_deref().unwrap_or("–");
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        println!(
            "| {} | {} {} | {beside} | {} | {} |",
            figure.name,
            number(figure.value),
            figure.unit,
            number(figure.beside_value),
            number(figure.ratio)
        );
    }
}

/// Writes the list.
pub(crate) fn write(figures: &[Figure], path: &Path) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    Ok(fs::write(path, serde_json::to_vec_pretty(figures)?)?)
}

//! The tools Picket offers. To add one: a file beside `tools/nmap.rs` with an `Adapter`, and its name in the table here. One
//! whose reports are only read has a title there too.

use crate::{
    Format, Tool,
    discovery::{self, DISCOVERY},
};

macro_rules! tools {
    (run: $($module:ident)*; import: $($import:ident $title:literal)*;) => {
        $(mod $module;)*
        $(mod $import;)*

        /// Every tool that can be run, in alphabetical order of its slug.
        pub const ALL: &[&dyn Tool] = &[$(&$module::Adapter),*];

        /// The formats of every tool that can be run or imported.
        pub(crate) const FORMATS: &[&[&dyn Format]] = &[$($module::FORMATS,)* $($import::FORMATS,)*];

        /// Every tool whose reports are only read, in alphabetical order of its slug.
        pub const IMPORTS: &[ImportOnly] =
            &[$(ImportOnly { title: $title, formats: $import::FORMATS, source: include_str!(concat!("tools/", stringify!($import), ".rs")) }),*];

        /// The sources of the tools, in the order of `ALL`.
        const SOURCES: &[&str] = &[$(include_str!(concat!("tools/", stringify!($module), ".rs"))),*];
    };
}

// One line each. A module has `Adapter` (when it can be run) and `FORMATS`.
tools! {
    run:
        ffuf
        nikto
        nmap
        nuclei
        ssh_audit
        sslscan
        sslyze
        testssl
        wafw00f
        wapiti
        whatweb
        zap
    ;
    import:
        dirsearch "dirsearch"
        drheader "drHeader"
        feroxbuster "feroxbuster"
        gobuster "Gobuster"
        httpx "httpx"
        hydra "Hydra"
        masscan "MASSCAN"
        naabu "naabu"
        nettacker "OWASP Nettacker"
        openvas "OpenVAS"
        sarif "SARIF"
        sqlmap "sqlmap"
        trivy "Trivy"
        wfuzz "Wfuzz"
        wpscan "WPScan"
    ;
}

/// A tool that is not run here: its reports are imported.
#[derive(Clone, Copy)]
pub struct ImportOnly {
    title: &'static str,
    formats: &'static [&'static dyn Format],
    source: &'static str,
}

impl ImportOnly {
    /// The name clients use, e.g. `sarif`.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        self.formats.first().map_or("", |format| format.tool())
    }

    /// The name readers see.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// Its page, as [`page`].
    #[must_use]
    pub fn page(&self) -> String {
        head(self.source)
    }

    /// What its reports tell, in one sentence: the first one of its page.
    #[must_use]
    pub fn description(&self) -> String {
        let page = self.page().replace('\n', " ");
        let end = page.find(". ").or_else(|| page.find('.')).map_or(page.len(), |at| at.saturating_add(1));
        page.get(..end).unwrap_or_default().to_owned()
    }
}

impl std::fmt::Debug for ImportOnly {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("ImportOnly").field(&self.slug()).finish()
    }
}

/// What the catalogue tells of a tool: the text at the head of its module, in Markdown.
#[must_use]
pub fn page(slug: &str) -> Option<String> {
    let sources = ALL.iter().zip(SOURCES.iter().copied()).chain([(&DISCOVERY, discovery::SOURCE)]);
    let (_, source) = sources.into_iter().find(|(tool, _)| tool.slug() == slug)?;
    Some(head(source))
}

fn head(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Everything that a client may ask for: the tools, and what a worker does without one.
pub fn offered() -> impl Iterator<Item = &'static dyn Tool> {
    ALL.iter().copied().chain([DISCOVERY])
}

/// The tool a client names, exactly as it is spelled.
#[must_use]
pub fn find(slug: &str) -> Option<&'static dyn Tool> {
    offered().find(|tool| tool.slug() == slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slugs_are_sorted_and_unique() {
        assert!(ALL.is_sorted_by(|a, b| a.slug() < b.slug()));
    }

    #[test]
    fn every_tool_has_a_page_and_a_format_of_its_own_in_the_table() {
        for tool in ALL {
            assert!(page(tool.slug()).is_some_and(|page| page.len() > 40), "{}", tool.slug());
            let format = tool.format();
            assert_eq!(format.tool(), tool.slug());
            assert!(crate::format::formats().any(|one| (one.tool(), one.name()) == (format.tool(), format.name())));
        }
        let mut names: Vec<_> = crate::format::formats().map(|format| (format.tool(), format.name())).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }

    #[test]
    fn whatever_is_only_imported_has_a_page_too_and_no_tool_is_both() {
        assert!(IMPORTS.is_sorted_by(|a, b| a.slug() < b.slug()));
        for import in IMPORTS {
            assert!(find(import.slug()).is_none() && !import.slug().is_empty(), "{import:?}");
            let (page, description) = (import.page(), import.description());
            assert!(page.starts_with(description.split_once(' ').unwrap().0) && page.len() > 40, "{page}");
            assert!(description.ends_with('.') && description.len() > 20, "{description}");
            assert!(import.formats.iter().all(|format| format.tool() == import.slug()), "{import:?}");
        }
        let known = |slug: &str| find(slug).is_some() || IMPORTS.iter().any(|import| import.slug() == slug);
        assert!(crate::format::formats().all(|format| known(format.tool())));
    }

    #[test]
    fn a20_a_tool_is_found_by_its_exact_slug_alone() {
        assert!(find("nmap").is_some());
        for name in ["nmap;id", "../../bin/sh", "NMAP", "nmap ", " nmap", "nmap\0", "", "nmap\n", "sh", "ｎｍａｐ"]
        {
            assert!(find(name).is_none(), "{name:?}");
        }
    }
}

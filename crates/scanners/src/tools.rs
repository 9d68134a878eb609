//! The tools Picket offers. To add one: a file beside `tools/nmap.rs` with an `Adapter`, and its name in the table here.

use crate::{Format, Tool};

macro_rules! tools {
    (run: $($module:ident)*; import: $($import:ident)*;) => {
        $(mod $module;)*
        $(mod $import;)*

        /// Every tool that can be run, in alphabetical order of its slug.
        pub const ALL: &[&dyn Tool] = &[$(&$module::Adapter),*];

        /// The formats of every tool that can be run or imported.
        pub(crate) const FORMATS: &[&[&dyn Format]] = &[$($module::FORMATS,)* $($import::FORMATS,)*];

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
        dirsearch
        drheader
        feroxbuster
        gobuster
        httpx
        hydra
        masscan
        naabu
        nettacker
        openvas
        sarif
        sqlmap
        trivy
        wfuzz
        wpscan
    ;
}

/// What the catalogue tells of a tool: the text at the head of its module, in Markdown.
#[must_use]
pub fn page(slug: &str) -> Option<String> {
    let (_, source) = ALL.iter().zip(SOURCES).find(|(tool, _)| tool.slug() == slug)?;
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    Some(lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n"))
}

/// The tool a client names, exactly as it is spelled.
#[must_use]
pub fn find(slug: &str) -> Option<&'static dyn Tool> {
    ALL.iter().copied().find(|tool| tool.slug() == slug)
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
    fn a20_a_tool_is_found_by_its_exact_slug_alone() {
        assert!(find("nmap").is_some());
        for name in ["nmap;id", "../../bin/sh", "NMAP", "nmap ", " nmap", "nmap\0", "", "nmap\n", "sh", "ｎｍａｐ"]
        {
            assert!(find(name).is_none(), "{name:?}");
        }
    }
}

//! The tools Picket offers. To add one: a file beside `tools/nmap.rs` with an `Adapter`, and its name in the table here.

use crate::Tool;

macro_rules! tools {
    ($($module:ident)*) => {
        $(mod $module;)*

        /// Every tool, in alphabetical order of its slug.
        pub const ALL: &[&dyn Tool] = &[$(&$module::Adapter),*];
    };
}

tools! {
    nmap
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
    fn a20_a_tool_is_found_by_its_exact_slug_alone() {
        assert!(find("nmap").is_some());
        for name in ["nmap;id", "../../bin/sh", "NMAP", "nmap ", " nmap", "nmap\0", "", "nmap\n", "sh", "ｎｍａｐ"]
        {
            assert!(find(name).is_none(), "{name:?}");
        }
    }
}

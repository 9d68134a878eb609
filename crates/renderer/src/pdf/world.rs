//! All that typst may see: our template, the files of one report, the fonts. No disk, no network, no packages, no clock.

use std::collections::HashMap;

use typst::{
    Library, LibraryExt, World,
    diag::{FileError, FileResult},
    foundations::{Bytes, Datetime, Duration},
    syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot},
    text::{Font, FontBook},
    utils::LazyHash,
};

use super::Fonts;

const TEMPLATE: &str = include_str!("../../templates/report.typ");

/// The world of one report.
pub(super) struct ReportWorld<'a> {
    library: LazyHash<Library>,
    fonts: &'a Fonts,
    template: Source,
    files: HashMap<FileId, Bytes>,
}

impl<'a> ReportWorld<'a> {
    /// A world with these files. Their names are fixed ones of ours: typst keeps every name for ever.
    pub(super) fn new(fonts: &'a Fonts, files: Vec<(&'static str, Vec<u8>)>) -> Result<Self, String> {
        let files = files.into_iter().map(|(name, content)| Ok((file_id(name)?, Bytes::new(content))));
        Ok(Self {
            library: LazyHash::new(Library::default()),
            fonts,
            template: Source::new(file_id("/report.typ")?, TEMPLATE.to_owned()),
            files: files.collect::<Result<_, String>>()?,
        })
    }
}

fn file_id(name: &'static str) -> Result<FileId, String> {
    let path = VirtualPath::new(name).map_err(|_| format!("expected a virtual path instead of {name}"))?;
    Ok(RootedPath::new(VirtualRoot::Project, path).intern())
}

impl World for ReportWorld<'_> {
    fn library(&self) -> &LazyHash<Library> {
        &self.library
    }

    fn book(&self) -> &LazyHash<FontBook> {
        self.fonts.book()
    }

    fn main(&self) -> FileId {
        self.template.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.template.id() { Ok(self.template.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        self.files.get(&id).cloned().ok_or(FileError::AccessDenied)
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.get(index)
    }

    fn today(&self, _offset: Option<Duration>) -> Option<Datetime> {
        None
    }
}

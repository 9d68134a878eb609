//! The fonts of a report: those of the operator's folder, then the built-in ones. Fonts are the operator's files and are
//! trusted; a folder that cannot be read is no reason to make no report.

use std::{
    fs,
    path::{Path, PathBuf},
};

use typst::{
    foundations::Bytes,
    text::{Font, FontBook},
    utils::LazyHash,
};

/// No more files than this are read from the folder.
const MAX_FILES: usize = 100;
/// Larger files are passed over.
const MAX_FILE_BYTES: u64 = 32 * 1_024 * 1_024;

/// Fonts and what typst must know to choose among them.
pub(crate) struct Fonts {
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
}

impl Fonts {
    /// Reads the fonts of the folder, when there is one, and adds the built-in ones.
    pub(crate) fn load(folder: Option<&Path>) -> Self {
        let (mut book, mut fonts) = (FontBook::new(), Vec::new());
        let read = folder.map(files).unwrap_or_default().into_iter().filter_map(|path| fs::read(path).ok());
        let content = read.map(Bytes::new).chain(typst_assets::fonts().map(Bytes::new));
        for font in content.flat_map(Font::iter) {
            book.push(font.info().clone());
            fonts.push(font);
        }
        Self { book: LazyHash::new(book), fonts }
    }

    /// Whether a family is there.
    pub(crate) fn has(&self, family: &str) -> bool {
        self.book.families().any(|(name, _)| name == family)
    }

    pub(super) const fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    pub(super) fn get(&self, index: usize) -> Option<Font> {
        self.fonts.get(index).cloned()
    }
}

/// The font files of a folder, in the order of their names, so that every machine chooses alike.
fn files(folder: &Path) -> Vec<PathBuf> {
    let is_font = |path: &PathBuf| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        ["otf", "ttf", "ttc"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    };
    let is_small = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_FILE_BYTES);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(is_font).filter(is_small).collect();
    files.sort();
    files.truncate(MAX_FILES);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_fonts_are_there_without_a_folder() {
        for folder in [None, Some(Path::new("/nowhere/at/all"))] {
            let fonts = Fonts::load(folder);
            assert!(fonts.has("Libertinus Serif") && fonts.has("DejaVu Sans Mono"));
            assert!(fonts.get(0).is_some() && fonts.get(usize::MAX).is_none());
        }
    }

    #[test]
    fn only_small_font_files_are_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.otf", "a.TTF", "c.txt", "d"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("e.otf")).unwrap();
        let names: Vec<_> = files(folder.path()).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["a.TTF", "b.otf"]);
        assert!(!Fonts::load(Some(folder.path())).has("Inter"), "what is no font is passed over");
    }
}

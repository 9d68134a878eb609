//! O5 for every format of the catalogue: whatever a tool or a target prints, a parser holds a bounded number of bytes, and
//! never calls it complete and clean. Reports of many megabytes are written while they are read. The crate's own
//! list of formats is walked, so that a format that is added is tried without a line here.

#[path = "memory/allocator.rs"]
mod allocator;
#[path = "memory/endless.rs"]
mod endless;
#[path = "memory/shapes.rs"]
mod shapes;

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
    time::Instant,
};

use endless::Recipe;
use picket_scanners::{Context, Format, Head, Parsed, formats, recognize};

#[global_allocator]
static COUNTING: allocator::Counting = allocator::Counting;

/// What a report is stretched to: more than a parser may hold of it, and in the long form more than it may hold at all.
const QUICK: Extent = Extent { bytes: 6 << 20, every: 48 };
const LONG: Extent = Extent { bytes: 64 << 20, every: 32 };
/// The most that a parser may hold at a time, beside the observations that it has handed on.
const MOST_BYTES: usize = 56 << 20;
const CHUNK_BYTES: usize = 64 << 10;

/// How much is tried.
#[derive(Clone, Copy)]
struct Extent {
    bytes: usize,
    /// Of so many reports each format reads one, the next format the next: what formats share is tried with all of them.
    every: usize,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// The smallest sample of ours of each format.
fn sample(format: &dyn Format) -> String {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"), &mut paths);
    let texts = paths.iter().filter_map(|path| fs::read_to_string(path).ok());
    let is_mine = |text: &String| {
        let found = recognize(&Head::new(text.as_bytes(), true));
        found.is_some_and(|found| (found.tool(), found.name()) == (format.tool(), format.name()))
    };
    let smallest = texts.filter(is_mine).min_by_key(String::len);
    smallest.unwrap_or_else(|| panic!("expected a sample of {} {} in testdata/", format.tool(), format.name()))
}

/// Reads the report and returns the peak of what that took.
fn read(format: &dyn Format, recipe: &Recipe) -> (Parsed, usize) {
    let mut input = BufReader::with_capacity(CHUNK_BYTES, recipe.open());
    allocator::peak_of(|| format.parse(&mut input, &Context::default(), &mut drop))
}

/// Tries one report, and says what is wrong with what became of it.
fn judge(format: &dyn Format, recipe: &Recipe, least: u64) -> Option<String> {
    let began = Instant::now();
    let (parsed, peak) = read(format, recipe);
    let name = format!("{} {}: {}", format.tool(), format.name(), recipe.name);
    println!(
        "{:>6} KiB {:>6} ms {name}: {} {:?}",
        peak >> 10,
        began.elapsed().as_millis(),
        parsed.observations,
        parsed.reason
    );
    if peak > MOST_BYTES {
        return Some(format!("{name}: held {} KiB", peak >> 10));
    }
    let is_clean = parsed.is_complete() && parsed.observations < least;
    is_clean.then(|| format!("{name}: complete, with {} of {least} observations", parsed.observations))
}

fn judge_all(extent: Extent, is_report: bool) {
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (number, format) in formats().enumerate() {
        let text = sample(format);
        let count = format.parse(&mut text.as_bytes(), &Context::default(), &mut drop).observations;
        let (least, recipes) = if is_report {
            (count, shapes::of_sample(&text, extent.bytes))
        } else {
            (1, shapes::of_nothing(extent.bytes))
        };
        for recipe in recipes.iter().skip(number % extent.every).step_by(extent.every) {
            tried += 1;
            wrong.extend(judge(format, recipe, least));
        }
    }
    println!("{tried} reports");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn o5_a_report_that_was_made_large_takes_bounded_memory_and_is_never_called_clean() {
    judge_all(QUICK, true);
}

#[test]
fn o5_what_is_large_and_no_report_takes_bounded_memory_and_is_never_called_clean() {
    judge_all(QUICK, false);
}

#[test]
#[ignore = "takes minutes: `make test-slow`"]
fn o5_reports_of_64_mib_take_no_more_memory_than_smaller_ones() {
    judge_all(LONG, true);
    judge_all(LONG, false);
}

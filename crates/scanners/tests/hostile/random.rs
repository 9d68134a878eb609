//! Every format against bytes that nobody chose: any at all, and samples that are cut or changed anywhere. The crate's table
//! of formats is what is walked, so a format that is added is tried without a line here.

use std::sync::LazyLock;

use picket_scanners::formats;
use proptest::{prelude::*, sample::Index};

use super::{Sample, may_be_whole, parse, samples};

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples);
/// Those whose tool says that it finished.
static WHOLE: LazyLock<Vec<&Sample>> = LazyLock::new(|| {
    SAMPLES.iter().filter(|sample| parse(&sample.name, sample.format, &sample.bytes).0.is_complete()).collect()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_read_by_every_format_without_panic(bytes: Vec<u8>) {
        for format in formats() {
            parse(format.tool(), format, &bytes);
        }
    }

    #[test]
    fn a_sample_that_is_cut_anywhere_is_never_complete(sample: Index, at: Index) {
        let sample = sample.get(&WHOLE);
        let cut = &sample.bytes[..at.index(sample.bytes.len())];
        let (parsed, _) = parse(&sample.name, sample.format, cut);
        let is_told = may_be_whole(sample.format, &sample.bytes, cut) || !parsed.is_complete();
        prop_assert!(is_told, "{} cut to {} bytes is complete", sample.name, cut.len());
    }

    #[test]
    fn a_sample_with_changed_bytes_is_read_without_panic(sample: Index, at: Index, new: Vec<u8>, gone in 0..20_usize) {
        let sample = sample.get(&SAMPLES);
        let at = at.index(sample.bytes.len());
        let mut bytes = sample.bytes.clone();
        bytes.splice(at..(at + gone).min(sample.bytes.len()), new);
        parse(&sample.name, sample.format, &bytes);
        for format in formats() {
            parse(&sample.name, format, &bytes[..bytes.len().min(4_000)]);
        }
    }
}

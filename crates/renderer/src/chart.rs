//! The severity chart: a ring of coloured arcs as SVG. Numbers only, no text: nothing of a finding can get into it, and it
//! needs no font.

use std::fmt::Write;

use picket_domain::{Severity, SeverityCounts};

/// The side of the picture.
const SIDE: f64 = 120.0;
/// The radius of the ring's middle line.
const RADIUS: f64 = 48.0;
/// The width of the ring.
const WIDTH: f64 = 15.0;
/// The space between two arcs, as a part of the ring.
const SPACE: f64 = 0.006;
/// The least part of the ring that a severity gets, so that one critical finding among thousands is seen.
const LEAST: f64 = 0.02;

/// The colour of a severity, in every format.
pub(crate) const fn color(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "#b4182d",
        Severity::High => "#e4572e",
        Severity::Medium => "#e8a317",
        Severity::Low => "#3a7ca5",
        Severity::Info | Severity::Unknown => "#8592a6",
    }
}

/// Findings per severity, worst first, as every format shows them.
pub(crate) const fn rows(counts: &SeverityCounts) -> [(Severity, u64); 5] {
    [
        (Severity::Critical, counts.critical),
        (Severity::High, counts.high),
        (Severity::Medium, counts.medium),
        (Severity::Low, counts.low),
        (Severity::Info, counts.info),
    ]
}

/// The ring as an SVG document.
pub(crate) fn ring(counts: &SeverityCounts) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {SIDE}\" width=\"{SIDE}\" height=\"{SIDE}\">\
         <circle cx=\"{0}\" cy=\"{0}\" r=\"{RADIUS}\" fill=\"none\" stroke=\"#e7ebf1\" stroke-width=\"{WIDTH}\"/>",
        SIDE / 2.0
    );
    let mut start = 0.0;
    for (severity, part) in parts(counts) {
        arc(&mut svg, severity, start, part);
        start += part;
    }
    svg.push_str("</svg>");
    svg
}

/// The part of the ring of each severity that has findings; all parts together are the ring.
fn parts(counts: &SeverityCounts) -> Vec<(Severity, f64)> {
    // Counts beyond 2^32 are drawn as 2^32: no ring shows the difference.
    let float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let shown: Vec<_> = rows(counts).into_iter().filter(|(_, count)| *count > 0).collect();
    let total: f64 = shown.iter().map(|(_, count)| float(*count)).sum();
    let raised: Vec<_> =
        shown.iter().map(|(severity, count)| (*severity, (float(*count) / total).max(LEAST))).collect();
    let sum: f64 = raised.iter().map(|(_, part)| part).sum();
    raised.into_iter().map(|(severity, part)| (severity, part / sum)).collect()
}

/// One arc, clockwise from the top; a whole ring is a circle, since an arc cannot end where it began.
fn arc(svg: &mut String, severity: Severity, start: f64, part: f64) {
    let (middle, color) = (SIDE / 2.0, color(severity));
    // Writing to a String cannot fail.
    let _ = if part > 0.999 {
        write!(svg, "<circle cx=\"{middle}\" cy=\"{middle}\" r=\"{RADIUS}\"")
    } else {
        let point = |turn: f64| {
            let angle = turn * std::f64::consts::TAU;
            (middle + RADIUS * angle.sin(), middle - RADIUS * angle.cos())
        };
        let (from, to) = (point(start + SPACE / 2.0), point(start + part - SPACE / 2.0));
        let large = u8::from(part - SPACE > 0.5);
        write!(svg, "<path d=\"M{:.3} {:.3}A{RADIUS} {RADIUS} 0 {large} 1 {:.3} {:.3}\"", from.0, from.1, to.0, to.1)
    };
    let _ = write!(svg, " fill=\"none\" stroke=\"{color}\" stroke-width=\"{WIDTH}\"/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_findings_are_an_empty_ring() {
        let svg = ring(&SeverityCounts::default());
        assert_eq!((svg.matches("<circle").count(), svg.matches("<path").count()), (1, 0));
    }

    #[test]
    fn one_severity_fills_the_ring() {
        let svg = ring(&SeverityCounts { high: 7, ..SeverityCounts::default() });
        assert_eq!((svg.matches("<circle").count(), svg.matches("<path").count()), (2, 0));
        assert!(svg.contains(color(Severity::High)));
    }

    #[test]
    fn a_single_critical_finding_is_seen_among_thousands() {
        let counts = SeverityCounts { critical: 1, info: u64::MAX, ..SeverityCounts::default() };
        let parts = parts(&counts);
        assert!(parts[0].1 > 0.015, "{parts:?}");
        assert!((parts.iter().map(|(_, part)| part).sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(ring(&counts).matches("<path").count(), 2);
    }
}

//! (d) How fast an nmap report of 200 MB is parsed, and what that takes of memory. The parser runs in a process of its
//! own, whose peak is asked of the kernel.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read},
    path::Path,
    process::Command,
    time::Instant,
};

use picket_scanners::sample::write_nmap_xml;
use serde::{Deserialize, Serialize};

use crate::{
    Failure,
    figure::{Figure, median},
};

const REPORT_BYTES: u64 = 200_000_000;
/// The most that a sandbox lets a tool print: what a worker can meet.
const LARGEST_OUTPUT_BYTES: u64 = 64 << 20;
const RUNS: usize = 5;

/// What the child saw.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    seconds: f64,
    read_seconds: f64,
    peak_mb: f64,
    peak_before_mb: f64,
    observations: u64,
}

pub(crate) fn measure() -> Result<Vec<Figure>, Failure> {
    fs::create_dir_all("target")?;
    let folder = tempfile::tempdir_in("target")?;
    let file = folder.path().join("report.xml");
    let size = generate(&file, REPORT_BYTES)?;
    let (mut rates, mut reads, mut peaks, mut before) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let seen = in_child(&file, "drop")?;
        rates.push(size / seen.seconds);
        reads.push(size / seen.read_seconds);
        peaks.push(seen.peak_mb);
        before.push(seen.peak_before_mb);
    }
    let largest = generate(&file, LARGEST_OUTPUT_BYTES)?;
    let kept = in_child(&file, "keep")?;
    Ok(vec![
        Figure::new(format!("(d) nmap report parsed, {size:.0} MB"), median(&mut rates), "MB/s")
            .beside("reading the file alone", median(&mut reads)),
        Figure::new("(d) peak memory of that", median(&mut peaks), "MB")
            .beside("the process before it", median(&mut before)),
        Figure::new(
            format!("(d) peak memory, {largest:.0} MB, findings kept ({})", kept.observations),
            kept.peak_mb,
            "MB",
        )
        .beside("the report", largest),
    ])
}

/// Writes a report; its size in MB.
fn generate(file: &Path, bytes: u64) -> Result<f64, Failure> {
    let mut writer = BufWriter::new(File::create(file)?);
    let written = write_nmap_xml(&mut writer, bytes)?;
    Ok(f64::from(u32::try_from(written.bytes / 1_000)?) / 1e3)
}

fn in_child(file: &Path, keep: &str) -> Result<Seen, Failure> {
    let output = Command::new(std::env::current_exe()?).arg("parse").arg(file).arg(keep).output()?;
    if !output.status.success() {
        return Err(format!("the parser ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child: reads the file, then parses it.
pub(crate) fn child(file: &Path, keep: bool) -> Result<(), Failure> {
    let tool = picket_scanners::find("nmap").ok_or("nmap is in the catalogue")?;
    let began = Instant::now();
    read(file)?;
    let (read_seconds, peak_before_mb) = (began.elapsed().as_secs_f64(), peak_mb()?);
    let (mut kept, began) = (Vec::new(), Instant::now());
    let mut reader = BufReader::with_capacity(64 * 1024, File::open(file)?);
    let parsed = tool.parse(&mut reader, &picket_scanners::Context::default(), &mut |observation| {
        if keep {
            kept.push(observation);
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    if !parsed.is_complete() {
        return Err(format!("the report was not read to its end: {}", parsed.reason).into());
    }
    let observations = parsed.observations;
    let seen = Seen { seconds, read_seconds, peak_mb: peak_mb()?, peak_before_mb, observations };
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

fn read(file: &Path) -> Result<(), Failure> {
    let (mut file, mut buffer) = (File::open(file)?, vec![0; 64 * 1024]);
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// `VmHWM` of proc(5): the peak of resident memory, in kB there.
fn peak_mb() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("expected VmHWM")?;
    let kilobytes: u32 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(f64::from(kilobytes) * 1.024 / 1e3)
}

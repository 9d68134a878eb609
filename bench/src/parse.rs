//! (d) How fast reports of nmap and nuclei of 200 MB are parsed, and what that takes of memory; python-libnmap beside. The
//! parser runs in a process of its own, whose peak is asked of the kernel.

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    process::Command,
    time::Instant,
};

use picket_scanners::sample::{Written, write_nmap_xml, write_nuclei_jsonl};
use serde::{Deserialize, Serialize};

use crate::{
    Failure,
    figure::{Figure, median},
    libnmap,
};

const REPORT_BYTES: u64 = 200_000_000;
const SMALL_REPORT_BYTES: u64 = 50_000_000;
/// The most that a sandbox lets a tool print: what a worker can meet.
const LARGEST_OUTPUT_BYTES: u64 = 64 << 20;
const RUNS: usize = 5;

/// What the child saw.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    seconds: f64,
    read_seconds: f64,
    peak_mb: f64,
    observations: u64,
}

pub(crate) fn measure() -> Result<Vec<Figure>, Failure> {
    fs::create_dir_all("target")?;
    let folder = tempfile::tempdir_in("target")?;
    let file = folder.path().join("report");
    let mut figures = of_tool("nmap", &file, write_nmap_xml)?;
    let largest = generate(&file, LARGEST_OUTPUT_BYTES, write_nmap_xml)?;
    let kept = in_child("nmap", &file, "keep")?;
    figures.push(
        Figure::new(
            format!("(d) peak memory, {largest:.0} MB, findings kept ({})", kept.observations),
            kept.peak_mb,
            "MB",
        )
        .beside("the report", largest),
    );
    figures.extend(beside_libnmap(&file)?);
    figures.extend(of_tool("nuclei", &file, write_nuclei_jsonl)?);
    Ok(figures)
}

/// Both on the very same file.
fn beside_libnmap(file: &Path) -> Result<Vec<Figure>, Failure> {
    let small = generate(file, SMALL_REPORT_BYTES, write_nmap_xml)?;
    let (mut rates, mut peaks) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let seen = in_child("nmap", file, "drop")?;
        rates.push(small / seen.seconds);
        peaks.push(seen.peak_mb);
    }
    let (name, memory) = (format!("(d) nmap report parsed, {small:.0} MB"), "(d) peak memory of that");
    let (rate, peak) = (median(&mut rates), median(&mut peaks));
    let Some(seen) = libnmap::parse(file)? else {
        return Ok(vec![Figure::absent(name, "python-libnmap cannot be had here")]);
    };
    let theirs = format!("python-libnmap 0.7, the same file, {} ports", seen.ports);
    Ok(vec![
        Figure::new(name, rate, "MB/s").beside(theirs, small / seen.seconds),
        Figure::new(memory, peak, "MB").beside("python-libnmap 0.7", seen.peak_mb),
    ])
}

type Generator = fn(&mut dyn Write, u64) -> io::Result<Written>;

/// How fast the reports of a tool are parsed, and whether memory stays flat between a small and a large one.
fn of_tool(tool: &str, file: &Path, write: Generator) -> Result<Vec<Figure>, Failure> {
    generate(file, SMALL_REPORT_BYTES, write)?;
    let small = in_child(tool, file, "drop")?.peak_mb;
    let size = generate(file, REPORT_BYTES, write)?;
    let (mut rates, mut reads, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let seen = in_child(tool, file, "drop")?;
        rates.push(size / seen.seconds);
        reads.push(size / seen.read_seconds);
        peaks.push(seen.peak_mb);
    }
    Ok(vec![
        Figure::new(format!("(d) {tool} report parsed, {size:.0} MB"), median(&mut rates), "MB/s")
            .beside("reading the file alone", median(&mut reads)),
        Figure::new("(d) peak memory of that", median(&mut peaks), "MB").beside("of a report of 50 MB", small),
    ])
}

/// Writes a report; its size in MB.
fn generate(file: &Path, bytes: u64, write: Generator) -> Result<f64, Failure> {
    let mut writer = BufWriter::new(File::create(file)?);
    let written = write(&mut writer, bytes)?;
    Ok(f64::from(u32::try_from(written.bytes / 1_000)?) / 1e3)
}

fn in_child(tool: &str, file: &Path, keep: &str) -> Result<Seen, Failure> {
    let output = Command::new(std::env::current_exe()?).args(["parse", tool]).arg(file).arg(keep).output()?;
    if !output.status.success() {
        return Err(format!("the parser ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child: reads the file, then parses it.
pub(crate) fn child(tool: &str, file: &Path, keep: bool) -> Result<(), Failure> {
    let tool = picket_scanners::find(tool).ok_or("the tool is in the catalogue")?;
    let began = Instant::now();
    read(file)?;
    let read_seconds = began.elapsed().as_secs_f64();
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
    let seen = Seen { seconds, read_seconds, peak_mb: peak_mb()?, observations };
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

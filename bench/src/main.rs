//! `make bench`: what Picket does in a second, beside what the same machine does in the same minute without it.
//! Nothing here decides whether a number is good, and nothing runs in CI: a busy machine would only make noise.
//!
//! One program with four faces: the bench itself; the child that parses a large report, so that its peak memory is its
//! own (`parse`); a role of the platform as a process of its own (`role`); and the stand-in for nmap that tells when it was
//! started (called `nmap`).

mod accepted;
mod bare;
mod fairness;
mod figure;
mod ground;
mod half_load;
mod http;
mod killed;
mod libnmap;
mod lists;
mod load;
mod logins;
mod memory;
mod overhead;
mod parse;
mod peer;
mod platform;
mod reads;
mod renderer;
mod role;
mod scaling;
mod seeded;
mod stand_in;
mod started;
mod template;
mod throughput;

use std::{error::Error, path::Path, process::ExitCode};

use figure::Figure;

/// Anything that ends a bench.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What can be measured.
const LETTERS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// Where the figures are written.
const RESULT: &str = "target/bench.json";

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let words: Vec<String> = arguments.collect();
    let ended = match words.as_slice() {
        _ if Path::new(&name).file_name().is_some_and(|name| name == "nmap") => stand_in::run(&words),
        [word] if word == "role" => role::child(),
        [word, tool, file, keep] if word == "parse" => parse::child(tool, Path::new(file), keep == "keep"),
        [word] if word == "overhead" => overhead::child(),
        chosen if chosen.iter().all(|letter| LETTERS.contains(&letter.as_str())) => bench(chosen),
        _ => Err(format!("usage: picket-bench [{}]", LETTERS.join("] [")).into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn bench(chosen: &[String]) -> Result<(), Failure> {
    let is_chosen = |letter: &str| chosen.is_empty() || chosen.iter().any(|one| one == letter);
    // What a gateway does for each request: a line of JSON, which goes nowhere here, and its metrics.
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(std::io::sink).init();
    picket_kit::install_metrics()?;
    let mut figures: Vec<Figure> = Vec::new();
    if is_chosen("a") {
        eprintln!("bench: scans accepted per second (API, transaction alone, bare commit)");
        figures.extend(accepted::measure().await?);
    }
    if is_chosen("b") {
        eprintln!("bench: from 201 to the tool's start");
        figures.extend(started::measure().await?);
        eprintln!("bench: from 201 to the task's start at half load");
        figures.extend(half_load::measure().await?);
    }
    if is_chosen("c") {
        eprintln!("bench: the sandbox over a bare exec");
        figures.extend(tokio::task::spawn_blocking(overhead::measure).await??);
    }
    if is_chosen("d") {
        eprintln!("bench: parsing a report of 200 MB");
        figures.extend(tokio::task::spawn_blocking(parse::measure).await??);
    }
    if is_chosen("e") {
        eprintln!("bench: authenticated reads per second (API, constant, one query)");
        figures.extend(reads::measure().await?);
    }
    if is_chosen("f") {
        eprintln!("bench: logins, and what a storm of them does to others");
        figures.extend(logins::measure().await?);
    }
    figures.extend(queue(is_chosen).await?);
    figure::print(&figures);
    figure::write(&figures, Path::new(RESULT))?;
    eprintln!("bench: written to {RESULT}");
    Ok(())
}

/// What is measured with simulated tasks.
async fn queue(is_chosen: impl Fn(&str) -> bool) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    if is_chosen("g") {
        eprintln!("bench: no-op tasks per second (1, 2, 4, 8 worker processes; Celery)");
        figures.extend(throughput::measure().await?);
    }
    if is_chosen("h") {
        eprintln!("bench: sleeping tasks over 1 and 8 workers");
        figures.extend(scaling::measure().await?);
    }
    if is_chosen("i") {
        eprintln!("bench: a small scan behind a large one");
        figures.extend(fairness::measure().await?);
    }
    if is_chosen("j") {
        eprintln!("bench: memory of the roles");
        figures.extend(memory::measure().await?);
    }
    if is_chosen("k") {
        eprintln!("bench: lists over a million findings");
        figures.extend(lists::measure().await?);
    }
    if is_chosen("l") {
        eprintln!("bench: a worker that is killed again and again (ours, Celery)");
        figures.extend(killed::measure().await?);
    }
    Ok(figures)
}

//! The simulator's parameters, and that what it prints is read as it was meant.

use std::io::{BufReader, Read};

use picket_domain::Gap;
use serde_json::json;

use super::*;
use crate::{Asked, Context, Parsed, ScanSpec};

fn shard() -> Shard {
    Shard { target: "192.0.2.7".to_owned(), addresses: vec!["192.0.2.7".parse().unwrap()], hosts: Vec::new() }
}

fn spec(params: &Value) -> Result<ScanSpec, ParamsError> {
    ScanSpec::offered(Asked { tool: SLUG, parameters: Some(params) }, true)
}

fn run(params: &Value) -> (Simulation, Parsed) {
    let simulation = spec(params).unwrap().simulation(&shard()).unwrap().unwrap();
    let context = Context { host: Some("192.0.2.7"), ..Context::default() };
    let parsed = SIMULATOR.parse(&mut BufReader::new(simulation.output()), &context, &mut drop);
    (simulation, parsed)
}

#[test]
fn the_simulator_is_an_unknown_tool_where_it_is_not_offered() {
    let unknown = |tool| ScanSpec::try_from(Asked { tool, parameters: None }).unwrap_err();
    assert_eq!(unknown(SLUG), unknown("no-such-tool"));
    assert_eq!(ScanSpec::offered(Asked { tool: "Simulate", parameters: None }, true).unwrap_err(), unknown("x"));
    assert!(crate::find(SLUG).is_none() && crate::page(SLUG).is_none());
    assert!(crate::format::formats().all(|format| format.tool() != SLUG), "nobody imports a simulation");
}

#[test]
fn a_catalogued_tool_is_no_simulation() {
    let nmap = ScanSpec::offered(Asked { tool: "nmap", parameters: None }, true).unwrap();
    assert_eq!(nmap.simulation(&shard()), Ok(None));
}

#[test]
fn a_scan_is_cut_into_as_many_tasks_as_it_says_and_each_is_one_task() {
    let params = json!({"tasks": 3, "sleep_ms": 5, "findings": 2});
    let many = spec(&params).unwrap();
    assert_eq!(many.shapes().len(), 3);
    for shape in many.shapes() {
        assert_eq!(shape.params, json!({"sleep_ms": 5, "findings": 2}));
        assert_eq!(shape.needs.pool, Pool::Simulate);
        let stored = spec(&shape.params).unwrap();
        assert_eq!(stored.shapes(), std::slice::from_ref(shape));
        assert!(stored.simulation(&shard()).unwrap().is_some());
    }
    assert_eq!(many.simulation(&shard()).unwrap_err().code, "not_canonical");
    let forged = Shard { addresses: Vec::new(), ..shard() };
    assert_eq!(spec(&json!({})).unwrap().simulation(&forged).unwrap_err().field, "shard.addresses");
}

#[test]
fn every_parameter_is_bounded() {
    for (params, field) in [
        (json!({"sleep_ms": 3_600_001}), "parameters.sleep_ms"),
        (json!({"sleep_ms": -1}), "parameters.sleep_ms"),
        (json!({"findings": 100_001}), "parameters.findings"),
        (json!({"flood": 1_073_741_825_u64}), "parameters.flood"),
        (json!({"fail": 0}), "parameters.fail"),
        (json!({"fail": 129}), "parameters.fail"),
        (json!({"crash": 65}), "parameters.crash"),
        (json!({"hang": "yes"}), "parameters.hang"),
        (json!({"tasks": 0}), "parameters.tasks"),
        (json!({"tasks": 10_001}), "parameters.tasks"),
        (json!({"crash": 9, "fail": 1}), "parameters.crash"),
        (json!({"command": "id"}), "parameters.command"),
    ] {
        assert_eq!(spec(&params).unwrap_err().field, field, "{params}");
    }
}

#[test]
fn what_it_prints_is_as_long_as_it_says_and_is_read_as_it_was_meant() {
    for (findings, flood) in [(0, 0), (1, 0), (3, 1), (0, 63), (2, 64), (5, 65), (100, 100_000)] {
        let (simulation, parsed) = run(&json!({"findings": findings, "flood": flood}));
        assert_eq!((parsed.observations, parsed.gap), (findings, None), "{findings} {flood}");
        let mut printed = Vec::new();
        simulation.output().read_to_end(&mut printed).unwrap();
        assert_eq!(simulation.output_bytes(), u64::try_from(printed.len()).unwrap());
        assert_eq!(simulation.output_bytes(), findings * 17 + flood + 4);
    }
}

#[test]
fn only_a_run_that_ends_well_prints_the_mark_of_its_end() {
    for (params, work, end) in [
        (json!({"fail": 3}), Some(Duration::ZERO), SimulatedEnd::Exited(3)),
        (json!({"crash": 11, "sleep_ms": 20}), Some(Duration::from_millis(20)), SimulatedEnd::Signaled(11)),
        (json!({"hang": true, "sleep_ms": 20}), None, SimulatedEnd::Exited(0)),
    ] {
        let (simulation, parsed) = run(&params);
        assert_eq!((simulation.work, simulation.end, parsed.gap), (work, end, Some(Gap::OutputIncomplete)), "{params}");
    }
    assert_eq!(run(&json!({})).0.end, SimulatedEnd::Exited(0));
}

#[test]
fn a_strange_line_is_never_silent() {
    let read = |text: &str| {
        let context = Context { host: Some("192.0.2.7"), ..Context::default() };
        SIMULATOR.parse(&mut text.as_bytes(), &context, &mut drop).gap
    };
    assert_eq!(read("finding 00000001\nend\n"), None);
    for strange in ["finding x\nend\n", "hello\nend\n", "", "finding 1\n", "finding 1\nen"] {
        assert_eq!(read(strange), Some(Gap::OutputIncomplete), "{strange:?}");
    }
}

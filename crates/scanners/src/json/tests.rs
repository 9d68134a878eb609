//! Pieces, faults and bounds.

use serde_json::json;

use super::*;

fn read(text: &str, arrays: &[&[&str]]) -> (Result<Value, Fault>, Vec<(usize, Value)>) {
    let mut seen = Vec::new();
    let rest = stream(&mut text.as_bytes(), arrays, &mut |at, value| seen.push((at, value)));
    (rest, seen)
}

#[test]
fn elements_come_one_by_one_and_the_rest_is_kept() {
    let (rest, seen) = read(
        "\u{feff}{\"a\":1,\"runs\":[{\"tool\":\"x\",\"results\":[1,{\"b\":[2]}]}],\"z\":[3]}",
        &[&["runs", EACH, "results"], &["z"]],
    );
    assert_eq!(rest.unwrap(), json!({"a":1,"runs":[{"tool":"x","results":[]}],"z":[]}));
    assert_eq!(seen, [(0, json!(1)), (0, json!({"b":[2]})), (1, json!(3))]);
    assert_eq!(read("[1,2]", &[&[]]).1.len(), 2, "the root may be the array");
}

#[test]
fn a_value_that_is_watched_comes_when_it_was_read() {
    let mut seen = Vec::new();
    let text = "{\"name\":\"x\",\"runs\":[{\"results\":[1],\"id\":2},{\"id\":3}]}";
    let paths: &[&[&str]] = &[&["name"], &["runs", EACH, "results"], &["runs", EACH]];
    watch(&mut text.as_bytes(), paths, &mut |at, value| seen.push((at, value))).unwrap();
    assert_eq!(seen, [(0, json!("x")), (1, json!(1)), (2, json!({"id":2,"results":[]})), (2, json!({"id":3}))]);
}

#[test]
fn what_came_before_a_fault_is_kept_and_the_fault_is_named() {
    let (rest, seen) = read("{\"a\":[1,2,", &[&["a"]]);
    assert_eq!((rest, seen.len()), (Err(Fault::BrokeOff), 2));
    assert_eq!(read("", &[]).0, Err(Fault::Empty));
    assert!(read("  \n", &[]).0.is_err());
    assert_eq!(read("<xml/>", &[]).0, Err(Fault::Foreign));
    assert_eq!(read("{} {}", &[]).0, Err(Fault::Trailing));
    assert!(matches!(read("{\"a\":x}", &[]).0, Err(Fault::Syntax { .. })));
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = "[".repeat(100_000);
    assert!(read(&deep, &[]).0.is_err());
    let long = format!("[\"{}\"]", "a".repeat(MAX_PIECE_BYTES + 1));
    assert_eq!(read(&long, &[&[]]).0, Err(Fault::Unreadable));
    let many = format!("[{}1]", format!("\"{}\",", "a".repeat(1 << 20)).repeat(40));
    assert_eq!(read(&many, &[&[]]).1.len(), 41, "many elements are no large piece");
    assert_eq!(read(&many, &[]).0, Err(Fault::Unreadable), "what is kept is bounded");
}

#[test]
fn many_small_values_are_as_bounded_as_long_texts() {
    const COUNT: usize = 200_000;
    let objects = format!("[{}0]", "{\"\":0},".repeat(COUNT));
    assert_eq!(read(&objects, &[]).0, Err(Fault::Crowded), "what is kept");
    assert_eq!(read(&format!("[{objects}]"), &[&[]]), (Err(Fault::Crowded), Vec::new()), "one element");
    assert_eq!(value(objects.as_bytes()), Err(Fault::Crowded), "one line");
    assert_eq!(read(&objects, &[&[]]).1.len(), COUNT + 1, "many elements are no large piece");
    assert_eq!(value(b"{\"a\":[1]}"), Ok(json!({"a":[1]})));
    assert!(value(b"{} {}").is_err() && value(b"{").is_err());
}

#[test]
fn lines_are_bounded_and_a_cut_one_is_noticed() {
    let long = format!("a\n\n{}\nb\nc", "x".repeat(MAX_PIECE_BYTES + 5));
    let mut seen = Vec::new();
    let noticed = lines(&mut long.as_bytes(), &mut |line| seen.push(line.to_vec())).unwrap();
    assert_eq!(seen, [b"a", b"b", b"c"]);
    assert_eq!(noticed, Lines { left_out: 1, is_cut: true });
}

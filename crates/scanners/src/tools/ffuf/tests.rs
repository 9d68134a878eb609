//! Command lines, samples of real runs, and the corpus.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing;

const SHOP: &[u8] = include_bytes!("../../../testdata/ffuf/shop.json");

#[test]
fn the_command_line_is_written_by_us() {
    let args = testing::args(&Adapter, &json!({"path": "/app/", "extensions": ["zip", "bak", "zip"], "rate": 50}));
    assert_eq!(
        args.join(" "),
        "-s -ac -of json -o /scratch/report.json -w /input/words.txt -timeout 10 -mc 200,204,301,302,307,401,403,500 -t 5 -p 0.10 \
         -e .bak,.zip -u http://www.example.com:80/app/FUZZ"
    );
    testing::writes_plain_arguments(&Adapter, &json!({"rate": 1}));
}

#[test]
fn a19_a21_a22_hostile_parameters_are_refused() {
    testing::refuses_hostile_parameters(&Adapter);
    for rate in [json!(0), json!(51), json!("20"), json!(1.5)] {
        testing::refused(&Adapter, &json!({ "rate": rate }), "parameters.rate");
    }
    testing::refused(&Adapter, &json!({ "extensions": ["php", ".php -x"] }), "parameters.extensions[1]");
    testing::refused(&Adapter, &json!({ "extensions": ["asp", "aspx", "bak", "html", "json"] }), "parameters.extensions");
    testing::refused(&Adapter, &json!({ "wordlist": "/etc/passwd" }), "parameters.wordlist");
}

#[test]
fn what_cannot_end_in_time_is_refused() {
    testing::refused(&Adapter, &json!({ "rate": 1, "extensions": ["php"] }), "parameters.rate");
    testing::refused(&Adapter, &json!({ "rate": 4, "extensions": ["asp", "bak", "html", "json"] }), "parameters.rate");
    for params in [json!({"rate": 1}), json!({"rate": 2, "extensions": ["php"]}), json!({"extensions": ["asp", "bak", "html", "json"]})] {
        assert!(Adapter.shapes(Some(&params)).is_ok(), "{params}");
    }
}

#[test]
fn our_words_are_paths_and_the_first_is_the_start_page() {
    let words: Vec<&str> = WORD_LIST.lines().collect();
    assert!(words.len() > 500 && words[0].is_empty());
    let mut rest = words[1..].to_vec();
    assert!(rest.iter().all(|word| !word.is_empty() && !word.starts_with(['/', '#']) && word.bytes().all(|byte| byte.is_ascii_graphic())));
    rest.sort_unstable();
    rest.dedup();
    assert_eq!(rest.len() + 1, words.len(), "no word twice");
}

#[test]
fn served_paths_are_known_by_their_names() {
    let (parsed, seen) = testing::read(&Json, SHOP);
    assert!(parsed.is_complete(), "{parsed:?}");
    let rules: Vec<_> = testing::brief(&seen).into_iter().map(|(rule, path, _)| format!("{rule} {path}")).collect();
    assert_eq!(rules, [
        "http.interesting_path /", "http.env_file_exposed /.env", "http.git_exposed /.git/", "http.admin_interface /admin/",
        "http.database_dump_exposed /backup.sql", "http.robots_txt /robots.txt", "http.interesting_path /search",
    ]);
}

#[test]
fn a_path_that_is_not_served_is_no_exposure() {
    for (status, length) in [(403, 20), (301, 0), (200, 0), (500, 10)] {
        let report = json!({"commandline": "", "time": "", "results": [{"url": "http://192.0.2.1/.git/HEAD", "status": status, "length": length}]});
        let (_, seen) = testing::read(&Json, report.to_string().as_bytes());
        assert_eq!(seen[0].rule, "http.interesting_path", "{status}");
    }
}

#[test]
fn what_breaks_off_or_holds_nothing_is_never_complete() {
    testing::is_never_complete_when_cut(&Json, SHOP);
    assert!(!testing::read(&Json, br#"{"results":[]}"#).0.is_complete());
    assert!(testing::read(&Json, b"{}").0.is_refused);
}

#[test]
fn the_corpus_is_counted_by_results() {
    for (name, count) in [("secureCodeBox__juice-shop.json", 2), ("secureCodeBox__zeroFindings.json", 0)] {
        let Some((parsed, seen)) = testing::corpus_read(&Json, &format!("ffuf/{name}")) else { return };
        assert_eq!((seen.len(), parsed.is_complete(), parsed.is_refused), (count, count > 0, false), "{name} {parsed:?}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(bytes: Vec<u8>, at in 0..SHOP.len(), byte: u8) {
        testing::read(&Json, &bytes);
        let mut changed = SHOP.to_vec();
        changed[at] = byte;
        testing::read(&Json, &changed);
    }
}

#[test]
fn its_lines_and_its_csv_are_read_too_and_say_nothing_of_their_end() {
    let lines = concat!(
        r#"{"input":{"FFUFHASH":"YQ==","FUZZ":"YWRtaW4="},"position":1,"status":200,"length":12,"words":1,"lines":1,"#,
        r#""content-type":"text/html","redirectlocation":"","url":"http://192.0.2.1/admin","duration":1,"host":"192.0.2.1"}"#,
        "\n"
    );
    let csv = "\u{feff}FUZZ,url,redirectlocation,position,status_code,content_length,content_words,content_lines,content_type,\
        duration,resultfile,Ffufhash\nadmin,http://192.0.2.1/admin,,1,200,12,1,1,text/html,1ms,,a\n";
    for (text, name) in [(lines, "jsonl"), (csv, "csv")] {
        let head = Head::new(text.as_bytes(), true);
        let format = crate::recognize(&head).unwrap();
        assert_eq!((format.tool(), format.name()), ("ffuf", name));
        let (parsed, seen) = testing::read(format, text.as_bytes());
        assert!(parsed.is_complete() && !parsed.of_a_file().is_complete(), "{name}");
        assert_eq!(seen[0].location.url.as_deref(), Some("http://192.0.2.1/admin"), "{name}");
        let cut = &text.as_bytes()[..text.len() - 9];
        assert!(!testing::read(format, cut).0.is_complete(), "{name}");
    }
}

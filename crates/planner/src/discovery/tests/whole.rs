//! What a search says of the names that it did not find, whom it asks, and what the scan relies on afterwards.

use super::*;

#[tokio::test]
async fn a_missing_name_is_gone_only_where_everybody_has_answered() {
    let known: &[(&'static str, &[&str])] = &[("www.example.com", &["93.184.215.14"])];
    let asker = asker(vec![proof(ProofMethod::DnsTxt)]);
    let whole = search(&planner(known, Otherwise::Nothing), &asker, &["example.com"]).await.unwrap();
    assert!(whole.is_whole && whole.unanswered == 0);
    assert!(matches!(whole.lines().last(), Some(NameLine::End { is_whole: true, .. })));

    let lame = search(&planner(known, Otherwise::Lame), &asker, &["example.com"]).await.unwrap();
    assert_eq!((found(&lame), lame.is_whole), (vec!["www.example.com".to_owned()], false));
    assert!(lame.unanswered > 100 && lame.refused.is_empty());

    let many = (0..17).map(|n| format!("93.184.215.{n}")).collect::<Vec<_>>();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let many: &[(&'static str, &[&str])] = &[("www.example.com", &many)];
    let many = search(&planner(many, Otherwise::Nothing), &asker, &["example.com"]).await.unwrap();
    assert_eq!((refused(&many), many.is_whole), (vec![("www.example.com", Gap::LimitExceeded)], false));

    let authority = Authority::of(asker.grounds.grounds[0].basis);
    let nobody = planner(known, Otherwise::Nothing).search(&asker, &shard(), (1, &authority)).await.unwrap();
    assert!(nobody.is_whole, "a site without TLS has no certificate");
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = mute.local_addr().unwrap().port();
    tokio::spawn(async move { while mute.accept().await.is_ok() {} });
    let broken = planner(known, Otherwise::Nothing).search(&asker, &shard(), (port, &authority)).await.unwrap();
    assert_eq!((found(&broken), broken.is_whole), (vec!["www.example.com".to_owned()], false));

    let mut halted = whole;
    halted.forbid("www.example.com");
    assert!(!halted.is_whole);
}

#[tokio::test]
async fn a_domain_that_answers_to_every_name_what_nobody_may_scan_is_refused_for_no_usual_name() {
    let known: &[(&'static str, &[&str])] = &[("www.example.com", &["93.184.215.14"])];
    let asker = asker(vec![proof(ProofMethod::DnsTxt)]);
    let names = search(&planner(known, Otherwise::Forbidden), &asker, &["shop.example.com"]).await.unwrap();
    assert_eq!(found(&names), ["www.example.com"]);
    assert_eq!(refused(&names), [("shop.example.com", Gap::TargetForbidden)]);
    assert!(names.is_wildcard && !names.is_whole);
}

#[tokio::test]
async fn nobody_is_called_where_the_target_may_not_be_scanned_by_now() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let called = Arc::new(AtomicU8::new(0));
    let count = Arc::clone(&called);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let all = asker(vec![proof(ProofMethod::DnsTxt)]);
    let authority = Authority::of(all.grounds.grounds[0].basis);
    let with = |grounds| Asker { grounds, ..all.clone() };
    let closed = Grounds { ranges: Vec::new(), ..all.grounds.clone() };
    let excluded = Grounds { exclusions: vec![Exclusion::parse("127.0.0.1").unwrap()], ..all.grounds.clone() };
    let calls = async |asker: &Asker| {
        let names = planner(&[], Otherwise::Nothing).search(asker, &shard(), (port, &authority)).await.unwrap();
        assert!(!names.is_whole);
        called.load(Ordering::SeqCst)
    };
    assert_eq!(calls(&with(closed)).await, 0, "a range that the operator has closed");
    assert_eq!(calls(&with(excluded)).await, 0, "an exclusion of the address");
    assert_eq!(calls(&all).await, 2, "where it may, in two tries");
}

#[tokio::test]
async fn the_servers_of_names_that_are_excluded_hear_of_none() {
    let table = Arc::new(Table { names: BTreeMap::new(), otherwise: Otherwise::Same, asked: AtomicU8::new(0) });
    let mut asker = asker(vec![proof(ProofMethod::DnsTxt)]);
    asker.grounds.exclusions = vec![Exclusion::parse("*.example.com").unwrap()];
    let names = search(&over(table.clone()), &asker, &["example.com"]).await.unwrap();
    assert_eq!((table.asked.load(Ordering::Relaxed), names.asked, names.is_wildcard), (0, 0, false));
    assert!(names.found.is_empty() && !names.is_whole);
}

#[test]
fn a_name_that_is_not_looked_at_after_all_takes_no_ground_from_the_scan() {
    let (wide, narrow) = (proof(ProofMethod::DnsTxt).basis, Basis::Authorization(AuthorizationId::mint(now())));
    let mut names = names(&[("a.example.com", "192.0.2.7"), ("b.example.com", "192.0.2.8")]);
    names.authority = Authority { also: vec![narrow], ..Authority::of(wide) };
    names.found[0].authority = names.authority.clone();
    names.found[1].authority = Authority::of(narrow);
    let ports = ScanOptions { port_scan: true, include_subdomain: true, ..ScanOptions::of(Plan::Custom) };
    let grounds = |names: &Names, growing: &Growing| {
        let grown = grow_names(&task(), names, growing, now());
        grown.authority.unwrap().grounds().collect::<Vec<_>>()
    };
    assert_eq!(grounds(&names, &growing(ports)), [narrow]);
    let small = Growing { probes_left: 1_999, ..growing(ports) };
    assert_eq!(grounds(&names, &small), [wide, narrow], "what does not fit");
    names.forbid("b.example.com");
    assert_eq!(grounds(&names, &growing(ports)), [wide, narrow], "what an operator has stopped");
}

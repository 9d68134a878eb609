//! Who may scan what: cases T13 and T14 of the security design, and what ranges and exclusions say.

use super::*;

fn target(text: &str) -> Target {
    Target::parse(text).unwrap()
}

fn proof(method: ProofMethod, text: &str) -> Ground {
    let (target, id) = (target(text), ProofId::from_uuid(uuid::Uuid::from_u128(1)));
    Ground { basis: Basis::Proof(id), reach: Reach::of_proof(method, &target), target }
}

fn written(text: &str, reach: Reach) -> Ground {
    let id = AuthorizationId::from_uuid(uuid::Uuid::from_u128(2));
    Ground { basis: Basis::Authorization(id), reach, target: target(text) }
}

fn decide(grounds: &Grounds, text: &str, resolved: &[&str], passive: bool) -> Result<Basis, GroundRefused> {
    let resolved: Vec<IpAddr> = resolved.iter().map(|text| text.parse().unwrap()).collect();
    grounds.decide(&target(text), &resolved, false, &AllowList::default(), passive).map(|authority| authority.basis)
}

const PUBLIC: &[&str] = &["93.184.215.14"];

#[test]
fn t13_a_record_of_a_registered_domain_covers_what_is_below_and_a_file_that_host_alone() {
    let covers = |ground: Ground, asked: &str| {
        let grounds = Grounds { grounds: vec![ground], ..Grounds::default() };
        decide(&grounds, asked, PUBLIC, false).is_ok()
    };
    for asked in ["example.com", "www.example.com", "a.b.example.com"] {
        assert!(covers(proof(ProofMethod::DnsTxt, "example.com"), asked), "{asked}");
    }
    for asked in ["badexample.com", "example.com.evil.net", "example.org", "com.example.net"] {
        assert!(!covers(proof(ProofMethod::DnsTxt, "example.com"), asked), "{asked}");
    }
    for method in [ProofMethod::HttpFile, ProofMethod::MetaTag] {
        assert!(covers(proof(method, "example.com"), "example.com"));
        assert!(!covers(proof(method, "example.com"), "www.example.com"));
    }
    // Not registered itself: its own DNS says nothing of what may be delegated below.
    assert!(!covers(proof(ProofMethod::DnsTxt, "a.example.com"), "b.a.example.com"));
    assert!(!covers(proof(ProofMethod::DnsTxt, "a.example.com"), "example.com"));
    // A private entry of the public suffix list counts as one.
    assert!(covers(proof(ProofMethod::DnsTxt, "x.github.io"), "y.x.github.io"));
    assert!(!covers(proof(ProofMethod::DnsTxt, "x.github.io"), "z.github.io"));
    for suffix in ["co.uk", "github.io"] {
        assert!(Target::parse(suffix).is_err(), "{suffix}");
    }
}

#[test]
fn t14_each_target_needs_a_ground_of_its_own() {
    let names: Vec<String> = (0..50).map(|n| format!("t{n}.net")).collect();
    let proven = names.iter().filter(|name| name.as_str() != "t37.net");
    let grounds = proven.map(|name| proof(ProofMethod::DnsTxt, name)).collect();
    let grounds = Grounds { grounds, ..Grounds::default() };
    for name in &names {
        assert_eq!(decide(&grounds, name, PUBLIC, false).is_ok(), name != "t37.net", "{name}");
    }
}

#[test]
fn a_proof_opens_no_forbidden_address() {
    let grounds = Grounds { grounds: vec![proof(ProofMethod::DnsTxt, "example.com")], ..Grounds::default() };
    let refused = decide(&grounds, "example.com", &["93.184.215.14", "10.0.0.7"], false);
    assert_eq!(refused, Err(GroundRefused::Forbidden("10.0.0.7".parse().unwrap())));
    // Nor does a written one, nor does looking alone.
    let grounds = Grounds { grounds: vec![written("10.0.0.0/24", Reach::Target)], ..Grounds::default() };
    assert!(matches!(decide(&grounds, "10.0.0.7", &[], true), Err(GroundRefused::Forbidden(_))));
}

#[test]
fn passive_tools_look_at_any_one_public_host_or_address() {
    let grounds = Grounds::default();
    assert_eq!(decide(&grounds, "example.com", PUBLIC, true), Ok(Basis::Passive));
    assert_eq!(decide(&grounds, "example.com", PUBLIC, false), Err(GroundRefused::NotAuthorized));
    assert_eq!(decide(&grounds, "93.184.215.14", &["93.184.215.14"], true), Ok(Basis::Passive));
    assert_eq!(decide(&grounds, "93.184.215.0/30", &[], true), Err(GroundRefused::NotAuthorized), "never at a network");
}

#[test]
fn a_network_in_writing_covers_its_addresses_and_names_that_lead_nowhere_else() {
    let grounds = Grounds { grounds: vec![written("93.184.215.0/24", Reach::Target)], ..Grounds::default() };
    let is_allowed = |asked: &str, resolved: &[&str]| decide(&grounds, asked, resolved, false).is_ok();
    assert!(is_allowed("93.184.215.14", &[]) && is_allowed("93.184.215.0/25", &[]));
    assert!(!is_allowed("93.184.214.0/23", &[]) && !is_allowed("93.184.216.1", &[]));
    assert!(is_allowed("example.com", PUBLIC));
    assert!(!is_allowed("example.com", &["93.184.215.14", "8.8.8.8"]) && !is_allowed("example.com", &[]));
}

#[test]
fn a_range_of_the_operators_opens_its_addresses_for_that_organization() {
    let grounds = Grounds { ranges: vec!["10.1.0.0/16".parse().unwrap()], ..Grounds::default() };
    assert_eq!(decide(&grounds, "10.1.2.3", &[], false), Ok(Basis::Ranges));
    assert!(matches!(decide(&grounds, "10.2.0.1", &[], false), Err(GroundRefused::Forbidden(_))));
    assert!(matches!(decide(&grounds, "169.254.169.254", &[], false), Err(GroundRefused::Forbidden(_))));
    // Named with the scan, so that it ends with the range.
    let grounds = Grounds { grounds: vec![proof(ProofMethod::DnsTxt, "example.com")], ..grounds };
    let mixed: Vec<IpAddr> = ["93.184.215.14", "10.1.0.9"].iter().map(|text| text.parse().unwrap()).collect();
    let authority = grounds.decide(&target("example.com"), &mixed, false, &AllowList::default(), false).unwrap();
    assert!(matches!(authority.basis, Basis::Proof(_)));
    assert_eq!(authority.ranges, grounds.ranges);
    assert_eq!(authority.to_json()["ranges"], json!(["10.1.0.0/16"]));
}

#[test]
fn an_exclusion_wins_over_everything() {
    let grounds = Grounds {
        grounds: vec![proof(ProofMethod::DnsTxt, "example.com")],
        exclusions: vec![Exclusion::parse("mail.example.com").unwrap(), Exclusion::parse("93.184.215.14").unwrap()],
        ..Grounds::default()
    };
    let list = AllowList::parse(&["*.example.com".to_owned()]).unwrap();
    let refused = grounds.decide(&target("mail.example.com"), &[], true, &list, true).unwrap_err();
    assert_eq!(refused, GroundRefused::Excluded(grounds.exclusions[0].clone()));
    // By its address.
    let refused = decide(&grounds, "www.example.com", PUBLIC, false).unwrap_err();
    assert_eq!(refused, GroundRefused::Excluded(grounds.exclusions[1].clone()));
    assert!(decide(&grounds, "www.example.com", &["93.184.215.15"], false).is_ok());
}

#[test]
fn a_scan_remembers_every_ground_that_covers_it_and_is_read_as_it_was_stored() {
    let file = proof(ProofMethod::HttpFile, "www.example.com");
    let (below, other) = (written("example.com", Reach::Below), written("example.org", Reach::Below));
    let grounds = Grounds { grounds: vec![file, below, other], ..Grounds::default() };
    let asked = target("www.example.com");
    let resolved: Vec<IpAddr> = PUBLIC.iter().map(|text| text.parse().unwrap()).collect();
    let decide = |grounds: &Grounds| grounds.decide(&asked, &resolved, false, &AllowList::default(), false);
    let authority = decide(&grounds).unwrap();
    assert_eq!(authority.grounds().collect::<Vec<_>>(), [grounds.grounds[0].basis, grounds.grounds[1].basis]);
    assert_eq!(Authority::from_json(&authority.to_json()), Some(authority.clone()));
    let narrowed = grounds.clone().only(&authority.also);
    assert_eq!(decide(&narrowed).unwrap(), Authority::of(grounds.grounds[1].basis));
    assert_eq!(decide(&grounds.only(&[])), Err(GroundRefused::NotAuthorized));
    for basis in [Basis::Import, Basis::Operator, Basis::Passive, Basis::Ranges] {
        let authority = Authority { ranges: vec!["10.0.0.0/8".parse().unwrap()], ..Authority::of(basis) };
        assert_eq!(Authority::from_json(&authority.to_json()), Some(authority));
    }
    for strange in [json!(null), json!({"by": "proof", "id": null, "ranges": []}), json!({"by": "me", "ranges": []})] {
        assert_eq!(Authority::from_json(&strange), None, "{strange}");
    }
}

#[test]
fn a_stale_proof_is_looked_for_only_where_nothing_fresh_covers_the_target() {
    let below = proof(ProofMethod::DnsTxt, "example.com");
    let id = ProofId::from_uuid(uuid::Uuid::from_u128(1));
    let stale = StaleProof {
        id,
        target: target("example.com"),
        method: ProofMethod::DnsTxt,
        digest: ProofDigest::of("token"),
        was_missing: false,
    };
    let grounds = Grounds { grounds: vec![below], stale: vec![stale], ..Grounds::default() };
    let looked = |grounds: &Grounds, asked: &str| grounds.to_look_for(&target(asked)).count();
    assert_eq!((looked(&grounds, "www.example.com"), looked(&grounds, "example.net")), (1, 0));
    let mut written_too = grounds.clone();
    written_too.grounds.push(written("www.example.com", Reach::Target));
    assert_eq!((looked(&written_too, "www.example.com"), looked(&written_too, "example.com")), (0, 1));
    let without = written_too.without(id);
    assert_eq!((without.grounds.len(), without.stale.len()), (1, 0));
}

//! Every letter in every language, and names that mean harm.

use std::collections::BTreeSet;

use picket_domain::{ProofNews, Role, ScanOutcome, SeverityCounts};
use proptest::prelude::*;

use super::*;
use crate::mail::words::Text;

const LINK: &str = "https://api.example/api/v1/auth/verify-email?token=abc&x=1";

fn letters(name: &str) -> Vec<Letter> {
    let (at, link, name) = ("2026-01-15T14:30:59Z".parse().unwrap(), LINK.to_owned(), name.to_owned());
    let address = "192.0.2.7".to_owned();
    vec![
        Letter::VerifyAddress { name: name.clone(), link: link.clone(), expires_at: at },
        Letter::AddressTaken { name: name.clone(), link: link.clone() },
        Letter::ResetPassword { name: name.clone(), link: link.clone(), expires_at: at },
        Letter::PasswordChanged { name: name.clone(), at, address },
        Letter::MfaChanged { name: name.clone(), enabled: true, at },
        Letter::MfaChanged { name: name.clone(), enabled: false, at },
        Letter::IdentityChanged { name: name.clone(), provider: name.clone(), linked: true, at },
        Letter::IdentityChanged { name: name.clone(), provider: name.clone(), linked: false, at },
        Letter::ConfirmNewAddress { name: name.clone(), link: link.clone(), expires_at: at },
        Letter::AddressChangeAsked { name: name.clone(), email: name.clone(), at },
        Letter::AddressChanged { name: name.clone(), email: name.clone(), at },
        scan_ended(&name, ScanOutcome::Completed),
        scan_ended(&name, ScanOutcome::Failed),
        scan_ended(&name, ScanOutcome::Cancelled),
        target_proof(&name, ProofNews::Missing),
        target_proof(&name, ProofNews::Ended),
        target_proof(&name, ProofNews::Shared),
        Letter::Invitation { inviter: name.clone(), organization: name, role: Role::Analyst, link, expires_at: at },
    ]
}

fn target_proof(name: &str, news: ProofNews) -> Letter {
    let (name, organization, target) = (name.to_owned(), name.to_owned(), name.to_owned());
    Letter::TargetProof { name, organization, target, news, at: "2026-01-15T14:30:59Z".parse().unwrap() }
}

fn scan_ended(name: &str, outcome: ScanOutcome) -> Letter {
    Letter::ScanEnded {
        name: name.to_owned(),
        organization: name.to_owned(),
        target: name.to_owned(),
        outcome,
        at: "2026-01-15T14:30:59Z".parse().unwrap(),
        counts: SeverityCounts { critical: 1, high: 2, medium: 3, low: 4, info: 5 },
        link: LINK.to_owned(),
    }
}

fn rendered(name: &str) -> Vec<Rendered> {
    let all = Locale::ALL.into_iter().flat_map(|locale| letters(name).into_iter().map(move |one| (one, locale)));
    all.map(|(letter, locale)| render(&letter, locale).unwrap()).collect()
}

fn placeholders(text: &Text) -> BTreeSet<&'static str> {
    let lines = [text.subject].into_iter().chain(text.before.iter().chain(text.after).copied());
    lines.flat_map(|line| line.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0)).collect()
}

#[test]
fn every_letter_uses_all_its_placeholders_in_every_language_and_no_other() {
    for letter in letters("Ada") {
        let mut subjects = BTreeSet::new();
        for locale in Locale::ALL {
            let words = Words::of(locale);
            let text = words.text(&letter);
            let known: BTreeSet<_> = Values::of(&letter, words).0.into_iter().map(|(name, _)| name).collect();
            assert_eq!(placeholders(text), known, "{} in {}", letter.template(), words.tag);
            assert_eq!(text.action.is_some(), link(&letter).is_some(), "{} in {}", letter.template(), words.tag);
            assert!(subjects.insert(text.subject), "{} is not translated", text.subject);
        }
        let names_it = placeholders(Words::of(Locale::En).text(&letter)).contains("organization");
        assert_eq!(
            names_it,
            ["invitation", "scan_ended", "proof_missing", "proof_ended", "target_shared"].contains(&letter.template())
        );
    }
}

#[test]
fn every_role_has_a_name_of_its_own_in_every_language() {
    for locale in Locale::ALL {
        let names: BTreeSet<_> = Role::ALL.into_iter().map(|role| Words::of(locale).role(role)).collect();
        assert_eq!(names.len(), Role::ALL.len());
    }
}

#[test]
fn moments_have_their_zone_and_links_are_whole() {
    for letter in letters("Ada") {
        let Rendered { text, html, .. } = render(&letter, Locale::En).unwrap();
        assert_eq!(text.contains("2026-01-15 14:30 UTC"), letter.template() != "address_taken");
        assert_eq!(text.contains(LINK), link(&letter).is_some());
        assert_eq!(html.contains(&format!("href=\"{}\"", LINK.replace('&', "&amp;"))), link(&letter).is_some());
    }
}

#[test]
fn a_name_cannot_hold_markup_lines_links_or_placeholders() {
    let name = "Eve\r\nBcc: all@x.test\u{202e}\u{0}<script>{expires}\" www.evil.test https://evil.test";
    for Rendered { subject, text, html } in rendered(name) {
        for harm in ["\r", "\u{202e}", "\u{0}", "www.evil", "https://evil", "evil.test", "all@x"] {
            assert!(!text.contains(harm) && !html.contains(harm), "{harm:?}");
        }
        assert!(!html.contains("<script") && !text.contains("\nBcc"));
        assert!(!subject.contains(char::is_control) && !subject.contains(JOINER), "{subject:?}");
        assert!(text.contains("{expires}") || !text.contains("Eve"));
    }
}

#[test]
fn a_long_name_is_cut() {
    for Rendered { subject, text, .. } in rendered(&"名".repeat(200)) {
        assert!(subject.chars().count() < 150);
        assert!(!text.contains(&"名".repeat(LONGEST_NAME + 1)));
    }
}

#[test]
fn only_a_whole_link_is_shown() {
    for link in ["", "javascript:alert(1)", "/relative", "https://a b/", "https://a/\u{202e}", "https://a/\r\nx"] {
        let letter = Letter::AddressTaken { name: "Ada".to_owned(), link: link.to_owned() };
        assert_eq!(render(&letter, Locale::En).err(), Some(UnusableLink), "{link:?}");
    }
}

proptest! {
    #[test]
    fn no_name_changes_the_markup_or_adds_a_header(name in "\\PC{0,120}|.{0,40}") {
        for (strange, known) in rendered(&name).into_iter().zip(rendered("Ada")) {
            prop_assert_eq!(strange.html.matches('<').count(), known.html.matches('<').count());
            prop_assert_eq!(strange.text.lines().count(), known.text.lines().count());
            prop_assert!(!strange.subject.contains(char::is_control));
        }
    }
}

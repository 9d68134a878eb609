//! WAFW00F's JSON: an array with one object per site and firewall, written at the end of the run; and its CSV.

use std::io::BufRead;

use picket_domain::{Confidence, Gap, Observation};
use serde_json::{Value, json};

use crate::{
    Context, Head, Parsed, import,
    json::{self, Fault},
    page::Page,
    rules, table,
    tally::Tally,
    weakness::Weakness,
};

pub(super) fn parse(input: &mut dyn BufRead, context: &Context<'_>, sink: &mut dyn FnMut(Observation)) -> Parsed {
    let mut tally = Tally::new(sink);
    let read = json::stream(input, &[&[]], &mut |_, site| read_site(&site, context, &mut tally));
    match read {
        Err(fault @ (Fault::Empty | Fault::Foreign)) => tally.refuse(fault.to_string()),
        Err(fault) => tally.end(Some((Gap::OutputIncomplete, fault.to_string()))),
        Ok(Value::Array(_)) if tally.hosts() == 0 => {
            tally.end(Some((Gap::OutputIncomplete, "no site was answered".to_owned())))
        }
        Ok(Value::Array(_)) => tally.end(None),
        Ok(_) => tally.refuse("expected an array of sites"),
    }
}

pub(super) fn is_table(head: &Head<'_>) -> bool {
    let line = head.first_line().trim_end().to_ascii_lowercase();
    line.starts_with("url,") && ["detected", "firewall", "manufacturer"].iter().all(|name| line.split(',').any(|one| one == *name))
}

pub(super) fn read_table(input: &mut dyn BufRead, context: &Context<'_>, mut tally: Tally<'_>) -> Parsed {
    let end = table::rows(input, "detected", &mut |row| {
        let is_detected = match row.get("detected").to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        let site = json!({
            "url": row.get("url"), "detected": is_detected, "firewall": row.get("firewall"),
            "manufacturer": row.get("manufacturer"), "trigger_url": row.get("trigger_url"),
        });
        read_site(&site, context, &mut tally);
    });
    match end {
        Ok(()) if tally.hosts() == 0 => import::incomplete(tally, "no site was answered"),
        Ok(()) => import::unmarked(tally.end(None)),
        Err(reason) => import::incomplete(tally, reason),
    }
}

fn read_site(site: &Value, context: &Context<'_>, tally: &mut Tally<'_>) {
    let page = Page::of(json::text(site, "url"), context);
    let (Some(page), Some(is_detected)) = (page, site.get("detected").and_then(Value::as_bool)) else {
        tally.garbled();
        return;
    };
    tally.host_up();
    if !is_detected {
        return;
    }
    let (firewall, manufacturer) = (json::text(site, "firewall"), json::text(site, "manufacturer"));
    let evidence = format!("{firewall} ({manufacturer}) {}", json::text(site, "trigger_url"));
    // A firewall that is only guessed at by the difference of answers has no name.
    let is_guessed = firewall.is_empty() || firewall.eq_ignore_ascii_case("generic");
    let confidence = if is_guessed { Confidence::Low } else { Confidence::Medium };
    let mut weakness = Weakness::of(rules::WAF_DETECTED, &evidence).at("/").sure(confidence);
    if !is_guessed {
        weakness = weakness.about(firewall).titled(&format!("Web application firewall: {firewall}"));
    }
    tally.tell(weakness.observed(&page.place()));
}

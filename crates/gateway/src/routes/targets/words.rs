//! What is demanded of a target and of what its owner says of it, wherever it comes from.

use picket_domain::{Politeness, Subscription, Target};

use crate::FieldError;

/// Tags of one target, and characters of one tag and of an owner.
const MOST_TAGS: usize = 20;
const LONGEST_TAG: usize = 50;
const LONGEST_OWNER: usize = 200;

/// Reads a target, or the host of a URL; a network no wider than a scan under the plan may be.
pub(super) fn target(text: &str, plan: Subscription) -> Result<Target, FieldError> {
    let target =
        Target::parse_place(text).map_err(|error| FieldError::new("target", "invalid_target", error.to_string()))?;
    let most = plan.limits().addresses;
    if target.address_count() > u64::from(most) {
        let message = format!("expected at most {most} addresses with your plan");
        return Err(FieldError::new("target", "too_many_addresses", message));
    }
    Ok(target)
}

/// Every fault of an owner's words.
pub(super) fn faults(tags: Option<&Vec<String>>, owner: Option<&str>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let tags = tags.map(Vec::as_slice).unwrap_or_default();
    if tags.len() > MOST_TAGS {
        errors.push(FieldError::new("tags", "too_many", "expected at most 20 tags"));
    }
    for (place, tag) in tags.iter().enumerate() {
        if !is_plain(tag, LONGEST_TAG) {
            let message = "expected 1 to 50 characters without control characters";
            errors.push(FieldError::new(format!("tags[{place}]"), "invalid_value", message));
        }
    }
    if owner.is_some_and(|owner| !is_plain(owner, LONGEST_OWNER)) {
        let message = "expected 1 to 200 characters without control characters";
        errors.push(FieldError::new("owner", "invalid_value", message));
    }
    errors
}

/// Whether it is text of one line, and not too long.
pub(super) fn is_plain(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// The largest rate that any tool has, in requests or packets a second.
const MOST_RATE: u32 = 1_000;

/// Every fault of what is said of gentleness: it lies below what the plan and the tools have anyway.
pub(super) fn rude(politeness: Politeness, plan: Subscription) -> Vec<FieldError> {
    let limits = [
        ("politeness.max_tasks", politeness.max_tasks, plan.limits().tasks_in_flight),
        ("politeness.max_rate", politeness.max_rate, MOST_RATE),
    ];
    let wrong = limits.into_iter().filter(|(_, asked, most)| asked.is_some_and(|asked| asked == 0 || asked > *most));
    wrong.map(|(field, _, most)| FieldError::new(field, "out_of_range", format!("expected 1 to {most}"))).collect()
}

//! How long a caller is remembered.

use jiff::SignedDuration;
use picket_domain::{ApiKeyId, OrganizationId, Subscription, UserId};

use super::*;
use crate::ranges::{Places, Ranges};

const KEY: Credential = Credential::Key([7; 32]);

/// A caller who was looked up at the beginning, and what time it is so long after it.
struct Story {
    callers: Callers,
    caller: Caller,
    time: Timestamp,
    beginning: Instant,
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

impl Story {
    fn new() -> Self {
        let time = Timestamp::UNIX_EPOCH;
        let caller = Caller {
            organization_id: OrganizationId::mint(time),
            subject: Subject::ApiKey { id: ApiKeyId::mint(time), created_by: UserId::mint(time), expires_at: None },
            subscription: Subscription::Trial,
            permissions: std::sync::Arc::default(),
            lacks_mfa: false,
            places: Places { organization: Ranges::default(), key: Ranges::default() },
        };
        Self { callers: Callers::default(), caller, time, beginning: Instant::now() }
    }

    fn told(&self, changed: &Changed, after: u64) {
        self.callers.tell(changed, self.beginning + millis(after));
    }

    fn begin(&self) -> Lookup {
        self.callers.begin(self.time, self.beginning)
    }

    fn remember(&self, lookup: Lookup) {
        let until = self.time + SignedDuration::from_secs(60);
        let found = Found { caller: self.caller.clone(), expires_at: None, until };
        self.callers.remember(KEY, found, lookup);
    }

    fn is_known(&self, after: u64) -> bool {
        self.callers.find(KEY, self.time + millis(after), self.beginning + millis(after)).is_some()
    }
}

/// A story in which answers come and the caller was looked up.
fn watched() -> Story {
    let story = Story::new();
    story.told(&Changed::Perhaps, 0);
    story.remember(story.begin());
    story
}

#[test]
fn without_an_answer_a_caller_is_known_for_less_than_a_second() {
    let story = Story::new();
    story.remember(story.begin());
    assert!(story.is_known(799));
    assert!(!story.is_known(800));
    story.told(&Changed::Of(vec![]), 700);
    assert!(!story.is_known(800), "nobody heard of what changed before the first answer");
}

#[test]
fn while_nothing_changes_a_caller_is_known_for_a_minute() {
    let story = watched();
    for after in [1_000, 30_000, 59_999] {
        story.told(&Changed::Of(vec![UserId::mint(story.time).into()]), after);
        assert!(story.is_known(after), "{after}");
    }
    story.told(&Changed::Of(vec![]), 60_000);
    assert!(!story.is_known(60_000));
}

#[test]
fn when_no_answer_comes_any_more_everybody_is_looked_up() {
    let story = watched();
    story.told(&Changed::Of(vec![]), 5_000);
    assert!(story.is_known(5_799));
    assert!(!story.is_known(5_800), "the last question is as old as a look-up may be");
    story.told(&Changed::Of(vec![]), 9_000);
    assert!(story.is_known(9_001), "the answer told of all that changed meanwhile");
}

#[test]
fn whoever_a_change_concerns_is_forgotten() {
    let story = watched();
    let Subject::ApiKey { id, created_by, .. } = story.caller.subject else { unreachable!() };
    for changed in [id.into(), created_by.into(), story.caller.organization_id.into()] {
        story.remember(story.begin());
        assert!(story.is_known(1));
        story.told(&Changed::Of(vec![changed]), 1);
        assert!(!story.is_known(1), "{changed:?}");
    }
    story.remember(story.begin());
    story.told(&Changed::Perhaps, 1);
    assert!(!story.is_known(1));
}

#[test]
fn a_look_up_that_an_answer_overtook_counts_for_less_than_a_second() {
    let story = watched();
    let lookup = story.begin();
    story.told(&Changed::Of(vec![story.caller.organization_id.into()]), 1);
    story.remember(lookup);
    assert!(story.is_known(799));
    story.told(&Changed::Of(vec![]), 700);
    assert!(!story.is_known(800));
}

#[test]
fn a_caller_is_looked_up_again_to_note_that_it_is_in_use_and_when_clocks_jump() {
    let story = watched();
    story.told(&Changed::Of(vec![]), 1_000);
    let at = |seconds: i64| {
        let time = story.time + SignedDuration::from_secs(seconds);
        story.callers.find(KEY, time, story.beginning + millis(1_001)).is_some()
    };
    assert!(at(59));
    assert!(!at(60) && !at(3_600) && !at(-1));
}

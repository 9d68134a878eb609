//! Hours in which nothing is scanned, and patterns of targets. Whether a pattern covers a task is asked in the database
//! (`picket_covers`), where the tasks are; what a pattern may look like is decided here.

use ipnet::IpNet;
use jiff::{Timestamp, ToSpan, civil::Weekday, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{Target, TargetError, TargetKind, target::canonical_network};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Targets that something is said of: one target, every address of a network, or every name below a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetPattern {
    text: String,
    network: Option<IpNet>,
}

impl TargetPattern {
    /// Reads a target, or `*.` and a name.
    ///
    /// # Errors
    /// What is wrong with the target.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        if let Some(name) = text.strip_prefix("*.") {
            let target = Target::parse(name)?;
            // `*.` before an address means nothing.
            return match target.host() {
                Some(_) => Ok(Self { text: format!("*.{target}"), network: None }),
                None => Err(TargetError::ForbiddenCharacter { character: '*' }),
            };
        }
        // Of any size: nothing is scanned by a pattern.
        if let Ok(network) = text.parse::<IpNet>()
            && network.trunc() == network
        {
            let network = canonical_network(network);
            return Ok(Self { text: network.to_string(), network: Some(network) });
        }
        let target = Target::parse(text)?;
        let network = match target.kind() {
            TargetKind::Host(_) => None,
            TargetKind::Address(address) => Some(IpNet::from(*address)),
            TargetKind::Network(network) => Some(*network),
        };
        Ok(Self { text: target.to_string(), network })
    }

    /// As it is kept and shown.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The network that it is; `None` for names.
    #[must_use]
    pub const fn network(&self) -> Option<IpNet> {
        self.network
    }
}

/// Hours of the week, by the clocks of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeeklyHours {
    days: Vec<Weekday>,
    begins: u16,
    ends: u16,
    zone: TimeZone,
}

/// Hours of the week as they are written, shown and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenHours {
    /// The days on which they begin: `mon` to `sun`.
    pub days: Vec<String>,
    /// When they begin, `HH:MM`.
    pub begins: String,
    /// When they end, `HH:MM` to `24:00`; on the next day when that is before they begin.
    pub ends: String,
    /// The name of the zone that they are meant in.
    pub time_zone: String,
}

impl WrittenHours {
    /// Reads them.
    ///
    /// # Errors
    /// As [`WeeklyHours::parse`].
    pub fn read(&self) -> Result<WeeklyHours, HoursError> {
        WeeklyHours::parse(&self.days, &self.begins, &self.ends, &self.time_zone)
    }
}

/// Hours that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// No day, or one twice, or none of a week.
    #[error("expected 1 to 7 of `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`, each once")]
    Days,
    /// Not a time of day.
    #[error("expected a time of day such as `22:30`")]
    Begins,
    /// Not a time of day, or the one that it begins at.
    #[error("expected a time of day such as `06:00`, at most `24:00` and not the one that it begins at")]
    Ends,
    /// Not a time zone.
    #[error("expected the name of a time zone, such as `Europe/Berlin`")]
    Zone,
}

impl HoursError {
    /// The field that is wrong.
    #[must_use]
    pub const fn field(self) -> &'static str {
        match self {
            Self::Days => "days",
            Self::Begins => "begins",
            Self::Ends => "ends",
            Self::Zone => "time_zone",
        }
    }
}

impl WeeklyHours {
    /// Reads hours; those that end before they begin go on into the next day.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(days: &[String], begins: &str, ends: &str, zone: &str) -> Result<Self, HoursError> {
        let mut read = days.iter().map(|day| weekday(day)).collect::<Option<Vec<_>>>().ok_or(HoursError::Days)?;
        read.sort_by_key(|day| day.to_monday_zero_offset());
        read.dedup();
        if read.is_empty() || read.len() != days.len() {
            return Err(HoursError::Days);
        }
        let begins = minutes(begins).filter(|minutes| *minutes < DAY).ok_or(HoursError::Begins)?;
        let ends = minutes(ends).filter(|minutes| *minutes != begins && *minutes > 0).ok_or(HoursError::Ends)?;
        let zone = crate::schedule::time_zone(zone).map_err(|_| HoursError::Zone)?;
        Ok(Self { days: read, begins, ends, zone })
    }

    /// Whether that moment is within.
    #[must_use]
    pub fn cover(&self, moment: Timestamp) -> bool {
        let local = moment.to_zoned(self.zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or_default();
        let is_on = |day: Weekday| self.days.contains(&day);
        if self.begins < self.ends {
            return is_on(local.weekday()) && (self.begins..self.ends).contains(&minute);
        }
        let yesterday = local.date().checked_sub(1.day()).map_or(local.weekday(), |date| date.weekday());
        (is_on(local.weekday()) && minute >= self.begins) || (is_on(yesterday) && minute < self.ends)
    }

    /// The name of the zone, as the database of zones spells it.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

const WEEK: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn weekday(name: &str) -> Option<Weekday> {
    WEEK.into_iter().find(|(known, _)| *known == name).map(|(_, day)| day)
}

/// Minutes since midnight of `HH:MM`, to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hours) || !is_number(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let total = hours.checked_mul(60)?.checked_add(minutes)?;
    (minutes < 60 && total <= DAY).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(days: &[&str], begins: &str, ends: &str) -> Result<WeeklyHours, HoursError> {
        let days: Vec<_> = days.iter().map(|day| (*day).to_owned()).collect();
        WeeklyHours::parse(&days, begins, ends, "Europe/Berlin")
    }

    fn cover(hours: &WeeklyHours, at: &str) -> bool {
        hours.cover(at.parse().unwrap())
    }

    #[test]
    fn hours_are_those_of_the_place_in_summer_and_in_winter() {
        let work = hours(&["mon", "tue"], "09:00", "17:00").unwrap();
        // Monday, 2026-01-12, UTC+1.
        assert!(!cover(&work, "2026-01-12T07:59:59Z") && cover(&work, "2026-01-12T08:00:00Z"));
        assert!(cover(&work, "2026-01-12T15:59:59Z") && !cover(&work, "2026-01-12T16:00:00Z"));
        // Monday, 2026-07-13, UTC+2.
        assert!(cover(&work, "2026-07-13T07:00:00Z") && !cover(&work, "2026-07-13T15:00:00Z"));
        assert!(!cover(&work, "2026-01-14T10:00:00Z"), "a Wednesday");
    }

    #[test]
    fn hours_that_end_before_they_begin_go_on_into_the_next_day() {
        let night = hours(&["fri"], "22:00", "06:00").unwrap();
        assert!(cover(&night, "2026-01-16T21:30:00Z") && cover(&night, "2026-01-17T04:59:00Z"));
        assert!(!cover(&night, "2026-01-16T04:00:00Z"), "the night of Thursday");
        assert!(!cover(&night, "2026-01-17T05:00:00Z") && !cover(&night, "2026-01-17T21:30:00Z"));
        let all = hours(&["sat"], "00:00", "24:00").unwrap();
        assert!(cover(&all, "2026-01-16T23:00:00Z") && cover(&all, "2026-01-17T22:59:59Z"));
        assert!(!cover(&all, "2026-01-17T23:00:00Z"));
    }

    #[test]
    fn what_are_no_hours_names_its_field() {
        let field = |days: &[&str], begins, ends| hours(days, begins, ends).map(|_| ()).map_err(HoursError::field);
        assert_eq!(field(&[], "09:00", "17:00"), Err("days"));
        assert_eq!(field(&["mon", "mon"], "09:00", "17:00"), Err("days"));
        assert_eq!(field(&["Monday"], "09:00", "17:00"), Err("days"));
        for wrong in ["9:00", "09:60", "24:00", "25:00", "+9:00", "09:00:00", "", "٠٩:٠٠"] {
            assert_eq!(field(&["mon"], wrong, "17:00"), Err("begins"), "{wrong}");
        }
        for wrong in ["09:00", "00:00", "24:01", "x"] {
            assert_eq!(field(&["mon"], "09:00", wrong), Err("ends"), "{wrong}");
        }
        assert_eq!(WeeklyHours::parse(&["mon".to_owned()], "09:00", "17:00", "Nowhere"), Err(HoursError::Zone));
    }

    #[test]
    fn a_pattern_is_a_target_a_network_or_names_below_a_name() {
        let pattern = |text| TargetPattern::parse(text).unwrap();
        assert_eq!(pattern("*.Example.com").text(), "*.example.com");
        assert_eq!(pattern("EXAMPLE.com").network(), None);
        assert_eq!(pattern("10.0.0.0/8").network().unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(pattern("192.0.2.7").network().unwrap().to_string(), "192.0.2.7/32");
        for wrong in ["*", "*.", "*.10.0.0.1", "*.10.0.0.0/8", "a*.example.com", "*.*.example.com", ""] {
            assert!(TargetPattern::parse(wrong).is_err(), "{wrong}");
        }
    }
}

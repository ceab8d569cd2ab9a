//! The tool `time`: the time in a place, now or converted from another place's local time.
//!
//! Time zones are compiled in, so that an image needs no zone files. `zones.rs` maps cities to zones.

use async_trait::async_trait;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::PLACE_MAX_CHARS;
use crate::tool::{self, Tool, ToolError, ToolSpec};

pub mod zones;

/// The tool's name in calls.
pub const NAME: &str = "time";

/// The tool's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// A time zone (Asia/Tokyo, UTC) or a large city
    #[schemars(length(max = PLACE_MAX_CHARS))]
    place: String,
    /// A local time such as 2026-03-29T15:00 to convert; without it, now
    #[serde(default)]
    at: Option<String>,
    /// The time zone or city whose local time that is; without it, that of `place`
    #[serde(default)]
    at_place: Option<String>,
}

/// The tool's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The place as given.
    pub place: String,
    /// The time zone.
    pub zone: String,
    /// Local time with its offset from UTC (RFC 3339), in seconds.
    pub time: String,
    /// The weekday in English.
    pub weekday: String,
    /// The zone's abbreviation at that time, such as `CET` or `-03`.
    pub abbreviation: String,
    /// `true` if daylight saving time is in force.
    pub daylight_saving: bool,
}

/// The tool `time`.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    now: fn() -> Timestamp,
}

impl Time {
    /// Returns the tool with this clock.
    pub fn new(now: fn() -> Timestamp) -> Self {
        Self { now }
    }
}

#[async_trait]
impl Tool for Time {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new::<Input>(
            NAME,
            "The date and the time of day in a city or time zone, now or of another place's local time.",
        )
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let Input { place, at, at_place } = tool::input(input)?;
        let zone = zone_of(&place)?;
        let moment = match at {
            None => (self.now)(),
            Some(at) => local(&at, at_place.as_deref().map_or_else(|| Ok(zone.clone()), zone_of)?)?,
        };
        // Conversion of text into a JSON value cannot fail.
        Ok(serde_json::to_value(describe(&place, &moment.to_zoned_datetime(zone))).unwrap_or_default())
    }
}

fn zone_of(place: &str) -> Result<TimeZone, ToolError> {
    if place.trim().is_empty() || place.chars().count() > PLACE_MAX_CHARS {
        return Err(ToolError::Input(format!("place must have 1 to {PLACE_MAX_CHARS} characters")));
    }
    zones::find(place).ok_or_else(|| {
        ToolError::Failed(format!(
            "no time zone is known for \u{201c}{place}\u{201d}; name a large city nearby, or a zone such as Europe/Oslo"
        ))
    })
}

/// Returns the instant of a local time. A time skipped by a change of clocks is shifted forward; of a repeated time, the
/// first is taken (RFC 5545, section 3.3.5).
fn local(at: &str, zone: TimeZone) -> Result<Timestamp, ToolError> {
    let wrong = |error: jiff::Error| ToolError::Input(format!("at must be like 2026-03-29T15:00: {error}"));
    let at: DateTime = at.parse().map_err(wrong)?;
    Ok(at.to_zoned_datetime(zone).map_err(wrong)?.timestamp())
}

fn describe(place: &str, time: &ZonedDateTime) -> Output {
    let info = time.time_zone().to_offset_info(time.timestamp());
    Output {
        place: place.trim().to_owned(),
        zone: time.time_zone().iana_name().unwrap_or("UTC").to_owned(),
        time: time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        weekday: time.strftime("%A").to_string(),
        abbreviation: info.abbreviation().to_owned(),
        daylight_saving: info.dst().is_dst(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2026-07-01T12:00:00Z.
    fn july() -> Timestamp {
        Timestamp::from_second(1_782_907_200).unwrap()
    }

    async fn ask(input: Value) -> Result<Output, String> {
        let answer = Time::new(july).call(&input).await;
        answer.map(|output| serde_json::from_value(output).unwrap()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn cities_and_zones_have_a_time() {
        let tokyo = ask(json!({ "place": "Tokyo" })).await.unwrap();
        let expected = Output {
            place: "Tokyo".to_owned(),
            zone: "Asia/Tokyo".to_owned(),
            time: "2026-07-01T21:00:00+09:00".to_owned(),
            weekday: "Wednesday".to_owned(),
            abbreviation: "JST".to_owned(),
            daylight_saving: false,
        };
        assert_eq!(tokyo, expected);
        for (place, zone, time) in [
            ("europe/oslo", "Europe/Oslo", "2026-07-01T14:00:00+02:00"),
            ("UTC", "UTC", "2026-07-01T12:00:00+00:00"),
            ("new york", "America/New_York", "2026-07-01T08:00:00-04:00"),
            ("Kathmandu", "Asia/Kathmandu", "2026-07-01T17:45:00+05:45"),
        ] {
            let told = ask(json!({ "place": place })).await.unwrap();
            assert_eq!((told.zone.as_str(), told.time.as_str()), (zone, time));
        }
    }

    #[tokio::test]
    async fn local_times_are_converted_across_clock_changes() {
        let at = |at: &str, from: &str| json!({ "place": "Berlin", "at": at, "at_place": from });
        for (input, time, daylight_saving) in [
            (at("2026-01-15T09:00", "New York"), "2026-01-15T15:00:00+01:00", false),
            // Clocks go forward in America three weeks before they do in Europe.
            (at("2026-03-15T09:00", "New York"), "2026-03-15T14:00:00+01:00", false),
            (at("2026-07-15T09:00", "New York"), "2026-07-15T15:00:00+02:00", true),
            (json!({ "place": "Berlin", "at": "2026-03-29T02:30" }), "2026-03-29T03:30:00+02:00", true),
            (json!({ "place": "Berlin", "at": "2026-10-25T02:30" }), "2026-10-25T02:30:00+02:00", true),
        ] {
            let told = ask(input.clone()).await.unwrap();
            assert_eq!((told.time.as_str(), told.daylight_saving), (time, daylight_saving), "{input}");
        }
    }

    #[tokio::test]
    async fn unknown_places_and_times_are_errors() {
        for (input, why) in [
            (json!({ "place": "Nowhere" }), "tool.failed: no time zone is known for \u{201c}Nowhere\u{201d}"),
            (json!({ "place": " " }), "tool.failed: place must have 1 to"),
            (json!({}), "tool.failed: invalid input: missing field `place`"),
            (json!({ "place": "Oslo", "at": "noon" }), "tool.failed: at must be like"),
            (json!({ "place": "Oslo", "zone": "x" }), "tool.failed: invalid input: unknown field"),
        ] {
            let said = ask(input.clone()).await.unwrap_err();
            assert!(said.starts_with(why), "{input}: {said}");
        }
    }
}

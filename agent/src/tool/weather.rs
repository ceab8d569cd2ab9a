//! The tool `weather`: how it is now and in the next days, by Open-Meteo.
//!
//! Owns what the tool answers, and what it falls back to: when the service cannot be asked, the climate normals of
//! well-known cities, labelled as such. A place that the service does not know is an error, and so is silence about a
//! city without normals.

use std::time::SystemTime;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::{debug, warn};

use self::open_meteo::{FetchError, OpenMeteo};
use crate::http::Http;
use crate::limits::PLACE_MAX_CHARS;
use crate::tool::{self, Tool, ToolError, ToolSpec};

pub mod normals;
pub mod open_meteo;
pub mod wmo;

/// The tool's name in calls.
pub const NAME: &str = "weather";

/// The tool's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// City or town; a region or country may follow after a comma: Paris, Texas
    #[schemars(length(max = PLACE_MAX_CHARS))]
    place: String,
}

/// The tool's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source")]
pub enum Report {
    /// Measured and forecast.
    #[serde(rename = "Open-Meteo")]
    Forecast(Forecast),
    /// Typical for the month; says nothing of the day.
    #[serde(rename = "climate normals")]
    Typical(Typical),
}

/// Weather now, and the days to come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The place as the service calls it.
    pub place: String,
    /// Its country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Local time of the values, `YYYY-MM-DDTHH:MM`.
    pub time: String,
    /// Air, 2 m above ground.
    pub temperature_c: f64,
    /// Apparent temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feels_like_c: Option<f64>,
    /// Relative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub humidity_pct: Option<f64>,
    /// In the preceding quarter of an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precipitation_mm: Option<f64>,
    /// 10 m above ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wind_kmh: Option<f64>,
    /// In words.
    pub condition: String,
    /// Today first.
    pub daily: Vec<Day>,
}

/// One day's forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// `YYYY-MM-DD`, at the place.
    pub date: String,
    /// In words.
    pub condition: String,
    /// Warmest.
    pub high_c: f64,
    /// Coldest.
    pub low_c: f64,
    /// How probable precipitation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rain_pct: Option<f64>,
}

/// What the month is usually like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Typical {
    /// The city.
    pub place: String,
    /// Its country.
    pub country: String,
    /// The month's name.
    pub month: String,
    /// Mean of the days' highs.
    pub typical_high_c: i8,
    /// Mean of the days' lows.
    pub typical_low_c: i8,
    /// Days with rain or snow in the month.
    pub rain_days: u8,
    /// Says that this is no forecast, and why there is none.
    pub note: String,
}

/// The tool.
pub struct Weather {
    service: OpenMeteo,
    clock: fn() -> SystemTime,
}

impl Weather {
    /// Asks Open-Meteo, or a service like it at `base_url`; `clock` says which month it is.
    pub fn new(http: Http, base_url: Option<&str>, clock: fn() -> SystemTime) -> Self {
        Self { service: OpenMeteo::new(http, base_url), clock }
    }
}

#[async_trait]
impl Tool for Weather {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new::<Input>(
            NAME,
            "Current weather and a three-day forecast for a city or town. Without the weather service, the climate \
             normals of the month, with \"source\":\"climate normals\".",
        )
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let Input { place } = tool::input(input)?;
        let place = place.trim();
        if place.is_empty() || place.chars().count() > PLACE_MAX_CHARS {
            return Err(ToolError::Input(format!("place must have 1 to {PLACE_MAX_CHARS} characters")));
        }
        let report = match self.service.fetch(place).await {
            Ok(forecast) => Report::Forecast(forecast),
            Err(FetchError::UnknownPlace) => {
                return Err(ToolError::Failed(format!("no place called \u{201c}{place}\u{201d} is known")));
            }
            Err(FetchError::Unreachable(cause)) => {
                warn!(%cause, "the weather service cannot be reached");
                debug!(place);
                self.typical(place).ok_or_else(|| {
                    let why = "the weather service cannot be reached, and there are no climate normals for";
                    ToolError::Failed(format!("{why} \u{201c}{place}\u{201d}"))
                })?
            }
        };
        // Numbers and text only: to become a JSON value cannot fail.
        Ok(serde_json::to_value(report).unwrap_or_default())
    }
}

impl Weather {
    fn typical(&self, place: &str) -> Option<Report> {
        let city = normals::find(place)?;
        let month = normals::month_of((self.clock)());
        Some(Report::Typical(Typical {
            place: city.name.to_owned(),
            country: city.country.to_owned(),
            month: normals::MONTHS[month].to_owned(),
            typical_high_c: city.high_c[month],
            typical_low_c: city.low_c[month],
            rain_days: city.rain_days[month],
            note:
                "Not a forecast: the weather service cannot be reached. Approximate monthly means, 1991-2020."
                    .to_owned(),
        }))
    }
}

/// The country that people write in short; anything else as it is.
fn full_name(region: &str) -> &str {
    match region.to_ascii_lowercase().as_str() {
        "uk" => "United Kingdom",
        "us" | "usa" => "United States",
        _ => region,
    }
}

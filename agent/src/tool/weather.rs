//! The tool `weather`: current weather and a three-day forecast from Open-Meteo.
//!
//! If the service cannot be reached, the output has the climate normals of a well-known city, labelled as such. An unknown
//! place is an error, and so is an unreachable service for a city without normals.

use std::time::SystemTime;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tracing::{debug, warn};

use self::open_meteo::{FetchError, OpenMeteo};
pub use self::report::{Day, Forecast, Report, Typical};
use crate::http::Http;
use crate::limits::PLACE_MAX_CHARS;
use crate::tool::{self, Tool, ToolError, ToolSpec};

pub mod normals;
pub mod open_meteo;
mod region;
mod report;
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

/// The tool `weather`.
pub struct Weather {
    service: OpenMeteo,
    clock: fn() -> SystemTime,
}

impl Weather {
    /// Returns the tool for Open-Meteo, or a service with its API at `base_url`. `clock` gives the month of normals.
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
                warn!(%cause, "weather service unreachable");
                debug!(place, "climate normals used");
                self.typical(place).ok_or_else(|| {
                    let reason =
                        "the weather service cannot be reached, and there are no climate normals for";
                    ToolError::Failed(format!("{reason} \u{201c}{place}\u{201d}"))
                })?
            }
        };
        // Conversion of numbers and text into a JSON value cannot fail.
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

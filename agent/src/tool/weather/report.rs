//! The output of the tool `weather`.

use serde::{Deserialize, Serialize};

/// The tool's output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "source")]
pub enum Report {
    /// Current weather and forecast.
    #[serde(rename = "Open-Meteo")]
    Forecast(Forecast),
    /// Climate normals of the month.
    #[serde(rename = "climate normals")]
    Typical(Typical),
}

/// Current weather and a forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The service's name of the place.
    pub place: String,
    /// The country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Local time of the values, `YYYY-MM-DDTHH:MM`.
    pub time: String,
    /// Air temperature, 2 m above ground.
    pub temperature_c: f64,
    /// Apparent temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feels_like_c: Option<f64>,
    /// Relative humidity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub humidity_pct: Option<f64>,
    /// Precipitation in the preceding quarter of an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precipitation_mm: Option<f64>,
    /// Wind speed, 10 m above ground.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wind_kmh: Option<f64>,
    /// The weather in words.
    pub condition: String,
    /// Days of the forecast, today first.
    pub daily: Vec<Day>,
}

/// One day's forecast.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Day {
    /// Local date, `YYYY-MM-DD`.
    pub date: String,
    /// The weather in words.
    pub condition: String,
    /// Highest temperature.
    pub high_c: f64,
    /// Lowest temperature.
    pub low_c: f64,
    /// Probability of precipitation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rain_pct: Option<f64>,
}

/// Climate normals of a month.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Typical {
    /// The city.
    pub place: String,
    /// The country.
    pub country: String,
    /// The month's name.
    pub month: String,
    /// Mean daily high.
    pub typical_high_c: i8,
    /// Mean daily low.
    pub typical_low_c: i8,
    /// Days with rain or snow in the month.
    pub rain_days: u8,
    /// A note that this is not a forecast, with the reason.
    pub note: String,
}

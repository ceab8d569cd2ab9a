//! The client of Open-Meteo: geocoding, then the forecast for the place that was found.
//!
//! Owns both requests and the parsing of their responses. Sources: <https://open-meteo.com/en/docs/geocoding-api> and
//! <https://open-meteo.com/en/docs>. Every invalid response is a [`FetchError::Unreachable`].

use axum::http::Request;
use http_body_util::{BodyExt, Full, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::region::full_name;
use super::report::{Day, Forecast};
use super::wmo;
use crate::http::{Http, chain};
use crate::limits::{WEATHER_BODY_MAX_BYTES, WEATHER_TIMEOUT};

const GEOCODING_URL: &str = "https://geocoding-api.open-meteo.com";
const FORECAST_URL: &str = "https://api.open-meteo.com";
const CURRENT: &str =
    "temperature_2m,apparent_temperature,relative_humidity_2m,precipitation,weather_code,wind_speed_10m";
const DAILY: &str = "weather_code,temperature_2m_max,temperature_2m_min,precipitation_probability_max";
const FORECAST_DAYS: u8 = 3;
/// Number of places with one name to choose from if a region or country is given.
const SAME_NAME_MAX: u8 = 10;
/// Characters that a query value escapes: all but the unreserved (RFC 3986, section 2.3).
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Error returned when there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The service knows no such place.
    #[error("no such place")]
    UnknownPlace,
    /// The service sent no valid response in time. The message is for the log.
    #[error("{0}")]
    Unreachable(String),
}

/// A client of the service.
pub struct OpenMeteo {
    http: Http,
    geocoding_url: String,
    forecast_url: String,
}

#[derive(Deserialize)]
struct Geocoding {
    #[serde(default)]
    results: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    name: String,
    latitude: f64,
    longitude: f64,
    country: Option<String>,
    country_code: Option<String>,
    admin1: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    current: Current,
    daily: Daily,
}

#[derive(Deserialize)]
struct Current {
    time: String,
    temperature_2m: f64,
    apparent_temperature: Option<f64>,
    relative_humidity_2m: Option<f64>,
    precipitation: Option<f64>,
    weather_code: u16,
    wind_speed_10m: Option<f64>,
}

/// The forecast: one list for each value, with one item for each day.
#[derive(Deserialize)]
struct Daily {
    time: Vec<String>,
    weather_code: Vec<Option<u16>>,
    temperature_2m_max: Vec<Option<f64>>,
    temperature_2m_min: Vec<Option<f64>>,
    precipitation_probability_max: Vec<Option<f64>>,
}

impl OpenMeteo {
    /// Returns a client of Open-Meteo, or of a service with its API at `base_url`.
    pub fn new(http: Http, base_url: Option<&str>) -> Self {
        Self {
            http,
            geocoding_url: base_url.unwrap_or(GEOCODING_URL).to_owned(),
            forecast_url: base_url.unwrap_or(FORECAST_URL).to_owned(),
        }
    }

    /// Returns the weather at a place, within [`WEATHER_TIMEOUT`].
    ///
    /// # Errors
    /// Returns a [`FetchError`] if the place is unknown or the service unreachable.
    pub async fn fetch(&self, place: &str) -> Result<Forecast, FetchError> {
        let both = async { self.forecast(self.locate(place).await?).await };
        timeout(WEATHER_TIMEOUT, both)
            .await
            .unwrap_or_else(|_| Err(FetchError::Unreachable("no answer in time".to_owned())))
    }

    async fn locate(&self, place: &str) -> Result<Place, FetchError> {
        // The service searches by name only; the region selects among places with one name.
        let (name, region) = match place.split_once(',') {
            Some((name, region)) => (name.trim(), Some(region.trim())),
            None => (place, None),
        };
        let count = if region.is_some() { SAME_NAME_MAX } else { 1 };
        let url = format!(
            "{}/v1/search?name={}&count={count}&language=en&format=json",
            self.geocoding_url,
            utf8_percent_encode(name, QUERY_VALUE)
        );
        let found: Geocoding = self.get(&url).await?;
        found
            .results
            .into_iter()
            .find(|place| region.is_none_or(|region| place.is_in(region)))
            .ok_or(FetchError::UnknownPlace)
    }

    async fn forecast(&self, place: Place) -> Result<Forecast, FetchError> {
        let url = format!(
            "{}/v1/forecast?latitude={}&longitude={}&current={CURRENT}&daily={DAILY}&timezone=auto&forecast_days={FORECAST_DAYS}",
            self.forecast_url, place.latitude, place.longitude
        );
        let Answer { current, daily } = self.get(&url).await?;
        Ok(Forecast {
            place: place.name,
            country: place.country,
            time: current.time,
            temperature_c: current.temperature_2m,
            feels_like_c: current.apparent_temperature,
            humidity_pct: current.relative_humidity_2m,
            precipitation_mm: current.precipitation,
            wind_kmh: current.wind_speed_10m,
            condition: wmo::describe(current.weather_code).to_owned(),
            daily: daily.into_days(),
        })
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, FetchError> {
        let unreachable = |cause: &dyn std::error::Error| FetchError::Unreachable(chain(cause));
        let request = Request::get(url).body(Full::default()).map_err(|error| unreachable(&error))?;
        let response = self.http.send(request).await.map_err(|error| unreachable(&error))?;
        if !response.status().is_success() {
            return Err(FetchError::Unreachable(format!("HTTP status {}", response.status())));
        }
        let body = Limited::new(response.into_body(), WEATHER_BODY_MAX_BYTES).collect().await;
        let body = body.map_err(|error| unreachable(&*error))?.to_bytes();
        serde_json::from_slice(&body).map_err(|error| unreachable(&error))
    }
}

impl Place {
    fn is_in(&self, region: &str) -> bool {
        let region = full_name(region).to_lowercase();
        [&self.country, &self.admin1, &self.country_code]
            .into_iter()
            .any(|name| name.as_ref().is_some_and(|name| name.to_lowercase() == region))
    }
}

impl Daily {
    /// Returns the days with complete values.
    fn into_days(self) -> Vec<Day> {
        let Self { weather_code, temperature_2m_max, temperature_2m_min, .. } = &self;
        let rain = &self.precipitation_probability_max;
        let day = |(index, date): (usize, &String)| {
            Some(Day {
                date: date.clone(),
                condition: wmo::describe((*weather_code.get(index)?)?).to_owned(),
                high_c: (*temperature_2m_max.get(index)?)?,
                low_c: (*temperature_2m_min.get(index)?)?,
                rain_pct: rain.get(index).copied().flatten(),
            })
        };
        self.time.iter().enumerate().filter_map(day).collect()
    }
}

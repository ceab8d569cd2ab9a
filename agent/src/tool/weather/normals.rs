//! Climate normals of well-known cities, the fallback without a forecast.
//!
//! Approximate values in the manner of the WMO's 1991-2020 normals, in whole degrees: mean daily high, mean daily low and
//! days with precipitation, for each month.

use std::time::{Duration, SystemTime};

/// The months' names, January first.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The normals of a city.
#[derive(Debug)]
pub struct City {
    /// The name in English.
    pub name: &'static str,
    /// The country in English.
    pub country: &'static str,
    /// Mean daily high by month.
    pub high_c: [i8; 12],
    /// Mean daily low by month.
    pub low_c: [i8; 12],
    /// Days with rain or snow, by month.
    pub rain_days: [u8; 12],
}

/// Returns the city with this name, ignoring case. A country after a comma must be the city's country.
pub fn find(place: &str) -> Option<&'static City> {
    let mut parts = place.splitn(2, ',').map(|part| part.trim().to_lowercase());
    let name = parts.next()?;
    let region = parts.next().map(|region| super::region::full_name(&region).to_lowercase());
    CITIES.iter().find(|city| {
        city.name.to_lowercase() == name
            && region.as_ref().is_none_or(|region| city.country.to_lowercase() == *region)
    })
}

/// Returns the month of an instant in UTC, 0 for January.
pub fn month_of(moment: SystemTime) -> usize {
    const DAY: u64 = 24 * 60 * 60;
    let secs = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    // Years start in March here, so that the leap day comes last (Howard Hinnant's civil_from_days).
    let day_of_era = (secs / DAY + 719_468) % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    usize::try_from((months_since_march + 2) % 12).unwrap_or_default()
}

const fn city(
    name: &'static str,
    country: &'static str,
    high_c: [i8; 12],
    low_c: [i8; 12],
    rain_days: [u8; 12],
) -> City {
    City { name, country, high_c, low_c, rain_days }
}

#[rustfmt::skip]
const CITIES: [City; 30] = [
    city("Amsterdam", "Netherlands", [6, 7, 10, 14, 18, 20, 22, 22, 19, 15, 10, 7], [1, 1, 2, 5, 8, 11, 13, 13, 11, 8, 4, 2], [12, 10, 10, 9, 9, 10, 10, 11, 11, 12, 13, 13]),
    city("Athens", "Greece", [13, 14, 17, 21, 26, 32, 34, 34, 30, 24, 19, 14], [7, 7, 9, 12, 16, 21, 24, 24, 20, 16, 12, 9], [8, 7, 6, 5, 4, 2, 1, 1, 2, 4, 6, 8]),
    city("Bangkok", "Thailand", [33, 34, 35, 36, 35, 34, 34, 33, 33, 33, 33, 32], [23, 24, 26, 27, 26, 26, 26, 26, 25, 25, 24, 22], [1, 2, 4, 7, 16, 16, 17, 20, 21, 18, 6, 1]),
    city("Beijing", "China", [2, 6, 13, 21, 27, 31, 32, 31, 27, 19, 10, 4], [-7, -4, 2, 9, 15, 20, 23, 22, 16, 8, 1, -5], [2, 2, 3, 5, 6, 10, 12, 11, 7, 5, 3, 2]),
    city("Berlin", "Germany", [3, 5, 9, 15, 20, 23, 25, 25, 20, 14, 8, 4], [-2, -2, 1, 4, 9, 12, 14, 14, 10, 6, 2, -1], [10, 8, 9, 7, 8, 9, 9, 8, 7, 8, 9, 10]),
    city("Buenos Aires", "Argentina", [30, 29, 27, 23, 19, 16, 16, 18, 20, 23, 26, 29], [20, 19, 18, 14, 11, 8, 8, 9, 11, 14, 16, 19], [9, 8, 9, 9, 7, 7, 7, 7, 7, 10, 9, 9]),
    city("Cape Town", "South Africa", [27, 27, 26, 23, 20, 18, 18, 18, 20, 22, 24, 26], [16, 16, 15, 12, 10, 8, 7, 8, 9, 11, 13, 15], [5, 5, 5, 8, 11, 13, 12, 14, 10, 9, 5, 6]),
    city("Copenhagen", "Denmark", [4, 4, 7, 12, 16, 20, 22, 22, 18, 13, 8, 5], [0, 0, 1, 4, 8, 12, 14, 14, 11, 7, 4, 1], [11, 9, 8, 8, 8, 9, 9, 10, 9, 11, 11, 12]),
    city("Delhi", "India", [20, 24, 30, 37, 40, 39, 35, 34, 34, 33, 28, 23], [8, 11, 16, 21, 26, 28, 28, 27, 25, 20, 13, 8], [2, 2, 2, 1, 3, 5, 10, 11, 5, 1, 1, 1]),
    city("Dubai", "United Arab Emirates", [24, 25, 29, 33, 38, 40, 41, 42, 39, 36, 31, 26], [14, 15, 18, 21, 25, 28, 30, 30, 28, 24, 20, 16], [5, 5, 6, 3, 0, 0, 1, 1, 0, 0, 1, 4]),
    city("Dublin", "Ireland", [8, 9, 10, 12, 15, 18, 20, 19, 17, 14, 11, 9], [3, 2, 3, 4, 7, 10, 11, 11, 10, 7, 5, 3], [12, 10, 11, 10, 10, 10, 11, 12, 10, 11, 12, 13]),
    city("Helsinki", "Finland", [0, -1, 2, 8, 15, 19, 22, 20, 15, 9, 4, 1], [-6, -6, -4, 1, 6, 11, 14, 13, 9, 4, 0, -3], [12, 9, 8, 8, 7, 9, 8, 10, 10, 11, 12, 13]),
    city("Hong Kong", "China", [19, 19, 22, 26, 29, 31, 32, 31, 31, 28, 25, 20], [15, 15, 18, 21, 25, 27, 27, 27, 26, 24, 20, 16], [6, 8, 10, 12, 15, 19, 18, 18, 15, 8, 6, 5]),
    city("Lisbon", "Portugal", [15, 16, 19, 20, 23, 26, 28, 29, 27, 23, 18, 15], [9, 9, 11, 12, 14, 17, 18, 19, 18, 15, 12, 9], [9, 9, 8, 8, 6, 2, 1, 1, 4, 9, 10, 10]),
    city("London", "United Kingdom", [8, 9, 12, 15, 18, 22, 24, 23, 20, 16, 12, 9], [3, 3, 4, 6, 9, 12, 14, 14, 12, 9, 5, 3], [12, 10, 9, 9, 8, 8, 8, 9, 8, 11, 12, 12]),
    city("Los Angeles", "United States", [20, 20, 21, 22, 23, 25, 28, 29, 28, 26, 23, 20], [10, 10, 12, 13, 15, 17, 19, 19, 18, 16, 12, 9], [6, 6, 5, 3, 2, 1, 0, 0, 1, 2, 3, 5]),
    city("Madrid", "Spain", [10, 12, 16, 19, 24, 30, 33, 33, 27, 20, 14, 10], [3, 4, 7, 9, 13, 17, 20, 20, 16, 11, 6, 4], [6, 5, 5, 7, 7, 3, 1, 2, 3, 7, 7, 6]),
    city("New York", "United States", [4, 6, 10, 17, 22, 27, 29, 28, 25, 18, 12, 7], [-2, -1, 2, 8, 13, 18, 21, 20, 17, 11, 6, 1], [11, 10, 11, 11, 12, 11, 11, 10, 9, 10, 9, 11]),
    city("Oslo", "Norway", [0, 1, 5, 11, 17, 20, 23, 21, 16, 10, 4, 1], [-5, -5, -2, 2, 7, 11, 13, 13, 9, 4, 0, -4], [9, 7, 7, 8, 9, 10, 11, 11, 9, 10, 11, 10]),
    city("Paris", "France", [8, 9, 13, 17, 20, 23, 26, 26, 22, 17, 11, 8], [3, 3, 6, 8, 12, 15, 17, 17, 13, 10, 6, 4], [10, 9, 10, 9, 9, 8, 7, 8, 8, 10, 10, 11]),
    city("Reykjavik", "Iceland", [3, 3, 4, 7, 10, 13, 15, 14, 11, 7, 5, 3], [-2, -2, -2, 1, 4, 7, 9, 9, 6, 2, 0, -2], [13, 13, 14, 12, 10, 11, 10, 12, 12, 14, 13, 14]),
    city("Rome", "Italy", [12, 13, 16, 19, 24, 29, 32, 32, 27, 22, 17, 13], [3, 3, 6, 8, 12, 16, 19, 19, 15, 12, 8, 4], [7, 7, 7, 8, 6, 3, 2, 2, 6, 8, 9, 8]),
    city("San Francisco", "United States", [14, 16, 17, 17, 18, 19, 19, 20, 21, 21, 18, 14], [8, 9, 10, 10, 11, 12, 13, 13, 13, 12, 10, 8], [11, 11, 10, 7, 4, 2, 1, 1, 1, 4, 8, 12]),
    city("Seoul", "South Korea", [2, 5, 11, 18, 24, 28, 29, 30, 26, 20, 12, 4], [-6, -3, 2, 8, 14, 19, 22, 23, 18, 11, 4, -3], [6, 6, 7, 8, 9, 10, 16, 15, 9, 6, 9, 8]),
    city("Singapore", "Singapore", [31, 32, 32, 32, 32, 32, 31, 31, 32, 32, 31, 31], [24, 25, 25, 25, 26, 26, 25, 25, 25, 25, 25, 24], [13, 8, 13, 15, 15, 13, 14, 14, 13, 15, 19, 19]),
    city("Stockholm", "Sweden", [1, 2, 5, 11, 17, 21, 24, 22, 17, 11, 6, 3], [-2, -3, -1, 3, 7, 12, 15, 14, 10, 6, 2, -1], [9, 8, 7, 6, 7, 9, 9, 10, 8, 9, 10, 10]),
    city("Sydney", "Australia", [27, 27, 26, 24, 21, 18, 18, 19, 22, 23, 24, 26], [20, 20, 18, 15, 12, 10, 9, 10, 12, 15, 17, 18], [8, 9, 10, 8, 8, 9, 7, 6, 6, 8, 9, 8]),
    city("Tokyo", "Japan", [10, 11, 14, 19, 24, 26, 30, 31, 28, 22, 17, 12], [1, 2, 5, 10, 15, 19, 22, 24, 20, 15, 9, 4], [5, 6, 10, 10, 10, 12, 11, 8, 11, 10, 7, 5]),
    city("Toronto", "Canada", [-1, 0, 5, 12, 19, 24, 27, 26, 22, 14, 8, 2], [-7, -6, -2, 4, 10, 15, 18, 18, 14, 8, 2, -3], [15, 12, 12, 12, 12, 11, 10, 10, 10, 12, 13, 14]),
    city("Vienna", "Austria", [4, 6, 11, 16, 21, 24, 27, 26, 21, 15, 9, 4], [-1, 0, 3, 7, 11, 15, 17, 16, 12, 7, 3, 0], [8, 7, 8, 7, 9, 9, 9, 8, 8, 7, 8, 8]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn month_at(unix_secs: u64) -> &'static str {
        MONTHS[month_of(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_secs))]
    }

    #[test]
    fn months_follow_the_calendar() {
        assert_eq!(month_at(0), "January");
        assert_eq!(month_at(951_782_400), "February", "2000-02-29");
        assert_eq!(month_at(951_868_800), "March", "2000-03-01");
        assert_eq!(month_at(1_709_251_199), "February", "2024-02-29, last second");
        assert_eq!(month_at(1_709_251_200), "March", "2024-03-01");
        assert_eq!(month_at(1_735_689_599), "December", "2024-12-31, last second");
        assert_eq!(month_at(1_735_689_600), "January", "2025-01-01");
    }

    #[test]
    fn a_city_is_found_by_its_name() {
        assert_eq!(find("new york").map(|city| city.name), Some("New York"));
        assert_eq!(find("Paris, France").map(|city| city.name), Some("Paris"));
        assert_eq!(find("London, UK").map(|city| city.name), Some("London"));
        assert!(find("Paris, Texas").is_none());
        assert!(find("Atlantis").is_none());
    }

    #[test]
    fn the_table_is_plausible() {
        for city in &CITIES {
            for (month, name) in MONTHS.iter().enumerate() {
                let (low, high) = (city.low_c[month], city.high_c[month]);
                assert!(low < high && high - low <= 16, "{} {name}: {low} to {high}", city.name);
                assert!((-10..=45).contains(&low) && (-5..=45).contains(&high), "{} {name}", city.name);
                assert!(city.rain_days[month] <= 28, "{} {name}", city.name);
                let next = (month + 1) % 12;
                assert!((city.high_c[next] - high).abs() <= 9, "{} after {name}", city.name);
            }
        }
        assert!(CITIES.is_sorted_by_key(|city| city.name));
    }
}

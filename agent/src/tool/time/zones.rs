//! Time zones of cities and countries.
//!
//! The time zone database names a zone after its largest city. This file adds other large cities, and countries with one
//! zone.

use jiff::tz::{TimeZone, db};

/// Returns the zone with this name, or of the city or country with this name. Ignores case.
pub fn find(place: &str) -> Option<TimeZone> {
    let name = place.trim();
    // The region after a comma is ignored: the list has no two cities with one name.
    let city = name.split(',').next().unwrap_or(name).trim().to_lowercase();
    let city = city.strip_prefix("the ").unwrap_or(&city);
    let names = |places: &str| places.split(", ").any(|place| place == city);
    if let Some((zone, _)) = ALIASES.iter().find(|(_, places)| names(places)) {
        return db().get(zone).ok();
    }
    if let Ok(zone) = db().get(&name.replace(' ', "_")) {
        return Some(zone);
    }
    let is_city = |zone: &str| {
        let last = zone.rsplit_once('/').map(|(_, last)| last.replace('_', " ").to_lowercase());
        last.is_some_and(|last| last == city)
    };
    let zone = db().available().find(|zone| is_city(zone.as_str()))?;
    db().get(zone.as_str()).ok()
}

#[rustfmt::skip]
const ALIASES: [(&str, &str); 45] = [
    ("America/Los_Angeles", "san francisco, san diego, san jose, seattle, portland, las vegas, sacramento, california"),
    ("America/Denver", "salt lake city, albuquerque, colorado"),
    ("America/Chicago", "houston, dallas, austin, san antonio, new orleans, minneapolis, st louis, memphis, texas"),
    ("America/New_York", "boston, washington, washington dc, philadelphia, miami, atlanta, orlando, pittsburgh, nyc, florida"),
    ("America/Toronto", "ottawa, montreal, quebec"),
    ("America/Edmonton", "calgary"),
    ("America/Sao_Paulo", "rio de janeiro, rio, brasilia"),
    ("America/Argentina/Buenos_Aires", "buenos aires, argentina"),
    ("America/Bogota", "colombia, medellin"),
    ("America/Lima", "peru"),
    ("Europe/London", "uk, united kingdom, england, scotland, wales, edinburgh, glasgow, manchester, liverpool, oxford, cambridge"),
    ("Europe/Dublin", "ireland"),
    ("Europe/Paris", "france, lyon, marseille, nice, bordeaux, toulouse, strasbourg"),
    ("Europe/Berlin", "germany, munich, hamburg, frankfurt, cologne, stuttgart, dresden, leipzig"),
    ("Europe/Vienna", "austria, salzburg, graz, innsbruck"),
    ("Europe/Zurich", "switzerland, geneva, bern, basel, lausanne"),
    ("Europe/Rome", "italy, milan, naples, venice, florence, turin"),
    ("Europe/Madrid", "spain, barcelona, valencia, seville, bilbao"),
    ("Europe/Amsterdam", "netherlands, rotterdam, hague, utrecht"),
    ("Europe/Brussels", "belgium, antwerp, bruges"),
    ("Europe/Warsaw", "krakow, gdansk"),
    ("Europe/Prague", "czechia, czech republic, brno"),
    ("Europe/Stockholm", "sweden, gothenburg, malmo"),
    ("Europe/Oslo", "norway, bergen, trondheim"),
    ("Europe/Copenhagen", "denmark, aarhus"),
    ("Europe/Helsinki", "finland, tampere"),
    ("Europe/Athens", "greece, thessaloniki"),
    ("Europe/Budapest", "hungary"),
    ("Europe/Bucharest", "romania"),
    ("Europe/Kyiv", "ukraine, lviv, odesa"),
    ("Europe/Moscow", "st petersburg, saint petersburg"),
    ("Europe/Istanbul", "ankara, izmir"),
    ("Africa/Johannesburg", "south africa, cape town, durban, pretoria"),
    ("Africa/Cairo", "alexandria"),
    ("Africa/Casablanca", "morocco, marrakesh, rabat"),
    ("Africa/Lagos", "nigeria, abuja"),
    ("Africa/Nairobi", "kenya, mombasa"),
    ("Asia/Jerusalem", "tel aviv, haifa"),
    ("Asia/Dubai", "abu dhabi, uae, united arab emirates"),
    ("Asia/Riyadh", "saudi arabia, mecca, jeddah"),
    ("Asia/Kolkata", "india, mumbai, delhi, new delhi, bangalore, bengaluru, chennai, hyderabad, pune"),
    ("Asia/Shanghai", "china, beijing, shenzhen, guangzhou, wuhan"),
    ("Asia/Ho_Chi_Minh", "vietnam, hanoi, saigon"),
    ("Asia/Tokyo", "osaka, kyoto, sapporo, nagoya, hiroshima"),
    ("Pacific/Auckland", "new zealand, wellington, christchurch"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(place: &str) -> Option<String> {
        find(place).and_then(|zone| zone.iana_name().map(str::to_owned))
    }

    #[test]
    fn every_city_of_the_list_is_found() {
        for (expected, places) in ALIASES {
            for place in places.split(", ") {
                assert_eq!(zone(place).as_deref(), Some(expected), "{place}");
            }
        }
    }

    #[test]
    fn cities_are_found_as_people_write_them() {
        for (place, expected) in [
            ("Tokyo", "Asia/Tokyo"),
            ("Buenos Aires", "America/Argentina/Buenos_Aires"),
            ("New York, USA", "America/New_York"),
            (" the hague ", "Europe/Amsterdam"),
            ("america/sao_paulo", "America/Sao_Paulo"),
            ("Beijing", "Asia/Shanghai"),
            ("Japan", "Japan"),
        ] {
            assert_eq!(zone(place).as_deref(), Some(expected), "{place}");
        }
        assert_eq!(zone("Nowhere"), None);
        assert_eq!(zone(""), None);
    }
}

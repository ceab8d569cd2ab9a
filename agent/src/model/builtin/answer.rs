//! Answers of the built-in model from the results of the weather tool.

use crate::conversation::{Message, ToolCall};
use crate::model::builtin::intent::{Intent, Question, When};
use crate::tool::weather::{Day, Forecast, Report, Typical};

/// Probability of rain from which an umbrella is recommended, in percent.
const UMBRELLA_PCT: f64 = 50.0;

/// The tool's result for one place.
struct Answer<'a> {
    place: &'a str,
    report: Result<Report, String>,
}

/// Returns the text of the answer. `turn` has the messages since the user's last one.
pub(super) fn from_tools(intent: &Intent, turn: &[Message]) -> String {
    let when = if let Intent::Weather(Question { when, .. }) = intent { *when } else { When::Now };
    let answers = read(turn);
    let mut parts: Vec<String> = Vec::new();
    let forecasts: Vec<&Forecast> = answers
        .iter()
        .filter_map(|answer| match &answer.report {
            Ok(Report::Forecast(forecast)) => Some(forecast),
            Ok(Report::Typical(_)) | Err(_) => None,
        })
        .collect();
    match (forecasts.as_slice(), when) {
        ([], _) => {}
        ([one], _) => parts.push(describe(one, when)),
        (several, When::Outlook) => parts.extend(several.iter().map(|one| outlook(one))),
        (several, When::Now | When::Tomorrow | When::DayAfter) => parts.push(comparison(several, when)),
    }
    let normals: Vec<&Typical> = answers
        .iter()
        .filter_map(|answer| match &answer.report {
            Ok(Report::Typical(normals)) => Some(normals),
            Ok(Report::Forecast(_)) | Err(_) => None,
        })
        .collect();
    if let Some(first) = normals.first() {
        parts.push(typical(&first.month, &normals));
    }
    for answer in &answers {
        if let Err(why) = &answer.report {
            parts.push(format!("I could not get the weather for **{}**: {why}.", answer.place));
        }
    }
    parts.join("\n\n")
}

fn read(turn: &[Message]) -> Vec<Answer<'_>> {
    let calls = turn.iter().flat_map(|message| match message {
        Message::Assistant { calls, .. } => calls.as_slice(),
        Message::User(_) | Message::Tool { .. } => &[],
    });
    calls
        .filter_map(|call| {
            let outcome = turn.iter().find_map(|message| match message {
                Message::Tool { call: id, outcome } if *id == call.id => Some(outcome),
                Message::Tool { .. } | Message::User(_) | Message::Assistant { .. } => None,
            })?;
            let report = outcome.clone().map_err(|why| without_code(&why).to_owned()).and_then(|output| {
                serde_json::from_value(output)
                    .map_err(|error| format!("the tool's result is invalid ({error})"))
            });
            Some(Answer { place: place_of(call), report })
        })
        .collect()
}

/// Returns a tool's error message without its code.
fn without_code(why: &str) -> &str {
    why.split_once(": ").filter(|(code, _)| code.starts_with("tool.")).map_or(why, |(_, why)| why)
}

fn place_of(call: &ToolCall) -> &str {
    call.input.get("place").and_then(serde_json::Value::as_str).unwrap_or("?")
}

fn describe(forecast: &Forecast, when: When) -> String {
    let place = full_place(forecast);
    match when {
        When::Now => now(forecast),
        When::Outlook => outlook(forecast),
        When::Tomorrow | When::DayAfter => match day_of(forecast, when) {
            Some(day) => {
                let name = if when == When::Tomorrow { "Tomorrow" } else { "The day after tomorrow" };
                format!(
                    "{name} ({}) in {place}: **{}**, {}.{}",
                    day.date,
                    day.condition,
                    range(day),
                    umbrella(day)
                )
            }
            None => format!("I have no forecast for that day in {place}."),
        },
    }
}

fn now(forecast: &Forecast) -> String {
    let mut text = format!("In {} it is **{}**", full_place(forecast), degrees(forecast.temperature_c));
    if let Some(feels) = forecast.feels_like_c.filter(|feels| (feels - forecast.temperature_c).abs() >= 1.5) {
        text += &format!(" (feels like {})", degrees(feels));
    }
    text += &format!(" right now, with **{}**", forecast.condition);
    match (forecast.wind_kmh, forecast.humidity_pct) {
        (Some(wind), Some(humidity)) => {
            text += &format!(", wind of {wind:.0} km/h and {humidity:.0} % humidity.");
        }
        (Some(wind), None) => text += &format!(" and wind of {wind:.0} km/h."),
        (None, _) => text.push('.'),
    }
    if let Some(today) = forecast.daily.first() {
        text += &format!(" Today: {}, {}.{}", today.condition, range(today), umbrella(today));
    }
    text
}

fn outlook(forecast: &Forecast) -> String {
    let mut text = format!("The next days in {}, as far as I can see:\n\n", full_place(forecast));
    text += "| Day | Weather | Low | High | Rain |\n|---|---|---:|---:|---:|\n";
    for day in &forecast.daily {
        let rain = day.rain_pct.map_or_else(|| "?".to_owned(), |rain| format!("{rain:.0} %"));
        let (low, high) = (degrees(day.low_c), degrees(day.high_c));
        text += &format!("| {} | {} | {low} | {high} | {rain} |\n", day.date, day.condition);
    }
    text
}

fn comparison(forecasts: &[&Forecast], when: When) -> String {
    let rows: Vec<_> =
        forecasts.iter().filter_map(|forecast| Some((*forecast, row(forecast, when)?))).collect();
    let name = match when {
        When::Now | When::Outlook => "Now",
        When::Tomorrow => "Tomorrow",
        When::DayAfter => "The day after tomorrow",
    };
    let mut text = format!("| {name} | Temperature | Weather |\n|---|---:|---|\n");
    for (forecast, (temperature, condition)) in &rows {
        text += &format!("| {} | {} | {condition} |\n", full_place(forecast), degrees(*temperature));
    }
    let by_warmth = |a: &&(&Forecast, (f64, &str)), b: &&(&Forecast, (f64, &str))| a.1.0.total_cmp(&b.1.0);
    if let (Some(coldest), Some(warmest)) = (rows.iter().min_by(by_warmth), rows.iter().max_by(by_warmth)) {
        let difference = warmest.1.0 - coldest.1.0;
        text += &if difference < 0.5 {
            "\nThere is no difference in warmth to speak of.".to_owned()
        } else {
            let (warm, cold) = (&warmest.0.place, &coldest.0.place);
            format!("\n**{warm}** is the warmest, {} above {cold}.", degrees(difference))
        };
    }
    text
}

/// Returns temperature and weather at a time; for a day, its high.
fn row(forecast: &Forecast, when: When) -> Option<(f64, &str)> {
    match when {
        When::Now | When::Outlook => Some((forecast.temperature_c, &forecast.condition)),
        When::Tomorrow | When::DayAfter => {
            day_of(forecast, when).map(|day| (day.high_c, day.condition.as_str()))
        }
    }
}

fn day_of(forecast: &Forecast, when: When) -> Option<&Day> {
    match when {
        When::Now | When::Outlook => forecast.daily.first(),
        When::Tomorrow => forecast.daily.get(1),
        When::DayAfter => forecast.daily.get(2),
    }
}

fn typical(month: &str, cities: &[&Typical]) -> String {
    let mut text = format!(
        "I cannot reach the weather service, so this is **no forecast**, but what is typical for {month} \
         (climate normals, approximate):\n"
    );
    for city in cities {
        let (low, high) = (degrees(city.typical_low_c.into()), degrees(city.typical_high_c.into()));
        let Typical { place, country, rain_days, .. } = city;
        text += &format!(
            "\n- **{place}** ({country}): {low} to {high}, about {rain_days} days with rain or snow"
        );
    }
    text
}

fn full_place(forecast: &Forecast) -> String {
    match &forecast.country {
        Some(country) => format!("**{}** ({country})", forecast.place),
        None => format!("**{}**", forecast.place),
    }
}

fn range(day: &Day) -> String {
    let range = format!("{} to {}", degrees(day.low_c), degrees(day.high_c));
    match day.rain_pct {
        Some(rain) => format!("{range}, chance of rain {rain:.0} %"),
        None => range,
    }
}

fn umbrella(day: &Day) -> &'static str {
    if day.rain_pct.is_some_and(|rain| rain >= UMBRELLA_PCT) { " Take an umbrella." } else { "" }
}

fn degrees(celsius: f64) -> String {
    // A rounded negative zero is shown without its sign.
    format!("{:.0} \u{b0}C", celsius.round() + 0.0)
}

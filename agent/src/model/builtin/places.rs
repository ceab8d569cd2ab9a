//! Recognition of place names in a message.
//!
//! There is no list of places. A run of words that are not ordinary words counts as a name if it follows a preposition,
//! starts with a capital letter, or is in a message of a few words. The weather service decides whether the place exists.

use std::collections::HashSet;
use std::sync::LazyLock;

use crate::limits::{PLACE_MAX_CHARS, PLACES_MAX};

/// The places in a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The places as written, in order.
    pub(super) places: Vec<String>,
    /// `true` if all other words are ordinary words.
    pub(super) is_nothing_else: bool,
}

/// A run of words that are not ordinary words.
#[derive(Debug)]
struct Name {
    text: String,
    /// The separator before the name.
    before: Before,
    /// `true` if the name follows a preposition.
    is_placed: bool,
}

/// The separator between a name and the one before it, or the start of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Words,
    Comma,
    /// `and`, `or` or `vs`, possibly with more ordinary words.
    And,
}

/// Returns the places in a message.
pub(super) fn find(message: &str) -> Found {
    let message = message.replace('\u{2019}', "'");
    let tokens = tokens(&message);
    let names = names(&tokens);
    let any_placed = names.iter().any(|name| name.is_placed);
    let is_short = tokens.len() <= FEW_WORDS;

    let mut found = Found { places: Vec::new(), is_nothing_else: true };
    let mut previous_taken = false;
    let is_list = names.iter().any(|name| name.before == Before::And);
    for name in names {
        let joins = previous_taken && name.before != Before::Words;
        let stands_alone = !any_placed && (is_capital(&name.text) || is_short);
        let fits = name.text.chars().count() <= PLACE_MAX_CHARS && found.places.len() < PLACES_MAX;
        previous_taken = fits && (name.is_placed || joins || stands_alone);
        if !previous_taken {
            found.is_nothing_else = false;
        } else if name.before == Before::Comma && joins && !is_list {
            // After a single comma and without `and`, the second name is a region or country.
            if let Some(place) = found.places.last_mut() {
                *place += &format!(", {}", name.text);
            }
        } else if !found.places.contains(&name.text) {
            found.places.push(name.text);
        }
    }
    found
}

/// Splits a message into words and commas.
fn tokens(message: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for piece in message.split_whitespace() {
        for (index, part) in piece.split(',').enumerate() {
            if index > 0 {
                tokens.push(",");
            }
            let word = part.trim_matches(|c: char| !c.is_alphanumeric() && c != '&');
            let word = word.strip_suffix("'s").filter(|word| is_capital(word)).unwrap_or(word);
            if !word.is_empty() {
                tokens.push(word);
            }
        }
    }
    tokens
}

fn names(tokens: &[&str]) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    let mut before = Before::Words;
    let mut after_preposition = false;
    let mut is_open = false;
    for (index, token) in tokens.iter().enumerate() {
        let lower = token.to_lowercase();
        let next_is_capital =
            tokens.get(index + 1).is_some_and(|next| is_capital(next) && !is_ordinary(next));
        let is_part = match lower.as_str() {
            // Names such as The Hague and Isle of Man.
            "the" => index > 0 && is_capital(token) && next_is_capital,
            "of" => is_open && next_is_capital && names.last().is_some_and(|name| is_capital(&name.text)),
            _ => *token != "," && !is_ordinary(token),
        };
        if is_part {
            match names.last_mut().filter(|_| is_open) {
                Some(name) => name.text += &format!(" {token}"),
                None => {
                    let is_placed = after_preposition;
                    names.push(Name { text: (*token).to_owned(), before, is_placed });
                }
            }
            is_open = true;
            continue;
        }
        if is_open {
            before = Before::Words;
        }
        is_open = false;
        match lower.as_str() {
            "," if before == Before::Words => before = Before::Comma,
            "and" | "or" | "&" | "vs" | "versus" | "than" | "with" => before = Before::And,
            _ => {}
        }
        let follows_capital = next_is_capital && ["to", "from", "of"].contains(&lower.as_str());
        let is_article = ["the", "a"].contains(&lower.as_str());
        after_preposition =
            PREPOSITIONS.contains(&lower.as_str()) || follows_capital || (is_article && after_preposition);
    }
    names
}

fn is_capital(word: &str) -> bool {
    // Letters of scripts without case count as capitals.
    word.chars().next().is_some_and(|first| first.is_alphabetic() && !first.is_lowercase())
}

fn is_ordinary(word: &str) -> bool {
    let lower = word.to_lowercase();
    let lower = lower.as_str();
    ORDINARY_SET.contains(lower) || WEATHER.contains(&lower) || word.parse::<f64>().is_ok()
}

/// Longest message, in words, in which a name needs neither a preposition nor a capital letter.
const FEW_WORDS: usize = 4;

const PREPOSITIONS: [&str; 7] = ["in", "at", "for", "near", "around", "about", "over"];

/// Words that mark a message about the weather.
pub(super) const WEATHER: [&str; 51] = [
    "weather",
    "forecast",
    "temperature",
    "temperatures",
    "rain",
    "rains",
    "raining",
    "rainy",
    "snow",
    "snows",
    "snowing",
    "snowy",
    "sunny",
    "sunshine",
    "sun",
    "hot",
    "hotter",
    "hottest",
    "cold",
    "colder",
    "coldest",
    "warm",
    "warmer",
    "warmest",
    "cooler",
    "wind",
    "windy",
    "windier",
    "umbrella",
    "coat",
    "jacket",
    "humid",
    "humidity",
    "degrees",
    "climate",
    "storm",
    "storms",
    "stormy",
    "thunderstorm",
    "cloudy",
    "clouds",
    "fog",
    "foggy",
    "freezing",
    "frost",
    "wet",
    "wetter",
    "dry",
    "drier",
    "hail",
    "drizzle",
];

static ORDINARY_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| ORDINARY.split_whitespace().collect());

/// Ordinary words, in any case.
const ORDINARY: &str = "
    a about again ahead all also am an and any are around as ask at be been before being best better between big both bring but by
    can check compare compared comparison conditions cool could current currently day days did difference do does doing don't each
    else ever fetch find for friend from get gets getting give go going good got had has have hello help here hey hi how how's i i'd
    i'll i'm i've if in inside interested into is isn't it it'll it's its just know last later least less let let's like little
    long look looking looks lookup lot love many may maybe me might minute moment more most much must my near need needs next no nor not
    now of off ok okay on one or our out outside over please plan planning probably quite quick quickly rather really report right
    same say see shall she should show so some soon still such take tell than thank thanks that that's the their them then there
    these they thing think this those to too travel travelling traveling trip trying under up update us use vacation versus very
    visit vs want wanted wants was wear we well were weren't what what's whats when where whether which while who why will with
    won't wonder wondering would yes yet you your & question place places city town anything something
    today tomorrow tonight yesterday morning afternoon evening night noon midnight week weeks weekend weekends month months year
    hour hours time monday tuesday wednesday thursday friday saturday sunday january february march april june july august
    september october november december spring summer autumn fall winter holiday holidays outlook coming
    celsius fahrenheit c f wife husband family kids man general detail details english average high low today's tomorrow's
    hiya dear assistant agent bot mayfly service api tool data info information asap btw currently kind sort feel feels
";

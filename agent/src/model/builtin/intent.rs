//! Recognition of the intent of a message, by rules.
//!
//! Earlier messages give context: `and tomorrow?` asks for the places of the last question. `places.rs` finds places.

use super::places::{self, Found};

/// The intent of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// Weather at places.
    Weather(Question),
    /// Weather without a place.
    WhichPlace,
    /// A greeting.
    Greeting,
    /// Thanks.
    Thanks,
    /// A farewell.
    Farewell,
    /// A question about the model's abilities.
    Help,
    /// A question about the model's identity.
    Identity,
    /// A request for a demonstration of Markdown.
    Markdown,
    /// A request for a long answer.
    Story,
    /// A question about the previous message.
    Recall,
    /// A request for a summary of the conversation.
    Summary,
    /// Another intent.
    Unknown,
}

/// A question about the weather.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Question {
    /// The places, at least one.
    pub(super) places: Vec<String>,
    /// The time.
    pub(super) when: When,
}

/// The time a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum When {
    /// Now and today.
    #[default]
    Now,
    /// Tomorrow.
    Tomorrow,
    /// The day after tomorrow.
    DayAfter,
    /// All days of the forecast.
    Outlook,
}

/// The context that earlier messages give to the next one.
#[derive(Debug, Default)]
struct Context {
    /// The last question about the weather.
    last: Option<Question>,
    /// `true` if the previous message was about the weather; a name alone is then a place.
    is_on_weather: bool,
}

/// Returns the intent of each message, given those before it.
pub(super) fn read(messages: &[&str]) -> Vec<Intent> {
    let mut context = Context::default();
    let understand = |message: &&str| {
        let intent = understand(message, &context);
        context.is_on_weather = matches!(intent, Intent::Weather(_) | Intent::WhichPlace);
        if let Intent::Weather(question) = &intent {
            context.last = Some(question.clone());
        }
        intent
    };
    messages.iter().map(understand).collect()
}

fn understand(message: &str, context: &Context) -> Intent {
    let lower = message.to_lowercase().replace('\u{2019}', "'");
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|w| !w.is_empty()).collect();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| contains_words(&words, phrase));

    if has(&RECALL) {
        return Intent::Recall;
    }
    if has(&SUMMARY) {
        return Intent::Summary;
    }
    let found = places::find(message);
    if let Some(intent) = weather(&words, &found, context) {
        return intent;
    }
    let is_short = words.len() <= SHORT_WORDS;
    let specific: [(bool, Intent); 7] = [
        (has(&MARKDOWN), Intent::Markdown),
        (has(&STORY), Intent::Story),
        (has(&IDENTITY), Intent::Identity),
        (has(&HELP), Intent::Help),
        (has(&THANKS), Intent::Thanks),
        (is_short && has(&FAREWELL), Intent::Farewell),
        (is_short && has(&GREETING), Intent::Greeting),
    ];
    if let Some((_, intent)) = specific.into_iter().find(|(applies, _)| *applies) {
        return intent;
    }
    let is_name = found.places.len() == 1 && found.is_nothing_else && words.len() <= SHORT_WORDS;
    if context.is_on_weather && is_name && !has(&SMALL_TALK) {
        return asked(found.places, None, context);
    }
    Intent::Unknown
}

/// Returns the intent of a message that mentions the weather or continues a question about it.
fn weather(words: &[&str], found: &Found, context: &Context) -> Option<Intent> {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| contains_words(words, phrase));
    let when = when(words);
    let mentions = has(&places::WEATHER);
    let compares = has(&COMPARE);
    let continues =
        context.last.is_some() && (has(&CONTINUE) || words.first().is_some_and(|w| STARTERS.contains(w)));

    if compares && found.places.len() == 1 {
        let last = context.last.as_ref()?;
        let mut both = last.places.clone();
        both.extend(found.places.iter().filter(|place| !last.places.contains(place)).cloned());
        return Some(asked(both, when, context));
    }
    if !found.places.is_empty() {
        let follows = continues && (context.is_on_weather || when.is_some());
        let asks = mentions || follows || (compares && found.places.len() > 1);
        return asks.then(|| {
            let inherited = if mentions { Some(when.unwrap_or_default()) } else { when };
            asked(found.places.clone(), inherited, context)
        });
    }
    let goes_on = context.last.is_some() && (when.is_some() || compares) && found.is_nothing_else;
    if !mentions && !goes_on {
        return None;
    }
    match &context.last {
        Some(last) => Some(asked(last.places.clone(), when, context)),
        None => Some(Intent::WhichPlace),
    }
}

/// Returns a question about these places. Without a time it has the time of the last question.
fn asked(places: Vec<String>, when: Option<When>, context: &Context) -> Intent {
    let inherited = context.last.as_ref().map(|last| last.when).unwrap_or_default();
    Intent::Weather(Question { places, when: when.unwrap_or(inherited) })
}

fn when(words: &[&str]) -> Option<When> {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| contains_words(words, phrase));
    if has(&["day after tomorrow"]) {
        return Some(When::DayAfter);
    }
    if has(&["tomorrow"]) {
        return Some(When::Tomorrow);
    }
    if has(&OUTLOOK) {
        return Some(When::Outlook);
    }
    has(&["now", "today", "currently", "tonight", "right now", "at the moment"]).then_some(When::Now)
}

/// Returns `true` if `phrase` occurs as whole words.
fn contains_words(words: &[&str], phrase: &str) -> bool {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    words.windows(phrase.len()).any(|window| window == phrase)
}

/// Longest greeting or farewell, in words.
const SHORT_WORDS: usize = 4;

const RECALL: [&str; 10] = [
    "did i ask",
    "did i say",
    "did i just ask",
    "did i just say",
    "have i asked",
    "i asked before",
    "my last question",
    "my previous question",
    "my last message",
    "what i asked",
];
const SUMMARY: [&str; 7] = [
    "summarise",
    "summarize",
    "summary",
    "sum up",
    "recap",
    "what did we talk about",
    "what have we talked about",
];
const MARKDOWN: [&str; 2] = ["markdown", "formatting"];
const STORY: [&str; 7] = ["story", "tale", "long answer", "long text", "essay", "mayfly", "mayflies"];
const IDENTITY: [&str; 14] = [
    "who are you",
    "what are you",
    "who is this",
    "your name",
    "which model",
    "what model",
    "are you an ai",
    "are you ai",
    "are you human",
    "are you a human",
    "are you a bot",
    "are you real",
    "language model",
    "an llm",
];
const HELP: [&str; 7] = [
    "help",
    "what can you",
    "what can i ask",
    "what do you do",
    "what else can you",
    "how do you work",
    "commands",
];
const THANKS: [&str; 4] = ["thanks", "thank you", "thx", "cheers"];
const FAREWELL: [&str; 5] = ["bye", "goodbye", "see you", "good night", "farewell"];
const GREETING: [&str; 8] =
    ["hi", "hello", "hey", "good morning", "good afternoon", "good evening", "greetings", "howdy"];
/// Short replies that are not places, even after a question about the weather.
const SMALL_TALK: [&str; 22] = [
    "yes",
    "no",
    "ok",
    "okay",
    "cool",
    "great",
    "nice",
    "wow",
    "lol",
    "sure",
    "maybe",
    "why",
    "stop",
    "good",
    "awesome",
    "really",
    "right",
    "never mind",
    "nothing",
    "test",
    "hm",
    "sorry",
];
const COMPARE: [&str; 7] =
    ["compare", "compared", "comparison", "versus", "vs", "difference between", "than"];
const OUTLOOK: [&str; 18] = [
    "forecast",
    "outlook",
    "week",
    "weekend",
    "days",
    "later",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "on mondays",
    "coming days",
    "next days",
    "next week",
    "this week",
];
const CONTINUE: [&str; 6] = ["what about", "how about", "what of", "same for", "the same in", "as well"];
const STARTERS: [&str; 8] = ["and", "in", "for", "or", "also", "then", "but", "at"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the intent of the last message.
    fn read(messages: &[&str]) -> Intent {
        super::read(messages).pop().unwrap()
    }

    fn weather(places: &[&str], when: When) -> Intent {
        Intent::Weather(Question { places: places.iter().map(|&place| place.to_owned()).collect(), when })
    }

    #[test]
    fn weather_questions_have_many_forms() {
        for (message, place) in [
            ("What is the weather in London?", "London"),
            ("what's the weather like in london", "london"),
            ("Weather in London", "London"),
            ("London weather", "London"),
            ("weather london", "london"),
            ("Weather for London, please!", "London"),
            ("How is the weather in London today?", "London"),
            ("Is it raining in London?", "London"),
            ("Do I need an umbrella in London right now?", "London"),
            ("How hot is it in New York?", "New York"),
            ("Hi, tell me the temperature in Rio de Janeiro", "Rio de Janeiro"),
            ("Can you check the weather around San Francisco for me?", "San Francisco"),
            ("Will I need a coat in Sankt P\u{f6}lten?", "Sankt P\u{f6}lten"),
            ("how cold is it in \u{6771}\u{4eac}?", "\u{6771}\u{4eac}"),
            ("What's London's weather?", "London"),
            ("I am travelling to Berlin with my wife, how is the weather there?", "Berlin"),
            ("weather in The Hague", "The Hague"),
            ("Weather in Paris, Texas", "Paris, Texas"),
            ("What is the weather in London, UK?", "London, UK"),
        ] {
            assert_eq!(read(&[message]), weather(&[place], When::Now), "{message}");
        }
    }

    #[test]
    fn a_question_has_a_time() {
        for (message, when) in [
            ("Weather in Oslo tomorrow", When::Tomorrow),
            ("What will the weather be tomorrow in Oslo?", When::Tomorrow),
            ("Will it rain in Oslo the day after tomorrow?", When::DayAfter),
            ("Forecast for Oslo", When::Outlook),
            ("Will it snow in Oslo on Friday?", When::Outlook),
            ("Weather in Oslo this weekend", When::Outlook),
            ("Oslo forecast for tomorrow", When::Tomorrow),
            ("Weather in Oslo now", When::Now),
        ] {
            assert_eq!(read(&[message]), weather(&["Oslo"], when), "{message}");
        }
    }

    #[test]
    fn several_places_are_compared() {
        for message in [
            "compare Oslo and Rome",
            "Compare the weather in Oslo and Rome",
            "Oslo vs Rome",
            "Is Oslo warmer than Rome?",
            "weather in Oslo and in Rome",
            "Weather in Oslo, and Rome",
            "What is the weather in Oslo or Rome?",
        ] {
            assert_eq!(read(&[message]), weather(&["Oslo", "Rome"], When::Now), "{message}");
        }
        let three = weather(&["Oslo", "Rome", "New York"], When::Tomorrow);
        assert_eq!(read(&["Weather in Oslo, Rome and New York tomorrow"]), three);
    }

    #[test]
    fn a_follow_up_builds_on_the_last_question() {
        let london = "What is the weather in London?";
        for (follow_up, expected) in [
            ("and in Paris?", weather(&["Paris"], When::Now)),
            ("And Paris?", weather(&["Paris"], When::Now)),
            ("what about paris?", weather(&["paris"], When::Now)),
            ("Paris?", weather(&["Paris"], When::Now)),
            ("paris", weather(&["paris"], When::Now)),
            ("and tomorrow?", weather(&["London"], When::Tomorrow)),
            ("What about tomorrow?", weather(&["London"], When::Tomorrow)),
            ("what about the weekend", weather(&["London"], When::Outlook)),
            ("Will it rain?", weather(&["London"], When::Now)),
            ("what about tomorrow in Paris?", weather(&["Paris"], When::Tomorrow)),
            ("compare it with Paris", weather(&["London", "Paris"], When::Now)),
            ("Is it warmer than Paris?", weather(&["London", "Paris"], When::Now)),
        ] {
            assert_eq!(read(&[london, follow_up]), expected, "{follow_up}");
        }
    }

    #[test]
    fn the_last_question_is_kept_across_other_topics() {
        let said = ["Weather in Oslo tomorrow", "thanks", "show me markdown", "and in Rome?"];
        assert_eq!(read(&said[..2]), Intent::Thanks);
        assert_eq!(read(&["Weather in Oslo tomorrow", "and in Rome?"]), weather(&["Rome"], When::Tomorrow));
        assert_eq!(
            read(&["Weather in Oslo", "show me markdown", "and tomorrow?"]),
            weather(&["Oslo"], When::Tomorrow)
        );
        assert_eq!(
            read(&["compare Oslo and Rome", "which one is colder tomorrow?"]),
            weather(&["Oslo", "Rome"], When::Tomorrow)
        );
    }

    #[test]
    fn a_missing_place_is_asked_for() {
        assert_eq!(read(&["What's the weather like?"]), Intent::WhichPlace);
        assert_eq!(read(&["Will it rain tomorrow?"]), Intent::WhichPlace);
        assert_eq!(read(&["What's the weather like?", "Oslo"]), weather(&["Oslo"], When::Now));
        assert_eq!(read(&["What's the weather like?", "in oslo please"]), weather(&["oslo"], When::Now));
    }

    #[test]
    fn other_intents_are_recognised() {
        for (message, expected) in [
            ("Hello!", Intent::Greeting),
            ("hey there", Intent::Greeting),
            ("Thanks a lot", Intent::Thanks),
            ("bye", Intent::Farewell),
            ("help", Intent::Help),
            ("What can you do?", Intent::Help),
            ("Who are you?", Intent::Identity),
            ("Are you a language model?", Intent::Identity),
            ("Show me markdown", Intent::Markdown),
            ("Tell me a long story", Intent::Story),
            ("What did I ask before?", Intent::Recall),
            ("Summarise our conversation", Intent::Summary),
            ("Can you sum up what we said?", Intent::Summary),
            ("What is 2 + 2?", Intent::Unknown),
            ("asdf", Intent::Unknown),
            ("Paris", Intent::Unknown),
            ("and tomorrow?", Intent::Unknown),
            ("Who wrote War and Peace?", Intent::Unknown),
        ] {
            assert_eq!(read(&[message]), expected, "{message}");
        }
    }

    #[test]
    fn small_talk_is_not_a_place() {
        for message in ["ok", "Cool!", "nice", "thank you", "What can you do?", "why?"] {
            let intent = read(&["Weather in Oslo", message]);
            assert!(!matches!(intent, Intent::Weather(_)), "{message}: {intent:?}");
        }
    }
}

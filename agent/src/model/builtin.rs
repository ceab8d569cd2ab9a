//! The built-in model: rules instead of a language model, without key, network and randomness.
//!
//! It exists to try everything around a model: it streams token by token, calls its tool, reads the tool's results, and
//! uses earlier messages. Like every model it has no state and reads the whole conversation for each answer.
//!
//! ```text
//! user's message --intent.rs--> Intent --builtin.rs--> text (text.rs) or a call of the weather tool
//! tool results   --------------------- answer.rs ----> text
//! ```

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use mayfly_protocol::chunk::FinishReason;
use serde_json::json;

use self::intent::{Intent, Question};
use crate::conversation::{Message, ToolCall};
use crate::limits::{PLACES_MAX, QUOTE_MAX_CHARS, SUMMARY_MAX_MESSAGES};
use crate::model::{Model, ModelError, ModelEvent, Prompt};
use crate::tool::weather;

mod answer;
mod intent;
mod places;
mod text;

/// The built-in model.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    pace: Duration,
}

impl Builtin {
    /// Returns a model that waits for `pace` before each token, so that the answer visibly streams; zero in tests.
    pub fn new(pace: Duration) -> Self {
        Self { pace }
    }
}

impl Model for Builtin {
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        let pace = self.pace;
        stream::iter(decide(prompt))
            .then(move |event| async move {
                if !pace.is_zero() && matches!(event, ModelEvent::Text(_)) {
                    tokio::time::sleep(pace).await;
                }
                Ok(event)
            })
            .boxed()
    }
}

/// Returns the whole answer to a prompt.
fn decide(prompt: Prompt<'_>) -> Vec<ModelEvent> {
    let messages: Vec<&str> = prompt.messages.iter().filter_map(user_text).collect();
    let mut intents = intent::read(&messages);
    let intent = intents.pop().unwrap_or(Intent::Unknown);
    let Some(Message::User(latest)) = prompt.messages.last() else {
        return text_answer(&answer::from_tools(&intent, since_last_user(prompt.messages)));
    };
    let before = &messages[..messages.len() - 1];
    match intent {
        Intent::Weather(question) => ask_weather(&question, prompt),
        Intent::WhichPlace => text_answer(text::WHICH_PLACE),
        Intent::Greeting => text_answer(text::GREETING),
        Intent::Thanks => text_answer(text::THANKS),
        Intent::Farewell => text_answer(text::FAREWELL),
        Intent::Help => text_answer(&format!("{}\n\n{}", text::IDENTITY, text::ABILITIES)),
        Intent::Identity => text_answer(text::IDENTITY),
        Intent::Markdown => text_answer(text::MARKDOWN),
        Intent::Story => text_answer(text::STORY),
        Intent::Recall => text_answer(&recall(before)),
        Intent::Summary => text_answer(&summary(before, intents)),
        Intent::Unknown => text_answer(&format!(
            "You said:\n\n> {}\n\n{} {}",
            quote(latest),
            text::NOT_UNDERSTOOD,
            text::ABILITIES
        )),
    }
}

fn user_text(message: &Message) -> Option<&str> {
    match message {
        Message::User(text) => Some(text),
        Message::Assistant { .. } | Message::Tool { .. } => None,
    }
}

/// Returns the messages after the user's last one.
fn since_last_user(messages: &[Message]) -> &[Message] {
    let begin = messages.iter().rposition(|message| matches!(message, Message::User(_)));
    &messages[begin.map_or(0, |begin| begin + 1)..]
}

fn ask_weather(question: &Question, prompt: Prompt<'_>) -> Vec<ModelEvent> {
    if !prompt.tools.iter().any(|tool| tool.name == weather::NAME) {
        return text_answer(text::NO_WEATHER_TOOL);
    }
    let places = &question.places[..question.places.len().min(PLACES_MAX)];
    let mut events = tokens(&format!("Let me look up the weather in {}.", text::listed(places)));
    let calls = places.iter().enumerate().map(|(index, place)| {
        ModelEvent::Call(ToolCall {
            id: format!("call-{}", index + 1),
            name: weather::NAME.to_owned(),
            input: json!({ "place": place }),
        })
    });
    events.extend(calls);
    events.push(ModelEvent::Finish(FinishReason::ToolCalls));
    events
}

fn recall(before: &[&str]) -> String {
    match before.last() {
        Some(message) => format!("Just before, you said:\n\n> {}", quote(message)),
        None => "Nothing yet: this is the first thing you said to me.".to_owned(),
    }
}

fn summary(before: &[&str], intents: Vec<Intent>) -> String {
    if before.is_empty() {
        return "There is nothing to sum up yet: our conversation begins here.".to_owned();
    }
    let left_out = before.len().saturating_sub(SUMMARY_MAX_MESSAGES);
    let mut summary = "This is what you said so far:\n\n".to_owned();
    for (index, message) in before.iter().enumerate().skip(left_out) {
        summary += &format!("{}. {}\n", index + 1, quote(message));
    }
    let mut places: Vec<String> = Vec::new();
    for intent in intents {
        let Intent::Weather(question) = intent else { continue };
        for place in question.places {
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    if !places.is_empty() {
        summary += &format!("\nWe looked at the weather in {}.", text::listed(&places));
    }
    summary
}

/// Returns a message on one line, shortened.
fn quote(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTE_MAX_CHARS) {
        Some((end, _)) => format!("{}\u{2026}", &line[..end]),
        None => line,
    }
}

/// Returns the events of an answer without tool calls.
fn text_answer(text: &str) -> Vec<ModelEvent> {
    let mut events = tokens(text);
    events.push(ModelEvent::Finish(FinishReason::Stop));
    events
}

/// Splits a text into words with the white space after each.
fn tokens(text: &str) -> Vec<ModelEvent> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let space = rest[word..].find(|letter: char| !letter.is_whitespace()).unwrap_or(rest.len() - word);
        let (token, after) = rest.split_at(word + space);
        tokens.push(ModelEvent::Text(token.to_owned()));
        rest = after;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_with_their_space() {
        let text = "A  word,\n\n- a list\n";
        let token = |event| if let ModelEvent::Text(token) = event { Some(token) } else { None };
        let tokens: Vec<_> = tokens(text).into_iter().map_while(token).collect();
        assert_eq!(tokens, ["A  ", "word,\n\n", "- ", "a ", "list\n"]);
        assert_eq!(tokens.concat(), text);
    }

    #[test]
    fn a_quote_is_one_short_line() {
        assert_eq!(quote(" two\n  lines "), "two lines");
        let long = quote(&"\u{e9}".repeat(QUOTE_MAX_CHARS + 1));
        assert_eq!(long.chars().count(), QUOTE_MAX_CHARS + 1);
        assert!(long.ends_with('\u{2026}'));
    }
}

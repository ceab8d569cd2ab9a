//! Calls of tools as providers stream them: a name unlike any other, and the input once it is complete.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::conversation::{Message, ToolCall};
use crate::model::ModelEvent;

/// The calls' names that are taken in a conversation.
pub(super) struct Names(HashSet<String>);

impl Names {
    pub(super) fn of(messages: &[Message]) -> Self {
        let calls = messages.iter().flat_map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            Message::Person(_) | Message::Tool { .. } => &[],
        });
        Self(calls.map(|call| call.id.clone()).collect())
    }

    /// The provider's name, or another where it gave none, or one that is taken: some number each answer's calls anew.
    pub(super) fn take(&mut self, proposed: &str) -> String {
        let mut name = proposed.to_owned();
        let mut number = self.0.len();
        while name.is_empty() || self.0.contains(&name) {
            number += 1;
            name = format!("call-{number}");
        }
        self.0.insert(name.clone());
        name
    }
}

/// A call whose input is complete.
pub(super) fn complete(id: String, name: String, json: &str) -> ModelEvent {
    let input = if json.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(json) };
    let (input, why) = match input {
        Ok(Value::Null) => return ModelEvent::Call(ToolCall { id, name, input: Value::Object(Map::new()) }),
        Ok(input @ Value::Object(_)) => return ModelEvent::Call(ToolCall { id, name, input }),
        Ok(input) => (input, "the input must be a JSON object".to_owned()),
        Err(error) => {
            // What is shown of it must fit an event.
            let begin: String = json.chars().take(1_000).collect();
            (Value::String(begin), format!("the input is no JSON: {error}"))
        }
    };
    ModelEvent::BadCall { call: ToolCall { id, name, input }, why }
}

/// A call's input as providers read it back: always an object.
pub(super) fn input_of(call: &ToolCall) -> Value {
    if call.input.is_object() { call.input.clone() } else { Value::Object(Map::new()) }
}

/// What a tool answered, as the text that a model reads.
pub(super) fn text_of(outcome: &Result<Value, String>) -> String {
    match outcome {
        Ok(Value::String(text)) => text.clone(),
        Ok(output) => output.to_string(),
        Err(why) => format!("The tool failed: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_call_has_a_name_of_its_own() {
        let call = |id: &str| ToolCall { id: id.to_owned(), name: "weather".to_owned(), input: json!({}) };
        let calls = vec![call("a"), call("call-3")];
        let messages = [Message::Assistant { text: String::new(), calls, kept: None }];
        let mut names = Names::of(&messages);
        let taken: Vec<_> = ["b", "a", "", "b"].map(|name| names.take(name)).into();
        assert_eq!(taken, ["b", "call-4", "call-5", "call-6"]);
    }

    #[test]
    fn an_input_is_an_object_or_refused() {
        let input = |json: &str| {
            let event = complete("a".to_owned(), "weather".to_owned(), json);
            if let ModelEvent::BadCall { call, why } = event {
                return Err((call.input, why));
            }
            if let ModelEvent::Call(call) = event { Ok(call.input) } else { panic!("{event:?}") }
        };
        for (json, expected) in [("", json!({})), (" null ", json!({})), (r#"{"a":[1]}"#, json!({"a": [1]}))]
        {
            assert_eq!(input(json), Ok(expected));
        }
        assert_eq!(input("[1]"), Err((json!([1]), "the input must be a JSON object".to_owned())));
        let (cut, why) = input(r#"{"pl"#).unwrap_err();
        assert_eq!(cut, json!(r#"{"pl"#));
        assert!(why.starts_with("the input is no JSON: EOF"), "{why}");
    }
}

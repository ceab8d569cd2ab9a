//! Tool calls as providers stream them: unique ids and complete inputs.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::conversation::{Message, ToolCall};
use crate::model::ModelEvent;

/// The call ids of a conversation.
pub(super) struct CallIds(HashSet<String>);

impl CallIds {
    pub(super) fn of(messages: &[Message]) -> Self {
        let calls = messages.iter().flat_map(|message| match message {
            Message::Assistant { calls, .. } => calls.as_slice(),
            Message::User(_) | Message::Tool { .. } => &[],
        });
        Self(calls.map(|call| call.id.clone()).collect())
    }

    /// Returns `proposed`, or a new id if it is empty or taken: some providers number the calls of each answer from 1.
    pub(super) fn take(&mut self, proposed: &str) -> String {
        let mut id = proposed.to_owned();
        let mut number = self.0.len();
        while id.is_empty() || self.0.contains(&id) {
            number += 1;
            id = format!("call-{number}");
        }
        self.0.insert(id.clone());
        id
    }
}

/// Returns the event of a call whose input is complete.
pub(super) fn complete(id: String, name: String, json: &str) -> ModelEvent {
    let input = if json.trim().is_empty() { Ok(Value::Null) } else { serde_json::from_str(json) };
    let (input, reason) = match input {
        Ok(Value::Null) => return ModelEvent::Call(ToolCall { id, name, input: Value::Object(Map::new()) }),
        Ok(input @ Value::Object(_)) => return ModelEvent::Call(ToolCall { id, name, input }),
        Ok(input) => (input, "the input must be a JSON object".to_owned()),
        Err(error) => {
            // The part that is shown has to fit an event.
            let begin: String = json.chars().take(1_000).collect();
            (Value::String(begin), format!("the input is not valid JSON: {error}"))
        }
    };
    ModelEvent::InvalidCall { call: ToolCall { id, name, input }, reason }
}

/// Returns a call's input as providers read it back: always an object.
pub(super) fn input_of(call: &ToolCall) -> Value {
    if call.input.is_object() { call.input.clone() } else { Value::Object(Map::new()) }
}

/// Returns a tool's result as the text that a model reads.
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
    fn each_call_has_its_own_id() {
        let call = |id: &str| ToolCall { id: id.to_owned(), name: "weather".to_owned(), input: json!({}) };
        let calls = vec![call("a"), call("call-3")];
        let messages = [Message::Assistant { text: String::new(), calls, provider_state: None }];
        let mut names = CallIds::of(&messages);
        let taken: Vec<_> = ["b", "a", "", "b"].map(|name| names.take(name)).into();
        assert_eq!(taken, ["b", "call-4", "call-5", "call-6"]);
    }

    #[test]
    fn an_input_that_is_not_an_object_is_invalid() {
        let input = |json: &str| {
            let event = complete("a".to_owned(), "weather".to_owned(), json);
            if let ModelEvent::InvalidCall { call, reason } = event {
                return Err((call.input, reason));
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
        assert!(why.starts_with("the input is not valid JSON: EOF"), "{why}");
    }
}

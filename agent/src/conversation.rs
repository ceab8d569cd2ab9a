//! The conversation as models read it: messages of the user, of the model and of tools.
//!
//! Owns the messages and their bound in bytes. Knows nothing of turns, streams or models.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::CONVERSATION_MAX_BYTES;

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// A message of the user.
    #[serde(rename = "person")]
    User(String),
    /// The model's output of one step.
    Assistant {
        /// The text; may be empty if the model only called tools.
        text: String,
        /// The tool calls; a [`Message::Tool`] answers each.
        calls: Vec<ToolCall>,
        /// The same output in the provider's own form, such as signed reasoning, which the model reads back in later
        /// steps of the turn. Optional for the model; removed at the user's next message.
        #[serde(skip)]
        provider_state: Option<Value>,
    },
    /// The result of a tool call.
    Tool {
        /// [`ToolCall::id`] of the call.
        call: String,
        /// The output, or the reason of the failure.
        outcome: Result<Value, String>,
    },
}

/// A model's request to call a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The call's id, made by the model and unique in the turn.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The input, in the form of the tool's schema.
    pub input: Value,
}

/// The messages in order, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    /// Returns all messages.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a message. A user's message that exceeds the bound removes the oldest exchanges: each a user's message with
    /// everything that answered it, so that no tool result is left without its call.
    pub fn push(&mut self, message: Message) {
        let begins_exchange = matches!(message, Message::User(_));
        self.messages.push(message);
        if begins_exchange {
            self.clear_provider_state();
            self.trim();
        }
    }

    /// Returns the last message of the user and everything after it.
    pub fn last_exchange(&self) -> &[Message] {
        let begin = self.messages.iter().rposition(|message| matches!(message, Message::User(_)));
        &self.messages[begin.unwrap_or(0)..]
    }

    /// Removes the older half of the exchanges, rounded up, but never the last one. Returns the number removed.
    pub fn remove_older_half(&mut self) -> usize {
        let is_user = |message: &Message| matches!(message, Message::User(_));
        let begins: Vec<usize> = (0..self.messages.len()).filter(|at| is_user(&self.messages[*at])).collect();
        let removed = begins.len().saturating_sub(1).div_ceil(2);
        if let Some(begin) = begins.get(removed) {
            self.messages.drain(..*begin);
        }
        removed
    }

    fn clear_provider_state(&mut self) {
        for message in &mut self.messages {
            if let Message::Assistant { provider_state, .. } = message {
                *provider_state = None;
            }
        }
    }

    fn trim(&mut self) {
        let mut excess =
            self.messages.iter().map(size_bytes).sum::<usize>().saturating_sub(CONVERSATION_MAX_BYTES);
        let mut removed = 0;
        while excess > 0 {
            let rest = &self.messages[removed..];
            let Some(next) = rest.iter().skip(1).position(|message| matches!(message, Message::User(_)))
            else {
                break;
            };
            let exchange = &rest[..=next];
            excess = excess.saturating_sub(exchange.iter().map(size_bytes).sum());
            removed += exchange.len();
        }
        self.messages.drain(..removed);
    }
}

fn size_bytes(message: &Message) -> usize {
    match message {
        Message::User(text) => text.len(),
        Message::Assistant { text, calls, .. } => {
            text.len() + calls.iter().map(|call| call.input.to_string().len()).sum::<usize>()
        }
        Message::Tool { outcome: Ok(output), .. } => output.to_string().len(),
        Message::Tool { outcome: Err(why), .. } => why.len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(bytes: usize) -> Message {
        Message::User("x".repeat(bytes))
    }

    fn answer() -> [Message; 3] {
        let call = ToolCall { id: "call-1".into(), name: "weather".into(), input: json!({"place": "Oslo"}) };
        [
            Message::Assistant {
                text: "Let me see.".into(),
                calls: vec![call],
                provider_state: Some(json!(1)),
            },
            Message::Tool { call: "call-1".into(), outcome: Err("no".into()) },
            Message::Assistant { text: "No.".into(), calls: Vec::new(), provider_state: None },
        ]
    }

    #[test]
    fn the_oldest_exchanges_are_removed_whole() {
        let mut conversation = Conversation::default();
        let third = CONVERSATION_MAX_BYTES / 3 - 100;
        for _ in 0..3 {
            conversation.push(user(third));
            answer().into_iter().for_each(|message| conversation.push(message));
        }
        assert_eq!(conversation.messages().len(), 12, "an answer never makes the agent forget");
        conversation.push(user(1000));
        assert_eq!(conversation.messages().len(), 9);
        assert_eq!(conversation.messages()[0], user(third));
    }

    #[test]
    fn provider_state_ends_with_the_next_user_message() {
        let mut conversation = Conversation::default();
        conversation.push(user(1));
        answer().into_iter().for_each(|message| conversation.push(message));
        let has_state = |conversation: &Conversation| {
            let with_state =
                |message: &Message| matches!(message, Message::Assistant { provider_state: Some(_), .. });
            conversation.messages().iter().any(with_state)
        };
        assert!(has_state(&conversation));
        conversation.push(user(1));
        assert!(!has_state(&conversation));
    }

    #[test]
    fn the_older_half_is_removed_in_whole_exchanges() {
        for (exchanges, removed) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let mut conversation = Conversation::default();
            for size in 1..=exchanges {
                conversation.push(user(size));
                answer().into_iter().for_each(|message| conversation.push(message));
            }
            assert_eq!(conversation.remove_older_half(), removed, "of {exchanges}");
            assert_eq!(conversation.messages().len(), 4 * (exchanges - removed));
            assert!(conversation.messages().first().is_none_or(|first| *first == user(removed + 1)));
        }
    }

    #[test]
    fn the_latest_message_is_kept_whatever_its_size() {
        let mut conversation = Conversation::default();
        conversation.push(user(10));
        conversation.push(user(CONVERSATION_MAX_BYTES + 1));
        assert_eq!(conversation.messages(), [user(CONVERSATION_MAX_BYTES + 1)]);
    }
}

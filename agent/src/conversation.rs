//! What was said so far: the agent's memory, in the shape that models take.
//!
//! Owns the messages and their bound. Knows nothing of turns, streams or models.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::CONVERSATION_MAX_BYTES;

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// What the person said.
    Person(String),
    /// What the model said in one step, and the tools it called.
    Assistant {
        /// Its words; may be empty when it only called tools.
        text: String,
        /// Its calls; each is answered by a [`Message::Tool`].
        calls: Vec<ToolCall>,
        /// The same as the model wants to read it back while the turn goes on, such as signed thoughts; only that
        /// model knows what is in it, and it can do without. Forgotten when the person speaks next.
        #[serde(skip)]
        kept: Option<Value>,
    },
    /// What a tool answered.
    Tool {
        /// [`ToolCall::id`] of the call.
        call: String,
        /// Its output, or why there is none.
        outcome: Result<Value, String>,
    },
}

/// A model's wish to call a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call; the model makes it, unlike any other in the turn.
    pub id: String,
    /// Names the tool.
    pub name: String,
    /// As the tool's schema says.
    pub input: Value,
}

/// The messages in order, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    messages: Vec<Message>,
}

impl Conversation {
    /// All that is remembered.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Adds a message. When a person's would be too much, the oldest exchanges are forgotten: each a person's message
    /// with everything that answered it, so that no answer is left without its call.
    pub fn push(&mut self, message: Message) {
        let begins_exchange = matches!(message, Message::Person(_));
        self.messages.push(message);
        if begins_exchange {
            self.forget_kept();
            self.forget();
        }
    }

    /// The last message of the person, and all that followed.
    pub fn last_exchange(&self) -> &[Message] {
        let begin = self.messages.iter().rposition(|message| matches!(message, Message::Person(_)));
        &self.messages[begin.unwrap_or(0)..]
    }

    /// Forgets the older half of the exchanges, rounded up, but never the last one. Returns how many.
    pub fn forget_older_half(&mut self) -> usize {
        let is_person = |message: &Message| matches!(message, Message::Person(_));
        let begins: Vec<usize> =
            (0..self.messages.len()).filter(|at| is_person(&self.messages[*at])).collect();
        let forgotten = begins.len().saturating_sub(1).div_ceil(2);
        if let Some(begin) = begins.get(forgotten) {
            self.messages.drain(..*begin);
        }
        forgotten
    }

    fn forget_kept(&mut self) {
        for message in &mut self.messages {
            if let Message::Assistant { kept, .. } = message {
                *kept = None;
            }
        }
    }

    fn forget(&mut self) {
        let mut excess =
            self.messages.iter().map(size_bytes).sum::<usize>().saturating_sub(CONVERSATION_MAX_BYTES);
        let mut forgotten = 0;
        while excess > 0 {
            let rest = &self.messages[forgotten..];
            let Some(next) = rest.iter().skip(1).position(|message| matches!(message, Message::Person(_)))
            else {
                break;
            };
            let exchange = &rest[..=next];
            excess = excess.saturating_sub(exchange.iter().map(size_bytes).sum());
            forgotten += exchange.len();
        }
        self.messages.drain(..forgotten);
    }
}

fn size_bytes(message: &Message) -> usize {
    match message {
        Message::Person(text) => text.len(),
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

    fn person(bytes: usize) -> Message {
        Message::Person("x".repeat(bytes))
    }

    fn answer() -> [Message; 3] {
        let call = ToolCall { id: "call-1".into(), name: "weather".into(), input: json!({"place": "Oslo"}) };
        [
            Message::Assistant { text: "Let me see.".into(), calls: vec![call], kept: Some(json!(1)) },
            Message::Tool { call: "call-1".into(), outcome: Err("no".into()) },
            Message::Assistant { text: "No.".into(), calls: Vec::new(), kept: None },
        ]
    }

    #[test]
    fn whole_exchanges_are_forgotten_oldest_first() {
        let mut conversation = Conversation::default();
        let third = CONVERSATION_MAX_BYTES / 3 - 100;
        for _ in 0..3 {
            conversation.push(person(third));
            answer().into_iter().for_each(|message| conversation.push(message));
        }
        assert_eq!(conversation.messages().len(), 12, "an answer never makes the agent forget");
        conversation.push(person(1000));
        assert_eq!(conversation.messages().len(), 9);
        assert_eq!(conversation.messages()[0], person(third));
    }

    #[test]
    fn what_a_model_keeps_is_kept_until_the_person_speaks() {
        let mut conversation = Conversation::default();
        conversation.push(person(1));
        answer().into_iter().for_each(|message| conversation.push(message));
        let has_kept = |conversation: &Conversation| {
            let kept = |message: &Message| matches!(message, Message::Assistant { kept: Some(_), .. });
            conversation.messages().iter().any(kept)
        };
        assert!(has_kept(&conversation));
        conversation.push(person(1));
        assert!(!has_kept(&conversation));
    }

    #[test]
    fn the_older_half_is_forgotten_in_whole_exchanges() {
        for (exchanges, forgotten) in [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
            let mut conversation = Conversation::default();
            for size in 1..=exchanges {
                conversation.push(person(size));
                answer().into_iter().for_each(|message| conversation.push(message));
            }
            assert_eq!(conversation.forget_older_half(), forgotten, "of {exchanges}");
            assert_eq!(conversation.messages().len(), 4 * (exchanges - forgotten));
            assert!(conversation.messages().first().is_none_or(|first| *first == person(forgotten + 1)));
        }
    }

    #[test]
    fn the_message_to_be_answered_is_kept_whatever_its_size() {
        let mut conversation = Conversation::default();
        conversation.push(person(10));
        conversation.push(person(CONVERSATION_MAX_BYTES + 1));
        assert_eq!(conversation.messages(), [person(CONVERSATION_MAX_BYTES + 1)]);
    }
}

//! Which model answers: read from the environment, checked at start.
//!
//! `MODEL` names it, as `anthropic:NAME`, `openai:NAME` or `builtin`. Without it, it is the provider whose key is there,
//! Anthropic's first; without any key the built-in one. Knows nothing of requests.

use std::ffi::OsString;

use axum::http::Uri;
use mayfly_protocol::environment::{
    ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, MODEL, MODEL_MAX_TOKENS, MODEL_REASONING, OPENAI_API_KEY,
    OPENAI_BASE_URL,
};

use crate::config::ConfigError;
use crate::http::Http;
use crate::limits::BUILTIN_PACE;
use crate::model::anthropic::{self, Anthropic};
use crate::model::builtin::Builtin;
use crate::model::openai::{self, OpenAi};
use crate::model::retry::Retrying;
use crate::model::{Key, Model};

const ANTHROPIC_MODEL: &str = "claude-sonnet-5-5";
const OPENAI_MODEL: &str = "gpt-5.4-mini";

const MODEL_ACCEPTED: &str = "anthropic:NAME, openai:NAME, builtin, or to be absent";
const LOCAL_MODEL_ACCEPTED: &str = "openai:NAME, as the server at OPENAI_BASE_URL calls its model";
const MAX_TOKENS_ACCEPTED: &str = "a whole number from 1, or to be absent";
const REASONING_ACCEPTED: &str =
    "off, low, medium, high, a number of tokens from 1024 (Anthropic only), or to be absent";
const BASE_URL_ACCEPTED: &str = "http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], or to be absent";
const KEY_ACCEPTED: &str = "the provider's key, unless the address of a server of your own is given";
const KEY_SHAPE_ACCEPTED: &str = "1 to 1024 visible ASCII characters, or to be absent";

/// The model that was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The one that needs nothing.
    Builtin,
    /// One behind the Messages API.
    Anthropic(Settings),
    /// One behind chat completions.
    OpenAi(Settings),
}

/// How a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name with its provider.
    pub model: String,
    /// Where, without a slash at its end.
    pub base_url: String,
    /// With what key.
    pub key: Option<Key>,
    /// How long an answer may get, in tokens.
    pub max_tokens: Option<u32>,
    /// How much it thinks.
    pub reasoning: Reasoning,
}

/// How much a model thinks before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reasoning {
    /// As the provider has it.
    Unset,
    /// Not at all.
    Off,
    /// As much as this word says: `low`, `medium` or `high`.
    Effort(&'static str),
    /// Up to so many tokens.
    Budget(u32),
}

impl Choice {
    /// Reads the environment through `get`. What is empty counts as absent.
    ///
    /// # Errors
    /// The first variable that is missing or not accepted. No error holds a key.
    pub fn read(get: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, ConfigError> {
        let read = Reader { get };
        let anthropic = || read.settings(ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, anthropic::BASE_URL);
        let openai = || {
            let settings = read.settings(OPENAI_API_KEY, OPENAI_BASE_URL, openai::BASE_URL)?;
            match settings.reasoning {
                Reasoning::Budget(tokens) => {
                    Err(invalid(MODEL_REASONING, &tokens.to_string(), REASONING_ACCEPTED))
                }
                Reasoning::Unset | Reasoning::Off | Reasoning::Effort(_) => Ok(settings),
            }
        };
        let has = |name| read.text(name).map(|text| text.is_some());
        let Some(model) = read.text(MODEL)? else {
            if has(ANTHROPIC_API_KEY)? {
                return Ok(Self::Anthropic(anthropic()?.named(ANTHROPIC_MODEL)));
            }
            if has(OPENAI_BASE_URL)? {
                return Err(ConfigError::Missing { name: MODEL, accepted: LOCAL_MODEL_ACCEPTED });
            }
            if has(OPENAI_API_KEY)? {
                return Ok(Self::OpenAi(openai()?.named(OPENAI_MODEL)));
            }
            return Ok(Self::Builtin);
        };
        match model.split_once(':') {
            None if model == "builtin" => Ok(Self::Builtin),
            Some(("anthropic", name)) if !name.is_empty() => Ok(Self::Anthropic(anthropic()?.named(name))),
            Some(("openai", name)) if !name.is_empty() => Ok(Self::OpenAi(openai()?.named(name))),
            _ => Err(invalid(MODEL, &model, MODEL_ACCEPTED)),
        }
    }

    /// The model itself.
    pub fn build(self, http: Http) -> Box<dyn Model> {
        match self {
            Self::Builtin => Box::new(Builtin::new(BUILTIN_PACE)),
            Self::Anthropic(settings) => Box::new(Retrying::new(Anthropic::new(http, settings))),
            Self::OpenAi(settings) => Box::new(Retrying::new(OpenAi::new(http, settings))),
        }
    }

    /// What it is called, for logs.
    pub fn name(&self) -> &str {
        match self {
            Self::Builtin => "builtin",
            Self::Anthropic(settings) | Self::OpenAi(settings) => &settings.model,
        }
    }
}

impl Settings {
    fn named(self, model: &str) -> Self {
        Self { model: model.to_owned(), ..self }
    }
}

struct Reader<G> {
    get: G,
}

impl<G: Fn(&'static str) -> Option<OsString>> Reader<G> {
    fn text(&self, name: &'static str) -> Result<Option<String>, ConfigError> {
        let text = (self.get)(name).map(OsString::into_string).transpose();
        let text = text.map_err(|_| ConfigError::Invalid {
            name,
            value: "no text".to_owned(),
            accepted: "a text in UTF-8",
        })?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    fn settings(
        &self,
        key_variable: &'static str,
        url_variable: &'static str,
        base_url: &str,
    ) -> Result<Settings, ConfigError> {
        let own_url = self.text(url_variable)?;
        let own_url = own_url
            .map(|text| parse_base_url(&text).ok_or_else(|| invalid(url_variable, &text, BASE_URL_ACCEPTED)));
        let own_url = own_url.transpose()?;
        let hidden = || "not shown".to_owned();
        let key = self.text(key_variable)?.map(|text| {
            let invalid =
                ConfigError::Invalid { name: key_variable, value: hidden(), accepted: KEY_SHAPE_ACCEPTED };
            Key::parse(text).ok_or(invalid)
        });
        let key = key.transpose()?;
        if key.is_none() && own_url.is_none() {
            return Err(ConfigError::Missing { name: key_variable, accepted: KEY_ACCEPTED });
        }
        Ok(Settings {
            model: String::new(),
            base_url: own_url.unwrap_or_else(|| base_url.to_owned()),
            key,
            max_tokens: self.number(MODEL_MAX_TOKENS)?,
            reasoning: self.reasoning()?,
        })
    }

    fn number(&self, name: &'static str) -> Result<Option<u32>, ConfigError> {
        let parse = |text: String| {
            let number = text.parse().ok().filter(|number| *number > 0);
            number.ok_or_else(|| invalid(name, &text, MAX_TOKENS_ACCEPTED))
        };
        self.text(name)?.map(parse).transpose()
    }

    fn reasoning(&self) -> Result<Reasoning, ConfigError> {
        let Some(text) = self.text(MODEL_REASONING)? else { return Ok(Reasoning::Unset) };
        Ok(match text.as_str() {
            "off" => Reasoning::Off,
            "low" => Reasoning::Effort("low"),
            "medium" => Reasoning::Effort("medium"),
            "high" => Reasoning::Effort("high"),
            number => match number.parse() {
                Ok(tokens @ 1024..) => Reasoning::Budget(tokens),
                _ => return Err(invalid(MODEL_REASONING, &text, REASONING_ACCEPTED)),
            },
        })
    }
}

fn invalid(name: &'static str, value: &str, accepted: &'static str) -> ConfigError {
    ConfigError::Invalid { name, value: format!("{value:?}"), accepted }
}

/// Nothing that might be a credential: no user, no query.
fn parse_base_url(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?.as_str();
    let fits = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.query().is_none()
        && !authority.contains('@');
    fits.then(|| text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-secret";

    fn read(variables: &[(&str, &str)]) -> Result<Choice, String> {
        let choice = Choice::read(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        });
        choice.map_err(|error| error.to_string())
    }

    fn settings(model: &str, base_url: &str, has_key: bool) -> Settings {
        Settings {
            model: model.to_owned(),
            base_url: base_url.to_owned(),
            key: has_key.then(|| Key::parse(SECRET.to_owned()).unwrap()),
            max_tokens: None,
            reasoning: Reasoning::Unset,
        }
    }

    #[test]
    fn the_key_that_is_there_chooses() {
        let anthropic = Choice::Anthropic(settings(ANTHROPIC_MODEL, anthropic::BASE_URL, true));
        let openai = Choice::OpenAi(settings(OPENAI_MODEL, openai::BASE_URL, true));
        let keys = [("OPENAI_API_KEY", SECRET), ("ANTHROPIC_API_KEY", SECRET)];
        assert_eq!(read(&[]), Ok(Choice::Builtin));
        assert_eq!(read(&[("MODEL", ""), ("OPENAI_API_KEY", "")]), Ok(Choice::Builtin));
        assert_eq!(read(&keys[..1]), Ok(openai));
        assert_eq!(read(&keys), Ok(anthropic));
    }

    #[test]
    fn model_chooses_whatever_keys_there_are() {
        let keys = [("OPENAI_API_KEY", SECRET), ("ANTHROPIC_API_KEY", SECRET)];
        let with = |model| read(&[keys[0], keys[1], ("MODEL", model)]);
        assert_eq!(with("builtin"), Ok(Choice::Builtin));
        assert_eq!(with("openai:gpt-9"), Ok(Choice::OpenAi(settings("gpt-9", openai::BASE_URL, true))));
        assert_eq!(
            with("anthropic:claude-9"),
            Ok(Choice::Anthropic(settings("claude-9", anthropic::BASE_URL, true)))
        );
        let local = [("MODEL", "openai:llama3.2:3b"), ("OPENAI_BASE_URL", "http://127.0.0.1:11434/v1/")];
        let expected = Choice::OpenAi(settings("llama3.2:3b", "http://127.0.0.1:11434/v1", false));
        assert_eq!(read(&local), Ok(expected), "a server of one's own needs no key");
    }

    #[test]
    fn how_much_is_thought_and_said() {
        let with = |tokens, reasoning| {
            let key = ("ANTHROPIC_API_KEY", SECRET);
            match read(&[key, ("MODEL_MAX_TOKENS", tokens), ("MODEL_REASONING", reasoning)]) {
                Ok(Choice::Anthropic(settings)) => (settings.max_tokens, settings.reasoning),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(with("100", "off"), (Some(100), Reasoning::Off));
        assert_eq!(with("", "high"), (None, Reasoning::Effort("high")));
        assert_eq!(with("", "1024"), (None, Reasoning::Budget(1024)));
    }

    #[test]
    fn what_cannot_be_used_is_told_without_the_key() {
        let key = ("OPENAI_API_KEY", SECRET);
        for (variables, said) in [
            (vec![("MODEL", "gpt-9")], "MODEL is \"gpt-9\": it must be anthropic:NAME, openai:NAME, builtin"),
            (vec![("MODEL", "openai:"), key], "MODEL is \"openai:\""),
            (
                vec![("MODEL", "openai:gpt-9")],
                "OPENAI_API_KEY is not set: it must be the provider's key, unless",
            ),
            (
                vec![("OPENAI_BASE_URL", "http://h/v1"), key],
                "MODEL is not set: it must be openai:NAME, as the server",
            ),
            (vec![("MODEL", "openai:a"), ("OPENAI_BASE_URL", "h:80")], "OPENAI_BASE_URL is \"h:80\""),
            (vec![("MODEL", "openai:a"), ("OPENAI_BASE_URL", "http://u:p@h/")], "OPENAI_BASE_URL is"),
            (vec![("MODEL", "openai:a"), ("OPENAI_BASE_URL", "http://h/?key=1")], "OPENAI_BASE_URL is"),
            (vec![("OPENAI_API_KEY", "sk secret")], "OPENAI_API_KEY is not shown: it must be 1 to 1024"),
            (vec![key, ("MODEL_MAX_TOKENS", "0")], "MODEL_MAX_TOKENS is \"0\""),
            (vec![key, ("MODEL_REASONING", "1023")], "MODEL_REASONING is \"1023\""),
            (vec![key, ("MODEL_REASONING", "2048")], "MODEL_REASONING is \"2048\""),
        ] {
            let error = read(&variables).unwrap_err();
            assert!(error.starts_with(said), "{variables:?}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(!format!("{:?}", read(&[key])).contains("secret"));
    }
}

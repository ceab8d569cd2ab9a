//! The choice of the model: read from the environment, checked at start.
//!
//! `MODEL` names the model: `anthropic:NAME`, `openai:NAME` or `builtin`. Without `MODEL`, the agent takes a model of the
//! provider whose key is set, Anthropic first; without any key it takes the built-in one.

use std::ffi::OsString;

use mayfly_protocol::environment::{
    ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, MODEL, MODEL_MAX_TOKENS, MODEL_REASONING, OPENAI_API_KEY,
    OPENAI_BASE_URL,
};

use crate::environment::{ConfigError, Environment, base_url};
use crate::http::Http;
use crate::limits::BUILTIN_PACE;
use crate::model::Model;
use crate::model::anthropic::{self, Anthropic};
use crate::model::builtin::Builtin;
use crate::model::openai::{self, OpenAi};
use crate::model::retrying::Retrying;
use crate::model::settings::{Reasoning, Settings};
use crate::secret::Secret;

const ANTHROPIC_MODEL: &str = "claude-sonnet-5-5";
const OPENAI_MODEL: &str = "gpt-5.4-mini";

const MODEL_FORM: &str = "anthropic:NAME, openai:NAME, builtin, or to be absent";
const LOCAL_MODEL_FORM: &str = "openai:NAME, with the NAME of a model of the server at OPENAI_BASE_URL";
const MAX_TOKENS_FORM: &str = "a whole number from 1, or to be absent";
const REASONING_FORM: &str =
    "off, low, medium, high, a number of tokens from 1024 (Anthropic only), or to be absent";
const BASE_URL_FORM: &str = "http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], or to be absent";
const REQUIRED_KEY_FORM: &str = "the provider's key, unless the base URL of another server is set";
const KEY_FORM: &str = "1 to 1024 visible ASCII characters, or to be absent";

/// The model that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The built-in model, which needs no provider.
    Builtin,
    /// A model behind Anthropic's Messages API.
    Anthropic(Settings),
    /// A model behind OpenAI's chat completions API.
    OpenAi(Settings),
}

impl Choice {
    /// Reads the environment. An empty variable counts as absent.
    ///
    /// # Errors
    /// Returns the first variable that is missing or not accepted. No error contains a key.
    pub fn read<G>(env: &Environment<G>) -> Result<Self, ConfigError>
    where
        G: Fn(&'static str) -> Option<OsString>,
    {
        let anthropic = || settings(env, ANTHROPIC_API_KEY, ANTHROPIC_BASE_URL, anthropic::BASE_URL);
        let openai = || {
            let settings = settings(env, OPENAI_API_KEY, OPENAI_BASE_URL, openai::BASE_URL)?;
            match settings.reasoning {
                Reasoning::Budget(tokens) => {
                    Err(ConfigError::invalid(MODEL_REASONING, &tokens.to_string(), REASONING_FORM))
                }
                Reasoning::Unset | Reasoning::Off | Reasoning::Effort(_) => Ok(settings),
            }
        };
        let has = |name| env.nonempty(name).map(|text| text.is_some());
        let Some(model) = env.nonempty(MODEL)? else {
            if has(ANTHROPIC_API_KEY)? {
                return Ok(Self::Anthropic(anthropic()?.with_model(ANTHROPIC_MODEL)));
            }
            if has(OPENAI_BASE_URL)? {
                return Err(ConfigError::Missing { name: MODEL, accepted: LOCAL_MODEL_FORM });
            }
            if has(OPENAI_API_KEY)? {
                return Ok(Self::OpenAi(openai()?.with_model(OPENAI_MODEL)));
            }
            return Ok(Self::Builtin);
        };
        match model.split_once(':') {
            None if model == "builtin" => Ok(Self::Builtin),
            Some(("anthropic", name)) if !name.is_empty() => {
                Ok(Self::Anthropic(anthropic()?.with_model(name)))
            }
            Some(("openai", name)) if !name.is_empty() => Ok(Self::OpenAi(openai()?.with_model(name))),
            _ => Err(ConfigError::invalid(MODEL, &model, MODEL_FORM)),
        }
    }

    /// Returns the model.
    pub fn build(self, http: Http) -> Box<dyn Model> {
        match self {
            Self::Builtin => Box::new(Builtin::new(BUILTIN_PACE)),
            Self::Anthropic(settings) => Box::new(Retrying::new(Anthropic::new(http, settings))),
            Self::OpenAi(settings) => Box::new(Retrying::new(OpenAi::new(http, settings))),
        }
    }

    /// Returns the model's name for the log.
    pub fn name(&self) -> &str {
        match self {
            Self::Builtin => "builtin",
            Self::Anthropic(settings) | Self::OpenAi(settings) => &settings.model,
        }
    }
}

/// Reads the settings of one provider, all but the model's name.
fn settings<G>(
    env: &Environment<G>,
    key_variable: &'static str,
    url_variable: &'static str,
    default_url: &str,
) -> Result<Settings, ConfigError>
where
    G: Fn(&'static str) -> Option<OsString>,
{
    let own_url = env
        .nonempty(url_variable)?
        .map(|text| base_url(&text).ok_or_else(|| ConfigError::invalid(url_variable, &text, BASE_URL_FORM)));
    let own_url = own_url.transpose()?;
    let key = env
        .nonempty(key_variable)?
        .map(|text| Secret::parse(text).ok_or_else(|| ConfigError::hidden(key_variable, KEY_FORM)));
    let key = key.transpose()?;
    if key.is_none() && own_url.is_none() {
        return Err(ConfigError::Missing { name: key_variable, accepted: REQUIRED_KEY_FORM });
    }
    let max_tokens = env.nonempty(MODEL_MAX_TOKENS)?.map(|text| {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| ConfigError::invalid(MODEL_MAX_TOKENS, &text, MAX_TOKENS_FORM))
    });
    let reasoning = match env.nonempty(MODEL_REASONING)? {
        None => Reasoning::Unset,
        Some(text) => parse_reasoning(&text)
            .ok_or_else(|| ConfigError::invalid(MODEL_REASONING, &text, REASONING_FORM))?,
    };
    Ok(Settings {
        model: String::new(),
        base_url: own_url.unwrap_or_else(|| default_url.to_owned()),
        key,
        max_tokens: max_tokens.transpose()?,
        reasoning,
    })
}

fn parse_reasoning(text: &str) -> Option<Reasoning> {
    Some(match text {
        "off" => Reasoning::Off,
        "low" => Reasoning::Effort("low"),
        "medium" => Reasoning::Effort("medium"),
        "high" => Reasoning::Effort("high"),
        number => Reasoning::Budget(number.parse().ok().filter(|tokens| *tokens >= 1024)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "sk-secret";

    fn read(variables: &[(&str, &str)]) -> Result<Choice, String> {
        let choice = Choice::read(&Environment::new(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        }));
        choice.map_err(|error| error.to_string())
    }

    fn settings(model: &str, base_url: &str, has_key: bool) -> Settings {
        Settings {
            model: model.to_owned(),
            base_url: base_url.to_owned(),
            key: has_key.then(|| Secret::parse(SECRET.to_owned()).unwrap()),
            max_tokens: None,
            reasoning: Reasoning::Unset,
        }
    }

    #[test]
    fn the_key_that_is_set_chooses_the_provider() {
        let anthropic = Choice::Anthropic(settings(ANTHROPIC_MODEL, anthropic::BASE_URL, true));
        let openai = Choice::OpenAi(settings(OPENAI_MODEL, openai::BASE_URL, true));
        let keys = [("OPENAI_API_KEY", SECRET), ("ANTHROPIC_API_KEY", SECRET)];
        assert_eq!(read(&[]), Ok(Choice::Builtin));
        assert_eq!(read(&[("MODEL", ""), ("OPENAI_API_KEY", "")]), Ok(Choice::Builtin));
        assert_eq!(read(&keys[..1]), Ok(openai));
        assert_eq!(read(&keys), Ok(anthropic));
    }

    #[test]
    fn model_overrides_the_keys() {
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
    fn reasoning_and_answer_length_are_read() {
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
    fn errors_do_not_contain_the_key() {
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
                "MODEL is not set: it must be openai:NAME, with the NAME",
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

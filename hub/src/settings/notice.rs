//! Startup messages about the settings, one line each.

use std::env;

use mayfly_platform::settings::{AgentEnv, PlatformKind};
use mayfly_protocol::environment::{ANTHROPIC_API_KEY, MODEL, MODEL_VARIABLES, OPENAI_API_KEY};

use crate::settings::{Config, OWN_AGENT};

/// Returns the line that says which model agents use, as far as the hub knows.
pub fn model(config: &Config) -> String {
    let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
    model_line(config, is_set)
}

fn model_line(config: &Config, is_set: impl Fn(&str) -> bool) -> String {
    let env = &config.agents.env;
    let model = match config.platform.kind {
        PlatformKind::Static => return "Model: chosen by the agents at --static-agents".to_owned(),
        PlatformKind::Process if config.platform.agent_command.join(" ") != OWN_AGENT => {
            "chosen by the agent of --agent-command".to_owned()
        }
        PlatformKind::Docker if config.platform.docker.image != "mayfly-agent" => {
            "chosen by the agent of --agent-image".to_owned()
        }
        PlatformKind::Process | PlatformKind::Docker => own_agents_model(env),
    };
    let is_given = |name: &&str| env.iter().any(|(given, _)| given == *name);
    let kept: Vec<_> = MODEL_VARIABLES.into_iter().filter(|name| is_set(name) && !is_given(name)).collect();
    match kept.as_slice() {
        [] => format!("Model: {model}"),
        [one] => format!("Model: {model} ({one} is set but not listed in --agent-env)"),
        [first @ .., last] => {
            let names = first.join(", ");
            format!("Model: {model} ({names} and {last} are set but not listed in --agent-env)")
        }
    }
}

/// The model that the agent of this program chooses with these variables (agent/src/model/choice.rs).
fn own_agents_model(env: &AgentEnv) -> String {
    let value = |name: &str| env.iter().find(|(given, _)| *given == name).map(|(_, value)| value);
    if let Some(model) = value(MODEL) {
        return model.to_owned();
    }
    let opener = [ANTHROPIC_API_KEY, OPENAI_API_KEY].into_iter().find(|name| value(name).is_some());
    match opener {
        Some(key) => format!("the agent's default for {key}"),
        None => "built-in".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(passed: AgentEnv, set: &[&str]) -> String {
        let mut config = Config::default();
        config.platform.agent_command = OWN_AGENT.split(' ').map(str::to_owned).collect();
        config.agents.env = passed;
        model_line(&config, |name| set.contains(&name))
    }

    #[test]
    fn a_key_that_agents_do_not_receive_is_named() {
        let none = AgentEnv::default;
        assert_eq!(line(none(), &[]), "Model: built-in");
        let kept = "Model: built-in (OPENAI_API_KEY is set but not listed in --agent-env)";
        assert_eq!(line(none(), &["OPENAI_API_KEY"]), kept);
        let both =
            "Model: built-in (ANTHROPIC_API_KEY and OPENAI_API_KEY are set but not listed in --agent-env)";
        assert_eq!(line(none(), &["OPENAI_API_KEY", "ANTHROPIC_API_KEY"]), both);
    }

    #[test]
    fn the_model_is_the_one_that_the_agents_variables_choose() {
        let key = AgentEnv::from([("OPENAI_API_KEY", "hush")]);
        assert_eq!(line(key, &["OPENAI_API_KEY"]), "Model: the agent's default for OPENAI_API_KEY");
        let model = AgentEnv::from([("OPENAI_API_KEY", "hush"), ("MODEL", "openai:gpt-5.4")]);
        assert_eq!(line(model, &["OPENAI_API_KEY", "MODEL"]), "Model: openai:gpt-5.4");
    }

    #[test]
    fn another_agent_chooses_its_own_model() {
        let mut config = Config::default();
        config.platform.agent_command = vec!["other".to_owned()];
        assert_eq!(model_line(&config, |_| false), "Model: chosen by the agent of --agent-command");
        config.platform.kind = PlatformKind::Static;
        assert_eq!(model_line(&config, |_| true), "Model: chosen by the agents at --static-agents");
    }
}

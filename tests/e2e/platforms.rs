//! Each platform keeps the rules of `tests/src/contract.rs`.

mod process {
    use std::path::PathBuf;

    use anyhow::Result;
    use mayfly_platform::Platform;
    use mayfly_platform::process::ProcessPlatform;
    use mayfly_platform::settings::{AgentNetwork, Containment, SandboxKind};
    use mayfly_tests::contract;
    use mayfly_tests::contract::{Fixture, Program};
    use mayfly_tests::harness::program;
    use tempfile::TempDir;

    struct Processes {
        platform: ProcessPlatform,
        _data: TempDir,
    }

    impl Fixture for Processes {
        async fn open(what: Program) -> Result<Self> {
            let path = match what {
                Program::Agent => program("mayfly-agent")?,
                Program::Probe => program("probe-agent")?,
                Program::Missing => PathBuf::from("/nonexistent/agent"),
            };
            let data = tempfile::tempdir()?;
            let containment =
                Containment { sandbox: SandboxKind::Auto, paths: Vec::new(), network: AgentNetwork::None };
            let command = vec![path.display().to_string()];
            let platform =
                ProcessPlatform::new(command, program("mayfly")?, data.path(), &containment, None)?;
            Ok(Self { platform, _data: data })
        }

        fn platform(&self) -> &dyn Platform {
            &self.platform
        }
    }

    contract!(Processes);
}

mod docker {
    use anyhow::{Context, Result};
    use mayfly_platform::Platform;
    use mayfly_platform::docker::DockerPlatform;
    use mayfly_protocol::ids::Incarnation;
    use mayfly_tests::contract::{Fixture, Program};
    use mayfly_tests::{contract, engine};
    use tempfile::TempDir;

    struct Containers {
        platform: DockerPlatform,
        _data: TempDir,
    }

    impl Fixture for Containers {
        async fn open(what: Program) -> Result<Self> {
            let image = match what {
                Program::Agent => engine::AGENT_IMAGE,
                Program::Probe => engine::PROBE_IMAGE,
                Program::Missing => "mayfly-tests/missing",
            };
            let settings = engine::settings(engine::host().context("there is an engine")?, image);
            let data = tempfile::tempdir()?;
            let cluster = Incarnation::random().short();
            let platform = DockerPlatform::open(settings, data.path(), cluster, None).await?;
            Ok(Self { platform, _data: data })
        }

        fn is_there() -> bool {
            engine::host().is_some()
        }

        fn platform(&self) -> &dyn Platform {
            &self.platform
        }
    }

    contract!(Containers);
}

mod r#static {
    use anyhow::{Result, ensure};
    use mayfly_platform::static_::StaticPlatform;
    use mayfly_platform::{AgentAddress, AgentToken, Platform};
    use mayfly_tests::contract;
    use mayfly_tests::contract::{Fixture, Program};
    use mayfly_tests::harness::program;
    use mayfly_tests::process::Server;
    use std::process::Command;

    struct Listed {
        platform: StaticPlatform,
        _agent: Server,
    }

    impl Fixture for Listed {
        async fn open(what: Program) -> Result<Self> {
            ensure!(what == Program::Agent, "nothing is started here");
            let token = "static";
            let agent = Server::start(
                Command::new(program("sim-agent")?)
                    .args(["--listen", "127.0.0.1:0"])
                    .env("MAYFLY_TOKEN", token),
            )?;
            let address = AgentAddress::Tcp(agent.announced("listening on ")?);
            let platform = StaticPlatform::new(vec![address], AgentToken::new(token.to_owned()));
            Ok(Self { platform, _agent: agent })
        }

        fn platform(&self) -> &dyn Platform {
            &self.platform
        }
    }

    // What others started does not crash, cannot be bound and is not limited by this hub.
    contract!(Listed: a_stop_is_told_once_and_a_stale_handle_finds_nothing, what_runs_is_listed);
}

//! Agents in containers of a real engine: conversations, failures, an absent engine, a hub in a container.
//!
//! `tests/engine` starts the engine and makes the images. Without an engine these tests are skipped; in CI they fail.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use futures::future::try_join_all;
use mayfly::identity::Secret;
use mayfly_platform::Platform;
use mayfly_platform::docker::DockerPlatform;
use mayfly_tests::engine::{self, AGENT_IMAGE, HUB_IMAGE, PROBE_IMAGE};
use mayfly_tests::harness::{Client, Hub, text_of};
use mayfly_tests::relay::Relay;
use serde_json::json;

use crate::egress::{weather, weather_service};
use crate::support::{agents, ask, connect, eventually, is_contiguous, no_agent_is_left};

mod adoption;
mod chaos;

/// Arguments of every hub in these tests.
fn args<'a>(host: &'a str, image: &'a str) -> [&'a str; 6] {
    ["--platform", "docker", "--docker-host", host, "--agent-image", image]
}

/// Returns the output of the engine's own client.
fn docker(host: &str, args: &[&str]) -> Result<String> {
    let output = Command::new("docker").args(["-H", host]).args(args).output()?;
    ensure!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    // A container's log has both.
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Ok(said.join("\n").trim().to_owned())
}

/// Returns the names of a hub's containers, including those that have ended.
fn containers(host: &str, data_dir: &Path) -> Result<Vec<String>> {
    let cluster = Secret::load_or_create(data_dir)?.cluster();
    let filter = format!("label=mayfly.cluster={cluster}");
    let names = docker(host, &["ps", "--all", "--no-trunc", "--filter", &filter, "--format", "{{.Names}}"])?;
    Ok(names.lines().map(str::to_owned).collect())
}

/// Makes an image from another one with a change, and returns its name.
fn changed(host: &str, image: &str, change: &str) -> Result<String> {
    let container = docker(host, &["create", image])?;
    let made = docker(host, &["commit", "--change", change, &container])?;
    docker(host, &["rm", &container])?;
    Ok(made)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_sockets_get_a_container_each_and_none_is_left() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let mut hub = Hub::start(&args(&host, AGENT_IMAGE))?;
    let mut clients = try_join_all((0..50).map(|_| connect(&hub))).await?;
    let answers = try_join_all(clients.iter_mut().map(|client| ask(client, "Hello, who are you?"))).await?;
    assert_eq!((agents(&hub)?.len(), containers(&host, hub.data_dir())?.len()), (50, 50));
    for frames in answers {
        assert_eq!(frames.last().context("frames")?["reason"], "complete");
        assert!(is_contiguous(&frames) && !text_of(&frames).is_empty(), "{frames:?}");
    }
    try_join_all(clients.into_iter().map(Client::close)).await?;
    no_agent_is_left(&hub).await?;
    assert_eq!(containers(&host, hub.data_dir())?, Vec::<String>::new());
    assert!(hub.stop()?.success());
    Ok(())
}

#[tokio::test]
async fn a_container_without_a_network_reaches_the_weather_through_the_hub() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let service = weather_service().await?;
    let url = format!("http://{service}");
    let environment = [("MAYFLY_WEATHER_URL", url.as_str())];
    let with = |allowed| {
        let more = ["--agent-env", "MAYFLY_WEATHER_URL", "--egress-allow", allowed];
        Hub::start_with(&[&args(&host, AGENT_IMAGE)[..], &more].concat(), &environment)
    };
    let hub = with(&service)?;
    let output = weather(&hub).await?;
    assert_eq!(
        (&output["source"], &output["temperature_c"]),
        (&"Open-Meteo".into(), &9.4.into()),
        "{output}"
    );
    no_agent_is_left(&hub).await?;
    let counted = "egress closed";
    assert!(
        hub.log().lines().any(|line| line.contains(counted) && line.contains("\"refusals\":0")),
        "{}",
        hub.log()
    );
    let hub = with("weather.example:443")?;
    assert_eq!(weather(&hub).await?["source"], "climate normals");
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn a_missing_image_is_reported() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let hub = Hub::start(&args(&host, "mayfly-tests/missing"))?;
    assert!(hub.log().contains("the engine lacks the agents' image"), "{}", hub.log());
    let (frames, code, _) = connect(&hub).await?.until_closed().await?;
    let [.., error, ended] = frames.as_slice() else { bail!("{frames:?}") };
    assert_eq!((&error["code"], &ended["reason"]), (&json!("spawn.image"), &json!("spawn_failed")));
    assert_eq!(code, 4508);
    assert!(hub.log().contains("has no image mayfly-tests/missing"), "{}", hub.log());
    no_agent_is_left(&hub).await
}

#[tokio::test]
async fn the_bridge_belongs_to_the_cluster_and_publishes_no_port() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let hub = Hub::start(&[&args(&host, AGENT_IMAGE)[..], &["--docker-network", "bridge"]].concat())?;
    assert!(hub.log().contains("agents can reach everything that this machine can"), "{}", hub.log());
    let mut client = connect(&hub).await?;
    assert_eq!(ask(&mut client, "Hello").await?.pop().context("done")?["reason"], "complete");
    let name = containers(&host, hub.data_dir())?.pop().context("one")?;
    let network = format!("mayfly-{}", Secret::load_or_create(hub.data_dir())?.cluster());
    let of_container = "{{.HostConfig.NetworkMode}} {{len .HostConfig.PortBindings}}";
    assert_eq!(docker(&host, &["inspect", "--format", of_container, &name])?, format!("{network} 0"));
    let icc = r#"{{index .Options "com.docker.network.bridge.enable_icc"}}"#;
    assert_eq!(docker(&host, &["network", "inspect", "--format", icc, &network])?, "false");
    client.close().await?;
    no_agent_is_left(&hub).await?;
    docker(&host, &["network", "rm", &network]).map(drop)
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_at_the_start() {
    let error = Hub::start(&args("unix:///nonexistent/docker.sock", AGENT_IMAGE)).unwrap_err();
    let told = format!("{error:#}");
    assert!(
        told.contains("unix:///nonexistent/docker.sock does not answer") && told.contains("--docker-host"),
        "{told}"
    );
    let error = Hub::start(&args("tcp://10.0.0.1:2375", AGENT_IMAGE)).unwrap_err();
    assert!(format!("{error:#}").contains("expected unix://PATH"));
}

#[tokio::test]
async fn only_the_operator_sees_an_agents_last_lines() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let image = changed(&host, AGENT_IMAGE, "ENV MAYFLY_WEATHER_URL=between-us")?;
    let hub = Hub::start(&args(&host, &image))?;
    let (frames, code, _) = connect(&hub).await?.until_closed().await?;
    assert_eq!((code, &frames[frames.len() - 2]["code"]), (4508, &json!("spawn.failed")));
    assert!(!format!("{frames:?}").contains("between-us"), "{frames:?}");
    no_agent_is_left(&hub).await?;
    let log = hub.log();
    let told = log.lines().find(|line| line.contains("agent exited unexpectedly")).context("it is told")?;
    assert!(told.contains("between-us") && told.contains("\"exit_code\":2"), "{told}");
    Ok(())
}

#[tokio::test]
async fn the_operator_sees_that_an_agent_ran_out_of_memory() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let hub = Hub::start(&[&args(&host, PROBE_IMAGE)[..], &["--agent-memory", "64MiB"]].concat())?;
    let mut client = connect(&hub).await?;
    client.send_text("memory 128").await?;
    let (_, code, _) = client.until_closed().await?;
    assert_eq!(code, 4509);
    no_agent_is_left(&hub).await?;
    assert!(hub.log().contains("agent killed: out of memory"), "{}", hub.log());
    Ok(())
}

// The relay goes on while this thread waits for the hub to start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_survive_an_absent_engine() -> Result<()> {
    let Some(socket) = engine::socket() else { return Ok(()) };
    let (direct, relay) = (format!("unix://{}", socket.display()), Relay::start(&socket)?);
    let host = format!("unix://{}", relay.path().display());
    let hub = Hub::start(&args(&host, AGENT_IMAGE))?;
    let (mut one, mut other) = (connect(&hub).await?, connect(&hub).await?);
    for client in [&mut one, &mut other] {
        assert_eq!(ask(client, "Hello").await?.pop().context("done")?["reason"], "complete");
    }
    let names = containers(&direct, hub.data_dir())?;
    relay.cut();
    assert_eq!(ask(&mut one, "Still there?").await?.pop().context("done")?["reason"], "complete");
    let (frames, code, _) = connect(&hub).await?.until_closed().await?;
    assert_eq!((code, &frames[frames.len() - 2]["code"]), (4508, &json!("spawn.failed")));
    assert!(hub.log().contains("the container engine does not answer"), "{}", hub.log());
    for name in &names {
        docker(&direct, &["kill", name])?;
    }
    relay.mend()?;
    for client in [one, other] {
        assert_eq!(client.until_closed().await?.1, 4509);
    }
    no_agent_is_left(&hub).await?;
    assert_eq!(containers(&direct, hub.data_dir())?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_platform_lists_the_containers_of_its_cluster_only() -> Result<()> {
    let Some(host) = engine::host() else { return Ok(()) };
    let mut hub = Hub::start(&args(&host, AGENT_IMAGE))?;
    let mut client = connect(&hub).await?;
    let ready = client.next_frame().await?;
    assert_eq!(ask(&mut client, "Hello").await?.pop().context("done")?["reason"], "complete");
    let directory = agents(&hub)?.pop().context("one agent")?;
    let stray = hub.data_dir().join("run/01234567");
    std::fs::create_dir(&stray)?;
    hub.kill()?;
    let secret = Secret::load_or_create(hub.data_dir())?;
    let settings = || engine::settings(host.clone(), AGENT_IMAGE);
    let elsewhere = tempfile::tempdir()?;
    let other = DockerPlatform::open(settings(), elsewhere.path(), "another".to_owned(), None).await?;
    assert!(other.list().await?.is_empty(), "another cluster's are not its own");
    let next = DockerPlatform::open(settings(), hub.data_dir(), secret.cluster(), None).await?;
    let found = next.list().await?;
    let [found] = found.as_slice() else { bail!("{found:?}") };
    assert_eq!(found.session.map(|session| session.to_string()).as_deref(), ready["session"].as_str());
    assert_eq!(
        directory.file_name().and_then(|name| name.to_str()),
        Some(found.incarnation.short().as_str())
    );
    assert!(directory.exists() && !stray.exists());
    let handle = found.handle(secret.agent_token(found.incarnation));
    assert!(next.stop(&handle).await? && handle.gone.is_cancelled() && !directory.exists());
    assert_eq!(containers(&host, hub.data_dir())?, Vec::<String>::new());
    Ok(())
}

/// A container that is removed when this value is dropped.
struct Container<'a>(&'a str, String);

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = docker(self.0, &["rm", "--force", &self.1]);
    }
}

#[tokio::test]
async fn a_hub_in_a_container_has_its_agents_beside_it() -> Result<()> {
    let Some(socket) = engine::socket() else { return Ok(()) };
    let host = format!("unix://{}", socket.display());
    let shared = tempfile::tempdir()?;
    let (path, at) = (shared.path().display(), "/var/lib/mayfly");
    let (engine, data) = (format!("{}:/var/run/docker.sock", socket.display()), format!("{path}:{at}"));
    let host_path = path.to_string();
    let run =
        ["run", "--detach", "--network", "host", "--volume", &engine, "--volume", &data, HUB_IMAGE, "serve"];
    let inner = ["--listen", "127.0.0.1:0", "--log", "json", "--grace", "0s", "--data-dir", at];
    let docker_args = ["--docker-data-dir", &host_path, "--platform", "docker", "--agent-image", AGENT_IMAGE];
    let container = Container(&host, docker(&host, &[&run[..], &inner, &docker_args].concat())?);
    let url = eventually(|| {
        let log = docker(&host, &["logs", &container.1])?;
        let line = log.lines().find_map(|line| line.split_once("is at http://"));
        Ok(line.map(|(_, authority)| format!("ws://{}/ws", authority.trim())))
    })
    .await?;
    let mut client = Client::connect(&url).await?;
    assert_eq!(ask(&mut client, "Hello").await?.pop().context("done")?["reason"], "complete");
    assert_eq!(containers(&host, shared.path())?.len(), 1);
    client.close().await?;
    eventually(|| Ok(containers(&host, shared.path())?.is_empty().then_some(()))).await?;
    Ok(())
}

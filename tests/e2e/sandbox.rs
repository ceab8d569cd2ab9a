//! Containment: an agent tries to get out of each sandbox, and the documentation's table of what it can do is compared.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::{Client, FRAME_TIMEOUT, Hub, program, text_of};
use mayfly_tests::{engine, probe};
use tempfile::TempDir;

use crate::support::{agents, ask, connect, eventually, no_agent_is_left};

/// The page with the table.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/security.md");
/// The metadata service of every cloud.
const METADATA: &str = "169.254.169.254:80";

/// A hub with a probing agent and a neighbouring agent, in one kind of sandbox.
struct Ward {
    hub: Hub,
    neighbour: Client,
    /// The neighbour's directory on this machine.
    directory: PathBuf,
    /// A directory that is neither the hub's nor an agent's.
    outside: TempDir,
    _engine: UnixListener,
}

impl Ward {
    async fn open(sandbox: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let probe = program("probe-agent")?;
        let command = probe.to_str().context("a path in UTF-8")?;
        Self::with(&["--agent-command", command, "--sandbox", sandbox], variables).await
    }

    async fn in_a_container(host: &str) -> Result<Self> {
        let image = ["--agent-image", engine::PROBE_IMAGE];
        Self::with(&[&["--platform", "docker", "--docker-host", host][..], &image].concat(), &[]).await
    }

    async fn with(args: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let hub = Hub::start_with(args, variables)?;
        let mut neighbour = connect(&hub).await?;
        tell(&mut neighbour, "where").await?;
        let [directory] = agents(&hub)?.try_into().ok().context("only the neighbour")?;
        let outside = tempfile::tempdir()?;
        let _engine = UnixListener::bind(outside.path().join("engine.sock"))?;
        Ok(Self { hub, neighbour, directory, outside, _engine })
    }

    /// Makes all attempts and returns the outcomes in the table's order.
    async fn outcomes(&mut self) -> Result<Vec<String>> {
        let mut client = connect(&self.hub).await?;
        // An engine adds its own.
        let told = tell(&mut client, "environment").await?;
        let others = ["yes", "HOME", "HOSTNAME", "PATH"];
        let variables: Vec<_> = told.split(' ').filter(|name| !others.contains(name)).collect();
        let expected =
            ["MAYFLY_DEADLINE", "MAYFLY_EGRESS", "MAYFLY_LISTEN", "MAYFLY_SESSION", "MAYFLY_TOKEN"];
        assert_eq!(variables, expected);
        let neighbour = self.directory.display();
        let (data, outside) = (self.hub.data_dir().display(), self.outside.path().display());
        let (pid, address) = (self.hub.pid, self.hub.url.trim_start_matches("http://"));
        assert!(self.directory.join("agent.sock").exists() && fs::exists(format!("{data}/secret"))?);
        let mut outcomes = Vec::new();
        for attempt in [
            format!("read {data}/secret"),
            format!("list {neighbour}"),
            format!("read /proc/{pid}/environ"),
            format!("write {outside}/written"),
            format!("read /proc/{pid}/cmdline"),
            format!("signal {pid}"),
            format!("connect-unix {neighbour}/agent.sock"),
            format!("connect-unix {outside}/engine.sock"),
            format!("connect-tcp {address}"),
            format!("route {METADATA}"),
            format!("fill {outside} 96"),
        ] {
            let told = tell(&mut client, &attempt).await?;
            outcomes.push(told.split(' ').next().unwrap_or_default().to_owned());
        }
        client.close().await?;
        for attempt in ["fill-own 512", "memory 1024"] {
            outcomes.push(self.ended_or_not(attempt).await?);
        }
        outcomes.push(self.left("processes 1000").await?.0);
        outcomes.push(if self.left("detach").await?.1 { "yes" } else { "no" }.to_owned());
        Ok(outcomes)
    }

    /// Returns the outcome of an attempt, `ended` if the agent does not survive it.
    async fn ended_or_not(&mut self, attempt: &str) -> Result<String> {
        let mut client = connect(&self.hub).await?;
        client.send_text(attempt).await?;
        let frames = client.until_turn_done().await?;
        if frames.last().is_some_and(|done| done["reason"] == "complete") {
            client.close().await?;
            self.others_are_well().await?;
            return Ok(text_of(&frames).split(' ').next().unwrap_or_default().to_owned());
        }
        let (_, code, _) = client.until_closed().await?;
        assert_eq!(code, 4509, "{attempt}");
        self.others_are_well().await?;
        Ok("ended".to_owned())
    }

    /// Returns the outcome of an attempt that starts processes, and whether one of them outlives the session.
    async fn left(&mut self, attempt: &str) -> Result<(String, bool)> {
        let marker = format!("{}.{}", 1_000_000 + self.hub.pid, attempt.len());
        let mut client = connect(&self.hub).await?;
        let told = tell(&mut client, &format!("{attempt} {marker}")).await?;
        // A process that is between two programs has no command line.
        let seen = eventually(|| Ok(is_running(&marker)?.then_some(()))).await;
        seen.with_context(|| format!("{attempt}: {told}"))?;
        client.close().await?;
        self.others_are_well().await?;
        Ok((told.split(' ').next().unwrap_or_default().to_owned(), is_running(&marker)?))
    }

    /// Ends all sessions, so that nothing is left where agents outlive their hub.
    async fn close(self) -> Result<()> {
        self.neighbour.close().await?;
        no_agent_is_left(&self.hub).await
    }

    /// Waits until only the neighbour is left, and checks that it is unchanged.
    async fn others_are_well(&mut self) -> Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        let deadline = tokio::time::Instant::now() + FRAME_TIMEOUT;
        while agents(&self.hub)?.len() > 1 {
            ensure!(tokio::time::Instant::now() < deadline, "not gone; the hub says:\n{}", self.hub.log());
            ticks.tick().await;
        }
        tell(&mut self.neighbour, "where").await.map(drop)
    }
}

/// Sends a message and returns the agent's answer.
async fn tell(client: &mut Client, attempt: &str) -> Result<String> {
    Ok(text_of(&ask(client, attempt).await?))
}

/// Returns `true` if a process on this machine has the marker as its argument.
fn is_running(marker: &str) -> Result<bool> {
    for process in fs::read_dir("/proc")? {
        // What is no process, or gone, has no command line.
        let line = fs::read_to_string(process?.path().join("cmdline")).unwrap_or_default();
        if line.split('\0').any(|argument| argument == marker) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the documented table: the rows' names, and each column's cells.
fn documented() -> Result<(Vec<String>, [Vec<String>; 4])> {
    let page = fs::read_to_string(PAGE)?;
    let mut sections = page.split("\n## ");
    let section = sections.find(|section| section.starts_with("What contains an agent"));
    let section = section.context("the section is there")?;
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    let (mut names, mut columns) = (Vec::new(), [const { Vec::new() }; 4]);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let [name, cells @ ..]: [String; 5] = cells.try_into().ok().context("five cells")?;
        names.push(name);
        for (column, cell) in columns.iter_mut().zip(cells) {
            column.push(cell);
        }
    }
    Ok((names, columns))
}

/// Returns the expected outcomes on this machine: the documented column with the changes that the hub logged at its
/// start.
fn expected(names: &[String], column: Vec<String>, hub_log: &str) -> Vec<String> {
    let is_told = |words: &str| hub_log.contains(words);
    let is_open = |what: &str| {
        hub_log.lines().any(|line| line.contains("agents are not limited") && line.contains(what))
    };
    let cell = |(name, cell): (&String, String)| match name.as_str() {
        "signal the hub" if is_told("agents can signal this hub") => "yes".to_owned(),
        name if name.contains("another agent's socket") || name.contains("engine's socket") => {
            let is_kept = is_told("agent containment is weaker than with bubblewrap")
                && !is_told("connect to Unix sockets of others");
            if is_kept { "no".to_owned() } else { cell }
        }
        name if name.contains("MiB of memory") && is_open("memory") => "yes".to_owned(),
        name if name.contains("processes") && is_open("processes") && nix::unistd::geteuid().is_root() => {
            "yes".to_owned()
        }
        name if name.contains("network")
            && probe::attempt(&format!("route {METADATA}")).starts_with("no") =>
        {
            "no".to_owned()
        }
        _ => cell,
    };
    names.iter().zip(column).map(cell).collect()
}

#[tokio::test]
async fn containment_matches_the_documented_table() -> Result<()> {
    let (names, [in_a_container, columns @ ..]) = documented()?;
    let (mut found, mut wanted) = (Vec::new(), Vec::new());
    if let Some(host) = engine::host() {
        let mut ward = Ward::in_a_container(&host).await?;
        found.push(ward.outcomes().await?);
        ward.close().await?;
        wanted.push(in_a_container);
    }
    // Without PATH there is no bubblewrap to be found.
    let hidden = [("PATH", "/nonexistent")];
    let wards = [("bwrap", &[][..]), ("auto", &hidden[..]), ("none", &[][..])];
    for ((sandbox, variables), column) in wards.into_iter().zip(columns) {
        let mut ward = Ward::open(sandbox, variables).await?;
        found.push(ward.outcomes().await?);
        wanted.push(expected(&names, column, &ward.hub.log()));
    }
    println!("[container] bubblewrap, Landlock only, none: can an agent …");
    for (row, name) in names.iter().enumerate() {
        let cells: Vec<_> = found.iter().map(|column| column[row].as_str()).collect();
        println!("{name:<50} {}", cells.join(" "));
    }
    assert_eq!(found, wanted, "the documented rows: {names:?}");
    Ok(())
}

#[tokio::test]
async fn an_agent_in_bubblewrap_has_a_small_tmp_of_its_own() -> Result<()> {
    let mut ward = Ward::open("bwrap", &[]).await?;
    let told = tell(&mut ward.neighbour, "fill /tmp 96").await?;
    assert!(told.starts_with("no after 64 MiB"), "{told}");
    assert!(!Path::new("/tmp/probe-0").exists());
    Ok(())
}

#[tokio::test]
async fn missing_bubblewrap_is_reported() -> Result<()> {
    let error = Hub::start_with(&["--sandbox", "bwrap"], &[("PATH", "/nonexistent")]).unwrap_err();
    let told = format!("{error:#}");
    assert!(told.contains("--sandbox bwrap: bwrap is not on PATH"), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_socket_replaced_by_a_link_is_refused() -> Result<()> {
    let mut ward = Ward::open("auto", &[]).await?;
    let mut client = connect(&ward.hub).await?;
    let own = tell(&mut client, "where").await?;
    let own = Path::new(own.strip_prefix("yes ").context("it knows where it is")?).join("agent.sock");
    let neighbour = tell(&mut ward.neighbour, "where").await?;
    let neighbour =
        Path::new(neighbour.strip_prefix("yes ").context("it knows where it is")?).join("agent.sock");
    fs::remove_file(&own)?;
    std::os::unix::fs::symlink(&neighbour, &own)?;
    let done = ask(&mut client, "where").await?.pop().context("the turn is done")?;
    assert_eq!((&done["reason"], &done["error"]["code"]), (&"error".into(), &"agent.unreachable".into()));
    client.close().await?;
    ward.others_are_well().await
}

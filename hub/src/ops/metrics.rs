//! The hub's metrics for Prometheus: every metric's name, unit and help text.
//!
//! Events off the token path are counted as they happen. Each session counts its own events on the token path and adds
//! them to these metrics from time to time. Values that other parts maintain are read when Prometheus asks. No label names
//! a session or a person.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::hub::{Status, Step};
use mayfly_session::{SessionSummary, TurnSummary};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::ops::journal::Journal;

/// Content type of [`Metrics::text`]: the text format of OpenMetrics.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCode {
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStep {
    platform: &'static str,
    step: String,
}

/// All metrics of one hub.
pub(crate) struct Metrics {
    registry: Registry,
    platform: &'static str,
    sessions: Family<ByState, Gauge>,
    ended: Family<ByReason, Counter>,
    steps: Family<ByStep, Histogram>,
    turns: Family<ByReason, Counter>,
    turn_errors: Family<ByCode, Counter>,
    turn_seconds: Histogram,
    first_token: Histogram,
    tokens: Family<ByKind, Counter>,
    refused: Family<ByCode, Counter>,
    pool_agents: Family<ByState, Gauge>,
    pool_claims: Counter,
    pool_misses: Counter,
    pub(crate) sockets: Gauge,
    pub(crate) log_bytes: Gauge,
    pub(crate) sent_frames: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) agent_bytes: Counter,
    pub(crate) relay: Histogram,
    ready: Gauge,
    waiting: Gauge,
    spawns: Gauge,
    spawns_waiting: Gauge,
    journal_queue: Gauge,
    journal_trouble: Gauge,
    memory: Gauge,
    descriptors: Gauge,
}

/// State of the warm pool.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PoolStats {
    pub(crate) agents: PoolCounts,
    /// Agents that were handed out.
    pub(crate) claims: u64,
    /// Requests that found no agent.
    pub(crate) misses: u64,
}

/// Numbers of warm agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PoolCounts {
    /// Agents that can be handed out.
    pub(crate) ready: usize,
    /// Agents that are being started.
    pub(crate) starting: usize,
    /// Agents that are being stopped.
    pub(crate) stopping: usize,
}

/// Sockets and agents that wait or start.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line {
    /// Sockets in line for a session.
    pub(crate) sockets: usize,
    /// Agents that are starting.
    pub(crate) spawns: usize,
    /// Agents that wait to start.
    pub(crate) spawns_waiting: usize,
}

impl Metrics {
    pub(crate) fn new(platform: &'static str, journal: &Journal) -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let mut metrics = Self {
            registry: Registry::with_prefix("mayfly"),
            platform,
            sessions: Family::default(),
            ended: Family::default(),
            steps: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 18))),
            turns: Family::default(),
            turn_errors: Family::default(),
            turn_seconds: seconds(),
            first_token: seconds(),
            tokens: Family::default(),
            refused: Family::default(),
            pool_agents: Family::default(),
            pool_claims: Counter::default(),
            pool_misses: Counter::default(),
            sockets: Gauge::default(),
            log_bytes: Gauge::default(),
            sent_frames: Counter::default(),
            sent_bytes: Counter::default(),
            agent_bytes: Counter::default(),
            relay: Histogram::new(exponential_buckets(0.000_002, 2.0, 18)),
            ready: Gauge::default(),
            waiting: Gauge::default(),
            spawns: Gauge::default(),
            spawns_waiting: Gauge::default(),
            journal_queue: Gauge::default(),
            journal_trouble: Gauge::default(),
            memory: Gauge::default(),
            descriptors: Gauge::default(),
        };
        metrics.register_sessions();
        metrics.register_pool();
        metrics.register_relay();
        metrics.register_hub(journal);
        for status in [Status::Creating, Status::Active, Status::Idle, Status::Terminating] {
            metrics.sessions.get_or_create(&by_state(status)).set(0);
        }
        metrics
    }

    fn register_sessions(&mut self) {
        let Self { registry, .. } = self;
        registry.register("sessions", "Sessions by state", self.sessions.clone());
        registry.register("sessions_ended", "Sessions that ended, by reason", self.ended.clone());
        let help = "Duration of each step of an agent's start, by platform and step";
        registry.register_with_unit("spawn", help, Unit::Seconds, self.steps.clone());
        registry.register("turns", "Turns that ended, by reason", self.turns.clone());
        registry.register("turn_errors", "Turns that failed, by error code", self.turn_errors.clone());
        let help = "Duration of turns";
        registry.register_with_unit("turn", help, Unit::Seconds, self.turn_seconds.clone());
        let help = "Time from a turn's start to the first piece of its answer";
        registry.register_with_unit("first_token", help, Unit::Seconds, self.first_token.clone());
        registry.register("model_tokens", "Model tokens that agents reported, by kind", self.tokens.clone());
        registry.register(
            "refused",
            "Connections refused before a session existed, by error code",
            self.refused.clone(),
        );
    }

    fn register_pool(&mut self) {
        let Self { registry, .. } = self;
        registry.register("pool_agents", "Warm agents by state", self.pool_agents.clone());
        registry.register("pool_claims", "Warm agents that sessions claimed", self.pool_claims.clone());
        let help = "Sessions that found no warm agent";
        registry.register("pool_misses", help, self.pool_misses.clone());
    }

    fn register_relay(&mut self) {
        let Self { registry, .. } = self;
        registry.register("sockets", "Open sockets", self.sockets.clone());
        let help = "Frames written to sockets";
        registry.register("sent_frames", help, self.sent_frames.clone());
        let help = "Bytes of frames written to sockets";
        registry.register_with_unit("sent", help, Unit::Bytes, self.sent_bytes.clone());
        let help = "Bytes of chunks received from agents";
        registry.register_with_unit("received", help, Unit::Bytes, self.agent_bytes.clone());
        let help = "Time from the arrival of a chunk to its last write to a socket, sampled";
        registry.register_with_unit("relay", help, Unit::Seconds, self.relay.clone());
        let help = "Memory of the transcripts of all sessions";
        registry.register_with_unit("log", help, Unit::Bytes, self.log_bytes.clone());
    }

    fn register_hub(&mut self, journal: &Journal) {
        let stats = journal.stats();
        let Self { registry, .. } = self;
        registry.register("ready", "1 if the hub accepts new sessions, else 0", self.ready.clone());
        registry.register("waiting", "Sessions that wait in line", self.waiting.clone());
        registry.register("spawns", "Agents that are starting", self.spawns.clone());
        let help = "Agents that wait to start, because --parallel-spawns agents are starting";
        registry.register("spawns_waiting", help, self.spawns_waiting.clone());
        registry.register(
            "journal_queue",
            "Entries that wait to be written to the journal",
            self.journal_queue.clone(),
        );
        registry.register(
            "journal_trouble",
            "1 if the journal cannot be written, else 0",
            self.journal_trouble.clone(),
        );
        registry.register("journal_entries", "Entries written to the journal", stats.entries.clone());
        registry.register("journal_batches", "Transactions written to the journal", stats.batches.clone());
        registry.register(
            "journal_failures",
            "Transactions and queries of the journal that failed",
            stats.failures.clone(),
        );
        registry.register("journal_lost", "Entries that the journal lost", stats.lost.clone());
        let help = "Time to write a transaction of the journal to disk";
        registry.register_with_unit("journal_commit", help, Unit::Seconds, stats.commit.clone());
        let help = "Resident memory of the hub's process";
        registry.register_with_unit("process_memory", help, Unit::Bytes, self.memory.clone());
        registry.register(
            "process_descriptors",
            "Open file descriptors of the hub's process",
            self.descriptors.clone(),
        );
        let version = vec![("version".into(), env!("CARGO_PKG_VERSION").into())];
        let build = Gauge::<i64>::default();
        build.set(1);
        let labelled = registry.sub_registry_with_labels(version.into_iter());
        labelled.register("build", "Version of the hub, as a label", build);
    }

    /// Records that a session changed its state. A new session has no state before, an ended one has none after.
    pub(crate) fn change_state(&self, before: Option<Status>, after: Option<Status>) {
        if let Some(before) = before {
            self.sessions.get_or_create(&by_state(before)).dec();
        }
        if let Some(after) = after {
            self.sessions.get_or_create(&by_state(after)).inc();
        }
    }

    pub(crate) fn count_end(&self, ended: &SessionSummary) {
        self.ended.get_or_create(&ByReason { reason: ended.reason.to_string() }).inc();
    }

    pub(crate) fn count_step(&self, step: Step, took: Duration) {
        let label = ByStep { platform: self.platform, step: step.to_string() };
        self.steps.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn count_turn(&self, turn: &TurnSummary) {
        self.turns.get_or_create(&ByReason { reason: turn.reason.to_string() }).inc();
        if let Some(code) = turn.code {
            self.turn_errors.get_or_create(&ByCode { code: code.to_string() }).inc();
        }
        if let Some(took) = turn.took {
            self.turn_seconds.observe(took.as_secs_f64());
        }
        if let Some(first) = turn.first_token {
            self.first_token.observe(first.as_secs_f64());
        }
        let usage = turn.usage.unwrap_or_default();
        for (kind, tokens) in [("input", usage.input_tokens), ("output", usage.output_tokens)] {
            if let Some(tokens) = tokens {
                self.tokens.get_or_create(&ByKind { kind }).inc_by(tokens.into());
            }
        }
    }

    /// Counts a connection that was refused before a session existed.
    pub(crate) fn count_refusal(&self, code: ErrorCode) {
        self.refused.get_or_create(&ByCode { code: code.to_string() }).inc();
    }

    fn record_pool(
        &self,
        PoolStats { agents: PoolCounts { ready, starting, stopping }, claims, misses }: PoolStats,
    ) {
        for (state, count) in [("ready", ready), ("starting", starting), ("stopping", stopping)] {
            self.pool_agents.get_or_create(&ByState { state: state.to_owned() }).set(as_gauge(count));
        }
        self.pool_claims.inner().store(claims, Ordering::Relaxed);
        self.pool_misses.inner().store(misses, Ordering::Relaxed);
    }

    /// Returns all metrics in the text format of OpenMetrics.
    pub(crate) fn text(&self, is_ready: bool, line: Line, pool: PoolStats, journal: &Journal) -> String {
        self.record_pool(pool);
        self.ready.set(i64::from(is_ready));
        self.waiting.set(as_gauge(line.sockets));
        self.spawns.set(as_gauge(line.spawns));
        self.spawns_waiting.set(as_gauge(line.spawns_waiting));
        self.journal_queue.set(as_gauge(journal.queued()));
        self.journal_trouble.set(i64::from(journal.stats().trouble().is_some()));
        self.memory.set(resident_bytes().unwrap_or_default());
        self.descriptors.set(fs::read_dir("/proc/self/fd").map_or(0, |entries| as_gauge(entries.count())));
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

fn by_state(status: Status) -> ByState {
    ByState { state: status.to_string() }
}

fn as_gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the resident memory of this process (proc_pid_status(5)).
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use mayfly_protocol::hub::{EndReason, TurnReason, Usage};
    use mayfly_protocol::ids::TurnId;

    use super::*;

    const DASHBOARD: &str = include_str!("../../../deploy/grafana/mayfly.json");

    async fn everything_happened() -> String {
        let journal = Journal::in_memory().await.unwrap();
        let metrics = Metrics::new("process", &journal);
        metrics.change_state(None, Some(Status::Creating));
        metrics.count_step(Step::Starting, Duration::from_millis(3));
        metrics.change_state(Some(Status::Creating), Some(Status::Active));
        let usage = Usage { input_tokens: Some(7), output_tokens: Some(9), ..Usage::default() };
        metrics.count_turn(&TurnSummary {
            turn: TurnId(1),
            reason: TurnReason::Error,
            code: Some(ErrorCode::AgentCrashed),
            took: Some(Duration::from_millis(20)),
            first_token: Some(Duration::from_millis(2)),
            usage: Some(usage),
        });
        metrics.count_refusal(ErrorCode::QuotaSessions);
        metrics.count_end(&SessionSummary {
            reason: EndReason::Bye,
            code: None,
            turns: 1,
            messages: 1,
            bytes: 10,
        });
        let pool =
            PoolStats { agents: PoolCounts { ready: 2, starting: 1, stopping: 0 }, claims: 5, misses: 4 };
        metrics.text(true, Line { sockets: 3, spawns: 2, spawns_waiting: 1 }, pool, &journal)
    }

    #[tokio::test]
    async fn events_appear_in_the_text() {
        let text = everything_happened().await;
        for line in [
            r#"mayfly_sessions{state="active"} 1"#,
            r#"mayfly_sessions{state="creating"} 0"#,
            r#"mayfly_sessions_ended_total{reason="bye"} 1"#,
            r#"mayfly_spawn_seconds_count{platform="process",step="starting"} 1"#,
            r#"mayfly_turns_total{reason="error"} 1"#,
            r#"mayfly_turn_errors_total{code="agent.crashed"} 1"#,
            r#"mayfly_model_tokens_total{kind="output"} 9"#,
            r#"mayfly_refused_total{code="quota.sessions"} 1"#,
            r#"mayfly_pool_agents{state="ready"} 2"#,
            "mayfly_pool_claims_total 5",
            "mayfly_pool_misses_total 4",
            "mayfly_ready 1",
            "mayfly_waiting 3",
            "mayfly_spawns 2",
            "mayfly_spawns_waiting 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn the_dashboard_names_only_metrics_that_exist() {
        let text = everything_happened().await;
        let told: BTreeSet<&str> = text.lines().filter_map(|line| line.split([' ', '{']).next()).collect();
        let mut shown = BTreeSet::new();
        for (at, _) in DASHBOARD.match_indices("mayfly_") {
            let rest = &DASHBOARD[at..];
            let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            shown.insert(&rest[..end.unwrap_or(rest.len())]);
        }
        assert!(shown.len() > 20, "{shown:?}");
        let missing: Vec<_> = shown.difference(&told).collect();
        assert!(missing.is_empty(), "{missing:?} are in deploy/grafana/mayfly.json, and not in\n{text}");
        serde_json::from_str::<serde_json::Value>(DASHBOARD).unwrap();
    }
}

//! The load driver: many sessions at once, each token checked and timed.
//!
//! A [`Fleet`] is a number of open sessions on one server. What it is asked for goes to all of them at once; the
//! [`Outcome`] is of all of them together. How a session talks is [`link`]'s, what may come is [`crate::check`]'s.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use futures::stream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::check::{Seen, Tally};
use crate::clock::{monotonic_ns, nanoseconds};
use crate::load::Load;
use crate::process::Usage;

pub mod link;

pub use link::{Link, Target};

/// Sessions that are opened at the same time; more would measure a queue.
const OPENING_AT_ONCE: usize = 32;
/// For all sessions to be open and active.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a token is on its way when nothing is wrong, and more.
const ON_ITS_WAY: Duration = Duration::from_millis(1);
/// For the answers to end after the measured window.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// A number of open sessions.
pub struct Fleet {
    links: Vec<Link>,
}

/// What all sessions are asked for, and what of it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// One message to each session; without a rate, the same again as soon as it is answered, to the window's end.
    pub load: Load,
    /// Before the window.
    pub warmup: Duration,
    /// What is measured.
    pub window: Duration,
}

/// What came.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Every token of the whole run.
    pub tally: Tally,
    /// The tokens that were due in the window, in the order of their latency. Empty without a rate.
    pub passages: Vec<Passage>,
    /// Tokens received in the window.
    pub tokens: u64,
    /// The window as it was.
    pub window: Duration,
    /// Processor time of the server in the window, if there is a server.
    pub cpu: Option<Duration>,
}

/// A token on its way.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    /// When it was due, on the clock of [`monotonic_ns`].
    pub due_ns: u64,
    /// From then to its receipt.
    pub latency_ns: u64,
}

impl Plan {
    /// `rate` tokens a second to the window's end.
    pub fn paced(rate: u64, warmup: Duration, window: Duration) -> Self {
        // A schedule begins after its message, so this many reach to the window's end.
        let seconds = (warmup + window).as_secs_f64();
        Self { load: Load { tokens: (seconds * rate as f64) as u64, rate }, warmup, window }
    }

    /// Answers of `tokens` without pause, one after the other.
    pub fn saturated(tokens: u64, warmup: Duration, window: Duration) -> Self {
        Self { load: Load { tokens, rate: 0 }, warmup, window }
    }
}

impl Outcome {
    /// Latency that this share of the tokens stays within, in nanoseconds.
    pub fn percentile_ns(&self, share: f64) -> f64 {
        let last = self.passages.len().saturating_sub(1);
        let index = (share * last as f64).round() as usize;
        self.passages.get(index).map_or(f64::NAN, |passage| passage.latency_ns as f64)
    }

    /// Leaves out the tokens that were due in one of these spans of time, just before it, or after it for as long again:
    /// what was held up has to be caught up with. How late a token was makes no difference. Returns the share that it was.
    pub fn leave_out(&mut self, spans: &[Range<u64>]) -> f64 {
        let before = self.passages.len();
        self.passages.retain(|Passage { due_ns, .. }| {
            let is_met = |span: &Range<u64>| {
                *due_ns + nanoseconds(ON_ITS_WAY) >= span.start
                    && *due_ns < span.end + (span.end - span.start)
            };
            !spans.iter().any(is_met)
        });
        (before - self.passages.len()) as f64 / before as f64
    }

    /// Tokens a second in the window.
    pub fn rate(&self) -> f64 {
        self.tokens as f64 / self.window.as_secs_f64()
    }

    /// Processor time of the server for one token, in nanoseconds.
    pub fn cpu_ns_per_token(&self) -> f64 {
        self.cpu.map_or(f64::NAN, |cpu| cpu.as_nanos() as f64 / self.tokens as f64)
    }
}

/// Runs a plan on a fresh fleet, and closes it. `server` is whose processor time counts.
///
/// # Errors
/// When a session cannot be opened, breaks off or does not end in time.
pub async fn run(
    target: &Target,
    sessions: usize,
    plan: Plan,
    server: Option<Usage>,
) -> anyhow::Result<Outcome> {
    Fleet::open(target, sessions).await?.run(plan, server).await
}

impl Fleet {
    /// Opens sessions and waits until all can talk.
    ///
    /// # Errors
    /// When one cannot be opened, or not in time.
    pub async fn open(target: &Target, sessions: usize) -> anyhow::Result<Self> {
        let opening = stream::iter(0..sessions).map(|_| Link::open(target)).buffer_unordered(OPENING_AT_ONCE);
        let links = timeout(OPEN_TIMEOUT, opening.collect::<Vec<_>>())
            .await
            .context("sessions were not open in time")?;
        Ok(Self { links: links.into_iter().collect::<anyhow::Result<_>>()? })
    }

    /// One turn in each session, without measuring.
    ///
    /// # Errors
    /// When a session breaks off or its turn does not end in time.
    pub async fn warm(&mut self, load: Load) -> anyhow::Result<()> {
        for link in &mut self.links {
            timeout(FINISH_TIMEOUT, link.turn(load, |_| {}))
                .await
                .context("a turn did not end in time")??;
        }
        Ok(())
    }

    /// Runs the plan, closes every session and checks that nothing came that should not.
    ///
    /// # Errors
    /// When a session breaks off or does not end in time.
    pub async fn run(self, plan: Plan, server: Option<Usage>) -> anyhow::Result<Outcome> {
        let received = Arc::new(AtomicU64::new(0));
        let from_ns = monotonic_ns() + nanoseconds(plan.warmup);
        let until_ns = from_ns + nanoseconds(plan.window);
        let mut sessions = JoinSet::new();
        for link in self.links {
            sessions.spawn(session(link, plan.load, from_ns..until_ns, Arc::clone(&received)));
        }

        sleep(plan.warmup).await;
        let before = (Instant::now(), received.load(Ordering::Relaxed), cpu(server)?);
        sleep(plan.window).await;
        let after = (Instant::now(), received.load(Ordering::Relaxed), cpu(server)?);

        let ended =
            timeout(FINISH_TIMEOUT, sessions.join_all()).await.context("sessions did not end in time")?;
        let mut outcome = Outcome {
            tokens: after.1 - before.1,
            window: after.0 - before.0,
            cpu: after.2.zip(before.2).map(|(after, before)| after - before),
            ..Outcome::default()
        };
        for session in ended {
            let (tally, passages) = session?;
            outcome.tally += tally;
            outcome.passages.extend(passages);
        }
        outcome.passages.sort_unstable_by_key(|passage| passage.latency_ns);
        Ok(outcome)
    }

    /// Closes every session.
    ///
    /// # Errors
    /// When one breaks off.
    pub async fn close(self) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        let closing = stream::iter(self.links).map(Link::close).buffer_unordered(OPENING_AT_ONCE);
        for closed in timeout(FINISH_TIMEOUT, closing.collect::<Vec<_>>())
            .await
            .context("sessions did not close in time")?
        {
            tally += closed?;
        }
        Ok(tally)
    }
}

fn cpu(server: Option<Usage>) -> anyhow::Result<Option<Duration>> {
    server.map(Usage::cpu).transpose()
}

/// One session: a paced turn, or turns without pause until the window's end.
async fn session(
    mut link: Link,
    load: Load,
    window_ns: Range<u64>,
    received: Arc<AtomicU64>,
) -> anyhow::Result<(Tally, Vec<Passage>)> {
    let mut passages = Vec::new();
    loop {
        link.turn(load, |seen| {
            let Seen::Token(token) = seen else { return };
            received.fetch_add(1, Ordering::Relaxed);
            if load.rate > 0 && window_ns.contains(&token.due_ns) {
                let latency_ns = monotonic_ns().saturating_sub(token.due_ns);
                passages.push(Passage { due_ns: token.due_ns, latency_ns });
            }
        })
        .await?;
        if load.rate > 0 || monotonic_ns() >= window_ns.end {
            return Ok((link.close().await?, passages));
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::address::{Address, Listener};
    use crate::baseline::{naive, relay};

    const TOKEN: &str = "secret";
    const LOAD: Load = Load { tokens: 20, rate: 0 };

    async fn loopback() -> (Listener, Address) {
        let listener = "127.0.0.1:0".parse::<Address>().unwrap().bind().await.unwrap();
        let address = listener.address().unwrap();
        (listener, address)
    }

    fn start_agent(listener: Listener) {
        tokio::spawn(crate::agent::serve(vec![listener], Some(TOKEN.to_owned())));
    }

    async fn tally_of(target: &Target) -> Tally {
        let mut fleet = Fleet::open(target, 3).await.unwrap();
        fleet.warm(LOAD).await.unwrap();
        fleet.warm(LOAD).await.unwrap();
        fleet.close().await.unwrap()
    }

    fn whole() -> Tally {
        Tally { tokens: 3 * 2 * LOAD.tokens, turns: 3 * 2, ..Tally::default() }
    }

    #[test]
    fn tokens_that_are_due_in_a_span_or_what_is_caught_up_after_it_are_left_out_however_late() {
        let passages =
            [3_999, 4_000, 6_999, 7_000].map(|due_us| Passage { due_ns: due_us * 1_000, latency_ns: 9 });
        let mut outcome = Outcome { passages: passages.to_vec(), ..Outcome::default() };
        let pause = 5_000_000..6_000_000;
        let share = outcome.leave_out(std::slice::from_ref(&pause));
        let left: Vec<_> = outcome.passages.iter().map(|passage| passage.due_ns).collect();
        assert_eq!((left, share), (vec![3_999_000, 7_000_000], 0.5));
    }

    #[tokio::test]
    async fn direct_brings_every_token_over_both_kinds_of_socket() {
        let directory = TempDir::new().unwrap();
        let unix = Address::Unix(directory.path().join("agent.sock"));
        start_agent(unix.bind().await.unwrap());
        assert_eq!(tally_of(&Target::Events(unix, TOKEN.to_owned())).await, whole());
        let (listener, tcp) = loopback().await;
        start_agent(listener);
        assert_eq!(tally_of(&Target::Events(tcp, TOKEN.to_owned())).await, whole());
    }

    #[tokio::test]
    async fn relay_brings_every_token() {
        let (listener, agent) = loopback().await;
        start_agent(listener);
        let (listener, address) = loopback().await;
        tokio::spawn(relay::serve(listener, agent));
        assert_eq!(tally_of(&Target::Events(address, TOKEN.to_owned())).await, whole());
    }

    #[tokio::test]
    async fn naive_brings_every_token() {
        let (listener, agent) = loopback().await;
        start_agent(listener);
        let (Listener::Tcp(listener), address) = loopback().await else { panic!("loopback is TCP") };
        tokio::spawn(naive::serve(listener, format!("http://{agent}"), TOKEN.to_owned()));
        assert_eq!(tally_of(&Target::Socket(format!("ws://{address}/ws"))).await, whole());
    }

    #[tokio::test]
    async fn an_agent_refuses_a_caller_without_its_token() {
        let (listener, agent) = loopback().await;
        start_agent(listener);
        let mut fleet = Fleet::open(&Target::Events(agent, "other".to_owned()), 1).await.unwrap();
        let error = fleet.warm(LOAD).await.unwrap_err();
        assert_eq!(error.to_string(), "the agent answered 401 Unauthorized");
    }

    #[test]
    fn percentiles_are_of_the_sorted_latencies() {
        let passages = (1..=101).map(|latency_ns| Passage { due_ns: 0, latency_ns }).collect();
        let outcome = Outcome { passages, ..Outcome::default() };
        assert_eq!((outcome.percentile_ns(0.5), outcome.percentile_ns(0.99)), (51.0, 100.0));
        assert!(Outcome::default().percentile_ns(0.5).is_nan());
    }
}

//! The load driver: many sessions at once, each token checked and timed.
//!
//! A [`Fleet`] is a number of open sessions on one server. It runs a [`Plan`] on all of them at once and returns one
//! [`Outcome`]. A [`Link`] is one session on the wire; [`crate::check`] checks its frames.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt;
use futures::stream;
use mayfly_tests::clock::{monotonic_ns, nanoseconds};
use mayfly_tests::load::Load;
use mayfly_tests::process::Usage;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::check::{Seen, Tally};

pub mod link;

pub use link::{Link, Target};

/// Sessions that are opened at the same time. More would measure a queue.
const OPENING_AT_ONCE: usize = 32;
/// Longest wait for all sessions to become active.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);
/// Upper bound of a token's latency on an idle machine.
const ON_ITS_WAY: Duration = Duration::from_millis(1);
/// Longest wait for the answers to end after the measured window.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);

/// A number of open sessions.
pub struct Fleet {
    links: Vec<Link>,
}

/// A load on all sessions, and the window in which it is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The message to each session. Without a rate, each session repeats it after each answer until the window ends.
    pub load: Load,
    /// Time before the window.
    pub warmup: Duration,
    /// Length of the measured window.
    pub window: Duration,
}

/// The result of a [`Plan`].
#[derive(Debug, Default)]
pub struct Outcome {
    /// The check of all frames, also outside of the window.
    pub tally: Tally,
    /// The tokens that were due in the window, sorted by latency. Empty without a rate.
    pub passages: Vec<Passage>,
    /// Tokens received in the window.
    pub tokens: u64,
    /// The actual length of the window.
    pub window: Duration,
    /// Processor time of the server in the window, if there is a server.
    pub cpu: Option<Duration>,
}

/// The latency of one token.
#[derive(Debug, Clone, Copy)]
pub struct Passage {
    /// Scheduled time of the token, on the clock of [`monotonic_ns`].
    pub due_ns: u64,
    /// Time from the schedule to the receipt.
    pub latency_ns: u64,
}

impl Plan {
    /// Returns a plan of `rate` tokens per second in each session until the window ends.
    pub fn paced(rate: u64, warmup: Duration, window: Duration) -> Self {
        // A schedule begins after its message, so this many reach to the window's end.
        let seconds = (warmup + window).as_secs_f64();
        Self { load: Load { tokens: (seconds * rate as f64) as u64, rate }, warmup, window }
    }

    /// Returns a plan of answers of `tokens` tokens, one after the other without a pause.
    pub fn saturated(tokens: u64, warmup: Duration, window: Duration) -> Self {
        Self { load: Load { tokens, rate: 0 }, warmup, window }
    }
}

impl Outcome {
    /// Returns the latency that this share of the tokens does not exceed, in nanoseconds.
    pub fn percentile_ns(&self, share: f64) -> f64 {
        let last = self.passages.len().saturating_sub(1);
        let index = (share * last as f64).round() as usize;
        self.passages.get(index).map_or(f64::NAN, |passage| passage.latency_ns as f64)
    }

    /// Removes the tokens that were due during one of these spans, just before it, or after it for as long again, while
    /// the servers catch up. The latency of a token makes no difference. Returns the removed share.
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

    /// Returns the tokens per second in the window.
    pub fn rate(&self) -> f64 {
        self.tokens as f64 / self.window.as_secs_f64()
    }

    /// Returns the processor time of the server per token, in nanoseconds.
    pub fn cpu_ns_per_token(&self) -> f64 {
        self.cpu.map_or(f64::NAN, |cpu| cpu.as_nanos() as f64 / self.tokens as f64)
    }
}

/// Returns a runtime of one thread, so that the driver takes no processor from the servers that it measures.
///
/// # Errors
/// Returns the errors of [`Builder::build`].
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Runs a plan on a new fleet and closes the fleet. The outcome has the processor time of `server`.
///
/// # Errors
/// Returns an error if a session cannot be opened, breaks off or does not end in time.
pub async fn run(
    target: &Target,
    sessions: usize,
    plan: Plan,
    server: Option<Usage>,
) -> anyhow::Result<Outcome> {
    Fleet::open(target, sessions).await?.run(plan, server).await
}

impl Fleet {
    /// Opens sessions and waits until all are active.
    ///
    /// # Errors
    /// Returns an error if a session cannot be opened in time.
    pub async fn open(target: &Target, sessions: usize) -> anyhow::Result<Self> {
        let opening = stream::iter(0..sessions).map(|_| Link::open(target)).buffer_unordered(OPENING_AT_ONCE);
        let links = timeout(OPEN_TIMEOUT, opening.collect::<Vec<_>>())
            .await
            .context("sessions were not open in time")?;
        Ok(Self { links: links.into_iter().collect::<anyhow::Result<_>>()? })
    }

    /// Runs one turn in each session, without measuring.
    ///
    /// # Errors
    /// Returns an error if a session breaks off or its turn does not end in time.
    pub async fn warm(&mut self, load: Load) -> anyhow::Result<()> {
        for link in &mut self.links {
            timeout(FINISH_TIMEOUT, link.turn(load, |_| {}))
                .await
                .context("a turn did not end in time")??;
        }
        Ok(())
    }

    /// Runs the plan, closes every session and checks all frames.
    ///
    /// # Errors
    /// Returns an error if a session breaks off or does not end in time.
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
    /// Returns an error if a session breaks off.
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

/// Runs one session: a paced turn, or turns without a pause until the window ends.
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
    use super::*;

    #[test]
    fn tokens_due_during_or_soon_after_a_pause_are_left_out() {
        let passages =
            [3_999, 4_000, 6_999, 7_000].map(|due_us| Passage { due_ns: due_us * 1_000, latency_ns: 9 });
        let mut outcome = Outcome { passages: passages.to_vec(), ..Outcome::default() };
        let pause = 5_000_000..6_000_000;
        let share = outcome.leave_out(std::slice::from_ref(&pause));
        let left: Vec<_> = outcome.passages.iter().map(|passage| passage.due_ns).collect();
        assert_eq!((left, share), (vec![3_999_000, 7_000_000], 0.5));
    }

    #[test]
    fn percentiles_follow_the_sorted_latencies() {
        let passages = (1..=101).map(|latency_ns| Passage { due_ns: 0, latency_ns }).collect();
        let outcome = Outcome { passages, ..Outcome::default() };
        assert_eq!((outcome.percentile_ns(0.5), outcome.percentile_ns(0.99)), (51.0, 100.0));
        assert!(Outcome::default().percentile_ns(0.5).is_nan());
    }
}

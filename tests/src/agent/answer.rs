//! An answer of the simulated agent: a UI-message stream of tokens on a schedule.
//!
//! The schedule is fixed when the turn begins: token `k` is due at `t0 + k / rate`, also if earlier tokens were late.
//! All tokens that are due go out in one piece.

use std::convert::Infallible;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::task::AtomicWaker;
use hyper::body::{Body, Frame};
use mayfly_protocol::chunk::{Chunk, DONE, FinishReason};

use crate::agent::pacer::Pacer;
use crate::clock::monotonic_ns;
use crate::load::Load;
use crate::token::Token;

/// Size at which a piece ends.
const PIECE_BYTES: usize = 4 * 1024;
/// Id of the only text part.
const TEXT_ID: &str = "x0";
const SECOND_NS: u64 = 1_000_000_000;

/// The body of `POST /chat`.
pub struct Answer {
    load: Load,
    t0_ns: u64,
    step: Step,
    events: u64,
    pacer: Arc<Pacer>,
    cancel: Arc<Cancel>,
    /// The current alarm, so that a poll for another reason does not set it again.
    alarm: Option<(u64, Waker)>,
}

/// Ends one answer early.
#[derive(Default)]
pub struct Cancel {
    is_cancelled: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Head,
    Token(u64),
    Tail,
    Over,
}

impl Cancel {
    /// Ends the answer with `abort`.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Answer {
    /// Creates an answer that begins now. `order` counts the agent's answers and spreads their schedules over a period,
    /// so that many sessions make an even load.
    pub fn new(load: Load, order: u64, pacer: Arc<Pacer>, cancel: Arc<Cancel>) -> Self {
        let now = monotonic_ns();
        let t0_ns = SECOND_NS.checked_div(load.rate).map_or(now, |period| {
            // Multiples of the golden ratio never crowd, however many there are.
            let phase = (order as f64 * 0.618_033_988_749_895).fract() * period as f64;
            now.next_multiple_of(period) + phase as u64
        });
        Self { load, t0_ns, step: Step::Head, events: 0, pacer, cancel, alarm: None }
    }

    /// Writes all tokens that are due, up to the size of a piece.
    fn write_due(&mut self, piece: &mut String, cx: &Context<'_>) {
        let now = monotonic_ns();
        if self.cancel.is_cancelled.load(Ordering::Acquire) && !matches!(self.step, Step::Over) {
            self.write_end(piece, &Chunk::Abort { message_metadata: None });
        }
        while piece.len() < PIECE_BYTES {
            match self.step {
                Step::Head => {
                    self.write_event(piece, &Chunk::Start.to_json());
                    self.write_event(piece, &Chunk::TextStart { id: TEXT_ID.to_owned() }.to_json());
                    self.step = Step::Token(0);
                }
                Step::Token(k) if k == self.load.tokens => self.step = Step::Tail,
                Step::Token(k) => {
                    let Some(due_ns) = self.due(k, now) else { return self.wait(k, cx) };
                    self.write_token(piece, Token { k, due_ns });
                    self.step = Step::Token(k + 1);
                }
                Step::Tail => {
                    self.write_event(piece, &Chunk::TextEnd { id: TEXT_ID.to_owned() }.to_json());
                    self.write_end(
                        piece,
                        &Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None },
                    );
                }
                Step::Over => return,
            }
        }
    }

    /// Returns the scheduled time of token `k` if it is due. Without a rate, a token is due once there is room for it.
    fn due(&self, k: u64, now: u64) -> Option<u64> {
        if self.load.rate == 0 {
            return Some(now);
        }
        let due_ns = self.scheduled(k);
        (due_ns <= now).then_some(due_ns)
    }

    fn scheduled(&self, k: u64) -> u64 {
        self.t0_ns + k * SECOND_NS / self.load.rate.max(1)
    }

    fn wait(&mut self, k: u64, cx: &Context<'_>) {
        let due_ns = self.scheduled(k);
        let is_set =
            self.alarm.as_ref().is_some_and(|(at, waker)| *at == due_ns && waker.will_wake(cx.waker()));
        if !is_set {
            self.alarm = Some((due_ns, cx.waker().clone()));
            self.pacer.wake_at(due_ns, cx.waker().clone());
        }
    }

    /// Writes the JSON of `Chunk::TextDelta` directly, because the agent shares its processors with the measured
    /// server.
    fn write_token(&mut self, piece: &mut String, token: Token) {
        // Writing to a String cannot fail.
        let _ = write!(
            piece,
            "id: {}\ndata: {{\"type\":\"text-delta\",\"id\":\"{TEXT_ID}\",\"delta\":\"{token}\"}}\n\n",
            self.events
        );
        self.events += 1;
    }

    fn write_end(&mut self, piece: &mut String, terminal: &Chunk) {
        self.write_event(piece, &terminal.to_json());
        let _ = write!(piece, "data: {DONE}\n\n");
        self.step = Step::Over;
    }

    fn write_event(&mut self, piece: &mut String, data: &str) {
        let _ = write!(piece, "id: {}\ndata: {data}\n\n", self.events);
        self.events += 1;
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.cancel.waker.register(cx.waker());
        let mut piece = String::new();
        self.write_due(&mut piece, cx);
        match (piece.is_empty(), self.step) {
            (false, _) => Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            (true, Step::Over) => Poll::Ready(None),
            (true, _) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::task::JoinHandle;

    use super::*;

    fn answer(load: Load, order: u64) -> (Answer, Arc<Cancel>, JoinHandle<std::io::Result<()>>) {
        let pacer = Arc::new(Pacer::new().unwrap());
        let cancel = Arc::new(Cancel::default());
        let answer = Answer::new(load, order, Arc::clone(&pacer), Arc::clone(&cancel));
        (answer, cancel, tokio::spawn(async move { pacer.run().await }))
    }

    async fn events(answer: Answer) -> Vec<String> {
        let body = answer.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        text.split_terminator("\n\n").map(str::to_owned).collect()
    }

    fn data(event: &str) -> &str {
        event.split_once("data: ").unwrap().1
    }

    #[tokio::test]
    async fn an_answer_is_a_numbered_ui_message_stream() {
        let (answer, _cancel, _pacer) = answer(Load { tokens: 2, rate: 0 }, 0);
        let events = events(answer).await;
        for (n, event) in events.iter().enumerate().take(events.len() - 1) {
            assert!(event.starts_with(&format!("id: {n}\ndata: ")), "{event}");
        }
        let chunks: Vec<Chunk> = events[..events.len() - 1]
            .iter()
            .map(|event| serde_json::from_str(data(event)).unwrap())
            .collect();
        let id = || TEXT_ID.to_owned();
        let tokens: Vec<Token> = chunks[2..4]
            .iter()
            .map(|chunk| {
                let Chunk::TextDelta { id, delta } = chunk else { panic!("{chunk:?}") };
                assert_eq!(id, TEXT_ID);
                delta.parse().unwrap()
            })
            .collect();
        assert_eq!((tokens[0].k, tokens[1].k), (0, 1));
        assert_eq!(chunks[..2], [Chunk::Start, Chunk::TextStart { id: id() }]);
        assert_eq!(
            chunks[4..],
            [
                Chunk::TextEnd { id: id() },
                Chunk::Finish { finish_reason: FinishReason::Stop, message_metadata: None }
            ]
        );
        assert_eq!(events.last().map(String::as_str), Some("data: [DONE]"));
    }

    #[tokio::test]
    async fn no_token_comes_before_it_is_due_and_the_schedule_is_even() {
        let (mut answer, _cancel, _pacer) = answer(Load { tokens: 5, rate: 500 }, 3);
        let mut due = Vec::new();
        while let Some(frame) = answer.frame().await {
            let now = monotonic_ns();
            let piece = String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap();
            for delta in piece.split("\"delta\":\"").skip(1) {
                let token: Token = delta.split_once('"').unwrap().0.parse().unwrap();
                assert!(token.due_ns <= now, "{token} came at {now}");
                due.push(token.due_ns);
            }
        }
        let gaps: Vec<u64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, [SECOND_NS / 500; 4]);
    }

    #[tokio::test]
    async fn schedules_of_many_sessions_are_spread_over_a_period() {
        let load = Load { tokens: 1, rate: 50 };
        let period = SECOND_NS / load.rate;
        let mut phases: Vec<u64> = (0..50).map(|order| answer(load, order).0.t0_ns % period).collect();
        phases.sort_unstable();
        let widest = phases.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest < 3 * period / 50, "{widest}");
    }

    #[tokio::test]
    async fn a_cancelled_answer_ends_with_abort() {
        let (answer, cancel, _pacer) = answer(Load { tokens: 1000, rate: 1 }, 0);
        cancel.cancel();
        let events = events(answer).await;
        let data: Vec<&str> = events.iter().map(|event| data(event)).collect();
        assert_eq!(data, [r#"{"type":"abort"}"#, DONE]);
    }
}

//! Retries of a model that fails temporarily before its answer has started.
//!
//! Waits are random between zero and a bound that doubles ("full jitter"), so that many agents do not retry at once. A
//! provider's own retry time is respected, or the request fails at once if that time is too long.

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{self, BoxStream, StreamExt};
use tracing::info;

use crate::limits::{RETRIES_MAX, RETRY_AFTER_MAX, RETRY_BASE, RETRY_CAP};
use crate::model::{Model, ModelError, ModelEvent, Prompt};

/// A model with timeouts.
pub struct Retrying<M> {
    model: M,
    /// Returns a random number in [0, 1).
    random: fn() -> f64,
}

impl<M: Model> Retrying<M> {
    /// Returns `model` with retries.
    pub fn new(model: M) -> Self {
        Self { model, random: fastrand::f64 }
    }

    async fn begin<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        let mut retries = 0;
        loop {
            let mut answer = self.model.answer(prompt);
            // Usage events may come before the answer starts.
            let mut told = Vec::new();
            let first = loop {
                match answer.next().await {
                    Some(Ok(usage @ ModelEvent::Usage(_))) => told.push(Ok(usage)),
                    first => break first,
                }
            };
            let wait = match &first {
                Some(Err(error)) if retries < RETRIES_MAX => self.wait(error, retries),
                _ => None,
            };
            let Some(wait) = wait else {
                return stream::iter(told.into_iter().chain(first)).chain(answer).boxed();
            };
            drop(answer);
            retries += 1;
            info!(retries, wait_ms = wait.as_millis(), "model request retried");
            tokio::time::sleep(wait).await;
        }
    }

    /// Returns the wait before the next attempt, or `None` if a retry cannot help.
    fn wait(&self, error: &ModelError, retries: u32) -> Option<Duration> {
        let told = match error {
            ModelError::Overloaded { retry_after } | ModelError::RateLimited { retry_after } => *retry_after,
            ModelError::Interrupted | ModelError::ProviderFailed | ModelError::Unreachable(_) => None,
            ModelError::NoCredit
            | ModelError::ContextLength
            | ModelError::Refused
            | ModelError::Auth(_)
            | ModelError::Failed(_) => return None,
        };
        let bound = RETRY_BASE.saturating_mul(1 << retries).min(RETRY_CAP);
        let jitter = bound.mul_f64((self.random)());
        match told {
            Some(told) if told > RETRY_AFTER_MAX => None,
            Some(told) => Some(told + jitter),
            None => Some(jitter),
        }
    }
}

impl<M: Model> Model for Retrying<M> {
    fn answer<'a>(&'a self, prompt: Prompt<'a>) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        self.begin(prompt).flatten_stream().boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;

    type Item = Result<ModelEvent, ModelError>;

    /// Returns these answers in turn, the last one repeatedly, and records the time of each request.
    struct Scripted {
        answers: Mutex<Vec<Vec<Item>>>,
        asked: Mutex<Vec<Instant>>,
    }

    impl Model for Scripted {
        fn answer<'a>(&'a self, _prompt: Prompt<'a>) -> BoxStream<'a, Item> {
            self.asked.lock().unwrap().push(Instant::now());
            let mut answers = self.answers.lock().unwrap();
            stream::iter(if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }).boxed()
        }
    }

    /// Returns the events, and the waits between requests.
    async fn ask(answers: Vec<Vec<Item>>) -> (Vec<Item>, Vec<Duration>) {
        let model = Scripted { answers: Mutex::new(answers), asked: Mutex::default() };
        let model = Retrying { model, random: || 0.5 };
        let prompt = Prompt { instructions: "", messages: &[], tools: &[] };
        let came = model.answer(prompt).collect().await;
        let asked = model.model.asked.lock().unwrap();
        (came, asked.windows(2).map(|pair| pair[1] - pair[0]).collect())
    }

    fn text() -> Item {
        Ok(ModelEvent::Text("Hi".to_owned()))
    }

    const OVERLOADED: Item = Err(ModelError::Overloaded { retry_after: None });

    #[tokio::test(start_paused = true)]
    async fn retries_wait_longer_each_time() {
        let unreachable = Err(ModelError::Unreachable("no".to_owned()));
        let (came, waits) = ask(vec![vec![OVERLOADED], vec![unreachable], vec![text()]]).await;
        assert_eq!(came, [text()]);
        assert_eq!(waits, [RETRY_BASE / 2, RETRY_BASE]);
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_bounded() {
        let (came, waits) = ask(vec![vec![OVERLOADED]]).await;
        assert_eq!(came, [OVERLOADED]);
        assert_eq!(waits.len(), RETRIES_MAX as usize);
        assert!(waits.iter().all(|wait| *wait <= RETRY_CAP));
    }

    #[tokio::test(start_paused = true)]
    async fn a_started_answer_is_not_retried() {
        let (came, waits) = ask(vec![vec![text(), OVERLOADED], vec![text()]]).await;
        assert_eq!((came, waits), (vec![text(), OVERLOADED], vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn permanent_failures_are_not_retried() {
        for error in [
            ModelError::NoCredit,
            ModelError::ContextLength,
            ModelError::Refused,
            ModelError::Auth("KEY"),
            ModelError::Failed("no".to_owned()),
        ] {
            let (came, waits) = ask(vec![vec![Err(error.clone())], vec![text()]]).await;
            assert_eq!((came, waits), (vec![Err(error)], vec![]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_providers_retry_time_is_respected_up_to_a_bound() {
        let limited = |after| Err(ModelError::RateLimited { retry_after: Some(after) });
        let (came, waits) = ask(vec![vec![limited(RETRY_AFTER_MAX)], vec![text()]]).await;
        assert_eq!((came, waits), (vec![text()], vec![RETRY_AFTER_MAX + RETRY_BASE / 2]));
        let too_long = RETRY_AFTER_MAX + Duration::from_secs(1);
        let (came, waits) = ask(vec![vec![limited(too_long)], vec![text()]]).await;
        assert_eq!((came, waits), (vec![limited(too_long)], vec![]));
    }
}

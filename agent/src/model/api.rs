//! A request to a model's provider, with its answer as server-sent events.
//!
//! Owns the URL, the key, the bounds on time and size, and the handling of HTTP failures. `anthropic.rs` and `openai.rs`
//! have the form of requests and events. The key is sent in one header and removed from every message of a provider.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use bytes::Bytes;
use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures::stream::{self, BoxStream, Stream, StreamExt};
use futures::{FutureExt, TryFutureExt};
use http_body_util::{BodyDataStream, BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::http::Http;
use crate::http::event_limit::{EventLimit, EventLimitError};
use crate::limits::{ANSWER_MAX_BYTES, ERROR_BODY_MAX_BYTES, MODEL_EVENT_MAX_BYTES, MODEL_SILENCE_MAX};
use crate::model::provider_error::ProviderError;
use crate::model::{ModelError, ModelEvent};
use crate::secret::Secret;

/// A provider's API.
pub(super) struct Api {
    http: Http,
    url: String,
    headers: HeaderMap,
    key: Option<Secret>,
    /// The variable that has the key, for error messages.
    key_variable: &'static str,
}

/// A function that turns the data of an event, or the end of the stream (`None`), into model events.
pub(super) trait Read: FnMut(Option<&str>) -> Result<Vec<ModelEvent>, Broken> + Send {}

impl<F: FnMut(Option<&str>) -> Result<Vec<ModelEvent>, Broken> + Send> Read for F {}

/// Error returned when a stream cannot be read further.
#[derive(Debug)]
pub(super) enum Broken {
    /// The stream ended too early.
    Ended,
    /// The stream contains invalid data; says which.
    Invalid(&'static str),
    /// The provider reported an error.
    Provider(ProviderError),
}

type Events = Pin<Box<dyn Stream<Item = Result<Event, EventStreamError<EventLimitError>>> + Send>>;

/// An answer that is being received.
struct Answer<'a, R> {
    api: &'a Api,
    events: Events,
    read: R,
    ready: VecDeque<ModelEvent>,
    is_over: bool,
}

impl Api {
    /// Returns an API at `url` that gets `key` as bearer token.
    pub(super) fn new(http: Http, url: String, key: Option<Secret>, key_variable: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let agent = concat!("mayfly-agent/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(value) = key.as_ref().and_then(Secret::bearer) {
            headers.insert(AUTHORIZATION, value);
        }
        Self { http, url, headers, key, key_variable }
    }

    /// Adds a header to every request.
    pub(super) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// Sends a request and returns its answer, read by `read`. Nothing is sent until the stream is polled.
    pub(super) fn answer<'a>(
        &'a self,
        body: &Value,
        read: impl Read + 'a,
    ) -> BoxStream<'a, Result<ModelEvent, ModelError>> {
        let body = Bytes::from(body.to_string());
        let answer = self.open(body).map_ok(move |events| Answer::new(self, events, read).into_stream());
        answer.try_flatten_stream().boxed()
    }

    async fn open(&self, body: Bytes) -> Result<Events, ModelError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = axum::http::Method::POST;
        *request.uri_mut() = self
            .url
            .parse()
            .map_err(|_| ModelError::Failed("the base URL of the model's provider is invalid".to_owned()))?;
        *request.headers_mut() = self.headers.clone();
        let unreachable = |cause: String| {
            warn!(cause, "model provider unreachable");
            ModelError::Unreachable(cause)
        };
        let response = match timeout(MODEL_SILENCE_MAX, self.http.send(request)).await {
            Ok(response) => response.map_err(|error| unreachable(error.to_string()))?,
            Err(_) => return Err(unreachable("no answer in time".to_owned())),
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        if !is_event_stream(response.headers()) {
            let why = "the model's provider did not answer with an event stream; check its base URL";
            return Err(ModelError::Failed(why.to_owned()));
        }
        Ok(events(BodyDataStream::new(response.into_body())))
    }

    async fn refused(&self, response: Response<Incoming>) -> ModelError {
        let (head, body) = response.into_parts();
        let body = timeout(MODEL_SILENCE_MAX, Limited::new(body, ERROR_BODY_MAX_BYTES).collect()).await;
        let body =
            body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.explain(ProviderError::of_response(head.status, &head.headers, &body))
    }

    fn explain(&self, mut fault: ProviderError) -> ModelError {
        if let Some(key) = &self.key {
            fault.message = fault.message.replace(key.expose(), "\u{2026}");
        }
        warn!(status = fault.status, kind = fault.kind, "model provider failed");
        // The message may quote the user.
        debug!(message = fault.message, "model provider error");
        fault.into_error(self.key_variable)
    }
}

fn events<E: fmt::Display + 'static>(
    bytes: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
) -> Events {
    Box::pin(EventLimit::new(bytes, MODEL_EVENT_MAX_BYTES, ANSWER_MAX_BYTES).eventsource())
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.trim_start().to_ascii_lowercase().starts_with("text/event-stream")
}

impl<'a, R: Read + 'a> Answer<'a, R> {
    fn new(api: &'a Api, events: Events, read: R) -> Self {
        Self { api, events, read, ready: VecDeque::new(), is_over: false }
    }

    fn into_stream(self) -> impl Stream<Item = Result<ModelEvent, ModelError>> + Send + 'a {
        stream::unfold(self, |mut answer| async move { Some((answer.next().await?, answer)) })
    }

    async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            if self.is_over {
                return None;
            }
            if let Err(error) = self.read_on().await {
                self.is_over = true;
                return Some(Err(error));
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), ModelError> {
        let event = match timeout(MODEL_SILENCE_MAX, self.events.next()).await {
            Ok(Some(Ok(event))) => Some(event),
            Ok(None) => None,
            Ok(Some(Err(EventStreamError::Transport(EventLimitError::TooLarge(what))))) => {
                return Err(ModelError::Failed(format!("the model's provider sent {what}")));
            }
            Ok(Some(Err(EventStreamError::Transport(EventLimitError::Lost(_))))) => {
                return Err(ModelError::Interrupted);
            }
            Ok(Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)))) => {
                return Err(ModelError::Failed("the model's provider sent invalid UTF-8".to_owned()));
            }
            Err(_) => return Err(ModelError::Unreachable("it stopped sending".to_owned())),
        };
        let events =
            (self.read)(event.as_ref().map(|event| event.data.as_str())).map_err(|broken| match broken {
                Broken::Ended => ModelError::Interrupted,
                Broken::Invalid(what) => ModelError::Failed(format!("the model's provider sent {what}")),
                Broken::Provider(fault) => self.api.explain(fault),
            })?;
        self.is_over = event.is_none() || events.iter().any(|event| matches!(event, ModelEvent::Finish(_)));
        if self.is_over {
            // The end of the body has usually arrived; reading it lets the connection be used again.
            let _ = self.events.next().now_or_never();
        }
        self.ready.extend(events);
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    type Item = Result<ModelEvent, ModelError>;

    /// Returns what `read` makes of a stream in these pieces.
    async fn read_pieces(pieces: Vec<Bytes>, read: impl Read) -> Vec<Item> {
        let key = Secret::parse("sk-secret".to_owned());
        let api = Api::new(Http::new(None).unwrap(), "http://127.0.0.1:1/".to_owned(), key, "KEY");
        let bytes = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
        Answer::new(&api, events(bytes), read).into_stream().collect().await
    }

    /// Returns what a reader makes of a stream. Asserts that it is the same for every cut and both line ends.
    pub(in crate::model) async fn read_all<R: Read>(stream: &str, reader: impl Fn() -> R) -> Vec<Item> {
        let whole = Bytes::from(stream.to_owned());
        let expected = read_pieces(vec![whole.clone()], reader()).await;
        for at in 0..whole.len() {
            let pieces = vec![whole.slice(..at), whole.slice(at..)];
            assert_eq!(read_pieces(pieces, reader()).await, expected, "cut at {at}");
        }
        for text in [stream.to_owned(), stream.replace('\n', "\r\n")] {
            let bytes = text.bytes().map(|byte| Bytes::from(vec![byte])).collect();
            assert_eq!(read_pieces(bytes, reader()).await, expected, "byte by byte");
        }
        expected
    }

    /// Returns the items, one on each line.
    pub(in crate::model) fn lines(items: &[Item]) -> String {
        items.iter().map(|item| format!("{item:?}\n")).collect()
    }

    #[tokio::test]
    async fn invalid_streams_are_errors() {
        let nothing =
            || |data: Option<&str>| if data.is_none() { Err(Broken::Ended) } else { Ok(Vec::new()) };
        let failure = async |bytes: &[u8]| {
            let mut items = read_pieces(vec![Bytes::copy_from_slice(bytes)], nothing()).await;
            assert_eq!(items.len(), 1);
            items.remove(0).unwrap_err()
        };
        let failed = |what: &str| ModelError::Failed(format!("the model's provider sent {what}"));
        assert_eq!(failure(b"data: 1\n\n").await, ModelError::Interrupted);
        assert_eq!(failure(b"data: \xff\n\n").await, failed("invalid UTF-8"));
        assert_eq!(
            failure(&[b'x'; crate::limits::MODEL_EVENT_MAX_BYTES + 1]).await,
            failed("an event that is too large")
        );
    }

    #[tokio::test]
    async fn the_key_is_removed_from_provider_messages() {
        let fault = ProviderError { message: "no sk-secret for you".to_owned(), ..ProviderError::default() };
        let broken = move |_: Option<&str>| Err(Broken::Provider(fault.clone()));
        let items = read_pieces(vec![Bytes::from_static(b"data: 1\n\n")], broken).await;
        let told = "the model's provider rejected the request: no \u{2026} for you";
        assert_eq!(items, [Err(ModelError::Failed(told.to_owned()))]);
    }
}

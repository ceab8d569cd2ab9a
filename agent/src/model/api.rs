//! One request to a model's provider, and its answer as server-sent events, each read by the provider's own reader.
//!
//! Owns the address, the key, the bounds on time and size, and what an HTTP failure means. Knows neither the request's
//! shape nor the events': those are `anthropic.rs` and `openai.rs`. The key stands in one header and nowhere else: it is
//! taken out of whatever a provider says.

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
use crate::http::cap::{CapError, Capped};
use crate::limits::{
    ANSWER_MAX_BYTES, ERROR_BODY_MAX_BYTES, KEY_MAX_BYTES, MODEL_EVENT_MAX_BYTES, MODEL_SILENCE_MAX,
};
use crate::model::fault::Fault;
use crate::model::{ModelError, ModelEvent};

/// A provider's address, and how to show it the key.
pub(super) struct Api {
    http: Http,
    url: String,
    headers: HeaderMap,
    key: Option<Key>,
    /// The variable that the key came from, for people.
    key_variable: &'static str,
}

/// A provider's key. No log, error or answer shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

/// The data of one event, or that there is no more; gives what it means.
pub(super) trait Read: FnMut(Option<&str>) -> Result<Vec<ModelEvent>, Broken> + Send {}

impl<F: FnMut(Option<&str>) -> Result<Vec<ModelEvent>, Broken> + Send> Read for F {}

/// Why a stream cannot be read on.
#[derive(Debug)]
pub(super) enum Broken {
    /// It ended too early.
    Off,
    /// It holds what cannot be understood: in what way.
    Unclear(&'static str),
    /// The provider says that it failed.
    Fault(Fault),
}

type Events = Pin<Box<dyn Stream<Item = Result<Event, EventStreamError<CapError>>> + Send>>;

/// An answer as it comes.
struct Answer<'a, R> {
    api: &'a Api,
    events: Events,
    read: R,
    ready: VecDeque<ModelEvent>,
    is_over: bool,
}

impl Key {
    /// None unless it could stand in a header.
    pub fn parse(text: String) -> Option<Self> {
        let fits =
            (1..=KEY_MAX_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then_some(Self(text))
    }

    /// The value of the header that shows it.
    fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(\u{2026})")
    }
}

impl Api {
    /// Asks at `url`, and shows the key, where there is one, as bearer token.
    pub(super) fn new(http: Http, url: String, key: Option<Key>, key_variable: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let agent = concat!("mayfly-agent/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(value) = key.as_ref().and_then(Key::header) {
            headers.insert(AUTHORIZATION, value);
        }
        Self { http, url, headers, key, key_variable }
    }

    /// With one more header on each request.
    pub(super) fn with_header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    /// The answer to a request, read by `read`. Nothing is sent until the stream is polled; its end closes the connection.
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
        *request.uri_mut() =
            self.url.parse().map_err(|_| ModelError::Failed("the address is none".to_owned()))?;
        *request.headers_mut() = self.headers.clone();
        let unreachable = |cause: String| {
            warn!(cause, "the model's provider cannot be reached");
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
            let why = "the model's provider did not answer with an event stream; is the address right?";
            return Err(ModelError::Failed(why.to_owned()));
        }
        Ok(events(BodyDataStream::new(response.into_body())))
    }

    async fn refused(&self, response: Response<Incoming>) -> ModelError {
        let (head, body) = response.into_parts();
        let body = timeout(MODEL_SILENCE_MAX, Limited::new(body, ERROR_BODY_MAX_BYTES).collect()).await;
        let body =
            body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        self.explain(Fault::of_response(head.status, &head.headers, &body))
    }

    fn explain(&self, mut fault: Fault) -> ModelError {
        if let Some(Key(key)) = &self.key {
            fault.message = fault.message.replace(key, "\u{2026}");
        }
        warn!(status = fault.status, kind = fault.kind, "the model's provider refused or failed");
        // It may quote what people said.
        debug!(message = fault.message);
        fault.into_error(self.key_variable)
    }
}

fn events<E: fmt::Display + 'static>(
    bytes: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
) -> Events {
    Box::pin(Capped::new(bytes, MODEL_EVENT_MAX_BYTES, ANSWER_MAX_BYTES).eventsource())
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
            Ok(Some(Err(EventStreamError::Transport(CapError::TooLarge(what))))) => {
                return Err(ModelError::Failed(format!("the model's provider sent {what}")));
            }
            Ok(Some(Err(EventStreamError::Transport(CapError::Lost(_))))) => {
                return Err(ModelError::BrokeOff);
            }
            Ok(Some(Err(EventStreamError::Utf8(_) | EventStreamError::Parser(_)))) => {
                return Err(ModelError::Failed("the model's provider sent what is no text".to_owned()));
            }
            Err(_) => return Err(ModelError::Unreachable("it went silent".to_owned())),
        };
        let events =
            (self.read)(event.as_ref().map(|event| event.data.as_str())).map_err(|broken| match broken {
                Broken::Off => ModelError::BrokeOff,
                Broken::Unclear(what) => ModelError::Failed(format!("the model's provider sent {what}")),
                Broken::Fault(fault) => self.api.explain(fault),
            })?;
        self.is_over = event.is_none() || events.iter().any(|event| matches!(event, ModelEvent::Finish(_)));
        if self.is_over {
            // What ends the body is mostly there by now, and lets the connection be used again.
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

    /// What `read` makes of a stream that comes in these pieces.
    async fn read_pieces(pieces: Vec<Bytes>, read: impl Read) -> Vec<Item> {
        let key = Key::parse("sk-secret".to_owned());
        let api = Api::new(Http::new(None).unwrap(), "http://127.0.0.1:1/".to_owned(), key, "KEY");
        let bytes = stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>));
        Answer::new(&api, events(bytes), read).into_stream().collect().await
    }

    /// What a reader makes of a stream; the same wherever it is cut in two, byte by byte, and with either line end.
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

    /// One on each line.
    pub(in crate::model) fn lines(items: &[Item]) -> String {
        items.iter().map(|item| format!("{item:?}\n")).collect()
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_told() {
        let nothing = || |data: Option<&str>| if data.is_none() { Err(Broken::Off) } else { Ok(Vec::new()) };
        let failure = async |bytes: &[u8]| {
            let mut items = read_pieces(vec![Bytes::copy_from_slice(bytes)], nothing()).await;
            assert_eq!(items.len(), 1);
            items.remove(0).unwrap_err()
        };
        let failed = |what: &str| ModelError::Failed(format!("the model's provider sent {what}"));
        assert_eq!(failure(b"data: 1\n\n").await, ModelError::BrokeOff);
        assert_eq!(failure(b"data: \xff\n\n").await, failed("what is no text"));
        assert_eq!(
            failure(&[b'x'; crate::limits::MODEL_EVENT_MAX_BYTES + 1]).await,
            failed("an event that is too large")
        );
    }

    #[tokio::test]
    async fn a_key_that_a_provider_repeats_is_taken_out() {
        let fault = Fault { message: "no sk-secret for you".to_owned(), ..Fault::default() };
        let broken = move |_: Option<&str>| Err(Broken::Fault(fault.clone()));
        let items = read_pieces(vec![Bytes::from_static(b"data: 1\n\n")], broken).await;
        let told = "the model's provider refused the request: no \u{2026} for you";
        assert_eq!(items, [Err(ModelError::Failed(told.to_owned()))]);
    }
}

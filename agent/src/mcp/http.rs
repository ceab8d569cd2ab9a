//! The transport to a service: MCP's "Streamable HTTP" over the agent's HTTP client, and so through the egress proxy.
//!
//! Source: <https://modelcontextprotocol.io/specification/2025-11-25/basic/transports>. Every response is bounded. Of an
//! unusable response, errors show only the status.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Builder;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::{BodyDataStream, BodyExt, Full, Limited};
use hyper::body::Incoming;
use rmcp::model::{ClientJsonRpcMessage, ErrorData, ServerJsonRpcMessage};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::{
    HttpStatusError, SseError, StreamableHttpClient, StreamableHttpClientTransportConfig,
    StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};

use super::config::Service;
use crate::http::event_limit::EventLimit;
use crate::http::{Http, HttpError};
use crate::limits::MCP_MESSAGE_MAX_BYTES;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The agent's HTTP client in the form that the SDK requires.
#[derive(Clone)]
pub(super) struct Client(Http);

/// Error returned when there is no usable response.
pub(super) type Failure = StreamableHttpError<HttpError>;
type Headers = HashMap<HeaderName, HeaderValue>;

/// Returns the transport to a service. Nothing is sent yet.
pub(super) fn transport(service: &Service, http: Http) -> StreamableHttpClientTransport<Client> {
    let config = StreamableHttpClientTransportConfig::with_uri(service.url.as_str())
        .custom_headers(service.headers.iter().cloned().collect());
    StreamableHttpClientTransport::with_client(Client(http), config)
}

impl Client {
    /// Sends a request with the common headers. Configured headers do not replace those of the protocol.
    async fn send(
        &self,
        mut request: Builder,
        session: Option<&str>,
        auth: Option<String>,
        headers: Headers,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failure> {
        if let Some(token) = auth {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(session) = session {
            request = request.header(SESSION, session);
        }
        request = request.header(USER_AGENT, concat!("mayfly-agent/", env!("CARGO_PKG_VERSION")));
        let mut request = request.body(Full::new(body)).map_err(|_| unusable("an invalid request"))?;
        for (name, value) in headers {
            if !request.headers().contains_key(&name) {
                request.headers_mut().insert(name, value);
            }
        }
        self.0.send(request).await.map_err(StreamableHttpError::Client)
    }
}

impl StreamableHttpClient for Client {
    type Error = HttpError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let body = Bytes::from(serde_json::to_vec(&message)?);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&*uri)
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, format!("{JSON}, {EVENTS}"));
        let answer = self.send(request, session.as_deref(), auth, headers, body).await?;
        let (status, new_session) = (answer.status(), text_of(&answer, &SESSION));
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(StreamableHttpError::SessionExpired);
        }
        let ClientJsonRpcMessage::Request(asked) = message else {
            // A notification needs no response body.
            return match status.is_success() {
                true => Ok(StreamableHttpPostResponse::Accepted),
                false => Err(refused(status)),
            };
        };
        if status.is_success() && is(&answer, EVENTS) {
            return Ok(StreamableHttpPostResponse::Sse(events(answer), new_session));
        }
        let told = if is(&answer, JSON) { read(answer).await } else { None };
        match told {
            Some(message) if status.is_success() => {
                Ok(StreamableHttpPostResponse::Json(message, new_session))
            }
            None if status.is_success() => Err(unusable("a body that is not a message of the protocol")),
            // A client error is the answer to the request, with or without an error object of the protocol.
            told if status.is_client_error() && !is_locked(status) => {
                let error = match told {
                    Some(ServerJsonRpcMessage::Error(error)) => error.error,
                    _ => ErrorData::invalid_request(format!("HTTP {}", status.as_u16()), None),
                };
                let message = ServerJsonRpcMessage::error(error, Some(asked.id));
                Ok(StreamableHttpPostResponse::Json(message, new_session))
            }
            _ => Err(refused(status)),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<(), Failure> {
        let request = Request::builder().method(Method::DELETE).uri(&*uri);
        let answer = self.send(request, Some(&session), auth, headers, Bytes::new()).await?;
        let status = answer.status();
        let is_over = status.is_success() || matches!(status.as_u16(), 404 | 405);
        if is_over { Ok(()) } else { Err(refused(status)) }
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last_event: Option<String>,
        auth: Option<String>,
        headers: Headers,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        let mut request = Request::builder().method(Method::GET).uri(&*uri).header(ACCEPT, EVENTS);
        if let Some(last) = last_event {
            request = request.header(LAST_EVENT, last);
        }
        let answer = self.send(request, session.as_deref(), auth, headers, Bytes::new()).await?;
        match answer.status() {
            StatusCode::METHOD_NOT_ALLOWED => Err(StreamableHttpError::ServerDoesNotSupportSse),
            StatusCode::NOT_FOUND if session.is_some() => Err(StreamableHttpError::SessionExpired),
            status if status.is_success() && is(&answer, EVENTS) => Ok(events(answer)),
            status if status.is_success() => Err(StreamableHttpError::ServerDoesNotSupportSse),
            status => Err(refused(status)),
        }
    }
}

fn events(answer: Response<Incoming>) -> BoxStream<'static, Result<Sse, SseError>> {
    let bytes = EventLimit::new(BodyDataStream::new(answer.into_body()), MCP_MESSAGE_MAX_BYTES, usize::MAX);
    SseStream::from_bytes_stream(bytes).boxed()
}

async fn read(answer: Response<Incoming>) -> Option<ServerJsonRpcMessage> {
    let body = Limited::new(answer.into_body(), MCP_MESSAGE_MAX_BYTES).collect().await.ok()?;
    serde_json::from_slice(&body.to_bytes()).ok()
}

/// Returns `true` if the response has this media type, ignoring parameters.
fn is(answer: &Response<Incoming>, media_type: &str) -> bool {
    let told = text_of(answer, &CONTENT_TYPE).unwrap_or_default();
    told.split(';').next().is_some_and(|told| told.trim().eq_ignore_ascii_case(media_type))
}

fn text_of(answer: &Response<Incoming>, name: &HeaderName) -> Option<String> {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// Returns `true` if the service requires other credentials.
fn is_locked(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

fn refused(status: StatusCode) -> Failure {
    HttpStatusError::new(status.as_u16(), None).into()
}

fn unusable(what: &'static str) -> Failure {
    StreamableHttpError::UnexpectedServerResponse(what.into())
}

//! An HTTP client for tests: one request on a connection of its own.

use anyhow::Context;
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{HeaderMap, Method, StatusCode, Uri, http};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::FRAME_TIMEOUT;

/// A request that is not sent yet.
#[derive(Debug)]
pub struct Request {
    url: String,
    head: http::request::Builder,
    body: Bytes,
}

/// The response to a request. Dropping it closes the connection.
#[derive(Debug)]
pub struct Response {
    head: http::response::Parts,
    body: Incoming,
    _connection: AbortOnDropHandle<hyper::Result<()>>,
}

impl Request {
    /// Creates a request without headers and body for `http://HOST:PORT/PATH`.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self { url: url.into(), head: http::Request::builder().method(method), body: Bytes::new() }
    }

    /// Creates a `GET` request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::GET, url)
    }

    /// Creates a `POST` request.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new(Method::POST, url)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head = self.head.header(name, value);
        self
    }

    /// Adds `Authorization: Bearer TOKEN`.
    #[must_use]
    pub fn bearer_auth(self, token: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION.as_str(), &format!("Bearer {}", token.as_ref()))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the request and waits for the head of the response.
    ///
    /// # Errors
    /// Returns an error if the server cannot be reached, or no response comes within [`FRAME_TIMEOUT`].
    pub async fn send(self) -> anyhow::Result<Response> {
        let url: Uri = self.url.parse()?;
        let authority = url.authority().with_context(|| format!("no host in {}", self.url))?.as_str();
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let request = self.head.uri(path).header(HOST, authority).body(Full::new(self.body))?;
        let exchange = async {
            let stream = TcpStream::connect(authority).await?;
            stream.set_nodelay(true)?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let connection = AbortOnDropHandle::new(tokio::spawn(connection));
            let (head, body) = sender.send_request(request).await?.into_parts();
            anyhow::Ok(Response { head, body, _connection: connection })
        };
        timeout(FRAME_TIMEOUT, exchange).await.context("no response in time")?
    }
}

impl Response {
    /// Returns the status code.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Reads the body to its end.
    ///
    /// # Errors
    /// Returns an error if the connection breaks first.
    pub async fn bytes(self) -> anyhow::Result<Bytes> {
        Ok(self.body.collect().await?.to_bytes())
    }

    /// Reads the body to its end, as UTF-8.
    ///
    /// # Errors
    /// Returns the errors of [`Response::bytes`], or an error if the body is not UTF-8.
    pub async fn text(self) -> anyhow::Result<String> {
        Ok(String::from_utf8(self.bytes().await?.into())?)
    }

    /// Returns the body as it arrives.
    pub fn bytes_stream(self) -> impl Stream<Item = hyper::Result<Bytes>> {
        let connection = self._connection;
        BodyStream::new(self.body).map_ok(move |frame| {
            let _is_open = &connection;
            frame.into_data().unwrap_or_default()
        })
    }
}

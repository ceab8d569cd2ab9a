//! The HTTP client of models, tools, memory and MCP servers.
//!
//! If the hub sets an egress proxy ([`mayfly_protocol::agent::ENV_EGRESS`]), every connection is a tunnel through the proxy
//! (CONNECT, RFC 9110, section 9.3.6). The proxy then resolves names; TLS still ends here. Without a proxy, the client
//! connects to the host directly, if [`AllowedAddresses`] permits the address. Connections are pooled. Callers bound the
//! time and the size of an answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::uri::Authority;
use axum::http::{Request, Response, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tower::Service;

use crate::limits::{CONNECT_TIMEOUT, HTTP_IDLE_TIMEOUT, REFUSAL_MAX_BYTES};

pub(crate) mod event_limit;

/// An HTTP client. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Http(Route);

#[derive(Clone)]
enum Route {
    Straight(Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>),
    Egress(Client<HttpsConnector<Egress>, Full<Bytes>>),
}

/// Addresses that a client may connect to. With an egress proxy, the proxy's rules apply, too.
#[derive(Debug, Clone, Copy)]
pub enum AllowedAddresses {
    /// Every address: the operator names the host.
    Any,
    /// Addresses for which this function returns `true`, such as [`mayfly_protocol::address::is_public`].
    Only(fn(IpAddr) -> bool),
}

/// Error returned when there is no response. The message contains all causes.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(String);

/// Error returned when there is no tunnel.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("cannot allowed the hub's egress proxy: {0}")]
    Proxy(#[from] io::Error),
    #[error("the hub's egress proxy did not answer in HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the hub's egress proxy refused {host}: {status}: {reason}")]
    Refused { host: Authority, status: StatusCode, reason: String },
    #[error("the hub's egress proxy opened no tunnel in time")]
    Timeout,
    #[error("the URL has no host")]
    NoHost,
    #[error("the hub's egress proxy sent bytes before the tunnel was open")]
    Early,
}

impl Http {
    /// Returns a client that uses the egress proxy at this socket, or connects directly if there is none.
    ///
    /// # Errors
    /// Returns an error if TLS cannot be set up.
    pub fn new(egress: Option<PathBuf>) -> Result<Self, rustls::Error> {
        Self::restricted(AllowedAddresses::Any, egress)
    }

    /// Returns a client for hosts that users and web pages name.
    ///
    /// # Errors
    /// Returns an error if TLS cannot be set up.
    pub fn restricted(allowed: AllowedAddresses, egress: Option<PathBuf>) -> Result<Self, rustls::Error> {
        // Names the crypto provider, as others may be compiled in.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(HTTP_IDLE_TIMEOUT);
        Ok(Self(match egress {
            Some(path) => Route::Egress(client.build(tls.wrap_connector(Egress { path }))),
            None => {
                let mut straight = HttpConnector::new_with_resolver(Resolver { allowed });
                straight.set_connect_timeout(Some(CONNECT_TIMEOUT));
                straight.set_nodelay(true);
                straight.enforce_http(false);
                Route::Straight(client.build(tls.wrap_connector(straight)))
            }
        }))
    }

    /// Sends a request to an absolute `http` or `https` URL and returns the response when its head has arrived. Follows no
    /// redirect. Cancel safe.
    ///
    /// # Errors
    /// Returns [`HttpError`] if there is no connection or no response. Every status is a response.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let answer = match &self.0 {
            Route::Straight(client) => client.request(request).await,
            Route::Egress(client) => client.request(request).await,
        };
        answer.map_err(|error| HttpError(chain(&error)))
    }
}

/// Returns an error's message with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Some messages already contain their cause.
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// Resolves a name to the allowed addresses. The connector does not call it for addresses in a URL: the caller checks
/// those.
#[derive(Clone)]
struct Resolver {
    allowed: AllowedAddresses,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let allowed = self.allowed;
        Box::pin(async move {
            let mut addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let AllowedAddresses::Only(allowed) = allowed {
                addresses.retain(|address| allowed(address.ip()));
            }
            if addresses.is_empty() {
                return Err(io::Error::other("the name resolves to no allowed address"));
            }
            Ok(addresses.into_iter())
        })
    }
}

/// A connector that opens tunnels through the hub's egress proxy.
#[derive(Clone)]
struct Egress {
    path: PathBuf,
}

impl Service<Uri> for Egress {
    type Response = TokioIo<UnixStream>;
    type Error = TunnelError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, TunnelError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TunnelError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let path = self.path.clone();
        Box::pin(async move {
            let tunnel = timeout(CONNECT_TIMEOUT, tunnel(path, &uri));
            tunnel.await.unwrap_or(Err(TunnelError::Timeout)).map(TokioIo::new)
        })
    }
}

async fn tunnel(proxy: PathBuf, uri: &Uri) -> Result<UnixStream, TunnelError> {
    let host = host_and_port(uri).ok_or(TunnelError::NoHost)?;
    let stream = TokioIo::new(UnixStream::connect(proxy).await?);
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(stream).await?;
    // The task ends with the tunnel, or with the proxy's refusal.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(Empty::new());
    *request.method_mut() = axum::http::Method::CONNECT;
    *request.uri_mut() = Uri::from(host.clone());
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    if !status.is_success() {
        let reason = Limited::new(answer.into_body(), REFUSAL_MAX_BYTES).collect().await;
        let reason = reason.map(|body| String::from_utf8_lossy(&body.to_bytes()).trim().to_owned());
        return Err(TunnelError::Refused { host, status, reason: reason.unwrap_or_default() });
    }
    let tunnel = hyper::upgrade::on(answer).await?.downcast::<TokioIo<UnixStream>>();
    match tunnel {
        // The host does not speak first.
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(TunnelError::Early),
    }
}

/// Returns `HOST:PORT`, with the scheme's port by default.
fn host_and_port(uri: &Uri) -> Option<Authority> {
    let port = uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    })?;
    format!("{}:{port}", uri.host()?).parse().ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, UnixListener};
    use tokio::task::JoinHandle;

    use super::*;

    const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

    fn get(url: &str) -> Request<Full<Bytes>> {
        Request::get(url).body(Full::default()).unwrap()
    }

    async fn body(answer: Response<Incoming>) -> Bytes {
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    async fn read_head(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Starts a proxy that sends these answers on one connection, one for each request. The handle returns the requests' heads.
    fn proxy(answers: &[&str]) -> (Http, JoinHandle<Vec<String>>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("egress.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let answers: Vec<_> = answers.iter().copied().map(str::to_owned).collect();
        let heads = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heads = Vec::new();
            for answer in answers {
                heads.push(read_head(&mut stream).await);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            heads
        });
        (Http::new(Some(path)).unwrap(), heads, directory)
    }

    #[tokio::test]
    async fn requests_use_a_tunnel_to_host_and_port() {
        let (http, heads, _directory) = proxy(&["HTTP/1.1 200 OK\r\n\r\n", ANSWER]);
        let answer = http.send(get("http://weather.example/now?place=Oslo")).await.unwrap();
        assert_eq!(body(answer).await, "hi");
        let heads = heads.await.unwrap();
        assert!(heads[0].starts_with("CONNECT weather.example:80 HTTP/1.1\r\n"), "{}", heads[0]);
        assert!(heads[1].starts_with("GET /now?place=Oslo HTTP/1.1\r\n"), "{}", heads[1]);
        assert!(heads[1].contains("host: weather.example\r\n"), "{}", heads[1]);
    }

    #[tokio::test]
    async fn tls_is_inside_the_tunnel() {
        // The server sends no TLS, so that there is no response; the test checks the request.
        let (http, heads, _directory) = proxy(&["HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Not TLS\r\n\r\n"]);
        let error = http.send(get("https://model.example/v1")).await.unwrap_err().to_string();
        assert!(heads.await.unwrap()[0].starts_with("CONNECT model.example:443 HTTP/1.1\r\n"));
        assert!(!error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_contains_the_reason() {
        let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 11\r\n\r\nnot allowed";
        let (http, _heads, _directory) = proxy(&[refusal]);
        let error = http.send(get("https://evil.example/")).await.unwrap_err().to_string();
        let told = "the hub's egress proxy refused evil.example:443: 403 Forbidden: not allowed";
        assert!(error.ends_with(told), "{error}");
    }

    #[tokio::test]
    async fn a_missing_proxy_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let http = Http::new(Some(directory.path().join("nothing"))).unwrap();
        let error = http.send(get("http://weather.example/")).await.unwrap_err().to_string();
        assert!(error.contains("cannot allowed the hub's egress proxy: No such file"), "{error}");
    }

    #[tokio::test]
    async fn without_a_proxy_bodies_stream_directly() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            stream
        });
        let mut answer = Http::new(None).unwrap().send(get(&url)).await.unwrap();
        // The first piece arrives before the rest is written.
        let first = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "one");
        let mut stream = server.await.unwrap();
        stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(body(answer).await, "two");
    }
}

//! The agent's way out: one HTTP client for whatever asks somebody else, models and tools alike.
//!
//! Where the hub gives a way out ([`mayfly_protocol::agent::ENV_EGRESS`]), every connection is a tunnel that the hub's
//! egress proxy opens (CONNECT, RFC 9110, section 9.3.6); names are then resolved there, and TLS still ends here. Else
//! it goes straight to the host, if it may go to the address that the host's name leads to: [`Reach`]. Connections are kept and used again. Knows nothing of what is asked: bounds on time
//! and size of an answer are the caller's.

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

pub(crate) mod cap;

/// A client; cheap to clone, and clones share their connections.
#[derive(Clone)]
pub struct Http(Way);

#[derive(Clone)]
enum Way {
    Straight(Client<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>),
    Egress(Client<HttpsConnector<Egress>, Full<Bytes>>),
}

/// Which addresses a client may connect to. Behind an egress proxy, the proxy's own rules hold as well.
#[derive(Debug, Clone, Copy)]
pub enum Reach {
    /// Any: whoever names the host is trusted.
    Anywhere,
    /// Those that this function allows, such as [`mayfly_protocol::address::is_public`].
    Only(fn(IpAddr) -> bool),
}

/// Why there is no answer; with all causes, for logs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct HttpError(String);

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("cannot reach the hub's egress proxy: {0}")]
    Proxy(#[from] io::Error),
    #[error("the hub's egress proxy does not answer in HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the hub's egress proxy refused {host}: {status}: {why}")]
    Refused { host: Authority, status: StatusCode, why: String },
    #[error("no tunnel in time")]
    Timeout,
    #[error("the address names no host")]
    NoHost,
    #[error("the hub's egress proxy sent bytes before there was a tunnel")]
    Early,
}

impl Http {
    /// A client that goes through the egress proxy at this socket, or straight without one.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn new(egress: Option<PathBuf>) -> Result<Self, rustls::Error> {
        Self::within(Reach::Anywhere, egress)
    }

    /// The same, for addresses that strangers name.
    ///
    /// # Errors
    /// When there is no TLS to be had.
    pub fn within(reach: Reach, egress: Option<PathBuf>) -> Result<Self, rustls::Error> {
        // Only of the provider that is named here, whatever others are compiled in.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(HTTP_IDLE_TIMEOUT);
        Ok(Self(match egress {
            Some(path) => Way::Egress(client.build(tls.wrap_connector(Egress { path }))),
            None => {
                let mut straight = HttpConnector::new_with_resolver(Resolver { reach });
                straight.set_connect_timeout(Some(CONNECT_TIMEOUT));
                straight.set_nodelay(true);
                straight.enforce_http(false);
                Way::Straight(client.build(tls.wrap_connector(straight)))
            }
        }))
    }

    /// Sends a request to an absolute `http` or `https` address and returns with the head of the answer; its body comes
    /// as it is read. No redirect is followed. May be dropped at any await.
    ///
    /// # Errors
    /// [`HttpError`] when there is no connection, or no answer on it. Any status is an answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let answer = match &self.0 {
            Way::Straight(client) => client.request(request).await,
            Way::Egress(client) => client.request(request).await,
        };
        answer.map_err(|error| HttpError(chain(&error)))
    }
}

/// An error with its causes, as hyper's own text says little.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        // Some errors tell their cause themselves.
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

/// Resolves a name to the addresses that may be connected to. The connector asks it for names only: who takes addresses
/// from strangers checks those that stand in a URL, too.
#[derive(Clone)]
struct Resolver {
    reach: Reach,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.reach;
        Box::pin(async move {
            let mut addresses: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Reach::Only(allowed) = reach {
                addresses.retain(|address| allowed(address.ip()));
            }
            if addresses.is_empty() {
                return Err(io::Error::other("the name leads to no address that may be connected to"));
            }
            Ok(addresses.into_iter())
        })
    }
}

/// Opens tunnels through the hub's proxy.
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
    // Ends with the tunnel, or with the answer that there is none.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(Empty::new());
    *request.method_mut() = axum::http::Method::CONNECT;
    *request.uri_mut() = Uri::from(host.clone());
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    if !status.is_success() {
        let why = Limited::new(answer.into_body(), REFUSAL_MAX_BYTES).collect().await;
        let why = why.map(|why| String::from_utf8_lossy(&why.to_bytes()).trim().to_owned());
        return Err(TunnelError::Refused { host, status, why: why.unwrap_or_default() });
    }
    let tunnel = hyper::upgrade::on(answer).await?.downcast::<TokioIo<UnixStream>>();
    match tunnel {
        // Whoever is at the other end speaks second.
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(TunnelError::Early),
    }
}

/// `HOST:PORT`, with the scheme's port where none is named.
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

    /// A proxy that gives one connection these answers, one for each request's head; the handle gives the heads.
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
    async fn a_request_goes_through_a_tunnel_that_names_host_and_port() {
        let (http, heads, _directory) = proxy(&["HTTP/1.1 200 OK\r\n\r\n", ANSWER]);
        let answer = http.send(get("http://weather.example/now?place=Oslo")).await.unwrap();
        assert_eq!(body(answer).await, "hi");
        let heads = heads.await.unwrap();
        assert!(heads[0].starts_with("CONNECT weather.example:80 HTTP/1.1\r\n"), "{}", heads[0]);
        assert!(heads[1].starts_with("GET /now?place=Oslo HTTP/1.1\r\n"), "{}", heads[1]);
        assert!(heads[1].contains("host: weather.example\r\n"), "{}", heads[1]);
    }

    #[tokio::test]
    async fn tls_is_spoken_inside_the_tunnel() {
        // No TLS comes back, so that there is no answer; what was asked for is enough.
        let (http, heads, _directory) = proxy(&["HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Not TLS\r\n\r\n"]);
        let error = http.send(get("https://model.example/v1")).await.unwrap_err().to_string();
        assert!(heads.await.unwrap()[0].starts_with("CONNECT model.example:443 HTTP/1.1\r\n"));
        assert!(!error.contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_its_reason() {
        let refusal = "HTTP/1.1 403 Forbidden\r\ncontent-length: 11\r\n\r\nnot allowed";
        let (http, _heads, _directory) = proxy(&[refusal]);
        let error = http.send(get("https://evil.example/")).await.unwrap_err().to_string();
        let told = "the hub's egress proxy refused evil.example:443: 403 Forbidden: not allowed";
        assert!(error.ends_with(told), "{error}");
    }

    #[tokio::test]
    async fn a_proxy_that_is_not_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let http = Http::new(Some(directory.path().join("nothing"))).unwrap();
        let error = http.send(get("http://weather.example/")).await.unwrap_err().to_string();
        assert!(error.contains("cannot reach the hub's egress proxy: No such file"), "{error}");
    }

    #[tokio::test]
    async fn without_a_proxy_it_goes_straight_and_streams() {
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
        // The first piece is there while the rest is not written yet.
        let first = answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "one");
        let mut stream = server.await.unwrap();
        stream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(body(answer).await, "two");
    }
}

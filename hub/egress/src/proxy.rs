//! One connection of an agent to its way out: HTTP/1.1, then a tunnel or a request that is passed on.
//!
//! A name is resolved once, each address is looked at, and the connection goes to one that was looked at, so that a
//! name that changes its mind gains nothing. Sources: RFC 9110, sections 7.6.1 (hop-by-hop fields) and 9.3.6 (CONNECT);
//! RFC 9112, section 3.2.2 (absolute form).

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use mayfly_protocol::address::is_public;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex, split};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::Egress;
use crate::allow::{Allowed, Denied, check};
use crate::limits::{
    ADDRESSES_MAX, BUFFER_BYTES, CONNECT_TIMEOUT, HEAD_MAX_BYTES, HEAD_TIMEOUT, IDLE_TIMEOUT,
};
use crate::meter::{Meter, Way};

/// Fields of one connection, not of the message; `transfer-encoding` is hyper's business.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"];

/// Why an agent does not get through.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("ask for CONNECT HOST:PORT, or for an absolute http address")]
    Malformed,
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("this agent has had all the bytes that it may have")]
    UsedUp,
    #[error("it cannot be resolved: {0}")]
    Unresolved(io::Error),
    #[error("it cannot be connected to: {0}")]
    Unreachable(io::Error),
    #[error("it does not answer in HTTP: {0}")]
    NotHttp(#[from] hyper::Error),
    #[error("it cannot be connected to in time")]
    Timeout,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Denied(_) | Self::UsedUp => StatusCode::FORBIDDEN,
            Self::Unresolved(_) | Self::Unreachable(_) | Self::NotHttp(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// A text of this proxy, or the answer of the host.
type Body = Either<Full<Bytes>, Incoming>;

/// A tunnel that begins when its agent has been told so.
type Pending = Mutex<Option<(OnUpgrade, TcpStream)>>;

/// Serves one connection to its end, a tunnel that it becomes included.
pub(super) async fn serve(stream: UnixStream, egress: Arc<Egress>, meter: Arc<Meter>, tasks: TaskTracker) {
    let pending = Pending::default();
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(answer(request, &egress, &meter, &tasks, &pending).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(%error, "an agent's connection to the egress proxy ended");
    }
    let pending = pending.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((upgrade, host)) = pending
        && let Ok(agent) = upgrade.await
    {
        tunnel(TokioIo::new(agent), host, &meter).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    egress: &Egress,
    meter: &Arc<Meter>,
    tasks: &TaskTracker,
    pending: &Pending,
) -> Response<Body> {
    let named = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match try_answer(request, egress, meter, tasks, pending).await {
        Ok(response) => response,
        Err(refusal) => {
            meter.refused(&named, &refusal);
            let mut response = Response::new(Either::Left(Full::from(format!("{refusal}\n"))));
            *response.status_mut() = refusal.status();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
    }
}

async fn try_answer(
    mut request: Request<Incoming>,
    egress: &Egress,
    meter: &Arc<Meter>,
    tasks: &TaskTracker,
    pending: &Pending,
) -> Result<Response<Body>, Refusal> {
    let is_tunnel = request.method() == Method::CONNECT;
    let (host, port) = target(request.uri(), is_tunnel).ok_or(Refusal::Malformed)?;
    let allowed = check(&egress.rules, host, port)?;
    if meter.is_used_up() {
        return Err(Refusal::UsedUp);
    }
    let connected = timeout(CONNECT_TIMEOUT, connect(egress, allowed, port));
    let upstream = connected.await.map_err(|_| Refusal::Timeout)??;
    meter.opened(host);
    if is_tunnel {
        let upgrade = hyper::upgrade::on(&mut request);
        *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, upstream));
        return Ok(Response::new(Either::Left(Full::default())));
    }
    pass_on(request, upstream, meter, tasks).await
}

/// Host and port that a request is for; None where it is none for a proxy.
fn target(uri: &Uri, is_tunnel: bool) -> Option<(&str, u16)> {
    let port = match uri.scheme_str() {
        None if is_tunnel => uri.port_u16()?,
        Some("http") if !is_tunnel => uri.port_u16().unwrap_or(80),
        _ => return None,
    };
    Some((uri.host()?, port))
}

/// Connects to what the list allows. Whoever is connected to was looked at.
async fn connect(egress: &Egress, allowed: Allowed, port: u16) -> Result<TcpStream, Refusal> {
    let addresses: Vec<IpAddr> = match allowed {
        Allowed::Address(address) => vec![address],
        Allowed::Name(name) => {
            // A lookup takes a thread, and cannot be called off.
            let _permit = egress.lookups.acquire().await;
            let found = lookup_host((name.as_str(), port)).await.map_err(Refusal::Unresolved)?;
            let public = found.map(|address| address.ip()).filter(|address| is_public(*address));
            let public: Vec<_> = public.take(ADDRESSES_MAX).collect();
            if public.is_empty() {
                return Err(Denied::NotPublic.into());
            }
            public
        }
    };
    let mut last = io::ErrorKind::NotFound.into();
    for address in addresses {
        match TcpStream::connect(SocketAddr::new(address, port)).await {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(Refusal::Unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(Refusal::Unreachable(last))
}

/// Sends a request in the form that hosts expect, on a connection of its own.
async fn pass_on(
    mut request: Request<Incoming>,
    upstream: TcpStream,
    meter: &Arc<Meter>,
    tasks: &TaskTracker,
) -> Result<Response<Body>, Refusal> {
    let uri = std::mem::take(request.uri_mut());
    let host = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    strip(request.headers_mut());
    request.headers_mut().insert(HOST, host.ok_or(Refusal::Malformed)?);
    *request.uri_mut() = uri.path_and_query().map_or_else(Uri::default, |path| path.clone().into());
    // Counted and bounded as any tunnel.
    let (near, far) = duplex(BUFFER_BYTES);
    let meter = Arc::clone(meter);
    tasks.spawn(async move { tunnel(far, upstream, &meter).await });
    let (mut sender, connection) = client::handshake(TokioIo::new(near)).await?;
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a request that was passed on ended");
        }
    });
    let mut response = sender.send_request(request).await?;
    strip(response.headers_mut());
    Ok(response.map(Either::Right))
}

fn strip(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Moves bytes both ways until both ends are done, nothing moves for too long, or the agent has had all it may have.
async fn tunnel(agent: impl AsyncRead + AsyncWrite, host: TcpStream, meter: &Meter) {
    let moved = AtomicU64::new(0);
    let (from_agent, to_agent) = split(agent);
    let (from_host, to_host) = host.into_split();
    let both = async {
        tokio::try_join!(
            pump(from_agent, to_host, meter, Way::Out, &moved),
            pump(from_host, to_agent, meter, Way::In, &moved),
        )
    };
    let stands_still = async {
        let mut before = None;
        loop {
            let now = Some(moved.load(Ordering::Relaxed));
            if before == now {
                return;
            }
            before = now;
            sleep(IDLE_TIMEOUT).await;
        }
    };
    tokio::select! {
        _ = both => {}
        () = stands_still => debug!("a tunnel in which nothing moved is cut"),
    }
}

/// Moves bytes one way until there are no more; then the other end is told so.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    meter: &Meter,
    way: Way,
    moved: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer).await?;
        let piece = buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return to.shutdown().await;
        }
        if !meter.count(way, count) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        moved.fetch_add(1, Ordering::Relaxed);
        to.write_all(piece).await?;
    }
}

#[cfg(test)]
mod tests {
    use mayfly_protocol::ids::Incarnation;
    use tokio::net::TcpListener;

    use super::*;
    use crate::limits::BYTES_MAX;

    /// An agent's end of a tunnel, the host's, and the tunnel.
    async fn dug(meter: Arc<Meter>) -> (tokio::io::DuplexStream, TcpStream, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (host, _) = listener.accept().await.unwrap();
        let (agent, far) = duplex(BUFFER_BYTES);
        (agent, host, tokio::spawn(async move { tunnel(far, near, &meter).await }))
    }

    fn meter() -> Arc<Meter> {
        Arc::new(Meter::new(Incarnation::from_u128(1)))
    }

    #[tokio::test]
    async fn both_ways_are_counted_and_each_end_is_told_of_the_others() {
        let meter = meter();
        let (mut agent, mut host, tunnel) = dug(Arc::clone(&meter)).await;
        agent.write_all(b"ask").await.unwrap();
        agent.shutdown().await.unwrap();
        let mut asked = String::new();
        host.read_to_string(&mut asked).await.unwrap();
        host.write_all(b"answer").await.unwrap();
        drop(host);
        let mut answered = String::new();
        agent.read_to_string(&mut answered).await.unwrap();
        tunnel.await.unwrap();
        assert_eq!((asked.as_str(), answered.as_str(), meter.bytes()), ("ask", "answer", 9));
    }

    #[tokio::test]
    async fn a_tunnel_is_cut_when_the_agent_has_had_all_it_may_have() {
        let meter = meter();
        assert!(meter.count(Way::In, usize::try_from(BYTES_MAX).unwrap()));
        let (mut agent, mut host, tunnel) = dug(meter).await;
        agent.write_all(b"x").await.unwrap();
        tunnel.await.unwrap();
        let mut passed = Vec::new();
        host.read_to_end(&mut passed).await.unwrap();
        assert!(passed.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_in_which_nothing_moves_is_cut() {
        let started = tokio::time::Instant::now();
        let (_agent, _host, tunnel) = dug(meter()).await;
        tunnel.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), IDLE_TIMEOUT.as_secs());
    }

    #[test]
    fn fields_of_the_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Own"), ("proxy-authorization", "secret"), ("te", "gzip")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for name in ["x-own", "accept"] {
            headers.insert(name, HeaderValue::from_static("kept?"));
        }
        strip(&mut headers);
        assert_eq!(headers.keys().map(hyper::header::HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }
}

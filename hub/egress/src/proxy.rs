//! One connection of an agent to its gate: HTTP/1.1, then a tunnel or a forwarded request.
//!
//! Sources: RFC 9110, sections 7.6.1 (hop-by-hop fields) and 9.3.6 (CONNECT); RFC 9112, section 3.2.2 (absolute form).

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::duplex;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::task::TaskTracker;
use tracing::debug;

use crate::account::{Account, Direction};
use crate::connect::Connector;
use crate::error::ProxyError;
use crate::limits::{BUFFER_BYTES, HEAD_MAX_BYTES, HEAD_TIMEOUT};
use crate::policy::Target;
use crate::tunnel;

/// Fields of one connection, not of the message. hyper itself handles `transfer-encoding`.
const HOP_BY_HOP: [&str; 7] =
    ["connection", "keep-alive", "proxy-authorization", "proxy-connection", "te", "trailer", "upgrade"];

/// Text of this proxy, or the host's answer.
type Body = Either<Full<Bytes>, Incoming>;

/// A tunnel that begins after its agent has received the answer to CONNECT.
type Pending = Mutex<Option<(OnUpgrade, TcpStream)>>;

/// Serves one connection to its end, including the tunnel that it becomes.
pub(crate) async fn serve(
    stream: UnixStream,
    connector: Arc<Connector>,
    account: Arc<Account>,
    tasks: TaskTracker,
) {
    let pending = Pending::default();
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(answer(request, &connector, &account, &tasks, &pending).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(incarnation = %account.agent(), %error, "egress connection failed");
    }
    let pending = pending.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some((upgrade, host)) = pending
        && let Ok(agent) = upgrade.await
    {
        tunnel::run(TokioIo::new(agent), host, &account).await;
    }
}

async fn answer(
    request: Request<Incoming>,
    connector: &Connector,
    account: &Arc<Account>,
    tasks: &TaskTracker,
    pending: &Pending,
) -> Response<Body> {
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    match try_answer(request, connector, account, tasks, pending).await {
        Ok(response) => response,
        Err(error) => {
            account.record_refusal(&host, &error);
            let mut response = Response::new(Either::Left(Full::from(format!("{error}\n"))));
            *response.status_mut() = error.status();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            response
        }
    }
}

async fn try_answer(
    mut request: Request<Incoming>,
    connector: &Connector,
    account: &Arc<Account>,
    tasks: &TaskTracker,
    pending: &Pending,
) -> Result<Response<Body>, ProxyError> {
    let is_tunnel = request.method() == Method::CONNECT;
    let target = target(request.uri(), is_tunnel).ok_or(ProxyError::Malformed)?;
    account.check_target(&target)?;
    account.take(Direction::Sent, 0)?;
    let upstream = connector.connect(account, &target).await?;
    account.record_open(&target.to_string());
    if is_tunnel {
        let upgrade = hyper::upgrade::on(&mut request);
        *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some((upgrade, upstream));
        return Ok(Response::new(Either::Left(Full::default())));
    }
    forward(request, upstream, account, tasks).await
}

/// Returns the destination of a request; `None` if the request is not one for a proxy.
fn target(uri: &Uri, is_tunnel: bool) -> Option<Target> {
    let port = match uri.scheme_str() {
        None if is_tunnel => uri.port_u16()?,
        Some("http") if !is_tunnel => uri.port_u16().unwrap_or(80),
        _ => return None,
    };
    Some(Target { host: uri.host()?.into(), port })
}

/// Sends a request in origin form over a connection of its own.
async fn forward(
    mut request: Request<Incoming>,
    upstream: TcpStream,
    account: &Arc<Account>,
    tasks: &TaskTracker,
) -> Result<Response<Body>, ProxyError> {
    let uri = std::mem::take(request.uri_mut());
    let host = uri.authority().and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    strip(request.headers_mut());
    request.headers_mut().insert(HOST, host.ok_or(ProxyError::Malformed)?);
    *request.uri_mut() = uri.path_and_query().map_or_else(Uri::default, |path| path.clone().into());
    // Through a tunnel, so that its bytes are counted like all others.
    let (near, far) = duplex(BUFFER_BYTES);
    let account = Arc::clone(account);
    let incarnation = account.agent();
    tasks.spawn(async move { tunnel::run(far, upstream, &account).await });
    let (mut sender, connection) = client::handshake(TokioIo::new(near)).await?;
    tasks.spawn(async move {
        if let Err(error) = connection.await {
            debug!(%incarnation, %error, "forwarded request failed");
        }
    });
    let mut response = sender.send_request(request).await?;
    strip(response.headers_mut());
    Ok(response.map(Either::Right))
}

/// Removes the fields that belong to one connection.
fn strip(headers: &mut HeaderMap) {
    let named = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<String> =
        named.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    for name in named.iter().map(String::as_str).chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_connection_are_not_forwarded() {
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

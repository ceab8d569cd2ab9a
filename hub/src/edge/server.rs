//! The accept loop, with a bound on connections and on the time for a request's head. `axum::serve` has neither.
//!
//! When every slot is taken, the hub closes the oldest connection that has sent no request for a while. Clients that
//! send requests are served, however many others only hold a connection open.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::edge::Edge;
use crate::edge::tls::{HubListener, Tls};
use crate::limits::{
    ACCEPT_RETRY_DISMISSALS, ACCEPT_RETRY_INTERVAL, CLOSE_TIMEOUT, CONNECTION_SLOTS_TIDIED_MIN,
    CONNECTIONS_BEYOND_SESSIONS, CONNECTIONS_BEYOND_SESSIONS_MIN, DESCRIPTORS_OF_THE_HUB,
    DESCRIPTORS_PER_SESSION, HTTP_BUFFER_MAX_BYTES, HTTP_HEAD_TIMEOUT, HTTP_PATIENCE,
};
use crate::socket::transport::Transport;

/// The permit of a connection. A WebSocket takes it along when the connection is upgraded.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<std::sync::Mutex<Option<OwnedSemaphorePermit>>>);

impl ConnectionPermit {
    /// Returns the permit to the first caller.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().ok()?.take()
    }
}

/// Counts a request as being answered, as long as the guard or a clone of it exists.
pub(crate) struct RequestGuard(Arc<ConnectionSlot>);

impl RequestGuard {
    fn new(slot: &Arc<ConnectionSlot>) -> Self {
        slot.requests.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(slot))
    }
}

impl Clone for RequestGuard {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts connections until the hub closes.
pub(crate) async fn serve(listener: HubListener, router: Router, edge: &Arc<Edge>) {
    let HubListener { tcp, tls } = listener;
    if let Some(tls) = tls.clone() {
        edge.ops.tasks.spawn(tls.reload_on_change(edge.ops.drain.closing.clone()));
    }
    let mut connections =
        Connections::new(edge.settings.max_sessions + connections_to_spare(edge.settings.max_sessions));
    loop {
        let accepted = tokio::select! {
            () = edge.ops.drain.closing.cancelled() => return,
            accepted = connections.accept(&tcp) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit, slot)) => {
                let (router, tls) = (router.clone(), tls.clone());
                edge.ops.tasks.spawn(connection(stream, tls, peer, router, permit, slot, Arc::clone(edge)));
            }
            Err(error) => {
                // Most likely the process has no descriptor left, and an immediate retry would spin.
                warn!(%error, "accept failed");
                connections.dismiss(ACCEPT_RETRY_DISMISSALS);
                sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

/// A connection, as the accept loop sees it.
#[derive(Default)]
struct ConnectionSlot {
    /// Time at which the hub first waited for a request.
    waits_since: OnceLock<Instant>,
    /// Number of requests that are being answered.
    requests: AtomicUsize,
    dismissed: CancellationToken,
}

impl ConnectionSlot {
    /// Returns `true` if the connection has had time to send a request, and none is being answered.
    fn is_idle(&self) -> bool {
        let has_waited = self.waits_since.get().is_some_and(|since| since.elapsed() >= HTTP_PATIENCE);
        has_waited && self.requests.load(Ordering::Relaxed) == 0
    }
}

/// All connections, and the number that the hub accepts.
struct Connections {
    permits: Arc<Semaphore>,
    /// Oldest first. The list holds the only reference to the slot of a closed connection.
    slots: VecDeque<Arc<ConnectionSlot>>,
    /// Length of the list at which the slots of closed connections are removed.
    tidy_at: usize,
}

impl Connections {
    fn new(capacity: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(capacity)),
            slots: VecDeque::new(),
            tidy_at: CONNECTION_SLOTS_TIDIED_MIN,
        }
    }

    /// Accepts the next connection. It waits in the system's backlog while every slot is taken and none is idle.
    async fn accept(
        &mut self,
        listener: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit, Arc<ConnectionSlot>)> {
        let permit = loop {
            if self.permits.available_permits() == 0 {
                self.dismiss(1);
            }
            let permit = Arc::clone(&self.permits).acquire_owned();
            if let Ok(permit) = timeout(ACCEPT_RETRY_INTERVAL, permit).await {
                break permit.map_err(std::io::Error::other)?;
            }
        };
        let (stream, peer) = listener.accept().await?;
        if self.slots.len() >= self.tidy_at {
            self.slots.retain(is_open);
            self.tidy_at = CONNECTION_SLOTS_TIDIED_MIN.max(2 * self.slots.len());
        }
        let slot = Arc::<ConnectionSlot>::default();
        self.slots.push_back(Arc::clone(&slot));
        Ok((stream, peer, permit, slot))
    }

    /// Closes the `count` oldest idle connections.
    fn dismiss(&mut self, count: usize) {
        self.slots.retain(is_open);
        for slot in self.slots.iter().filter(|slot| slot.is_idle()).take(count) {
            slot.dismissed.cancel();
        }
    }
}

/// Returns `true` if the connection exists and is not being closed.
fn is_open(slot: &Arc<ConnectionSlot>) -> bool {
    Arc::strong_count(slot) > 1 && !slot.dismissed.is_cancelled()
}

/// Returns the number of connections beside those of sessions, as far as the process has descriptors for them.
pub(crate) fn connections_to_spare(max_sessions: usize) -> usize {
    let (descriptors, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    let taken = DESCRIPTORS_OF_THE_HUB + DESCRIPTORS_PER_SESSION * max_sessions as u64;
    let spare = usize::try_from(descriptors.saturating_sub(taken)).unwrap_or(usize::MAX);
    spare.clamp(CONNECTIONS_BEYOND_SESSIONS_MIN, CONNECTIONS_BEYOND_SESSIONS)
}

async fn connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    peer: SocketAddr,
    router: Router,
    permit: OwnedSemaphorePermit,
    slot: Arc<ConnectionSlot>,
    edge: Arc<Edge>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "TCP_NODELAY not set");
    }
    let Some(stream) = open(stream, tls, &slot, &edge).await else { return };
    let permit = ConnectionPermit(Arc::new(std::sync::Mutex::new(Some(permit))));
    let request_slot = Arc::clone(&slot);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(permit.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        let guard = RequestGuard::new(&request_slot);
        request.extensions_mut().insert(guard.clone());
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await;
            drop(guard);
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIMEOUT)
        .max_buf_size(HTTP_BUFFER_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    if let Some(result) = connection.as_mut().now_or_never() {
        return log_end(result);
    }
    slot.waits_since.get_or_init(Instant::now);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = slot.dismissed.cancelled() => return debug!(client = %peer, "idle connection closed"),
        () = edge.ops.drain.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // A client that does not read its answer in time loses the connection.
            timeout(CLOSE_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    log_end(result);
}

fn log_end(result: hyper::Result<()>) {
    match result {
        Ok(()) => debug!("connection ended"),
        Err(error) => debug!(%error, "connection failed"),
    }
}

/// Returns the connection's transport, after the TLS handshake if there is TLS. The handshake may take as long as a
/// request's head.
async fn open(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    slot: &ConnectionSlot,
    edge: &Edge,
) -> Option<Transport> {
    let Some(tls) = tls else { return Some(stream.into()) };
    slot.waits_since.get_or_init(Instant::now);
    let shaken = tokio::select! {
        shaken = timeout(HTTP_HEAD_TIMEOUT, tls.accept(stream)) => shaken,
        () = slot.dismissed.cancelled() => return None,
        () = edge.ops.drain.closing.cancelled() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            debug!(%error, "TLS handshake failed");
            None
        }
        Err(_) => {
            debug!("TLS handshake timed out");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closed_connections_leave_no_slot() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut connections = Connections::new(10_000);
        let mut open = Vec::new();
        for number in 0..1_000 {
            let client = TcpStream::connect(address).await.unwrap();
            let accepted = connections.accept(&listener).await.unwrap();
            if number % 10 == 0 {
                open.push((client, accepted));
            }
        }
        assert!(connections.slots.len() <= 2 * open.len(), "{}", connections.slots.len());
        connections.slots.retain(is_open);
        assert_eq!(connections.slots.len(), open.len());
    }
}

//! The accept loop: how many connections there may be, and how long one may take to say what it wants.
//!
//! `axum::serve` has neither a bound on connections nor one on the time for a request's head. Where there is no room
//! for one more, the connection goes that has waited longest without asking for anything, so that those who ask are
//! served however many only hold on.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
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
use crate::edge::tls::{Door, Tls};
use crate::limits::{
    ACCEPT_RETRY_DISMISSALS, ACCEPT_RETRY_INTERVAL, CLOSE_TIMEOUT, CONNECTIONS_BEYOND_SESSIONS,
    CONNECTIONS_BEYOND_SESSIONS_MIN, DESCRIPTORS_OF_THE_HUB, DESCRIPTORS_PER_SESSION, GUESTS_TIDIED_MIN,
    HTTP_BUFFER_MAX_BYTES, HTTP_HEAD_TIMEOUT, HTTP_PATIENCE,
};
use crate::socket::transport::Transport;

/// What counts a connection among those that the hub takes; a WebSocket takes it along.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<std::sync::Mutex<Option<OwnedSemaphorePermit>>>);

impl ConnectionPermit {
    /// The permit, once.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().ok()?.take()
    }
}

/// Goes with a request: as long as somebody has it, the request is being answered.
#[derive(Clone)]
pub(crate) struct Serving(#[expect(dead_code, reason = "held until it is dropped")] Arc<Served>);

struct Served(Arc<Guest>);

impl Serving {
    fn new(guest: &Arc<Guest>) -> Self {
        guest.is_served.store(true, Ordering::Relaxed);
        Self(Arc::new(Served(Arc::clone(guest))))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.is_served.store(false, Ordering::Relaxed);
    }
}

/// Accepts connections until the hub closes.
pub(crate) async fn serve(listener: Door, router: Router, edge: &Arc<Edge>) {
    let Door { tcp, tls } = listener;
    if let Some(tls) = tls.clone() {
        edge.ops.tasks.spawn(tls.keep(edge.ops.drain.closing.clone()));
    }
    let mut room = Room::new(edge.settings.max_sessions + connections_to_spare(edge.settings.max_sessions));
    loop {
        let accepted = tokio::select! {
            () = edge.ops.drain.closing.cancelled() => return,
            accepted = room.accept(&tcp) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit, guest)) => {
                let (router, tls) = (router.clone(), tls.clone());
                edge.ops.tasks.spawn(connection(stream, tls, peer, router, permit, guest, Arc::clone(edge)));
            }
            Err(error) => {
                // Out of descriptors, most likely: trying again at once would only spin.
                warn!(%error, "cannot accept a connection");
                room.dismiss(ACCEPT_RETRY_DISMISSALS);
                sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

/// One connection, as the accept loop sees it.
#[derive(Default)]
struct Guest {
    /// When the hub was there to read a request and found none.
    waits_since: OnceLock<Instant>,
    /// Whether it has a request that is being answered.
    is_served: AtomicBool,
    dismissed: CancellationToken,
}

impl Guest {
    /// Whether it had time to ask for something, and does not.
    fn is_idle(&self) -> bool {
        let has_waited = self.waits_since.get().is_some_and(|since| since.elapsed() >= HTTP_PATIENCE);
        has_waited && !self.is_served.load(Ordering::Relaxed)
    }
}

/// The connections there are, and how many there may be.
struct Room {
    permits: Arc<Semaphore>,
    /// Oldest first; only here when they are gone.
    guests: VecDeque<Arc<Guest>>,
    /// When there are so many, those that are gone are let go of.
    tidy_at: usize,
}

impl Room {
    fn new(capacity: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(capacity)),
            guests: VecDeque::new(),
            tidy_at: GUESTS_TIDIED_MIN,
        }
    }

    /// The next connection. Where there is no room and nobody to dismiss, it waits in the system's backlog.
    async fn accept(
        &mut self,
        listener: &TcpListener,
    ) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit, Arc<Guest>)> {
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
        if self.guests.len() >= self.tidy_at {
            self.guests.retain(is_here);
            self.tidy_at = GUESTS_TIDIED_MIN.max(2 * self.guests.len());
        }
        let guest = Arc::<Guest>::default();
        self.guests.push_back(Arc::clone(&guest));
        Ok((stream, peer, permit, guest))
    }

    /// Closes so many of the connections that have waited longest without a request.
    fn dismiss(&mut self, count: usize) {
        self.guests.retain(is_here);
        for guest in self.guests.iter().filter(|guest| guest.is_idle()).take(count) {
            guest.dismissed.cancel();
        }
    }
}

/// Whether a connection is there, and is to stay.
fn is_here(guest: &Arc<Guest>) -> bool {
    Arc::strong_count(guest) > 1 && !guest.dismissed.is_cancelled()
}

/// As many connections as are allowed beside the sessions' own, and as there are descriptors for.
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
    guest: Arc<Guest>,
    edge: Arc<Edge>,
) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let Some(stream) = open(stream, tls, &guest, &edge).await else { return };
    let permit = ConnectionPermit(Arc::new(std::sync::Mutex::new(Some(permit))));
    let served = Arc::clone(&guest);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(permit.clone());
        request.extensions_mut().insert(ConnectInfo(peer));
        let serving = Serving::new(&served);
        request.extensions_mut().insert(serving.clone());
        let router = router.clone();
        async move {
            let response = router.oneshot(request).await;
            drop(serving);
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
        return debug!(?result, "a connection ended at once");
    }
    guest.waits_since.get_or_init(Instant::now);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = guest.dismissed.cancelled() => return debug!("a connection that asked for nothing made room"),
        () = edge.ops.drain.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // One that does not take its answer is cut.
            timeout(CLOSE_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

/// What the connection's bytes go over, after a handshake where there is TLS: that has as long as a request's head.
async fn open(stream: TcpStream, tls: Option<Arc<Tls>>, guest: &Guest, edge: &Edge) -> Option<Transport> {
    let Some(tls) = tls else { return Some(stream.into()) };
    guest.waits_since.get_or_init(Instant::now);
    let shaken = tokio::select! {
        shaken = timeout(HTTP_HEAD_TIMEOUT, tls.accept(stream)) => shaken,
        () = guest.dismissed.cancelled() => return None,
        () = edge.ops.drain.closing.cancelled() => return None,
    };
    match shaken {
        Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            debug!(%error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            debug!("a TLS handshake took too long");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_that_are_gone_leave_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut room = Room::new(10_000);
        let mut those_that_stay = Vec::new();
        for number in 0..1_000 {
            let client = TcpStream::connect(address).await.unwrap();
            let accepted = room.accept(&listener).await.unwrap();
            if number % 10 == 0 {
                those_that_stay.push((client, accepted));
            }
        }
        assert!(room.guests.len() <= 2 * those_that_stay.len(), "{}", room.guests.len());
        room.guests.retain(is_here);
        assert_eq!(room.guests.len(), those_that_stay.len());
    }
}

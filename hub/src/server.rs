//! The accept loop: how many connections there may be, and how long one may take to say what it wants.
//!
//! `axum::serve` has neither a bound on connections nor one on the time for a request's head.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::Hub;
use crate::limits::{
    ACCEPT_RETRY_INTERVAL, CLOSE_TIMEOUT, CONNECTIONS_BEYOND_SESSIONS, HTTP_BUFFER_MAX_BYTES,
    HTTP_HEAD_TIMEOUT,
};

/// What counts a connection among those that the hub takes; a WebSocket takes it along.
#[derive(Clone)]
pub(crate) struct ConnectionPermit(Arc<std::sync::Mutex<Option<OwnedSemaphorePermit>>>);

impl ConnectionPermit {
    /// The permit, once.
    pub(crate) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.lock().ok()?.take()
    }
}

/// Accepts connections until shutdown. Past the bound, connections wait in the system's backlog.
pub(crate) async fn serve(listener: TcpListener, router: Router, hub: &Arc<Hub>) {
    let permits = Arc::new(Semaphore::new(hub.config.max_sessions + CONNECTIONS_BEYOND_SESSIONS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            () = hub.shutdown.cancelled() => return,
            accepted = accepted => accepted,
        };
        match (permit, stream) {
            (Ok(permit), Ok((stream, _))) => {
                hub.tasks.spawn(connection(stream, router.clone(), permit, Arc::clone(hub)));
            }
            (_, Err(error)) => {
                // Out of descriptors, most likely: trying again at once would only spin.
                warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_RETRY_INTERVAL).await;
            }
            (Err(_), Ok(_)) => return,
        }
    }
}

async fn connection(stream: TcpStream, router: Router, permit: OwnedSemaphorePermit, hub: Arc<Hub>) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let permit = ConnectionPermit(Arc::new(std::sync::Mutex::new(Some(permit))));
    let service = router.map_request(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(permit.clone());
        request
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HTTP_HEAD_TIMEOUT)
        .max_buf_size(HTTP_BUFFER_MAX_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = hub.shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // One that does not take its answer is cut.
            timeout(CLOSE_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        debug!(%error, "a connection ended");
    }
}

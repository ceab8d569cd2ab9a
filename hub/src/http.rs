//! The routes, and the checks that stand before all of them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::http::guard::Guard;
use crate::{Hub, ui};

mod error;
mod guard;
mod health;
mod upgrade;

/// All routes of a hub that listens on `address`.
pub(crate) fn router(hub: &Arc<Hub>, address: SocketAddr) -> Router {
    let guard = Arc::new(Guard::new(address, &hub.config.allow_origins));
    let state = upgrade::Shared { hub: Arc::clone(hub), guard: Arc::clone(&guard) };
    Router::new()
        .route("/ws", get(upgrade::create))
        .route("/ws/{session}", get(upgrade::join))
        .merge(health::router())
        .merge(health::session_router())
        .nest("/api", health::session_router())
        .with_state(state)
        .merge(ui::router())
        .layer(from_fn_with_state(guard, guard::check))
}

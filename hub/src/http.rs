//! The routes, and the checks that stand before all of them.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::http::guard::Guard;
use crate::{Hub, ui};

pub(crate) mod caller;
mod error;
mod guard;
mod health;
mod json;
mod rest;
mod upgrade;

/// What the routes work with.
#[derive(Clone)]
pub(crate) struct Shared {
    hub: Arc<Hub>,
    guard: Arc<Guard>,
}

/// All routes of a hub.
pub(crate) fn router(hub: &Arc<Hub>) -> Router {
    let guard = Arc::new(Guard::new("http", &hub.config.allow_origins));
    let state = Shared { hub: Arc::clone(hub), guard: Arc::clone(&guard) };
    let (rest, _) = rest::router().split_for_parts();
    let rest = rest.merge(health::session_router());
    Router::new()
        .route("/ws", get(upgrade::create))
        .route("/ws/{session}", get(upgrade::join))
        .merge(health::router())
        .merge(rest.clone())
        .nest("/api", rest)
        .with_state(state)
        .merge(ui::router())
        .layer(from_fn_with_state(guard, guard::check))
}

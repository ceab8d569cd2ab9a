//! The routes, and the checks that every request passes first.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;
use utoipa_axum::router::OpenApiRouter;

use crate::edge::Edge;
use crate::edge::http::guard::Guard;
use crate::edge::http::problem::ProblemJson;
use crate::edge::page;

pub(crate) mod caller;
mod guard;
mod health;
mod json;
mod openapi;
mod problem;
mod rest;
mod upgrade;

/// State that the handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    edge: Arc<Edge>,
    guard: Arc<Guard>,
}

/// Returns all routes. `scheme` is `http` or `https`, as the hub serves them.
pub(crate) fn router(edge: &Arc<Edge>, scheme: &'static str) -> Router {
    let guard = Arc::new(Guard::new(scheme, &edge.settings.allow_origins));
    let state = Shared { edge: Arc::clone(edge), guard: Arc::clone(&guard) };
    let described = OpenApiRouter::with_openapi(openapi::frame());
    let (rest, document) = described.merge(rest::router()).merge(health::session_router()).split_for_parts();
    let rest = rest
        .merge(openapi::router(document))
        .method_not_allowed_fallback(no_such_method)
        .layer(guard::cross_origin(&guard))
        .layer(from_fn_with_state(Arc::clone(&guard), guard::check_origin));
    Router::new()
        .route("/ws", get(upgrade::create))
        .route("/ws/{session}", get(upgrade::join))
        .merge(health::router())
        .merge(rest.clone())
        .nest("/api", rest.fallback(no_such_path))
        .with_state(state)
        .merge(page::router())
        .layer(from_fn_with_state(guard, guard::check))
}

async fn no_such_path() -> ProblemJson {
    Refusal::new(ErrorCode::ProtoPath, "this path does not exist; see /openapi.json").into()
}

async fn no_such_method() -> ProblemJson {
    Refusal::new(ErrorCode::ProtoMethod, "this path does not support the method; see /openapi.json").into()
}

//! What the hub says of its own REST calls: OpenAPI 3.1, made of the handlers that answer them.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use mayfly_protocol::rest::Problem;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, Server};
use utoipa::{Modify, OpenApi as Described};

use crate::edge::http::Shared;

/// The parts that no handler says.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Mayfly",
        description = "Sessions without a socket. Every call that is refused says why as `application/problem+json`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    components(schemas(Problem)),
    security(("bearer" = [])),
    modifiers(&Frame),
)]
struct Frame;

impl Modify for Frame {
    fn modify(&self, document: &mut OpenApi) {
        document.servers = Some(vec![Server::new("/"), Server::new("/api")]);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
            "A session's token, a ticket to make a session with, or the operator key. On loopback and without a key, \
             sessions are made without.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// The document, before the handlers are in it.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Where the document is.
pub(super) fn router(document: &OpenApi) -> Router<Shared> {
    // Of plain types: it can be written.
    let text = document.to_json().unwrap_or_default();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], text)))
}

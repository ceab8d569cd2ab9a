//! The OpenAPI 3.1 document of the REST calls, which is generated from their handlers.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use mayfly_protocol::rest::Problem;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi, Required, Server};
use utoipa::{Modify, OpenApi as Described};

use crate::edge::http::Shared;

/// `POST` calls whose body may be left out.
const WITH_OPTIONAL_BODY: [&str; 3] = ["/sessions", "/sessions/{session}/extend", "/tickets"];

/// The parts of the document that belong to no handler.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Mayfly",
        description = "Creates and uses sessions over HTTP. A refused call is answered with \
                       `application/problem+json`, whose `code` names the cause.",
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
            "The session's token, a ticket that creates one session, or the operator key. A hub on loopback without a \
             key needs no credential to create and list sessions.",
        ));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
    }
}

/// Returns the document without the handlers' calls.
pub(super) fn frame() -> OpenApi {
    Frame::openapi()
}

/// Returns the route that serves the document.
pub(super) fn router(mut document: OpenApi) -> Router<Shared> {
    for path in WITH_OPTIONAL_BODY {
        let call = document.paths.paths.get_mut(path).and_then(|item| item.post.as_mut());
        if let Some(body) = call.and_then(|call| call.request_body.as_mut()) {
            body.required = Some(Required::False);
        }
    }
    // The document consists of plain types, so that serializing it cannot fail.
    let text = document.to_json().unwrap_or_default();
    Router::new()
        .route("/openapi.json", get(async move || ([(header::CONTENT_TYPE, "application/json")], text)))
}

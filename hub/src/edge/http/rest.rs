//! REST: sessions without a socket, and tickets. The bodies are in `mayfly_protocol::rest`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::owner::Owner;
use mayfly_protocol::refusal::Refusal;
use mayfly_protocol::rest::{self, MintedTicket, NewTicket};
use mayfly_session::limits::CAPACITY_RETRY_AFTER;
use tracing::{info, warn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::http::Shared;
use crate::edge::http::caller::Caller;
use crate::edge::http::json::Json;
use crate::edge::http::problem::ProblemJson;
use crate::identity::ticket::TicketError;
use crate::limits::{REST_BODY_MAX_BYTES, TICKET_TTL};

mod answer;
mod messages;
pub(crate) mod request;
mod sessions;
mod stream;

/// Returns the routes with their OpenAPI descriptions.
pub(crate) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(sessions::create, sessions::list))
        .routes(routes!(sessions::show, sessions::delete))
        .routes(routes!(sessions::extend))
        .routes(routes!(messages::say))
        .routes(routes!(messages::events))
        .routes(routes!(mint_ticket))
        .layer(DefaultBodyLimit::max(REST_BODY_MAX_BYTES))
}

/// Every answer to a refused call.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(crate) enum Refusals {
    /// The body is not JSON.
    #[response(status = BAD_REQUEST, content_type = "application/problem+json")]
    BadRequest(rest::Problem),
    /// The call needs a credential.
    #[response(status = UNAUTHORIZED, content_type = "application/problem+json")]
    Unauthorized(rest::Problem),
    /// The credential or the page's origin does not permit the call.
    #[response(status = FORBIDDEN, content_type = "application/problem+json")]
    Forbidden(rest::Problem),
    /// The session does not exist, or the hub no longer remembers it.
    #[response(status = NOT_FOUND, content_type = "application/problem+json")]
    NotFound(rest::Problem),
    /// The session has ended.
    #[response(status = GONE, content_type = "application/problem+json")]
    Gone(rest::Problem),
    /// The body is larger than the hub accepts.
    #[response(status = PAYLOAD_TOO_LARGE, content_type = "application/problem+json")]
    TooLarge(rest::Problem),
    /// The content type of the body is not `application/json`.
    #[response(status = UNSUPPORTED_MEDIA_TYPE, content_type = "application/problem+json")]
    NotJson(rest::Problem),
    /// A field of the body has a value that is not accepted.
    #[response(status = UNPROCESSABLE_ENTITY, content_type = "application/problem+json")]
    Invalid(rest::Problem),
    /// The caller reached a limit; `Retry-After` says when to try again.
    #[response(status = TOO_MANY_REQUESTS, content_type = "application/problem+json")]
    TooMany(rest::Problem),
    /// The agent or its model failed.
    #[response(status = BAD_GATEWAY, content_type = "application/problem+json")]
    Failed(rest::Problem),
    /// The hub has reached its limit of sessions or is shutting down; `Retry-After` says when to try again.
    #[response(status = SERVICE_UNAVAILABLE, content_type = "application/problem+json")]
    Unavailable(rest::Problem),
    /// The agent did not answer in time.
    #[response(status = GATEWAY_TIMEOUT, content_type = "application/problem+json")]
    Late(rest::Problem),
}

/// An event of a stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described")]
struct StreamEvent {
    /// A frame of the session, as JSON.
    data: String,
    /// Number of the frame in the session's log, as `EPOCH.SEQ`.
    #[schema(nullable = false)]
    id: Option<String>,
}

/// Creates a ticket, with which a browser can create one session. Needs the operator key.
#[utoipa::path(
    post,
    path = "/tickets",
    tag = "tickets",
    request_body = NewTicket,
    responses((status = CREATED, body = MintedTicket), Refusals),
)]
async fn mint_ticket(
    State(shared): State<Shared>,
    caller: Caller,
    Json(NewTicket { owner }): Json<NewTicket>,
) -> Result<impl IntoResponse, ProblemJson> {
    caller.authorize_operator(&shared.edge)?;
    let owner = owner.as_deref().map(checked_owner).transpose()?;
    let expires_at = humantime::format_rfc3339_millis(SystemTime::now() + TICKET_TTL).to_string();
    match shared.edge.tickets.mint(&shared.edge.sessions.secret, owner, Instant::now()) {
        Ok(ticket) => {
            info!("ticket created");
            Ok((StatusCode::CREATED, Json(MintedTicket { ticket, expires_at })))
        }
        Err(error) => {
            warn!(%error, "ticket refused");
            let refusal = match error {
                TicketError::TooMany | TicketError::Random(_) => {
                    Refusal::new(ErrorCode::QuotaRate, "too many tickets wait to be redeemed")
                }
            };
            Err(refusal.after(CAPACITY_RETRY_AFTER).into())
        }
    }
}

/// Parses the owner in a body.
fn checked_owner(owner: &str) -> Result<Arc<str>, Refusal> {
    let owner = owner.parse::<Owner>();
    owner.map(Into::into).map_err(|error| Refusal::new(ErrorCode::ProtoInvalid, error.to_string()))
}

//! REST: sessions without a socket, and tickets. What each call says is in `mayfly_protocol::rest`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::owner::Owner;
use mayfly_protocol::rest::{self, MintedTicket, NewTicket};
use mayfly_session::limits::CAPACITY_RETRY_AFTER;
use tracing::{info, warn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::edge::http::Shared;
use crate::edge::http::caller::Asker;
use crate::edge::http::error::Problem;
use crate::edge::http::json::Json;
use crate::identity::ticket::TicketError;
use crate::limits::{REST_BODY_MAX_BYTES, TICKET_TTL};

mod answer;
mod messages;
mod sessions;
mod stream;
pub(crate) mod visit;

/// The routes, and what they say of themselves.
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

/// Every way in which a call can be refused.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(crate) enum Refusals {
    /// The body is no JSON.
    #[response(status = BAD_REQUEST, content_type = "application/problem+json")]
    BadRequest(rest::Problem),
    /// A credential is needed.
    #[response(status = UNAUTHORIZED, content_type = "application/problem+json")]
    Unauthorized(rest::Problem),
    /// The credential, or the page's origin, is not for this.
    #[response(status = FORBIDDEN, content_type = "application/problem+json")]
    Forbidden(rest::Problem),
    /// There is no such session.
    #[response(status = NOT_FOUND, content_type = "application/problem+json")]
    NotFound(rest::Problem),
    /// The session has ended.
    #[response(status = GONE, content_type = "application/problem+json")]
    Gone(rest::Problem),
    /// The body is too long.
    #[response(status = PAYLOAD_TOO_LARGE, content_type = "application/problem+json")]
    TooLarge(rest::Problem),
    /// The body is not said to be JSON.
    #[response(status = UNSUPPORTED_MEDIA_TYPE, content_type = "application/problem+json")]
    NotJson(rest::Problem),
    /// A field has a value that is not accepted.
    #[response(status = UNPROCESSABLE_ENTITY, content_type = "application/problem+json")]
    Invalid(rest::Problem),
    /// Too much at once; `Retry-After` says when to try again.
    #[response(status = TOO_MANY_REQUESTS, content_type = "application/problem+json")]
    TooMany(rest::Problem),
    /// The agent or its model failed.
    #[response(status = BAD_GATEWAY, content_type = "application/problem+json")]
    Failed(rest::Problem),
    /// All sessions are taken, or the hub shuts down; `Retry-After` says when to try again.
    #[response(status = SERVICE_UNAVAILABLE, content_type = "application/problem+json")]
    Unavailable(rest::Problem),
    /// The agent did not get on.
    #[response(status = GATEWAY_TIMEOUT, content_type = "application/problem+json")]
    Late(rest::Problem),
}

/// One event of a stream.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only described")]
struct StreamEvent {
    /// A frame of the session, as JSON.
    data: String,
    /// Its place in the session's record: EPOCH.SEQ.
    #[schema(nullable = false)]
    id: Option<String>,
}

/// Mints a ticket, which lets a browser make one session; for the operator.
#[utoipa::path(
    post,
    path = "/tickets",
    tag = "tickets",
    request_body = NewTicket,
    responses((status = CREATED, body = MintedTicket), Refusals),
)]
async fn mint_ticket(
    State(shared): State<Shared>,
    asker: Asker,
    Json(NewTicket { owner }): Json<NewTicket>,
) -> Result<impl IntoResponse, Problem> {
    asker.may_run(&shared.edge)?;
    let owner = owner.as_deref().map(checked_owner).transpose()?;
    let expires_at = humantime::format_rfc3339_millis(SystemTime::now() + TICKET_TTL).to_string();
    match shared.edge.tickets.mint(&shared.edge.sessions.secret, owner, Instant::now()) {
        Ok(ticket) => {
            info!("a ticket was minted");
            Ok((StatusCode::CREATED, Json(MintedTicket { ticket, expires_at })))
        }
        Err(error) => {
            warn!(%error, "no ticket was minted");
            let problem = Problem::new(ErrorCode::QuotaRate, "too many tickets wait to be redeemed");
            Err(match error {
                TicketError::TooMany | TicketError::Random(_) => problem.after(CAPACITY_RETRY_AFTER),
            })
        }
    }
}

/// Parses the owner in a body.
fn checked_owner(owner: &str) -> Result<Arc<str>, Problem> {
    let owner = owner.parse::<Owner>();
    owner.map(Into::into).map_err(|error| Problem::new(ErrorCode::ProtoInvalid, error.to_string()))
}

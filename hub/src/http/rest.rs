//! REST: sessions without a socket, and tickets. What each call says is in `mayfly_protocol::rest`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::rest::{self, MintedTicket, NewTicket};
use tracing::{info, warn};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::Shared;
use crate::http::caller::Asker;
use crate::http::error::Problem;
use crate::http::json::Json;
use crate::identity::ticket::TicketError;
use crate::limits::{CAPACITY_RETRY_AFTER, OWNER_MAX_BYTES, REST_BODY_MAX_BYTES, TICKET_TTL};

/// The routes, and what they say of themselves.
pub(crate) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(mint_ticket)).layer(DefaultBodyLimit::max(REST_BODY_MAX_BYTES))
}

/// Mints a ticket, which lets a browser make one session.
#[utoipa::path(
    post,
    path = "/tickets",
    tag = "tickets",
    request_body = NewTicket,
    responses(
        (status = CREATED, body = MintedTicket),
        (status = BAD_REQUEST, body = rest::Problem, content_type = "application/problem+json"),
        (status = UNAUTHORIZED, body = rest::Problem, content_type = "application/problem+json"),
        (status = FORBIDDEN, body = rest::Problem, content_type = "application/problem+json"),
        (status = PAYLOAD_TOO_LARGE, body = rest::Problem, content_type = "application/problem+json"),
        (status = UNSUPPORTED_MEDIA_TYPE, body = rest::Problem, content_type = "application/problem+json"),
        (status = UNPROCESSABLE_ENTITY, body = rest::Problem, content_type = "application/problem+json"),
        (status = TOO_MANY_REQUESTS, body = rest::Problem, content_type = "application/problem+json"),
    )
)]
async fn mint_ticket(
    State(shared): State<Shared>,
    asker: Asker,
    Json(NewTicket { owner }): Json<NewTicket>,
) -> Result<impl IntoResponse, Problem> {
    asker.may_run(&shared.hub)?;
    let owner = owner.map(checked_owner).transpose()?;
    let expires_at = humantime::format_rfc3339_millis(SystemTime::now() + TICKET_TTL).to_string();
    match shared.hub.tickets.mint(&shared.hub.secret, owner, Instant::now()) {
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

/// Whose a session is, where that can be a name.
fn checked_owner(owner: String) -> Result<Arc<str>, Problem> {
    let fits = (1..=OWNER_MAX_BYTES).contains(&owner.len()) && !owner.contains(char::is_control);
    let message = "owner must have 1 to 128 bytes, without control characters";
    if fits { Ok(owner.into()) } else { Err(Problem::new(ErrorCode::ProtoInvalid, message)) }
}

//! Tickets: an application's backend asks for one, and its user's browser creates one session with it.
//!
//! A ticket is valid once and for a short time, on the hub that issued it. The hub stores the ticket's hash, never the
//! ticket.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use mayfly_protocol::client::Credential;

use crate::identity::Secret;
use crate::limits::{TICKET_TTL, TICKETS_MAX};

const TICKET_BYTES: usize = 32;
const TICKET_PREFIX: &str = "ticket_";

/// Tickets that were issued and not redeemed.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<String, Ticket>>);

/// A redeemed ticket. [`Tickets::give_back`] makes it valid again.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    mark: String,
    expires: Instant,
    /// Owner of the session that the ticket creates, if the issuer named one.
    pub(crate) owner: Option<Arc<str>>,
}

/// Error returned when no ticket can be issued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TicketError {
    /// Too many tickets are not redeemed.
    #[error("too many tickets wait to be redeemed")]
    TooMany,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] io::Error),
}

impl Tickets {
    /// Issues a ticket that is valid from `now` for [`TICKET_TTL`].
    pub(crate) fn mint(
        &self,
        secret: &Secret,
        owner: Option<Arc<str>>,
        now: Instant,
    ) -> Result<Credential, TicketError> {
        let mut bytes = [0; TICKET_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let text = format!("{TICKET_PREFIX}{}", hex::encode(bytes));
        let mark = secret.ticket_mark(&text);
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, ticket| ticket.expires > now);
        }
        if tickets.len() >= TICKETS_MAX {
            return Err(TicketError::TooMany);
        }
        tickets.insert(mark.clone(), Ticket { mark, expires: now + TICKET_TTL, owner });
        Ok(Credential::new(text))
    }

    /// Redeems a ticket; `None` if it is unknown, expired or already redeemed.
    pub(crate) fn redeem(&self, secret: &Secret, text: &str, now: Instant) -> Option<Ticket> {
        let mark = text.starts_with(TICKET_PREFIX).then(|| secret.ticket_mark(text))?;
        let ticket = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&mark);
        ticket.filter(|ticket| ticket.expires > now)
    }

    /// Makes a redeemed ticket valid again, because no session could be created with it.
    pub(crate) fn give_back(&self, ticket: Ticket) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket.mark.clone(), ticket);
    }
}

/// A redeemed ticket, given back when it is dropped unless it was used.
pub(crate) struct HeldTicket {
    tickets: Arc<Tickets>,
    ticket: Option<Ticket>,
}

impl HeldTicket {
    pub(crate) fn new(tickets: &Arc<Tickets>, ticket: Ticket) -> Self {
        Self { tickets: Arc::clone(tickets), ticket: Some(ticket) }
    }

    /// Returns the ticket.
    pub(crate) fn ticket(&self) -> Option<&Ticket> {
        self.ticket.as_ref()
    }

    /// Uses the ticket up.
    pub(crate) fn use_up(mut self) {
        self.ticket = None;
    }
}

impl Drop for HeldTicket {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.tickets.give_back(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::ClusterSecret;

    fn secret() -> Secret {
        ClusterSecret::new(&"s".repeat(32)).unwrap().into()
    }

    #[test]
    fn a_ticket_is_valid_once_and_until_it_expires() {
        let (tickets, secret, now) = (Tickets::default(), secret(), Instant::now());
        let mint = |owner: Option<&str>| tickets.mint(&secret, owner.map(Arc::from), now).unwrap();
        let (one, other, late) = (mint(Some("ada")), mint(None), mint(None));
        let ticket = tickets.redeem(&secret, one.expose(), now).unwrap();
        assert_eq!(ticket.owner.as_deref(), Some("ada"));
        assert!(tickets.redeem(&secret, one.expose(), now).is_none());
        let last = now + TICKET_TTL - Duration::from_nanos(1);
        assert!(tickets.redeem(&secret, other.expose(), last).is_some());
        assert!(tickets.redeem(&secret, late.expose(), now + TICKET_TTL).is_none());
        tickets.give_back(ticket);
        assert!(tickets.redeem(&secret, one.expose(), now).is_some());
    }

    #[test]
    fn expired_tickets_make_room_for_new_ones() {
        let (tickets, secret, now) = (Tickets::default(), secret(), Instant::now());
        for _ in 0..TICKETS_MAX {
            tickets.mint(&secret, None, now).unwrap();
        }
        assert!(matches!(tickets.mint(&secret, None, now), Err(TicketError::TooMany)));
        assert!(tickets.mint(&secret, None, now + TICKET_TTL).is_ok());
        assert_eq!(tickets.0.lock().unwrap().len(), 1);
    }
}

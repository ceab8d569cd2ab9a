//! Who asks, and what they may do.
//!
//! | who | proves it by | may |
//! |---|---|---|
//! | operator | the operator key | everything |
//! | somebody with a ticket | the ticket, once | make one session |
//! | somebody of a session | the session's token | all in that session |
//! | somebody local | nothing: the hub has no key, and the connection comes from this machine | make sessions, see which there are |
//!
//! A credential comes as `Authorization: Bearer …`, from a page as the subprotocol `mayfly.token.…` or in `hello`, never
//! in the URL: URLs are logged on the way. None is logged here.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use mayfly_protocol::client::Credential;
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::ids::SessionId;
use mayfly_protocol::refusal::Refusal;

use crate::edge::Edge;
use crate::edge::http::Shared;
use crate::identity::ticket::Ticket;
use crate::sessions::admission::policy::Who;

/// Before the credential in the list of subprotocols.
const TOKEN_PREFIX: &str = "mayfly.token.";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Who asks.
#[derive(Debug)]
pub(crate) enum Caller {
    /// The operator, or a backend that has its key.
    Operator,
    /// Somebody on this machine, where no key is asked for.
    Local,
    /// Somebody who was given a ticket; it is redeemed.
    Ticket(Ticket),
    /// Somebody of this session.
    Session(SessionId),
}

/// Why somebody may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// A credential is needed, and there is none.
    Missing,
    /// The credential does not fit, or is not for this.
    Wrong,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing => Self::new(
                ErrorCode::AuthMissing,
                "a credential is needed: a session's token, a ticket or the operator key",
            ),
            Denied::Wrong => {
                Self::new(ErrorCode::AuthDenied, "the credential is not for this, or no longer good")
            }
        }
    }
}

/// What a request brings to say who asks.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// The client's address, also behind proxies that are trusted.
    pub(crate) address: IpAddr,
    credential: Option<Credential>,
    /// Whether the connection comes from this machine, and not through a proxy on it.
    is_local: bool,
}

impl Asker {
    /// Of a request that came from `peer`.
    pub(crate) fn new(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let forwarded = [X_FORWARDED_FOR, X_REAL_IP, header::FORWARDED];
        let is_forwarded = forwarded.iter().any(|name| headers.contains_key(name));
        Self {
            address: client_address(peer.ip(), headers, trusted),
            credential: credential(headers),
            is_local: peer.ip().to_canonical().is_loopback() && !is_forwarded,
        }
    }

    /// The same, with a credential that came later.
    pub(crate) fn with(self, credential: Credential) -> Self {
        Self { credential: Some(credential), ..self }
    }

    /// Who asks, of this session or for a new one. A ticket is redeemed by it.
    ///
    /// # Errors
    /// [`Denied`] when that cannot be said.
    pub(crate) fn caller(&self, edge: &Edge, session: Option<SessionId>) -> Result<Caller, Denied> {
        let key = edge.settings.operator_key.as_ref();
        let Some(text) = self.credential.as_ref().map(Credential::expose) else {
            return if self.is_local && key.is_none() { Ok(Caller::Local) } else { Err(Denied::Missing) };
        };
        if key.is_some_and(|key| key.is(text)) {
            return Ok(Caller::Operator);
        }
        match session {
            Some(session) if edge.sessions.secret.is_session_token(session, text) => {
                Ok(Caller::Session(session))
            }
            None => edge
                .tickets
                .redeem(&edge.sessions.secret, text, Instant::now())
                .map(Caller::Ticket)
                .ok_or(Denied::Wrong),
            Some(_) => Err(Denied::Wrong),
        }
    }

    /// Whether the asker may make a session: whose it is, and what to give back when there is no place for it.
    ///
    /// # Errors
    /// [`Denied`] when not.
    pub(crate) fn may_make(&self, edge: &Edge) -> Result<Option<Ticket>, Denied> {
        match self.caller(edge, None)? {
            Caller::Operator | Caller::Local => Ok(None),
            Caller::Ticket(ticket) => Ok(Some(ticket)),
            Caller::Session(_) => Err(Denied::Wrong),
        }
    }

    /// For whom a session is made, as far as that is counted: addresses of those who come with a ticket.
    pub(crate) fn who(&self, owner: Option<Arc<str>>, ticket: Option<&Ticket>) -> Who {
        Who { owner, from: ticket.map(|_| self.address.into()) }
    }

    /// Whether the asker may do what only the operator may.
    ///
    /// # Errors
    /// [`Denied`] when not.
    pub(crate) fn may_run(&self, edge: &Edge) -> Result<(), Denied> {
        match &self.credential {
            None => Err(Denied::Missing),
            Some(given) => {
                let key = edge.settings.operator_key.as_ref();
                key.filter(|key| key.is(given.expose())).map(drop).ok_or(Denied::Wrong)
            }
        }
    }

    /// Whether the asker may see which sessions there are.
    ///
    /// # Errors
    /// [`Denied`] when not.
    pub(crate) fn may_see_all(&self, edge: &Edge) -> Result<(), Denied> {
        // A ticket is not redeemed for this.
        if self.credential.is_some() { self.may_run(edge) } else { self.caller(edge, None).map(drop) }
    }

    /// Whether the asker may take part in this session.
    ///
    /// # Errors
    /// [`Denied`] when not.
    pub(crate) fn may_use(&self, edge: &Edge, session: SessionId) -> Result<(), Denied> {
        match self.caller(edge, Some(session))? {
            Caller::Operator => Ok(()),
            Caller::Session(own) if own == session => Ok(()),
            Caller::Local => Err(Denied::Missing),
            Caller::Session(_) | Caller::Ticket(_) => Err(Denied::Wrong),
        }
    }
}

impl FromRequestParts<Shared> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        Ok(Self::of(parts, &shared.edge))
    }
}

impl Asker {
    fn of(parts: &Parts, edge: &Arc<Edge>) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        // A request without a connection is nobody's.
        let peer = peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Self::new(peer, &parts.headers, &edge.settings.trusted_proxies)
    }
}

fn credential(headers: &HeaderMap) -> Option<Credential> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| {
        let (scheme, credential) = value.split_once(' ').unwrap_or((value, ""));
        scheme.eq_ignore_ascii_case("bearer").then_some(credential.trim())
    });
    let offered =
        || items(headers, &header::SEC_WEBSOCKET_PROTOCOL).find_map(|item| item.strip_prefix(TOKEN_PREFIX));
    bearer.or_else(offered).map(|text| Credential::new(text.to_owned()))
}

/// The address furthest away that is vouched for: each proxy tells the one before it, at the end of the list.
fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let mut address = peer.to_canonical();
    let hops: Vec<&str> = items(headers, &X_FORWARDED_FOR).collect();
    for hop in hops.into_iter().rev() {
        let is_trusted = trusted.iter().any(|network| network.contains(&address));
        match hop_address(hop).filter(|_| is_trusted) {
            Some(before) => address = before,
            None => break,
        }
    }
    address
}

/// Some proxies tell the port too.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The items of a header that is a comma-separated list.
pub(super) fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(list: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap()).into();
        for (peer, forwarded, expected) in [
            ("203.0.113.7", &["198.51.100.1"][..], "203.0.113.7"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.9, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.9", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::1", &["::ffff:198.51.100.1"], "198.51.100.1"),
        ] {
            let list: Vec<_> = forwarded.iter().map(|value| (X_FORWARDED_FOR, *value)).collect();
            let address = client_address(peer.parse().unwrap(), &headers(&list), &trusted);
            assert_eq!(address, expected.parse::<IpAddr>().unwrap(), "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn who_comes_through_a_proxy_is_not_local() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 4711));
        assert!(Asker::new(peer, &HeaderMap::new(), &[]).is_local);
        for name in [X_FORWARDED_FOR, X_REAL_IP, header::FORWARDED] {
            let trusted = ["127.0.0.1/32".parse().unwrap()];
            assert!(!Asker::new(peer, &headers(&[(name, "127.0.0.1")]), &trusted).is_local);
        }
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        assert!(!Asker::new(peer, &HeaderMap::new(), &[]).is_local);
    }

    #[test]
    fn a_credential_is_a_bearers_or_offered_as_a_subprotocol() {
        let given = |list: &[(HeaderName, &'static str)]| {
            credential(&headers(list)).map(|credential| credential.expose().to_owned())
        };
        let (bearer, protocol) = (header::AUTHORIZATION, header::SEC_WEBSOCKET_PROTOCOL);
        assert_eq!(given(&[(bearer.clone(), "Bearer abc")]).as_deref(), Some("abc"));
        assert_eq!(given(&[(bearer.clone(), "bearer abc")]).as_deref(), Some("abc"));
        assert_eq!(given(&[(protocol, "mayfly.v1, mayfly.token.abc")]).as_deref(), Some("abc"));
        assert_eq!(given(&[(bearer.clone(), "Bearer")]).as_deref(), Some(""));
        assert_eq!(given(&[(bearer, "Basic abc")]), None);
        assert_eq!(given(&[]), None);
    }
}

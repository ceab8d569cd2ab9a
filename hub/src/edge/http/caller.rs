//! The caller of a request, and what the caller may do.
//!
//! | role | proof | permissions |
//! |---|---|---|
//! | operator | the operator key | everything |
//! | ticket | a ticket, which works once | create one session |
//! | session | the session's token | everything in that session |
//! | local | none: the hub has no key, and the connection comes from this machine | create and list sessions |
//!
//! A credential comes as `Authorization: Bearer`, or from a page as the subprotocol `mayfly.token.…` or in `hello`. It
//! never comes in the URL, because proxies log URLs. The hub does not log credentials.

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
use crate::sessions::admission::policy::Applicant;

/// Prefix of the credential in the list of subprotocols.
const TOKEN_PREFIX: &str = "mayfly.token.";

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The role that a caller proved.
#[derive(Debug)]
pub(crate) enum Role {
    /// The operator, or a backend that has the operator key.
    Operator,
    /// A caller on this machine, while the hub has no key.
    Local,
    /// The holder of a ticket, which is redeemed now.
    Ticket(Ticket),
    /// The holder of this session's token.
    Session(SessionId),
}

/// The caller of a request: an address, and a credential if the request brought one.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The client's address, also behind trusted proxies.
    pub(crate) address: IpAddr,
    credential: Option<Credential>,
    /// `true` if the connection comes from this machine, and not through a proxy on it.
    is_local: bool,
}

impl Caller {
    /// Returns the caller of a request with these headers, on a connection from `peer`.
    pub(crate) fn new(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let forwarded = [X_FORWARDED_FOR, X_REAL_IP, header::FORWARDED];
        let is_forwarded = forwarded.iter().any(|name| headers.contains_key(name));
        Self {
            address: client_address(peer.ip(), headers, trusted),
            credential: credential(headers),
            is_local: peer.ip().to_canonical().is_loopback() && !is_forwarded,
        }
    }

    /// Returns the caller with a credential that came after the request.
    pub(crate) fn with(self, credential: Credential) -> Self {
        Self { credential: Some(credential), ..self }
    }

    /// Returns the caller's role for this session, or for a new one. Redeems a ticket.
    ///
    /// # Errors
    /// Returns `auth.missing` without a credential, `auth.denied` with an invalid one.
    pub(crate) fn role(&self, edge: &Edge, session: Option<SessionId>) -> Result<Role, Refusal> {
        let key = edge.settings.operator_key.as_ref();
        let Some(text) = self.credential.as_ref().map(Credential::expose) else {
            return if self.is_local && key.is_none() { Ok(Role::Local) } else { Err(missing()) };
        };
        if key.is_some_and(|key| key.is(text)) {
            return Ok(Role::Operator);
        }
        let secret = &edge.sessions.secret;
        match session {
            Some(session) if secret.is_session_token(session, text) => Ok(Role::Session(session)),
            None => edge.tickets.redeem(secret, text, Instant::now()).map(Role::Ticket).ok_or_else(denied),
            Some(_) => Err(denied()),
        }
    }

    /// Checks that the caller may create a session. Returns the ticket that this took, if any; it is given back if no
    /// session is created.
    ///
    /// # Errors
    /// Returns the errors of [`Caller::role`].
    pub(crate) fn authorize_create(&self, edge: &Edge) -> Result<Option<Ticket>, Refusal> {
        match self.role(edge, None)? {
            Role::Operator | Role::Local => Ok(None),
            Role::Ticket(ticket) => Ok(Some(ticket)),
            Role::Session(_) => Err(denied()),
        }
    }

    /// Returns the owner and the address against which a new session is counted. The address counts for tickets only.
    pub(crate) fn applicant(&self, owner: Option<Arc<str>>, ticket: Option<&Ticket>) -> Applicant {
        Applicant { owner, from: ticket.map(|_| self.address.into()) }
    }

    /// Checks that the caller has the operator key.
    ///
    /// # Errors
    /// Returns the errors of [`Caller::role`].
    pub(crate) fn authorize_operator(&self, edge: &Edge) -> Result<(), Refusal> {
        let Some(given) = &self.credential else { return Err(missing()) };
        let key = edge.settings.operator_key.as_ref();
        key.filter(|key| key.is(given.expose())).map(drop).ok_or_else(denied)
    }

    /// Checks that the caller may list all sessions.
    ///
    /// # Errors
    /// Returns the errors of [`Caller::role`].
    pub(crate) fn authorize_list(&self, edge: &Edge) -> Result<(), Refusal> {
        // `role` would redeem a ticket.
        if self.credential.is_some() {
            self.authorize_operator(edge)
        } else {
            self.role(edge, None).map(drop)
        }
    }

    /// Checks that the caller may use this session.
    ///
    /// # Errors
    /// Returns the errors of [`Caller::role`].
    pub(crate) fn authorize_session(&self, edge: &Edge, session: SessionId) -> Result<(), Refusal> {
        match self.role(edge, Some(session))? {
            Role::Operator => Ok(()),
            Role::Session(own) if own == session => Ok(()),
            Role::Local => Err(missing()),
            Role::Session(_) | Role::Ticket(_) => Err(denied()),
        }
    }
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        // A request without a connection must not count as local.
        let peer = peer.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        Ok(Self::new(peer, &parts.headers, &shared.edge.settings.trusted_proxies))
    }
}

fn missing() -> Refusal {
    let message = "this needs a credential: a session's token, a ticket or the operator key";
    Refusal::new(ErrorCode::AuthMissing, message)
}

/// Returns the refusal of a credential that does not permit the request.
pub(super) fn denied() -> Refusal {
    Refusal::new(ErrorCode::AuthDenied, "the credential does not permit this, or is no longer valid")
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

/// Returns the farthest address that trusted proxies report. Each proxy appends the address of its own client.
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

/// Reads an address, which some proxies report with its port.
fn hop_address(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// Returns the items of a header that is a comma-separated list.
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
    fn address_comes_from_trusted_proxies_only() {
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
    fn caller_behind_a_proxy_is_not_local() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 4711));
        assert!(Caller::new(peer, &HeaderMap::new(), &[]).is_local);
        for name in [X_FORWARDED_FOR, X_REAL_IP, header::FORWARDED] {
            let trusted = ["127.0.0.1/32".parse().unwrap()];
            assert!(!Caller::new(peer, &headers(&[(name, "127.0.0.1")]), &trusted).is_local);
        }
        let peer = SocketAddr::from(([192, 0, 2, 1], 4711));
        assert!(!Caller::new(peer, &HeaderMap::new(), &[]).is_local);
    }

    #[test]
    fn credential_is_a_bearer_token_or_a_subprotocol() {
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

//! Who may talk to this hub from a browser: exact lists of hosts and origins, and JSON only.
//!
//! A website that a person visits can reach a hub on loopback. The Host list stops a name that was rebound to loopback,
//! the Origin list stops every other website, and the content type keeps forms from posting. Programs send no Origin.
//! A number is no name that could be rebound: any address passes as Host, and so does the page that was loaded from it.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::edge::http::error::Problem;
use crate::limits::PREFLIGHT_MAX_AGE;
use crate::settings::Origin;

/// The name that a program gives its message.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Where an event stream broke off (HTML, section 9.2.4).
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The lists of one hub.
pub(crate) struct Guard {
    scheme: &'static str,
    hosts: HashSet<String>,
    origins: HashSet<String>,
}

impl Guard {
    /// The hub's own addresses, and the hosts and pages of `origins`. `scheme` is what the hub itself speaks.
    pub(crate) fn new(scheme: &'static str, origins: &[Origin]) -> Self {
        let origins: HashSet<String> = origins.iter().map(ToString::to_string).collect();
        let hosts = origins.iter().filter_map(|origin| origin.split_once("://"));
        let hosts = hosts.map(|(_, host)| host.to_owned()).collect();
        Self { scheme, hosts, origins }
    }

    /// Whether a page with this origin may use the hub. What sends none is not a page.
    pub(crate) fn allows_origin(&self, headers: &HeaderMap) -> bool {
        // The page that was loaded from where this request goes to, whose Host was checked before.
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let own = host.map(|host| format!("{}://{}", self.scheme, host.to_ascii_lowercase()));
        let allowed = |origin: &str| self.origins.contains(origin) || own.as_deref() == Some(origin);
        let mut values = headers.get_all(header::ORIGIN).iter();
        values.all(|value: &HeaderValue| value.to_str().is_ok_and(allowed))
    }

    fn allows_host(&self, request: &Request) -> bool {
        let named = |host: &str| is_number(host) || self.hosts.contains(&host.to_ascii_lowercase());
        let mut values = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (values.next(), values.next()) else { return false };
        // A request in absolute form says the host twice (RFC 9112, section 3.2.2): both must be ours.
        let authority = request.uri().authority().is_none_or(|authority| named(authority.as_str()));
        authority && host.to_str().is_ok_and(named)
    }
}

/// Whether a host is an address or `localhost`, with or without a port: no name server is asked for these.
fn is_number(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() => name,
        _ => host,
    };
    let v6 = without_port.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    without_port.eq_ignore_ascii_case("localhost")
        || without_port.parse::<Ipv4Addr>().is_ok()
        || v6.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// What a page of another origin may be told and ask (Fetch, section 3.3): nothing by a cookie, and by allowed pages only.
pub(crate) fn cross_origin(guard: &Arc<Guard>) -> CorsLayer {
    let guard = Arc::clone(guard);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |_, request| guard.allows_origin(&request.headers)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, IDEMPOTENCY_KEY, LAST_EVENT_ID])
        .expose_headers([header::LOCATION, header::RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Refuses what a page asks that may not use the hub: it is not only kept from the answer.
pub(crate) async fn check_origin(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if guard.allows_origin(request.headers()) {
        next.run(request).await
    } else {
        Problem(forbidden()).into_response()
    }
}

/// Refuses what no route may see.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !guard.allows_host(&request) {
        return unknown_host().into_response();
    }
    // A page of another origin cannot send anything else without being asked first (Fetch, section 4.8).
    if *request.method() == Method::POST && !is_json(request.headers()) {
        return json_only().into_response();
    }
    next.run(request).await
}

fn unknown_host() -> Problem {
    let message = "this hub does not answer to that host name; open it by the address it printed, or see --allow-origin";
    Problem::new(ErrorCode::AuthHost, message)
}

/// What a page is told whose origin is not allowed.
pub(crate) fn forbidden() -> Refusal {
    Refusal::new(
        ErrorCode::AuthOrigin,
        "this page's origin is not allowed to use the hub; see --allow-origin",
    )
}

fn json_only() -> Problem {
    Problem::new(ErrorCode::ProtoContentType, "the content type must be application/json")
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new("http", &["https://chat.example".parse().unwrap()])
    }

    fn from(host: &'static str, origin: &'static str) -> HeaderMap {
        let value = HeaderValue::from_static;
        HeaderMap::from_iter([(header::HOST, value(host)), (header::ORIGIN, value(origin))])
    }

    fn request(host: &str) -> Request {
        Request::builder().uri("/ws").header(header::HOST, host).body(axum::body::Body::empty()).unwrap()
    }

    #[test]
    fn only_exact_origins_pass() {
        let guard = guard();
        assert!(guard.allows_origin(&HeaderMap::new()));
        for (host, good) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("LOCALHOST:8080", "http://localhost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("127.0.0.1:8080", "https://chat.example"),
            ("chat.example", "https://chat.example"),
        ] {
            assert!(guard.allows_origin(&from(host, good)), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "http://localhost:8080",
            "https://127.0.0.1:8080",
            "http://127.0.0.1:8080.evil.example",
            "http://chat.example",
            "https://chat.example:444",
            "https://CHAT.example.evil",
        ] {
            assert!(!guard.allows_origin(&from("127.0.0.1:8080", bad)), "{bad}");
        }
        let mut twice = from("localhost:8080", "http://localhost:8080");
        twice.append(header::ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(!guard.allows_origin(&twice));
    }

    #[test]
    fn only_numbers_and_own_names_pass_as_hosts() {
        let guard = guard();
        for good in [
            "127.0.0.1:8080",
            "LOCALHOST:8080",
            "[::1]:8080",
            "[::1]",
            "127.0.0.1",
            "10.0.0.7:80",
            "chat.example",
        ] {
            assert!(guard.allows_host(&request(good)), "{good}");
        }
        for bad in [
            "",
            "evil.example:8080",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example",
            "chat.example:81",
        ] {
            assert!(!guard.allows_host(&request(bad)), "{bad}");
        }
        let rebound = Request::builder().uri("http://evil.example/ws").header(header::HOST, "localhost:8080");
        assert!(!guard.allows_host(&rebound.body(axum::body::Body::empty()).unwrap()));
        let none = Request::builder().uri("/ws").body(axum::body::Body::empty()).unwrap();
        assert!(!guard.allows_host(&none));
    }

    #[test]
    fn only_json_is_json() {
        let content = |value| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert!(is_json(&content("application/json")));
        assert!(is_json(&content("Application/JSON; charset=utf-8")));
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert!(!is_json(&content(bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}

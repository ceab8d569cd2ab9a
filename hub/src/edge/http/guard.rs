//! Protection against other websites: exact lists of hosts and origins, and JSON bodies only.
//!
//! A website that a person visits can send requests to a hub on loopback. The list of hosts stops a DNS name that was
//! rebound to loopback. The list of origins stops every other website, also a request without body and content type,
//! which a browser sends without a preflight. The content type stops HTML forms. Programs send no Origin. An IP address
//! cannot be rebound: every address passes as Host, and so does the page that was loaded from it.

use std::collections::HashSet;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mayfly_protocol::code::ErrorCode;
use mayfly_protocol::refusal::Refusal;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::edge::http::problem::ProblemJson;
use crate::edge::origin::Origin;
use crate::limits::PREFLIGHT_MAX_AGE;

/// Header with the `id` of a message.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header with the last event that a client received (HTML, section 9.2.4).
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The allowed hosts and origins.
pub(crate) struct Guard {
    scheme: &'static str,
    hosts: HashSet<String>,
    origins: HashSet<String>,
}

impl Guard {
    /// Allows the hub's own addresses and `origins`. `scheme` is the hub's own, `http` or `https`.
    pub(crate) fn new(scheme: &'static str, origins: &[Origin]) -> Self {
        let origins: HashSet<String> = origins.iter().map(ToString::to_string).collect();
        let hosts = origins.iter().filter_map(|origin| origin.split_once("://"));
        let hosts = hosts.map(|(_, host)| host.to_owned()).collect();
        Self { scheme, hosts, origins }
    }

    /// Returns `true` if the request's origin may use the hub. A request without an origin does not come from a page.
    pub(crate) fn allows_origin(&self, headers: &HeaderMap) -> bool {
        // The page that was loaded from the hub itself. Its Host was checked before.
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
        // A request in absolute form has the host twice (RFC 9112, section 3.2.2), and both must be allowed.
        let authority = request.uri().authority().is_none_or(|authority| named(authority.as_str()));
        authority && host.to_str().is_ok_and(named)
    }
}

/// Returns `true` if a host is an IP address or `localhost`, with or without a port. Neither is resolved by DNS.
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

/// Returns the CORS answers (Fetch, section 3.3): for allowed origins only, and without cookies.
pub(crate) fn cross_origin(guard: &Arc<Guard>) -> CorsLayer {
    let guard = Arc::clone(guard);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |_, request| guard.allows_origin(&request.headers)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, IDEMPOTENCY_KEY, LAST_EVENT_ID])
        .expose_headers([header::LOCATION, header::RETRY_AFTER])
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Refuses requests of other origins. CORS alone would hide the answer, but carry out the request.
pub(crate) async fn check_origin(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if guard.allows_origin(request.headers()) {
        next.run(request).await
    } else {
        ProblemJson(forbidden()).into_response()
    }
}

/// Refuses requests to foreign hosts, and `POST` bodies that are not JSON.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !guard.allows_host(&request) {
        return unknown_host().into_response();
    }
    if *request.method() == Method::POST && !has_json_or_no_body(&request) {
        return json_only().into_response();
    }
    next.run(request).await
}

fn unknown_host() -> ProblemJson {
    let message =
        "this hub does not serve that host name; use the address that it printed, or see --allow-origin";
    Refusal::new(ErrorCode::AuthHost, message).into()
}

/// Returns the refusal of a page whose origin is not allowed.
pub(crate) fn forbidden() -> Refusal {
    Refusal::new(
        ErrorCode::AuthOrigin,
        "this page's origin is not allowed to use the hub; see --allow-origin",
    )
}

fn json_only() -> ProblemJson {
    Refusal::new(ErrorCode::ProtoContentType, "the content type of a body must be application/json").into()
}

/// Returns `true` if a request has a JSON body, or neither a body nor a content type. A body of unknown length counts
/// as one.
fn has_json_or_no_body(request: &Request) -> bool {
    let is_bare = !request.headers().contains_key(header::CONTENT_TYPE) && request.body().is_end_stream();
    is_bare || is_json(request.headers())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

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
    fn only_exact_origins_are_allowed() {
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
    fn only_addresses_and_own_names_are_allowed_as_hosts() {
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
    fn json_content_type_has_parameters_in_any_case() {
        let content = |value| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]);
        assert!(is_json(&content("application/json")));
        assert!(is_json(&content("Application/JSON; charset=utf-8")));
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            assert!(!is_json(&content(bad)), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }

    #[test]
    fn body_needs_a_json_content_type_and_no_body_needs_none() {
        let post = |content_type: Option<&'static str>, body: &'static str| {
            let request = Request::builder().method(Method::POST).uri("/sessions");
            let request = content_type
                .into_iter()
                .fold(request, |request, value| request.header(header::CONTENT_TYPE, value));
            let body = if body.is_empty() { axum::body::Body::empty() } else { body.into() };
            has_json_or_no_body(&request.body(body).unwrap())
        };
        assert!(post(None, ""));
        assert!(post(Some("application/json"), ""));
        assert!(post(Some("application/json"), "{}"));
        assert!(!post(None, "{}"));
        assert!(!post(Some("text/plain"), ""));
        assert!(!post(Some("text/plain"), "{}"));
        let endless = axum::body::Body::from_stream(futures::stream::pending::<Result<&str, Infallible>>());
        assert!(!has_json_or_no_body(&Request::new(endless)));
    }
}

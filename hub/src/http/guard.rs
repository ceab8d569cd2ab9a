//! Who may talk to this hub from a browser: exact lists of hosts and origins, and JSON only.
//!
//! A website that a person visits can reach a hub on loopback. The Host list stops a name that was rebound to loopback,
//! the Origin list stops every other website, and the content type keeps forms from posting. Programs send no Origin.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::Origin;
use crate::http::error::Problem;

/// The lists of one hub.
pub(crate) struct Guard {
    hosts: HashSet<String>,
    origins: HashSet<String>,
}

const HOST: Problem = Problem {
    status: StatusCode::MISDIRECTED_REQUEST,
    code: "auth.host",
    message: "this hub does not answer to that host name; open it by the address it printed",
};
const JSON_ONLY: Problem = Problem {
    status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
    code: "proto.content_type",
    message: "the content type must be application/json",
};

impl Guard {
    /// The hub's own names at `address`, and those of `origins`.
    pub(crate) fn new(address: SocketAddr, origins: &[Origin]) -> Self {
        let port = address.port();
        let mut hosts: HashSet<String> = [
            address.to_string(),
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ]
        .into();
        if port == 80 {
            hosts.extend(["127.0.0.1", "localhost", "[::1]"].map(str::to_owned));
        }
        let own = hosts.iter().map(|host| format!("http://{host}"));
        let origins: HashSet<String> = own.chain(origins.iter().map(ToString::to_string)).collect();
        hosts.extend(
            origins.iter().filter_map(|origin| origin.split_once("://")).map(|(_, host)| host.to_owned()),
        );
        Self { hosts, origins }
    }

    /// Whether a page with this origin may use the hub. What sends none is not a page.
    pub(crate) fn allows_origin(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::ORIGIN).iter();
        let allowed = |value: &HeaderValue| value.to_str().is_ok_and(|origin| self.origins.contains(origin));
        values.all(allowed)
    }

    fn allows_host(&self, request: &Request) -> bool {
        let named = |host: &str| self.hosts.contains(&host.to_ascii_lowercase());
        let mut values = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (values.next(), values.next()) else { return false };
        // A request in absolute form says the host twice (RFC 9112, section 3.2.2): both must be ours.
        let authority = request.uri().authority().is_none_or(|authority| named(authority.as_str()));
        authority && host.to_str().is_ok_and(named)
    }
}

/// Refuses what no route may see.
pub(crate) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if !guard.allows_host(&request) {
        return HOST.into_response();
    }
    let reads_only = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads_only && !is_json(request.headers()) {
        return JSON_ONLY.into_response();
    }
    next.run(request).await
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
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        Guard::new(address, &["https://chat.example".parse().unwrap()])
    }

    fn origin(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_static(value))])
    }

    fn request(host: &str) -> Request {
        Request::builder().uri("/ws").header(header::HOST, host).body(axum::body::Body::empty()).unwrap()
    }

    #[test]
    fn only_exact_origins_pass() {
        let guard = guard();
        assert!(guard.allows_origin(&HeaderMap::new()));
        for good in
            ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "https://chat.example"]
        {
            assert!(guard.allows_origin(&origin(good)), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://127.0.0.1",
            "http://127.0.0.1:8081",
            "https://127.0.0.1:8080",
            "http://localhost:8080.evil.example",
            "http://chat.example",
            "https://chat.example:444",
            "https://CHAT.example.evil",
        ] {
            assert!(!guard.allows_origin(&origin(bad)), "{bad}");
        }
        let mut twice = origin("http://localhost:8080");
        twice.append(header::ORIGIN, HeaderValue::from_static("http://evil.example"));
        assert!(!guard.allows_origin(&twice));
    }

    #[test]
    fn only_own_hosts_pass() {
        let guard = guard();
        for good in ["127.0.0.1:8080", "LOCALHOST:8080", "[::1]:8080", "chat.example"] {
            assert!(guard.allows_host(&request(good)), "{good}");
        }
        for bad in ["", "127.0.0.1", "evil.example:8080", "127.0.0.1:8081", "localhost.evil.example:8080"] {
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

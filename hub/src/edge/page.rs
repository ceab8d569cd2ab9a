//! The chat page inside the binary: `web/app/dist` as it was when the hub was built, or a notice if it did not exist.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "../web/app/dist"]
#[allow_missing = true]
struct Page;

/// Content-Security-Policy: allows only same-origin resources and forbids framing. Same-origin WebSockets are `'self'`
/// too (CSP Level 3, section 6.7.2.8).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const SECURITY_HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", CONTENT_SECURITY_POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// Names under this folder hold a hash of their content.
const HASHED: &str = "assets/";

const NOT_BUILT: &str = "<!doctype html><title>Mayfly</title><p>The chat page was not built: run \
    <code>make build</code>. The API and the WebSocket at <code>/ws</code> work.";

/// The page at `/` and its files.
pub(crate) fn router() -> Router {
    Router::new().route("/", get(serve)).fallback(get(serve))
}

async fn serve(request: Request) -> Response {
    let mut response = answer(request.uri().path(), request.headers());
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn answer(path: &str, headers: &HeaderMap) -> Response {
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    match Page::get(name) {
        Some(file) => file_response(name, file, headers),
        None if name == "index.html" => {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn file_response(name: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    let caching = if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let common = [(header::ETAG, etag), (header::CACHE_CONTROL, caching.to_owned())];
    if known {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    let kind = [(header::CONTENT_TYPE, file.metadata.mimetype().to_owned())];
    (common, kind, file.data.into_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt;

    use super::*;

    async fn fetch(path: &str) -> Response {
        let request = Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        router().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn the_page_comes_with_its_policy() {
        let response = fetch("/").await;
        assert_eq!(response.status(), StatusCode::OK);
        let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap();
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'; script-src 'self';"));
    }

    #[tokio::test]
    async fn there_is_nothing_else() {
        for path in ["/nothing", "/assets/", "/../Cargo.toml", "//etc/passwd", "/%2e%2e/Cargo.toml"] {
            assert_eq!(fetch(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

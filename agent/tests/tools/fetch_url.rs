//! Tests of the tool `fetch_url` against scripted pages.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::stream;
use mayfly_agent::http::{AllowedAddresses, Http};
use mayfly_agent::limits::{PAGE_MAX_BYTES, PAGE_TEXT_MAX_BYTES, REDIRECTS_MAX, TOOL_OUTPUT_MAX_BYTES};
use mayfly_agent::tool::fetch_url::{FetchUrl, Output};
use mayfly_agent::tool::{Tool, ToolError};
use mayfly_protocol::address::is_public;
use serde_json::json;
use tokio::net::TcpListener;

/// The only address that counts as public in these tests.
const OPEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// An address that does not.
const CLOSED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn only_open(address: IpAddr) -> bool {
    address == IpAddr::V4(OPEN)
}

/// A server of pages, with the number of requests.
struct Site {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Site {
    async fn at(host: Ipv4Addr, page: fn(&str) -> Response) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let app = Router::new().fallback(move |request: Request| {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = page(request.uri().path_and_query().unwrap().as_str());
            async move { answer }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn fetch_within(allowed: AllowedAddresses, url: &str) -> Result<Output, ToolError> {
    let tool = FetchUrl::new(Http::restricted(allowed, None).unwrap(), allowed);
    let output = tool.call(&json!({ "url": url })).await?;
    assert!(output.to_string().len() <= TOOL_OUTPUT_MAX_BYTES);
    Ok(serde_json::from_value(output).unwrap())
}

async fn fetch(url: &str) -> Result<Output, ToolError> {
    fetch_within(AllowedAddresses::Only(only_open), url).await
}

async fn refused(url: &str) -> String {
    match fetch(url).await {
        Err(ToolError::Failed(why) | ToolError::Input(why)) => why,
        other => panic!("{url}: {other:?}"),
    }
}

fn page(path: &str) -> Response {
    let html = |body: &str| ([("content-type", "text/html; charset=utf-8")], body.to_owned()).into_response();
    let to = |place: &str| (StatusCode::FOUND, [("location", place.to_owned())]).into_response();
    match path {
        "/page?q=1" => html("<title>A page</title><p>Some <i>words</i>.</p>"),
        "/missing" => (StatusCode::NOT_FOUND, html("<p>Nothing here.")).into_response(),
        "/plain" => "as <it> is".into_response(),
        "/data" => ([("content-type", "application/json")], r#"{"a":1}"#).into_response(),
        "/latin" => ([("content-type", "text/plain; charset=ISO-8859-1")], &b"caf\xe9"[..]).into_response(),
        "/odd" => ([("content-type", "text/plain")], &b"caf\xe9"[..]).into_response(),
        "/image" => ([("content-type", "image/png")], "\u{89}PNG").into_response(),
        "/packed" => ([("content-encoding", "gzip")], "\u{1f}").into_response(),
        "/relative" => to("page?q=1#part"),
        "/loop" => to("/loop"),
        "/file" => to("file:///etc/passwd"),
        "/nowhere" => to("http://"),
        "/long" => "\"\u{1}".repeat(PAGE_TEXT_MAX_BYTES * 2).into_response(),
        "/endless" => {
            let endless = stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(64 * 1024)));
            ([("content-type", "text/plain")], Body::from_stream(endless)).into_response()
        }
        "/slow" => {
            let drops = stream::unfold((), async |()| {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Some((Ok::<_, std::io::Error>("x"), ()))
            });
            ([("content-type", "text/plain")], Body::from_stream(drops)).into_response()
        }
        "/silent" => Body::from_stream(stream::pending::<Result<String, std::io::Error>>()).into_response(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn pages_become_text() {
    let site = Site::at(OPEN, page).await;
    let told = fetch(&site.url("/page?q=1")).await.unwrap();
    let expected = Output {
        url: site.url("/page?q=1"),
        status: 200,
        content_type: "text/html".to_owned(),
        title: Some("A page".to_owned()),
        text: "Some words.".to_owned(),
        truncated: false,
    };
    assert_eq!(told, expected);
    for (path, status, text) in [
        ("/missing", 404, "Nothing here."),
        ("/plain", 200, "as <it> is"),
        ("/data", 200, r#"{"a":1}"#),
        ("/latin", 200, "caf\u{e9}"),
        ("/odd", 200, "caf\u{fffd}"),
    ] {
        let told = fetch(&site.url(path)).await.unwrap();
        assert_eq!((told.status, told.text.as_str(), told.truncated), (status, text, false), "{path}");
    }
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let site = Site::at(OPEN, page).await;
    assert_eq!(refused(&site.url("/image")).await, "the page is not text but image/png");
    assert!(refused(&site.url("/packed")).await.contains("compressed (gzip)"));
    assert!(refused("no address").await.starts_with("that is not a URL: "));
    assert!(refused(&format!("http://{}/", "x".repeat(3000))).await.contains("at most 2048 bytes"));
}

#[tokio::test]
async fn redirects_are_followed_up_to_a_bound() {
    let site = Site::at(OPEN, page).await;
    let told = fetch(&site.url("/relative")).await.unwrap();
    assert_eq!((told.url, told.text), (site.url("/page?q=1#part"), "Some words.".to_owned()));
    let before = site.asked();
    assert_eq!(refused(&site.url("/loop")).await, "the page has too many redirects");
    assert_eq!(site.asked() - before, REDIRECTS_MAX + 1);
    assert!(refused(&site.url("/file")).await.contains("only http and https"));
    assert!(refused(&site.url("/nowhere")).await.contains("redirects to an invalid URL"));
}

#[tokio::test]
async fn urls_that_are_not_public_are_refused() {
    let closed = Site::at(CLOSED, page).await;
    let port = closed.address.port();
    for host in ["127.0.0.2", "127.2", "0x7f000002", "2130706434", "[::ffff:127.0.0.2]", "0177.0.0.2"] {
        let why = refused(&format!("http://{host}:{port}/plain")).await;
        assert!(why.contains("the address is not public"), "{host}: {why}");
    }
    assert!(refused(&format!("http://me:secret@{OPEN}:{port}/")).await.contains("name or password"));
    assert!(refused("ftp://example.org/").await.contains("only http and https"));
    assert_eq!(closed.asked(), 0);
}

#[tokio::test]
async fn the_shipped_tool_reaches_only_public_addresses() {
    for host in [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
    ] {
        let told =
            fetch_within(AllowedAddresses::Only(is_public), &format!("http://{host}/latest/meta-data/"))
                .await;
        let refused = Err(ToolError::Failed("the address is not public".to_owned()));
        assert_eq!(told, refused, "{host}");
    }
}

#[tokio::test]
async fn resolved_addresses_are_checked() {
    let site = Site::at(OPEN, page).await;
    let url = format!("http://localhost:{}/plain", site.address.port());
    assert_eq!(fetch(&url).await.unwrap().text, "as <it> is", "one of its addresses may be connected to");
    let asked = site.asked();
    for allowed in [AllowedAddresses::Only(is_public), AllowedAddresses::Only(|_| false)] {
        let why = fetch_within(allowed, &url).await.unwrap_err().to_string();
        assert!(why.contains("the name resolves to no allowed address"), "{why}");
    }
    assert_eq!(site.asked(), asked);
}

#[tokio::test]
async fn redirect_targets_are_checked() {
    let closed = Site::at(CLOSED, page).await;
    let lure = TcpListener::bind((OPEN, 0)).await.unwrap();
    let url = format!("http://{}/", lure.local_addr().unwrap());
    let place = closed.url("/plain");
    let app = Router::new().fallback(async move || (StatusCode::FOUND, [("location", place)]));
    tokio::spawn(async move { axum::serve(lure, app).await });
    assert_eq!(refused(&url).await, "the address is not public");
    assert_eq!(closed.asked(), 0);
}

#[tokio::test]
async fn long_pages_are_truncated() {
    let site = Site::at(OPEN, page).await;
    let told = fetch(&site.url("/endless")).await.unwrap();
    assert_eq!((told.text.len(), told.truncated), (PAGE_TEXT_MAX_BYTES, true));
    const { assert!(PAGE_TEXT_MAX_BYTES < PAGE_MAX_BYTES) };
    let told = fetch(&site.url("/long")).await.unwrap();
    assert_eq!((told.text, told.truncated), ("\"".repeat(PAGE_TEXT_MAX_BYTES), true));
}

#[tokio::test(start_paused = true)]
async fn an_endless_page_times_out() {
    let site = Site::at(OPEN, page).await;
    for path in ["/silent", "/slow"] {
        let why = fetch(&site.url(path)).await.unwrap_err();
        assert!(matches!(why, ToolError::Timeout(_)), "{path}: {why}");
    }
}

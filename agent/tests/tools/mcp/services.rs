//! Tests of MCP servers that are services: a server of the official SDK, and invalid responses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use futures::stream;
use mayfly_agent::http::Http;
use mayfly_agent::limits::MCP_MESSAGE_MAX_BYTES;
use mayfly_agent::mcp::Servers;
use mayfly_agent::mcp::config::{ServerConfig, Service, Transport};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig as Info, Tool as RawTool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::{eventually, start, timeouts};

/// A server of the SDK that lists one tool on each page.
struct Real;

impl ServerHandler for Real {
    fn get_info(&self) -> Info {
        Info::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let names = ["echo", "sum", "fail"];
        let at: usize = page.and_then(|page| page.cursor).map_or(0, |cursor| cursor.parse().unwrap());
        let schema: JsonObject = serde_json::from_value(json!({ "type": "object" })).unwrap();
        let mut list =
            ListToolsResult::with_all_items(vec![RawTool::new(names[at], "one", Arc::new(schema))]);
        list.next_cursor = (at + 1 < names.len()).then(|| (at + 1).to_string());
        Ok(list)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let input = call.arguments.unwrap_or_default();
        let result = match &*call.name {
            "echo" => CallToolResult::success(vec![ContentBlock::text(input["text"].as_str().unwrap())]),
            "sum" => {
                let sum: i64 =
                    input["of"].as_array().unwrap().iter().filter_map(serde_json::Value::as_i64).sum();
                CallToolResult::structured(json!({ "sum": sum }))
            }
            _ => CallToolResult::error(vec![ContentBlock::text("on purpose")]),
        };
        Ok(result.into())
    }
}

async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn real() -> Router {
    let service = StreamableHttpService::new(
        || Ok(Real),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default().with_allowed_hosts(["127.0.0.1", "mcp.invalid"]),
    );
    let only_with_key = from_fn(async |request: Request, next: Next| -> Response {
        let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if key == Some("Bearer key") {
            next.run(request).await
        } else {
            StatusCode::UNAUTHORIZED.into_response()
        }
    });
    Router::new().nest_service("/mcp", service).layer(only_with_key)
}

fn service(url: &str, key: &str) -> Transport {
    let headers = vec![("authorization".parse().unwrap(), format!("Bearer {key}").parse().unwrap())];
    Transport::Service(Service { url: url.to_owned(), headers })
}

/// Calls each tool of the SDK's server.
async fn converse(servers: &Servers) {
    let tools = servers.tools().await;
    assert!(servers.take_notices().is_empty());
    let tools: HashMap<_, _> = tools.into_iter().map(|tool| (tool.spec().name, tool)).collect();
    assert_eq!(tools.len(), 3);
    let told = tools["s__echo"].call(&json!({ "text": "caf\u{e9}" })).await;
    assert_eq!(told, Ok("caf\u{e9}".into()));
    assert_eq!(tools["s__sum"].call(&json!({ "of": [1, 2, 3] })).await, Ok(json!({ "sum": 6 })));
    let error = tools["s__fail"].call(&json!({})).await.unwrap_err();
    assert_eq!(error.to_string(), "tool.failed: on purpose");
}

#[tokio::test]
async fn a_server_of_the_official_sdk_works() {
    let url = serve(real()).await;
    let servers = start(service(&url, "key"), timeouts());
    converse(&servers).await;
    servers.close().await;
    let servers = start(service(&url, "none"), timeouts());
    assert!(servers.tools().await.is_empty());
    assert!(servers.take_notices()[0].message.contains("it requires other credentials"));
}

#[tokio::test]
async fn services_use_the_egress_proxy() {
    let url = serve(real()).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("egress.sock");
    tokio::spawn(proxy(path.clone(), url.split('/').nth(2).unwrap().to_owned()));
    eventually(async || path.exists().then_some(())).await;
    // Only the proxy reaches this name, which does not resolve.
    let config = ServerConfig { name: "s".to_owned(), transport: service("http://mcp.invalid/mcp", "key") };
    let servers = Servers::start(vec![config], &Http::new(Some(path)).unwrap(), timeouts());
    converse(&servers).await;
}

/// Serves an egress proxy whose tunnels lead to `authority`.
async fn proxy(path: PathBuf, authority: String) {
    let listener = UnixListener::bind(path).unwrap();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut service = TcpStream::connect(&authority).await.unwrap();
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            assert!(head.starts_with(b"CONNECT mcp.invalid:80 HTTP/1.1\r\n"));
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut service).await
        });
    }
}

#[tokio::test]
async fn invalid_responses_are_failures_of_the_service() {
    let json = |body: String| ([("content-type", "application/json")], body).into_response();
    let events = |body: Body| ([("content-type", "text/event-stream")], body).into_response();
    let endless =
        || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(64 * 1024))));
    type Answer = Arc<dyn Fn() -> Response + Send + Sync>;
    let cases: Vec<(&str, Answer, &str)> = vec![
        ("a page", Arc::new(|| "<html>".into_response()), "breaks the protocol"),
        ("a failure", Arc::new(|| StatusCode::BAD_GATEWAY.into_response()), "cannot be reached"),
        (
            "a redirect",
            Arc::new(|| (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response()),
            "breaks the protocol",
        ),
        ("no page", Arc::new(|| StatusCode::NOT_FOUND.into_response()), "breaks the protocol"),
        ("a lock", Arc::new(|| StatusCode::FORBIDDEN.into_response()), "requires other credentials"),
        ("no JSON", Arc::new(move || json("{".to_owned())), "breaks the protocol"),
        (
            "another message",
            Arc::new(move || {
                json(json!({ "jsonrpc": "2.0", "id": 0, "result": { "tools": [] } }).to_string())
            }),
            "breaks the protocol",
        ),
        (
            "too much JSON",
            Arc::new(move || json(format!("\"{}\"", "x".repeat(MCP_MESSAGE_MAX_BYTES)))),
            "breaks the protocol",
        ),
        ("an endless event", Arc::new(move || events(endless())), "breaks the protocol"),
        ("no event", Arc::new(move || events(Body::empty())), "breaks the protocol"),
        ("events of something else", Arc::new(move || events("data: 7\n\n".into())), "breaks the protocol"),
    ];
    for (what, answer, told) in cases {
        let url = serve(Router::new().fallback(move || std::future::ready(answer()))).await;
        let servers = start(service(&url, "key"), timeouts());
        assert!(servers.tools().await.is_empty(), "{what}");
        let message = servers.take_notices().pop().unwrap().message;
        assert!(message.contains(told), "{what}: {message}");
        servers.close().await;
    }
    let nobody = start(service("http://127.0.0.1:1/mcp", "key"), timeouts());
    assert!(nobody.tools().await.is_empty());
    assert!(nobody.take_notices()[0].message.ends_with("it cannot be reached."));
}

//! The OpenAPI document, compared with the hub's behaviour.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::Hub;
use mayfly_tests::http::Request;
use serde_json::Value;
use tokio::process::Command;

const KEY: &str = "operator-key-of-this-test";
/// Short deadlines, which end the sessions and event streams that Schemathesis opens.
const SHORT: [&str; 6] = ["--max-ttl", "4s", "--idle-ttl", "2s", "--activity", "message"];
/// All places may be taken (503) and sessions may have ended (410). The hub still shows an ended session, and it checks
/// the content type before the path.
const CONFIG: &str = r#"
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "503"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "410", "429", "503"]
[checks.use_after_free]
enabled = false
[checks.unsupported_method]
enabled = false
"#;

async fn document(hub: &Hub, path: &str) -> Result<Value> {
    let response = Request::get(format!("{}{path}", hub.url)).send().await?;
    ensure!(response.status() == 200, "{}", response.status());
    Ok(serde_json::from_str(&response.text().await?)?)
}

#[tokio::test]
async fn every_call_is_documented() -> Result<()> {
    let hub = Hub::start(&[])?;
    let described = document(&hub, "/openapi.json").await?;
    let paths = described["paths"].as_object().context("paths")?;
    let mut calls = Vec::new();
    for (path, methods) in paths {
        let methods = methods.as_object().context("methods")?.keys();
        calls.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    calls.sort();
    assert_eq!(
        calls,
        [
            "DELETE /sessions/{session}",
            "GET /sessions",
            "GET /sessions/{session}",
            "GET /sessions/{session}/events",
            "GET /sessions/{session}/health",
            "GET /sessions/{session}/metrics",
            "POST /sessions",
            "POST /sessions/{session}/extend",
            "POST /sessions/{session}/messages",
            "POST /tickets",
        ]
    );
    assert_eq!(document(&hub, "/api/openapi.json").await?, described);
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() -> Result<()> {
    let hub = Hub::start(&[])?;
    for (method, path, status, code) in [
        ("PUT", "/sessions", 405, "proto.method"),
        ("PATCH", "/api/sessions/s_0", 405, "proto.method"),
        ("GET", "/api/nothing", 404, "proto.path"),
    ] {
        let request = Request::new(method.parse()?, format!("{}{path}", hub.url));
        let response = request.send().await?;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(serde_json::from_str::<Value>(&response.text().await?)?["code"], code);
    }
    Ok(())
}

/// Schemathesis derives valid and invalid requests from the document, single ones and sequences.
#[tokio::test]
async fn the_hub_behaves_as_described() -> Result<()> {
    let hub = Hub::start_with(&SHORT, &[("MAYFLY_OPERATOR_KEY", KEY)])?;
    let config = hub.data_dir().join("schemathesis.toml");
    fs::write(&config, CONFIG)?;
    let program = std::env::var_os("SCHEMATHESIS").unwrap_or_else(|| "schemathesis".into());
    let run = Command::new(&program)
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("{}/openapi.json", hub.url)])
        .args(["--header", &format!("Authorization: Bearer {KEY}")])
        .args(["--phases", "coverage,fuzzing,stateful", "--max-examples", "5", "--seed", "7"])
        .args(["--request-timeout", "20", "--workers", "1", "--no-color", "--generation-database", "none"])
        .stdin(Stdio::null())
        .current_dir(hub.data_dir())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("{} cannot be run: see tests/install", program.display()))?;
    ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
    Ok(())
}

//! Egress: an agent without a network calls a weather service through the hub.

use anyhow::{Context, Result};
use mayfly_tests::harness::{Hub, program};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{ask, connect};

const PLACE: &str =
    r#"{"results":[{"name":"London","latitude":51.5,"longitude":-0.1,"country":"United Kingdom"}]}"#;
const FORECAST: &str = r#"{"current":{"time":"2026-11-23T16:45","temperature_2m":9.4,"weather_code":61},
    "daily":{"time":["2026-11-23"],"weather_code":[61],"temperature_2m_max":[10.9],"temperature_2m_min":[5.2],
        "precipitation_probability_max":[85]}}"#;

/// Starts a weather service on this machine and returns its address. It ends with the test.
pub(crate) async fn weather_service() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    Ok(address)
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let body = if head.starts_with(b"GET /v1/search?name=London&") { PLACE } else { FORECAST };
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// Returns the output of the agent's weather tool for London.
pub(crate) async fn weather(hub: &Hub) -> Result<Value> {
    let mut client = connect(hub).await?;
    let mut frames = ask(&mut client, "What is the weather in London?").await?;
    let output = frames.iter_mut().find(|frame| frame["type"] == "tool-output-available");
    let output = output.context("the tool answered")?["output"].take();
    client.close().await?;
    Ok(output)
}

#[tokio::test]
async fn an_agent_without_a_network_asks_for_the_weather_through_the_hub() -> Result<()> {
    let service = weather_service().await?;
    let agent = program("mayfly-agent")?;
    let command = format!("/usr/bin/env MAYFLY_WEATHER_URL=http://{service} {}", agent.display());
    // What the command names is what it may read.
    let paths = agent.to_str().context("a path in UTF-8")?;
    let args = ["--sandbox", "bwrap", "--agent-command", &command, "--agent-paths", paths];
    let hub = Hub::start(&[&args[..], &["--egress-allow", &service]].concat())?;
    let output = weather(&hub).await?;
    assert_eq!(
        (&output["source"], &output["temperature_c"]),
        (&"Open-Meteo".into(), &9.4.into()),
        "{output}"
    );
    assert!(hub.log().contains("lets agents reach an address that is not public"));
    let hub = Hub::start(&[&args[..], &["--egress-allow", "weather.example:443"]].concat())?;
    assert_eq!(weather(&hub).await?["source"], "climate normals");
    assert!(hub.log().contains("is not listed in --egress-allow"), "{}", hub.log());
    Ok(())
}

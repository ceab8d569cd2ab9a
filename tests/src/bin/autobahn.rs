//! Runs the Autobahn test suite against `echo`: every case but those of compression, which is never negotiated.
//! `WSTEST` names the suite's program.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use mayfly_tests::harness::program;
use mayfly_tests::process::Server;
use serde::Deserialize;
use serde_json::json;

/// The suite's verdict on one case.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    behavior: String,
    behavior_close: String,
}

fn main() -> Result<ExitCode> {
    let wstest = std::env::var("WSTEST").context("WSTEST names the suite's program")?;
    let cases = std::env::args().nth(1).unwrap_or_else(|| "*".to_owned());
    let echo = Server::start(&mut Command::new(program("echo")?))?;
    let address = echo.announced("is at ")?;
    let directory = tempfile::tempdir()?;
    let spec = directory.path().join("spec.json");
    let server = json!({"agent": "mayfly", "url": format!("ws://{address}"), "options": {"version": 18}});
    let spec_json = json!({
        "outdir": directory.path(),
        "servers": [server],
        "cases": cases.split(',').collect::<Vec<_>>(),
        // Compression.
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    std::fs::write(&spec, spec_json.to_string())?;
    let suite = Command::new(wstest).args(["-m", "fuzzingclient", "-s"]).arg(&spec).output()?;
    ensure!(suite.status.success(), "{}", String::from_utf8_lossy(&suite.stderr));
    judge(&directory.path().join("index.json"))
}

fn judge(index: &Path) -> Result<ExitCode> {
    let index = std::fs::read(index).with_context(|| format!("no report at {}", index.display()))?;
    let agents: BTreeMap<String, BTreeMap<String, Verdict>> = serde_json::from_slice(&index)?;
    let cases = agents.get("mayfly").context("no report on mayfly")?;
    let is_good = |text: &str| ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&text);
    let bad: Vec<_> =
        cases.iter().filter(|(_, case)| !is_good(&case.behavior) || !is_good(&case.behavior_close)).collect();
    for (name, case) in &bad {
        println!("{name}: {}, close {}", case.behavior, case.behavior_close);
    }
    let count = |kind: &str| cases.values().filter(|case| case.behavior == kind).count();
    println!(
        "{} cases: {} OK, {} non-strict, {} informational; {} failed or not closed cleanly",
        cases.len(),
        count("OK"),
        count("NON-STRICT"),
        count("INFORMATIONAL"),
        bad.len()
    );
    Ok(ExitCode::from(u8::from(!bad.is_empty() || cases.is_empty())))
}

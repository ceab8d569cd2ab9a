//! A libSQL server for tests: Hrana over HTTP, version 2, around a database in memory.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use libsql::Connection;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Token of every client.
pub(crate) const TOKEN: &str = "memory-token";

/// A server, with the bodies of its requests.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) requests: Arc<Mutex<Vec<Value>>>,
}

#[derive(Clone)]
struct Shared {
    connection: Connection,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let connection = libsql::Builder::new_local(":memory:").build().await.unwrap().connect().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::default();
        let shared = Shared { connection, requests: Arc::clone(&requests) };
        let app = Router::new().route("/v2/pipeline", post(pipeline)).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, requests }
    }
}

async fn pipeline(
    State(shared): State<Shared>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    if headers.get("authorization").is_none_or(|shown| *shown != format!("Bearer {TOKEN}")) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    shared.requests.lock().unwrap().push(body.clone());
    assert_eq!(body["baton"], Value::Null);
    let mut results = Vec::new();
    for request in body["requests"].as_array().unwrap() {
        let response = match request["type"].as_str().unwrap() {
            "batch" => {
                json!({ "type": "batch", "result": batch(&shared.connection, &request["batch"]).await })
            }
            "close" => json!({ "type": "close" }),
            other => panic!("{other}"),
        };
        results.push(json!({ "type": "ok", "response": response }));
    }
    Ok(Json(json!({ "baton": null, "base_url": null, "results": results })))
}

async fn batch(connection: &Connection, batch: &Value) -> Value {
    let (mut results, mut errors): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for step in batch["steps"].as_array().unwrap() {
        let applies = step.get("condition").is_none_or(|condition| holds(condition, &results));
        let (result, error) = match applies {
            false => (Value::Null, Value::Null),
            true => match execute(connection, &step["stmt"]).await {
                Ok(rows) => {
                    let rows = json!({ "cols": [], "rows": rows, "affected_row_count": 0, "last_insert_rowid": null });
                    (rows, Value::Null)
                }
                Err(error) => (Value::Null, json!({ "message": error.to_string(), "code": "SQLITE_ERROR" })),
            },
        };
        results.push(result);
        errors.push(error);
    }
    json!({ "step_results": results, "step_errors": errors })
}

fn holds(condition: &Value, results: &[Value]) -> bool {
    match condition["type"].as_str().unwrap() {
        "ok" => !results[usize::try_from(condition["step"].as_u64().unwrap()).unwrap()].is_null(),
        "not" => !holds(&condition["cond"], results),
        other => panic!("{other}"),
    }
}

async fn execute(connection: &Connection, statement: &Value) -> Result<Vec<Value>, libsql::Error> {
    let no_arguments = Vec::new();
    let arguments = statement["args"].as_array().unwrap_or(&no_arguments).iter();
    let arguments: Vec<libsql::Value> = arguments.map(argument).collect();
    let mut rows = connection.query(statement["sql"].as_str().unwrap(), arguments).await?;
    let mut told = Vec::new();
    while let Some(row) = rows.next().await? {
        let cells = (0..rows.column_count()).map(|column| Ok(cell(row.get_value(column)?)));
        told.push(Value::Array(cells.collect::<Result<_, libsql::Error>>()?));
    }
    Ok(told)
}

fn argument(argument: &Value) -> libsql::Value {
    match argument["type"].as_str().unwrap() {
        "null" => libsql::Value::Null,
        "integer" => libsql::Value::Integer(argument["value"].as_str().unwrap().parse().unwrap()),
        "text" => libsql::Value::Text(argument["value"].as_str().unwrap().to_owned()),
        other => panic!("{other}"),
    }
}

fn cell(value: libsql::Value) -> Value {
    match value {
        libsql::Value::Null => json!({ "type": "null" }),
        libsql::Value::Integer(number) => json!({ "type": "integer", "value": number.to_string() }),
        libsql::Value::Real(number) => json!({ "type": "float", "value": number }),
        libsql::Value::Text(text) => json!({ "type": "text", "value": text }),
        libsql::Value::Blob(_) => json!({ "type": "blob", "base64": "" }),
    }
}

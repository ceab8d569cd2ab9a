//! A connection to a libSQL server over Hrana, its HTTP protocol.
//!
//! Owns the wire (<https://github.com/tursodatabase/libsql/blob/main/docs/HTTP_V2_SPEC.md>, batches as in
//! HRANA_2_SPEC.md). One request is one transaction on a stream of its own. Requests use the agent's HTTP client and so the
//! hub's egress proxy, which the HTTP stack of the official client could not use.

use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use serde::Deserialize;
use serde_json::json;

use super::error::MemoryError;
use super::sql::{Row, Statement, Value};
use crate::http::{Http, chain};
use crate::limits::MEMORY_ANSWER_MAX_BYTES;
use crate::secret::Secret;

/// A connection to a server.
pub(super) struct Hrana {
    http: Http,
    url: String,
    authorization: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Answer {
    results: Vec<StreamResult>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum StreamResult {
    Ok { response: Response },
    Error { error: ErrorBody },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Response {
    Batch { result: BatchResult },
    Close,
}

#[derive(Deserialize)]
struct BatchResult {
    step_results: Vec<Option<StepResult>>,
    step_errors: Vec<Option<ErrorBody>>,
}

#[derive(Deserialize)]
struct StepResult {
    rows: Vec<Vec<Cell>>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Cell {
    Null,
    Integer { value: String },
    Text { value: String },
    Float,
    Blob,
}

#[derive(Deserialize)]
struct ErrorBody {
    message: String,
}

impl Hrana {
    pub(super) fn new(url: &str, token: Option<&Secret>, http: Http) -> Self {
        Self { http, url: format!("{url}/v2/pipeline"), authorization: token.and_then(Secret::bearer) }
    }

    /// Runs statements in one transaction and returns the rows of each.
    pub(super) async fn run(&self, statements: &[Statement]) -> Result<Vec<Vec<Row>>, MemoryError> {
        let body = self.send(request(statements)).await?;
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|error| MemoryError::unreadable(&error.to_string()))?;
        let batch = answer.results.into_iter().next();
        match batch {
            Some(StreamResult::Ok { response: Response::Batch { result } }) => rows(result, statements.len()),
            Some(StreamResult::Error { error }) => Err(MemoryError::Failed(error.message)),
            Some(StreamResult::Ok { response: Response::Close }) | None => {
                Err(MemoryError::unreadable("a result is missing"))
            }
        }
    }

    async fn send(&self, body: String) -> Result<Bytes, MemoryError> {
        let unreachable = |why: String| MemoryError::Unreachable(why);
        let mut request = Request::post(&self.url)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| unreachable(error.to_string()))?;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let answer = self.http.send(request).await.map_err(|error| unreachable(error.to_string()))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(MemoryError::Denied),
            status => return Err(unreachable(format!("HTTP status {status}"))),
        }
        let body = Limited::new(answer.into_body(), MEMORY_ANSWER_MAX_BYTES).collect().await;
        Ok(body.map_err(|error| unreachable(chain(&*error)))?.to_bytes())
    }
}

/// Returns the request: `BEGIN`, each statement if the one before it succeeded, `COMMIT`, and `ROLLBACK` if that failed.
fn request(statements: &[Statement]) -> String {
    let after = |step: usize| json!({ "type": "ok", "step": step });
    let mut steps = vec![json!({ "stmt": { "sql": "BEGIN IMMEDIATE", "want_rows": false } })];
    for Statement { sql, args } in statements {
        let args: Vec<_> = args.iter().map(argument).collect();
        let statement = json!({ "sql": &**sql, "args": args, "want_rows": true });
        steps.push(json!({ "condition": after(steps.len() - 1), "stmt": statement }));
    }
    let commit = steps.len();
    steps.push(json!({ "condition": after(commit - 1), "stmt": { "sql": "COMMIT", "want_rows": false } }));
    let failed = json!({ "type": "not", "cond": after(commit) });
    steps.push(json!({ "condition": failed, "stmt": { "sql": "ROLLBACK", "want_rows": false } }));
    let requests = json!([{ "type": "batch", "batch": { "steps": steps } }, { "type": "close" }]);
    json!({ "baton": null, "requests": requests }).to_string()
}

fn argument(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => json!({ "type": "null" }),
        // A JSON number may lose digits, so that integers are text.
        Value::Integer(number) => json!({ "type": "integer", "value": number.to_string() }),
        Value::Text(text) => json!({ "type": "text", "value": text }),
    }
}

fn rows(batch: BatchResult, statements: usize) -> Result<Vec<Vec<Row>>, MemoryError> {
    let commit = statements + 1;
    let is_committed = batch.step_results.get(commit).is_some_and(Option::is_some);
    if !is_committed {
        let fault = batch.step_errors.into_iter().flatten().next();
        return Err(MemoryError::Failed(
            fault.map_or_else(|| "it was not committed".to_owned(), |fault| fault.message),
        ));
    }
    let answers = batch.step_results.into_iter().skip(1).take(statements);
    answers
        .map(|step| {
            let rows = step.ok_or_else(|| MemoryError::unreadable("a result is missing"))?.rows;
            rows.into_iter()
                .map(|cells| Ok(Row(cells.into_iter().map(value).collect::<Result<_, _>>()?)))
                .collect()
        })
        .collect()
}

fn value(cell: Cell) -> Result<Value, MemoryError> {
    match cell {
        Cell::Null => Ok(Value::Null),
        Cell::Integer { value } => {
            value.parse().map(Value::Integer).map_err(|_| MemoryError::unreadable("a column is not a number"))
        }
        Cell::Text { value } => Ok(Value::Text(value)),
        Cell::Float | Cell::Blob => Err(MemoryError::unreadable("a column has an unexpected type")),
    }
}

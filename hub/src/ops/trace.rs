//! Traces over OTLP (OpenTelemetry 1.x), if the settings name a collector: one trace for each session, with its way to a
//! ready agent and its turns. Nothing here is on the token path.
//!
//! ```text
//!   connect             child of the client's span, if the request has a `traceparent`
//!     line, queued, claiming, starting, probing
//!     turn              the agent receives its `traceparent`; the first token is an event of the span
//!     turn
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mayfly_protocol::hub::TurnReason;
use mayfly_protocol::ids::{SessionId, TurnId};
use mayfly_session::{SessionSummary, TurnSummary};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use rustls::crypto::ring;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::limits::{TRACES_ANSWER_MAX_BYTES, TRACES_FLUSH_TIMEOUT, TRACES_POST_TIMEOUT};

/// Path below the endpoint (OTLP 1.x, section OTLP/HTTP Request).
const PATH: &str = "/v1/traces";
/// The service name, unless `OTEL_SERVICE_NAME` sets another.
const SERVICE: &str = "mayfly";
const SERVICE_VARIABLE: &str = "OTEL_SERVICE_NAME";

/// The exporter of a hub's traces.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Error returned when traces cannot be sent with these settings: `--otlp-endpoint` or one of OpenTelemetry's variables.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TracesError(Box<dyn std::error::Error + Send + Sync>);

/// The trace of one session.
pub(crate) struct Trace {
    tracer: SdkTracer,
    /// The span from the request to a ready agent; open until then, or until the session ends without one.
    connect: Span,
    /// The context of that span's children.
    below: Context,
    turn: Option<(TurnId, Span)>,
}

impl Traces {
    /// Returns an exporter to the collector at `endpoint`. Must be called within a runtime.
    ///
    /// # Errors
    /// [`TracesError`] if `endpoint` is not an address, or a variable of OpenTelemetry has a value that is not accepted.
    pub(crate) fn to(endpoint: &str) -> Result<Self, TracesError> {
        let post = Post::new().map_err(|error| TracesError(error.into()))?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(post)
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .build()
            .map_err(|error| TracesError(error.into()))?;
        let resource = Resource::builder();
        let resource = match std::env::var(SERVICE_VARIABLE) {
            Ok(_) => resource,
            Err(_) => resource.with_service_name(SERVICE),
        };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = resource.with_attribute(version).build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        Ok(Self { tracer: provider.tracer(SERVICE), provider })
    }

    /// Begins the trace of a session that a request with these headers asks for.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Trace {
        let above =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let connect = self.tracer.span_builder("connect").with_kind(SpanKind::Server);
        let connect = connect.start_with_context(&self.tracer, &above);
        let below = Context::new().with_remote_span_context(connect.span_context().clone());
        Trace { tracer: self.tracer.clone(), connect, below, turn: None }
    }

    /// Sends the remaining spans.
    pub(crate) async fn close(&self) {
        let provider = self.provider.clone();
        // The call blocks until the exporter's own thread has ended.
        let closed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TRACES_FLUSH_TIMEOUT));
        if let Ok(Err(error)) = closed.await {
            warn!(%error, "final trace export failed");
        }
    }
}

impl Trace {
    /// Names the session.
    pub(crate) fn set_session(&mut self, session: SessionId) {
        self.connect.set_attribute(KeyValue::new("session.id", session.to_string()));
    }

    /// Records a step of the agent's start that ends now.
    pub(crate) fn step(&self, name: String, took: Duration) {
        let end = SystemTime::now();
        let step = self.tracer.span_builder(name).with_start_time(end - took);
        step.start_with_context(&self.tracer, &self.below).end_with_timestamp(end);
    }

    /// Records that the agent is ready.
    pub(crate) fn end_connect(&mut self) {
        self.connect.end();
    }

    /// Begins the span of a turn, and returns the headers that tell the agent about it.
    pub(crate) fn begin_turn(&mut self, turn: TurnId) -> HeaderMap {
        let span = self.tracer.span_builder("turn").with_kind(SpanKind::Client);
        let mut span = span.start_with_context(&self.tracer, &self.below);
        span.set_attribute(KeyValue::new("turn.id", turn.to_string()));
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        let mut headers = HeaderMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut headers));
        self.turn = Some((turn, span));
        headers
    }

    /// Ends the span of a turn.
    pub(crate) fn end_turn(&mut self, record: &TurnSummary) {
        let Some((_, mut span)) = self.turn.take_if(|(turn, _)| *turn == record.turn) else { return };
        let end = SystemTime::now();
        if let Some((took, first)) = record.took.zip(record.first_token) {
            span.add_event_with_timestamp("first token", end - took.saturating_sub(first), Vec::new());
        }
        span.set_attribute(KeyValue::new("turn.reason", record.reason.to_string()));
        let usage = record.usage.unwrap_or_default();
        let tokens = [
            ("gen_ai.usage.input_tokens", usage.input_tokens),
            ("gen_ai.usage.output_tokens", usage.output_tokens),
        ];
        for (name, tokens) in tokens {
            tokens.inspect(|tokens| span.set_attribute(KeyValue::new(name, i64::from(*tokens))));
        }
        if record.reason == TurnReason::Error {
            fail(&mut span, record.code.map(|code| code.to_string()));
        }
        span.end_with_timestamp(end);
    }

    /// Ends the trace. If no agent became ready, the trace is marked as failed.
    pub(crate) fn end(&mut self, ended: &SessionSummary) {
        if self.connect.is_recording() {
            fail(&mut self.connect, ended.code.map(|code| code.to_string()));
            self.connect.end();
        }
    }

    /// Ends the trace of a refused request.
    pub(crate) fn refused(mut self, code: &str) {
        fail(&mut self.connect, Some(code.to_owned()));
    }
}

fn fail(span: &mut Span, code: Option<String>) {
    if let Some(code) = &code {
        span.set_attribute(KeyValue::new("error.type", code.clone()));
    }
    span.set_status(Status::error(code.unwrap_or_default()));
}

/// Sends spans on the hub's runtime, on behalf of the exporter's own thread.
#[derive(Debug)]
struct Post {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    runtime: Handle,
    /// `true` if the last batch was lost.
    is_lost: AtomicBool,
}

impl Post {
    fn new() -> Result<Self, rustls::Error> {
        let connector =
            HttpsConnectorBuilder::new().with_provider_and_webpki_roots(ring::default_provider())?;
        let client =
            Client::builder(TokioExecutor::new()).build(connector.https_or_http().enable_http1().build());
        Ok(Self { client, runtime: Handle::current(), is_lost: AtomicBool::new(false) })
    }

    /// Logs the first lost batch, and the first batch that arrives after it.
    fn log_change(&self, result: &Result<Response<Bytes>, HttpError>) {
        let trouble = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        match (trouble, self.is_lost.load(Ordering::Relaxed)) {
            (Some(error), false) => warn!(error, "trace export failed"),
            (None, true) => info!("trace export recovered"),
            (Some(_), true) | (None, false) => return,
        }
        self.is_lost.fetch_xor(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.client.request(request.map(Body::from));
        let sent = self.runtime.spawn(async move {
            let answer = async {
                let (parts, body) = sent.await?.into_parts();
                let body = axum::body::to_bytes(Body::new(body), TRACES_ANSWER_MAX_BYTES).await?;
                Ok::<_, HttpError>(Response::from_parts(parts, body))
            };
            timeout(TRACES_POST_TIMEOUT, answer).await?
        });
        let result = sent.await.map_err(HttpError::from).flatten();
        self.log_change(&result);
        result
    }
}

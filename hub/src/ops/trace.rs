//! Traces over OTLP (OpenTelemetry 1.x), where an endpoint is given: one trace for each session, from the client's request
//! to an agent that is ready, and each turn. Nothing here is on the token path.
//!
//! ```text
//!   connect             below the client's own span, where it sent a `traceparent`
//!     line, queued, claiming, starting, probing
//!     turn              the agent gets its `traceparent`; the first token is an event in it
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

/// Below the endpoint (OTLP 1.x, section OTLP/HTTP Request).
const PATH: &str = "/v1/traces";
/// What the hub is called where `OTEL_SERVICE_NAME` does not say.
const SERVICE: &str = "mayfly";
const SERVICE_VARIABLE: &str = "OTEL_SERVICE_NAME";

/// Where all traces of a hub go.
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The trace of one session.
pub(crate) struct Trace {
    tracer: SdkTracer,
    /// Open until the agent is ready, or there will be none.
    connect: Span,
    /// What is below it.
    below: Context,
    turn: Option<(TurnId, Span)>,
}

impl Traces {
    /// To a collector at this address. To be called within the runtime.
    ///
    /// # Errors
    /// When that is no address, or a variable of OpenTelemetry's has a value that is not accepted.
    pub(crate) fn to(endpoint: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Post::new()?)
            .with_endpoint(format!("{}{PATH}", endpoint.trim_end_matches('/')))
            .build()?;
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

    /// A session is asked for, by a request with these headers.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Trace {
        let above =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers));
        let connect = self.tracer.span_builder("connect").with_kind(SpanKind::Server);
        let connect = connect.start_with_context(&self.tracer, &above);
        let below = Context::new().with_remote_span_context(connect.span_context().clone());
        Trace { tracer: self.tracer.clone(), connect, below, turn: None }
    }

    /// Sends what there is still.
    pub(crate) async fn close(&self) {
        let provider = self.provider.clone();
        // It waits for its own thread.
        let closed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(TRACES_FLUSH_TIMEOUT));
        if let Ok(Err(error)) = closed.await {
            warn!(%error, "the last traces were not sent");
        }
    }
}

impl Trace {
    /// It is of this session.
    pub(crate) fn is_of(&mut self, session: SessionId) {
        self.connect.set_attribute(KeyValue::new("session.id", session.to_string()));
    }

    /// A step on the way to an agent is over, now.
    pub(crate) fn step(&self, name: String, took: Duration) {
        let end = SystemTime::now();
        let step = self.tracer.span_builder(name).with_start_time(end - took);
        step.start_with_context(&self.tracer, &self.below).end_with_timestamp(end);
    }

    /// The agent is ready.
    pub(crate) fn is_ready(&mut self) {
        self.connect.end();
    }

    /// A turn begins: what its request tells the agent of the trace.
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

    /// A turn is over, now.
    pub(crate) fn end_turn(&mut self, record: &TurnSummary) {
        let Some((_, mut span)) = self.turn.take_if(|(turn, _)| *turn == record.turn) else { return };
        let end = SystemTime::now();
        if let Some((took, first)) = record.took.zip(record.first_token) {
            span.add_event_with_timestamp("first token", end - took.saturating_sub(first), Vec::new());
        }
        span.set_attribute(KeyValue::new("turn.reason", format!("{:?}", record.reason).to_lowercase()));
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

    /// The session is over, whether or not it ever had an agent.
    pub(crate) fn end(&mut self, ended: &SessionSummary) {
        if self.connect.is_recording() {
            fail(&mut self.connect, ended.code.map(|code| code.to_string()));
            self.connect.end();
        }
    }

    /// There will be no session.
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

/// How spans are sent: by the hub's runtime, though the exporter has a thread of its own.
#[derive(Debug)]
struct Post {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    runtime: Handle,
    /// Whether the last ones did not arrive.
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

    /// Says once that spans are lost, and once that they are not any more.
    fn tell(&self, result: &Result<Response<Bytes>, HttpError>) {
        let trouble = match result {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(response.status().to_string()),
            Err(error) => Some(error.to_string()),
        };
        match (trouble, self.is_lost.load(Ordering::Relaxed)) {
            (Some(error), false) => warn!(error, "the collector does not take traces: they are lost"),
            (None, true) => info!("the collector takes traces again"),
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
        self.tell(&result);
        result
    }
}

//! One MCP server: it is started, asked for its tools, called, and started again when it is lost.
//!
//! ```text
//! Starting --there--> Up --ended, hung--> Down --there--> Up        a task of its own: `keep`
//!     '------failed--------------------------^ '--failed, backoff
//! ```
//!
//! Calls come from turns and are bounded there; one that is dropped is cancelled at the server by the SDK.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientRequest, ErrorCode, PaginatedRequestParams,
    ProtocolVersion,
};
use rmcp::service::{ClientInitializeError, RunningService};
use rmcp::{ClientLifecycleMode, Peer, RoleClient, ServiceError, serve_client_with_lifecycle};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::config::{ServerConfig, Way};
use super::listed::{self, Listed};
use super::stdio::{Said, Stdio};
use super::{Patience, answer, http};
use crate::http::{Http, chain};
use crate::limits::{MCP_PAGES_MAX, MCP_STOP_TIMEOUT, MCP_TOOLS_MAX, TOOL_TIMEOUT};
use crate::tool::{Tool, ToolError, ToolSpec};

/// A server that is kept running.
pub(super) struct Server {
    name: String,
    way: Way,
    http: Http,
    patience: Patience,
    link: watch::Sender<Link>,
    /// What it listed last, whether it is there or not.
    tools: Mutex<Vec<Listed>>,
    /// A call took too long.
    doubted: Notify,
    /// Why it is not there, until people know.
    untold: Mutex<Option<Fault>>,
}

/// Whether it can be called.
#[derive(Clone)]
enum Link {
    /// Nobody knows yet.
    Starting,
    Up(Peer<RoleClient>),
    Down(Fault),
}

/// Why a server is not there; for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("it cannot be started")]
    NotStarted,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it wants other credentials")]
    Refused,
    #[error("it does not speak the protocol as it must")]
    Nonsense,
    #[error("it did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("it ended")]
    Ended,
}

type Running = RunningService<RoleClient, Listener>;

/// What of a server's own accord is listened to: that its list is another one.
struct Listener {
    relisted: Arc<Notify>,
}

impl rmcp::ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: rmcp::service::NotificationContext<RoleClient>) {
        self.relisted.notify_one();
    }

    fn get_info(&self) -> rmcp::model::ClientConfig {
        let agent = rmcp::model::Implementation::new("mayfly-agent", env!("CARGO_PKG_VERSION"));
        rmcp::model::ClientConfig::new(rmcp::model::ClientCapabilities::default(), agent)
    }
}

impl Server {
    pub(super) fn new(config: ServerConfig, http: Http, patience: Patience) -> Self {
        let ServerConfig { name, way } = config;
        Self {
            name,
            way,
            http,
            patience,
            link: watch::Sender::new(Link::Starting),
            tools: Mutex::default(),
            doubted: Notify::new(),
            untold: Mutex::default(),
        }
    }

    /// Its tools, once it is there or failed.
    pub(super) async fn tools(self: &Arc<Self>) -> Vec<Arc<dyn Tool>> {
        let mut link = self.link.subscribe();
        let known = link.wait_for(|link| !matches!(link, Link::Starting));
        // A little more than a start may take, so that it is known what became of it.
        let _ = timeout(self.patience.start + self.patience.retry_base, known).await;
        let tools = lock(&self.tools).clone();
        let remote = |Listed { raw_name, spec }| -> Arc<dyn Tool> {
            Arc::new(RemoteTool { server: Arc::clone(self), raw_name, spec })
        };
        tools.into_iter().map(remote).collect()
    }

    /// Why it is not there, once.
    pub(super) fn trouble(&self) -> Option<String> {
        let fault = lock(&self.untold).take()?;
        Some(format!("The tools of the MCP server \u{201c}{}\u{201d} are not there: {fault}.", self.name))
    }

    /// Keeps it running until `stop`.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let relisted = Arc::new(Notify::new());
            let begun = Instant::now();
            let started = stop.run_until_cancelled(self.start(failures, Arc::clone(&relisted)));
            let Some(started) = started.await else { return };
            let fault = match started {
                Ok((running, tools)) => {
                    info!(server = self.name, tools = tools.len(), "an MCP server is there");
                    *lock(&self.tools) = tools;
                    *lock(&self.untold) = None;
                    self.link.send_replace(Link::Up(running.peer().clone()));
                    let Some(fault) = self.serve(running, &relisted, &stop).await else { return };
                    if begun.elapsed() > self.patience.retry_cap {
                        failures = 0;
                    }
                    fault
                }
                Err(fault) => fault,
            };
            failures += 1;
            warn!(server = self.name, %fault, failures, "an MCP server is not there");
            // It may only be that it is of the other era: see `era`.
            let is_first = failures == 1 && matches!(*self.link.borrow(), Link::Starting);
            if !is_first || matches!(fault, Fault::Silent(_)) {
                *lock(&self.untold) = Some(fault);
                self.link.send_replace(Link::Down(fault));
            }
            if stop.run_until_cancelled(sleep(self.backoff(failures))).await.is_none() {
                return;
            }
        }
    }

    async fn start(&self, failures: u32, relisted: Arc<Notify>) -> Result<(Running, Vec<Listed>), Fault> {
        let said = Said::default();
        let begin = async {
            let listener = Listener { relisted };
            let running = match &self.way {
                Way::Program(program) => {
                    let stdio = Stdio::start(program, &self.name, &said).map_err(|error| {
                        warn!(server = self.name, %error, "a program cannot be started");
                        Fault::NotStarted
                    })?;
                    serve_client_with_lifecycle(listener, stdio, era(failures)).await
                }
                Way::Service(service) => {
                    let service = http::transport(service, self.http.clone());
                    serve_client_with_lifecycle(listener, service, era(failures)).await
                }
            };
            let running = running.map_err(|error| self.fault_of(&error))?;
            let tools = self.list(running.peer()).await.map_err(|error| {
                warn!(
                    server = self.name,
                    error = without_its_words(&error),
                    "an MCP server does not list its tools"
                );
                Fault::Nonsense
            })?;
            Ok((running, tools))
        };
        let begun = timeout(self.patience.start, begin).await;
        let begun = begun.unwrap_or(Err(Fault::Silent(self.patience.start)));
        if begun.is_err() && !said.last().is_empty() {
            warn!(server = self.name, said = said.last(), "what it said last");
        }
        begun
    }

    fn fault_of(&self, error: &ClientInitializeError) -> Fault {
        let service_failed = if let ClientInitializeError::TransportError { error, .. } = error {
            error.error.downcast_ref::<http::Failure>()
        } else {
            None
        };
        match (&self.way, service_failed, error) {
            (Way::Service(_), Some(http::Failure::Client(_)), _) => Fault::Unreachable,
            (Way::Service(_), Some(http::Failure::HttpStatus(told)), _) => match told.status {
                401 | 403 => Fault::Refused,
                500.. => Fault::Unreachable,
                _ => Fault::Nonsense,
            },
            (
                Way::Program(_),
                _,
                ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. },
            ) => Fault::Ended,
            _ => Fault::Nonsense,
        }
    }

    async fn list(&self, peer: &Peer<RoleClient>) -> Result<Vec<Listed>, ServiceError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..MCP_PAGES_MAX {
            let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await;
            let page = match page {
                // It has none.
                Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => break,
                page => page?,
            };
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() > MCP_TOOLS_MAX {
                break;
            }
        }
        Ok(listed::usable(&self.name, tools))
    }

    /// Until it is lost, and why; none when it is to stop.
    async fn serve(&self, running: Running, relisted: &Notify, stop: &CancellationToken) -> Option<Fault> {
        let peer = running.peer().clone();
        let end = running.cancellation_token();
        let mut over = pin!(running.waiting());
        let mut is_stale = false;
        let mut next_list = Instant::now();
        let fault = loop {
            tokio::select! {
                _ = &mut over => return Some(Fault::Ended),
                () = stop.cancelled() => break None,
                () = relisted.notified(), if !is_stale => is_stale = true,
                () = sleep_until(next_list), if is_stale => {
                    is_stale = false;
                    self.list_again(&peer).await;
                    next_list = Instant::now() + self.patience.relist;
                }
                () = self.doubted.notified() => if !self.is_alive(&peer).await {
                    break Some(Fault::Silent(self.patience.call));
                }
            }
        };
        end.cancel();
        let _ = timeout(MCP_STOP_TIMEOUT, over).await;
        fault
    }

    async fn list_again(&self, peer: &Peer<RoleClient>) {
        match timeout(self.patience.start, self.list(peer)).await {
            Ok(Ok(tools)) => {
                info!(server = self.name, tools = tools.len(), "an MCP server has other tools");
                *lock(&self.tools) = tools;
            }
            Ok(Err(error)) => {
                warn!(
                    server = self.name,
                    error = without_its_words(&error),
                    "an MCP server does not list its tools"
                );
            }
            Err(_) => warn!(server = self.name, "an MCP server does not list its tools in time"),
        }
    }

    /// Any answer to a ping is a sign of life, also that it is not understood.
    async fn is_alive(&self, peer: &Peer<RoleClient>) -> bool {
        let ping = peer.send_request(ClientRequest::PingRequest(Default::default()));
        !matches!(
            timeout(self.patience.ping, ping).await,
            Err(_) | Ok(Err(ServiceError::TransportClosed | ServiceError::TransportSend(_)))
        )
    }

    /// Twice as long each time; different for each agent, as many may have lost the same service.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.patience.retry_base.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.patience.retry_cap).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Who to call. One that was just lost gets a moment to come back.
    async fn peer(&self) -> Result<Peer<RoleClient>, ToolError> {
        let mut link = self.link.subscribe();
        let up = link.wait_for(|link| matches!(link, Link::Up(peer) if !peer.is_transport_closed()));
        let link = match timeout(self.patience.come_back, up).await {
            Ok(Ok(link)) => link.clone(),
            Ok(Err(_)) | Err(_) => self.link.borrow().clone(),
        };
        match link {
            Link::Up(peer) => Ok(peer),
            Link::Down(fault) => Err(self.failed(&format!("is not there: {fault}"))),
            Link::Starting => Err(self.failed("is not there yet")),
        }
    }

    fn failed(&self, what: &str) -> ToolError {
        ToolError::Failed(format!("the MCP server {:?} {what}", self.name))
    }
}

/// How a server is begun with. Nearly all know the handshake; those that only know what came after it are asked so when
/// the handshake failed.
fn era(failures: u32) -> ClientLifecycleMode {
    if failures.is_multiple_of(2) {
        return ClientLifecycleMode::Initialize;
    }
    ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::LATEST], legacy_version: None }
}

/// For logs: a server's own words may hold what it was given.
fn without_its_words(error: &ServiceError) -> String {
    if let ServiceError::McpError(error) = error {
        return format!("error {}", error.code.0);
    }
    chain(error)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it holds one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tool of a server.
struct RemoteTool {
    server: Arc<Server>,
    raw_name: String,
    spec: ToolSpec,
}

#[async_trait]
impl Tool for RemoteTool {
    fn spec(&self) -> ToolSpec {
        self.spec.clone()
    }

    /// Beyond all that is bounded here.
    fn timeout(&self) -> Duration {
        self.server.patience.come_back + self.server.patience.call + TOOL_TIMEOUT
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let Value::Object(arguments) = input else {
            return Err(ToolError::Input("the input must be an object".to_owned()));
        };
        let server = &self.server;
        let peer = server.peer().await?;
        let call = CallToolRequestParams::new(self.raw_name.clone()).with_arguments(arguments.clone());
        let Ok(answer) = timeout(server.patience.call, peer.call_tool_once(call)).await else {
            server.doubted.notify_one();
            return Err(ToolError::Timeout(server.patience.call));
        };
        match answer {
            Ok(CallToolResponse::Complete(result)) => answer::read(result),
            Ok(_) => Err(server.failed("wants to go on in a way that is not understood here")),
            Err(ServiceError::McpError(error)) => {
                Err(server.failed(&format!("refused: {}", answer::cut(&error.message))))
            }
            Err(ServiceError::TransportClosed | ServiceError::TransportSend(_)) => {
                Err(server.failed("was lost before it answered"))
            }
            Err(error) => {
                debug!(server = server.name, error = without_its_words(&error), "no answer to a call");
                Err(server.failed("answered what is no result of a tool"))
            }
        }
    }
}

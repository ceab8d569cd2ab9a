//! One MCP server: start, list of tools, calls, restart after a loss.
//!
//! ```text
//! Starting --ready--> Up --exited, silent--> Down --ready--> Up        one task: `run`
//!     '-------failed---------------------------^ '--failed: backoff
//! ```
//!
//! Calls come from turns. The SDK cancels a call at the server if its future is dropped.

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

use super::config::{ServerConfig, Transport};
use super::stdio::{StderrTail, Stdio};
use super::timeouts::Timeouts;
use super::tool_list::{self, ListedTool};
use super::{http, tool_result};
use crate::http::{Http, chain};
use crate::limits::{MCP_PAGES_MAX, MCP_STOP_TIMEOUT, MCP_TOOLS_MAX, TOOL_TIMEOUT};
use crate::tool::{Tool, ToolError, ToolSpec};

/// A server, kept running by [`Server::run`].
pub(super) struct Server {
    name: String,
    transport: Transport,
    http: Http,
    timeouts: Timeouts,
    link: watch::Sender<LinkState>,
    /// The latest list of tools, whether the server is up or not.
    tools: Mutex<Vec<ListedTool>>,
    /// Notified when a call timed out, so that the server is pinged.
    call_timed_out: Notify,
    /// The failure that no notice has reported yet.
    unreported: Mutex<Option<ServerFault>>,
}

/// The state of the connection.
#[derive(Clone)]
enum LinkState {
    /// The first start is not over.
    Starting,
    Up(Peer<RoleClient>),
    Down(ServerFault),
}

/// The reason for which a server is not available; shown to users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum ServerFault {
    #[error("it cannot be started")]
    NotStarted,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it requires other credentials")]
    Refused,
    #[error("it breaks the protocol")]
    ProtocolError,
    #[error("it did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("it exited")]
    Exited,
}

type Running = RunningService<RoleClient, Listener>;

/// The handler of a server's notifications: only changes of its list of tools matter.
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
    pub(super) fn new(config: ServerConfig, http: Http, timeouts: Timeouts) -> Self {
        let ServerConfig { name, transport } = config;
        Self {
            name,
            transport,
            http,
            timeouts,
            link: watch::Sender::new(LinkState::Starting),
            tools: Mutex::default(),
            call_timed_out: Notify::new(),
            unreported: Mutex::default(),
        }
    }

    /// Waits until the server is ready or has failed, and returns its tools.
    pub(super) async fn tools(self: &Arc<Self>) -> Vec<Arc<dyn Tool>> {
        let mut link = self.link.subscribe();
        let known = link.wait_for(|link| !matches!(link, LinkState::Starting));
        // Longer than a start may take, so that its outcome is known.
        let _ = timeout(self.timeouts.start + self.timeouts.retry_base, known).await;
        let tools = lock(&self.tools).clone();
        let remote = |ListedTool { raw_name, spec }| -> Arc<dyn Tool> {
            Arc::new(RemoteTool { server: Arc::clone(self), raw_name, spec })
        };
        tools.into_iter().map(remote).collect()
    }

    /// Takes the failure that was not reported yet, as a sentence for users.
    pub(super) fn take_failure(&self) -> Option<String> {
        let fault = lock(&self.unreported).take()?;
        Some(format!("The tools of the MCP server \u{201c}{}\u{201d} are not available: {fault}.", self.name))
    }

    /// Keeps the server running until `stop` is cancelled.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let relisted = Arc::new(Notify::new());
            let begun = Instant::now();
            let started = stop.run_until_cancelled(self.start(failures, Arc::clone(&relisted)));
            let Some(started) = started.await else { return };
            let fault = match started {
                Ok((running, tools)) => {
                    info!(server = self.name, tools = tools.len(), "MCP server ready");
                    *lock(&self.tools) = tools;
                    *lock(&self.unreported) = None;
                    self.link.send_replace(LinkState::Up(running.peer().clone()));
                    let Some(fault) = self.serve(running, &relisted, &stop).await else { return };
                    if begun.elapsed() > self.timeouts.retry_cap {
                        failures = 0;
                    }
                    fault
                }
                Err(fault) => fault,
            };
            failures += 1;
            warn!(server = self.name, reason = %fault, failures, "MCP server not available");
            // The first failure may only mean another handshake: see `lifecycle`.
            let is_first = failures == 1 && matches!(*self.link.borrow(), LinkState::Starting);
            if !is_first || matches!(fault, ServerFault::TimedOut(_)) {
                *lock(&self.unreported) = Some(fault);
                self.link.send_replace(LinkState::Down(fault));
            }
            if stop.run_until_cancelled(sleep(self.backoff(failures))).await.is_none() {
                return;
            }
        }
    }

    async fn start(
        &self,
        failures: u32,
        relisted: Arc<Notify>,
    ) -> Result<(Running, Vec<ListedTool>), ServerFault> {
        let stderr = StderrTail::default();
        let begin = async {
            let listener = Listener { relisted };
            let running = match &self.transport {
                Transport::Program(program) => {
                    let stdio = Stdio::start(program, &self.name, &stderr).map_err(|error| {
                        warn!(server = self.name, %error, "MCP server not started");
                        ServerFault::NotStarted
                    })?;
                    serve_client_with_lifecycle(listener, stdio, lifecycle(failures)).await
                }
                Transport::Service(service) => {
                    let service = http::transport(service, self.http.clone());
                    serve_client_with_lifecycle(listener, service, lifecycle(failures)).await
                }
            };
            let running = running.map_err(|error| self.fault_of(&error))?;
            let tools = self.list(running.peer()).await.map_err(|error| {
                warn!(server = self.name, error = redacted(&error), "MCP server did not list its tools");
                ServerFault::ProtocolError
            })?;
            Ok((running, tools))
        };
        let begun = timeout(self.timeouts.start, begin).await;
        let begun = begun.unwrap_or(Err(ServerFault::TimedOut(self.timeouts.start)));
        if begun.is_err() && !stderr.last().is_empty() {
            warn!(server = self.name, output = stderr.last(), "MCP server failed to start");
        }
        begun
    }

    fn fault_of(&self, error: &ClientInitializeError) -> ServerFault {
        let service_failed = if let ClientInitializeError::TransportError { error, .. } = error {
            error.error.downcast_ref::<http::Failure>()
        } else {
            None
        };
        match (&self.transport, service_failed, error) {
            (Transport::Service(_), Some(http::Failure::Client(_)), _) => ServerFault::Unreachable,
            (Transport::Service(_), Some(http::Failure::HttpStatus(told)), _) => match told.status {
                401 | 403 => ServerFault::Refused,
                500.. => ServerFault::Unreachable,
                _ => ServerFault::ProtocolError,
            },
            (
                Transport::Program(_),
                _,
                ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. },
            ) => ServerFault::Exited,
            _ => ServerFault::ProtocolError,
        }
    }

    async fn list(&self, peer: &Peer<RoleClient>) -> Result<Vec<ListedTool>, ServiceError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..MCP_PAGES_MAX {
            let page = peer.list_tools(Some(PaginatedRequestParams::default().with_cursor(cursor))).await;
            let page = match page {
                // The server has no tools.
                Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => break,
                page => page?,
            };
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() > MCP_TOOLS_MAX {
                break;
            }
        }
        Ok(tool_list::usable(&self.name, tools))
    }

    /// Serves until the server is lost, and returns the reason; `None` if `stop` was cancelled.
    async fn serve(
        &self,
        running: Running,
        relisted: &Notify,
        stop: &CancellationToken,
    ) -> Option<ServerFault> {
        let peer = running.peer().clone();
        let end = running.cancellation_token();
        let mut over = pin!(running.waiting());
        let mut is_stale = false;
        let mut next_list = Instant::now();
        let fault = loop {
            tokio::select! {
                _ = &mut over => return Some(ServerFault::Exited),
                () = stop.cancelled() => break None,
                () = relisted.notified(), if !is_stale => is_stale = true,
                () = sleep_until(next_list), if is_stale => {
                    is_stale = false;
                    self.list_again(&peer).await;
                    next_list = Instant::now() + self.timeouts.relist;
                }
                () = self.call_timed_out.notified() => if !self.is_alive(&peer).await {
                    break Some(ServerFault::TimedOut(self.timeouts.call));
                }
            }
        };
        end.cancel();
        let _ = timeout(MCP_STOP_TIMEOUT, over).await;
        fault
    }

    async fn list_again(&self, peer: &Peer<RoleClient>) {
        match timeout(self.timeouts.start, self.list(peer)).await {
            Ok(Ok(tools)) => {
                info!(server = self.name, tools = tools.len(), "MCP tools changed");
                *lock(&self.tools) = tools;
            }
            Ok(Err(error)) => {
                warn!(server = self.name, error = redacted(&error), "MCP server did not list its tools");
            }
            Err(_) => warn!(server = self.name, "MCP server did not list its tools in time"),
        }
    }

    /// Pings the server. Any answer is a sign of life, even an error.
    async fn is_alive(&self, peer: &Peer<RoleClient>) -> bool {
        let ping = peer.send_request(ClientRequest::PingRequest(Default::default()));
        !matches!(
            timeout(self.timeouts.ping, ping).await,
            Err(_) | Ok(Err(ServiceError::TransportClosed | ServiceError::TransportSend(_)))
        )
    }

    /// Returns the restart delay: doubled with each failure, with jitter, as many agents may have lost the same service.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.timeouts.retry_base.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.timeouts.retry_cap).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Returns the connection to call. Waits a moment for a server that was just lost.
    async fn peer(&self) -> Result<Peer<RoleClient>, ToolError> {
        let mut link = self.link.subscribe();
        let up = link.wait_for(|link| matches!(link, LinkState::Up(peer) if !peer.is_transport_closed()));
        let link = match timeout(self.timeouts.reconnect, up).await {
            Ok(Ok(link)) => link.clone(),
            Ok(Err(_)) | Err(_) => self.link.borrow().clone(),
        };
        match link {
            LinkState::Up(peer) => Ok(peer),
            LinkState::Down(fault) => Err(self.failed(&format!("is not available: {fault}"))),
            LinkState::Starting => Err(self.failed("is still starting")),
        }
    }

    fn failed(&self, what: &str) -> ToolError {
        ToolError::Failed(format!("the MCP server {:?} {what}", self.name))
    }
}

/// Returns the lifecycle to start a server with. Almost all servers know the handshake; every second attempt is without it,
/// for servers that only know the newer protocol.
fn lifecycle(failures: u32) -> ClientLifecycleMode {
    if failures.is_multiple_of(2) {
        return ClientLifecycleMode::Initialize;
    }
    ClientLifecycleMode::Auto { preferred_versions: vec![ProtocolVersion::LATEST], legacy_version: None }
}

/// Returns an error's text for the log, without the server's own message, which may contain its credentials.
fn redacted(error: &ServiceError) -> String {
    if let ServiceError::McpError(error) = error {
        return format!("error {}", error.code.0);
    }
    chain(error)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code panics while it holds a lock.
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

    /// Longer than all timeouts of a call in this file.
    fn timeout(&self) -> Duration {
        self.server.timeouts.reconnect + self.server.timeouts.call + TOOL_TIMEOUT
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let Value::Object(arguments) = input else {
            return Err(ToolError::Input("the input must be an object".to_owned()));
        };
        let server = &self.server;
        let peer = server.peer().await?;
        let call = CallToolRequestParams::new(self.raw_name.clone()).with_arguments(arguments.clone());
        let Ok(answer) = timeout(server.timeouts.call, peer.call_tool_once(call)).await else {
            server.call_timed_out.notify_one();
            return Err(ToolError::Timeout(server.timeouts.call));
        };
        match answer {
            Ok(CallToolResponse::Complete(result)) => tool_result::read(result),
            Ok(_) => Err(server.failed("answered in a way that this agent does not support")),
            Err(ServiceError::McpError(error)) => {
                Err(server.failed(&format!("refused the call: {}", tool_result::cut(&error.message))))
            }
            Err(ServiceError::TransportClosed | ServiceError::TransportSend(_)) => {
                Err(server.failed("was lost before it answered"))
            }
            Err(error) => {
                debug!(server = server.name, error = redacted(&error), "MCP call failed");
                Err(server.failed("sent an invalid result"))
            }
        }
    }
}

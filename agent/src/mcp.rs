//! Tools of MCP servers: local programs and remote services that the configuration names.
//!
//! ```text
//! config.rs   the configured servers           server.rs        one server: start, list, call, restart
//! stdio.rs    the transport to a program       tool_list.rs     a server's tools, in a form that providers accept
//! http.rs     the transport to a service       tool_result.rs   a tool's result, in a form that models read
//! ```
//!
//! The protocol implementation is the official SDK. A server starts with the agent, and again with backoff whenever it is
//! lost. A turn has the tools that are listed when it starts. A server that hangs, exits or breaks the protocol makes only
//! its own tools fail. It gets no variable of the agent's environment, only what its configuration entry contains.

use std::sync::Arc;

use futures::future::join_all;
use mayfly_protocol::chunk::Notice;
use mayfly_protocol::code::ErrorCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::config::ServerConfig;
use self::server::Server;
pub use self::timeouts::Timeouts;
use crate::http::Http;
use crate::limits::{MCP_STOP_TIMEOUT, MCP_TOOLS_MAX};
use crate::tool::Tool;

pub mod config;
mod http;
mod server;
mod stdio;
mod timeouts;
mod tool_list;
mod tool_result;

/// The MCP servers of an agent.
#[derive(Default)]
pub struct Servers {
    servers: Vec<Arc<Server>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Servers {
    /// Starts the servers without waiting for them.
    ///
    /// # Panics
    /// Panics if called outside a tokio runtime.
    pub fn start(configs: Vec<ServerConfig>, http: &Http, timeouts: Timeouts) -> Self {
        let servers = configs.into_iter().map(|config| Arc::new(Server::new(config, http.clone(), timeouts)));
        let this = Self { servers: servers.collect(), ..Self::default() };
        for server in &this.servers {
            this.tasks.spawn(Arc::clone(server).run(this.stop.clone()));
        }
        this
    }

    /// Waits until every server is ready or has failed, and returns the tools of all.
    pub async fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let listed = join_all(self.servers.iter().map(Server::tools)).await;
        let mut tools: Vec<_> = listed.into_iter().flatten().collect();
        if tools.len() > MCP_TOOLS_MAX {
            warn!(listed = tools.len(), max = MCP_TOOLS_MAX, "MCP tools left out");
            tools.truncate(MCP_TOOLS_MAX);
        }
        tools
    }

    /// Takes the notices about servers that are not available. Each failure is reported once.
    pub fn take_notices(&self) -> Vec<Notice> {
        let failures = self.servers.iter().filter_map(|server| server.take_failure());
        failures.map(|message| Notice { code: ErrorCode::ToolFailed, message }).collect()
    }

    /// Stops all servers. Programs that do not exit in time are killed.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(2 * MCP_STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            warn!("MCP servers not stopped in time");
        }
    }
}

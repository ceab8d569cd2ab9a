//! Tools of MCP servers: programs beside the agent, and services, that its configuration names.
//!
//! ```text
//! config.rs   which servers there are        server.rs   one server: start, list, call, restart
//! stdio.rs    a program as a server          listed.rs   what it lists, as models may be told
//! http.rs     a service as a server          answer.rs   what it answers, as models may be told
//! ```
//!
//! The protocol is the official SDK's. A server is started with the agent and again, with backoff, whenever it is lost; a
//! turn has the tools that are listed when it begins. Whatever a server does, hang, end, lie, is a failure of its tools
//! and of nothing else. It gets no variable of the agent's: what it may know is in its own entry of the configuration.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mayfly_protocol::chunk::Notice;
use mayfly_protocol::code::ErrorCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use self::config::ServerConfig;
use self::server::Server;
use crate::http::Http;
use crate::limits::{
    MCP_CALL_TIMEOUT, MCP_PING_TIMEOUT, MCP_RELIST_INTERVAL, MCP_RETRY_BASE, MCP_RETRY_CAP,
    MCP_RETURN_TIMEOUT, MCP_START_TIMEOUT, MCP_STOP_TIMEOUT, MCP_TOOLS_MAX,
};
use crate::tool::Tool;

mod answer;
pub mod config;
mod http;
mod listed;
mod server;
mod stdio;

/// All servers of an agent. Without any, it does nothing.
#[derive(Default)]
pub struct Servers {
    servers: Vec<Arc<Server>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// How long servers are waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// To start, and to list its tools.
    pub start: Duration,
    /// One call.
    pub call: Duration,
    /// A sign of life, when a call took too long.
    pub ping: Duration,
    /// A server that was just lost, by a call.
    pub come_back: Duration,
    /// Between two readings of a list that changes.
    pub relist: Duration,
    /// Before it is started again; twice that the next time, and so on.
    pub retry_base: Duration,
    /// The most before it is started again.
    pub retry_cap: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            start: MCP_START_TIMEOUT,
            call: MCP_CALL_TIMEOUT,
            ping: MCP_PING_TIMEOUT,
            come_back: MCP_RETURN_TIMEOUT,
            relist: MCP_RELIST_INTERVAL,
            retry_base: MCP_RETRY_BASE,
            retry_cap: MCP_RETRY_CAP,
        }
    }
}

impl Servers {
    /// Starts them, without waiting for them. Needs a runtime.
    pub fn start(configs: Vec<ServerConfig>, http: &Http, patience: Patience) -> Self {
        let servers = configs.into_iter().map(|config| Arc::new(Server::new(config, http.clone(), patience)));
        let this = Self { servers: servers.collect(), ..Self::default() };
        for server in &this.servers {
            this.tasks.spawn(Arc::clone(server).keep(this.stop.clone()));
        }
        this
    }

    /// The tools that there are, once every server is there or failed.
    pub async fn tools(&self) -> Vec<Arc<dyn Tool>> {
        let listed = join_all(self.servers.iter().map(Server::tools)).await;
        let mut tools: Vec<_> = listed.into_iter().flatten().collect();
        if tools.len() > MCP_TOOLS_MAX {
            warn!(listed = tools.len(), MCP_TOOLS_MAX, "more tools of MCP servers than models are told of");
            tools.truncate(MCP_TOOLS_MAX);
        }
        tools
    }

    /// What people were not told yet: servers that are not there.
    pub fn troubles(&self) -> Vec<Notice> {
        let troubles = self.servers.iter().filter_map(|server| server.trouble());
        troubles.map(|message| Notice { code: ErrorCode::ToolFailed, message }).collect()
    }

    /// Ends them all; programs that do not end by themselves are killed.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(2 * MCP_STOP_TIMEOUT, self.tasks.wait()).await.is_err() {
            warn!("an MCP server did not end");
        }
    }
}

//! An MCP server on the official SDK, for tests. Its tools repeat a text, name the environment variables, and exit.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, JsonObject, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt};

struct Server;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = Arc::new(JsonObject::from_iter([("type".to_owned(), "object".into())]));
        let tool = |name, description| Tool::new(name, description, Arc::clone(&schema));
        let tools = vec![
            tool("repeat", "Repeats a text"),
            tool("environment", "Names all variables"),
            tool("exit", "Ends the server"),
        ];
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let text = match &*call.name {
            "repeat" => call.arguments.unwrap_or_default()["text"].as_str().unwrap_or_default().to_owned(),
            "environment" => {
                let mut names: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
                names.sort();
                names.join(" ")
            }
            _ => std::process::exit(1),
        };
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    Server.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}

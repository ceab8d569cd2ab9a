//! The result of an MCP tool as a model reads it: text, structured data, and a description of everything else.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use crate::limits::{MCP_TEXT_MAX_BYTES, TOOL_OUTPUT_MAX_BYTES};
use crate::tool::ToolError;

/// Converts a result.
///
/// # Errors
/// Returns the tool's own message if the tool reports an error.
pub(super) fn read(result: CallToolResult) -> Result<Value, ToolError> {
    let told: Vec<_> = result.content.iter().map(content).collect();
    if result.is_error == Some(true) {
        let words: Vec<_> = told.iter().filter_map(Value::as_str).collect();
        let words = if words.is_empty() { "the tool gave no reason".to_owned() } else { words.join("\n") };
        return Err(ToolError::Failed(cut(&words)));
    }
    // Most servers send the data as text, too; the text is used if the data is too large.
    if let Some(data) = result.structured_content.filter(|data| !data.is_null())
        && (told.is_empty() || data.to_string().len() <= TOOL_OUTPUT_MAX_BYTES)
    {
        return Ok(data);
    }
    let words: Option<Vec<_>> = told.iter().map(Value::as_str).collect();
    Ok(match words {
        Some(words) => cut(&words.join("\n")).into(),
        None => told.into(),
    })
}

/// Converts a content block: text to a string, anything else to an object that describes it.
fn content(block: &ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => text.text.clone().into(),
        ContentBlock::Image(image) => left_out("image", Some(&image.mime_type), &image.data),
        ContentBlock::Audio(audio) => left_out("audio", Some(&audio.mime_type), &audio.data),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => text.clone().into(),
            ResourceContents::BlobResourceContents { mime_type, blob, .. } => {
                left_out("file", mime_type.as_deref(), blob)
            }
            _ => unknown(),
        },
        ContentBlock::ResourceLink(link) => json!({ "type": "link", "name": link.name, "uri": link.uri }),
        _ => unknown(),
    }
}

/// Returns the description of base64 data, which models do not get.
fn left_out(kind: &str, mime_type: Option<&str>, base64: &str) -> Value {
    json!({ "type": kind, "mimeType": mime_type, "bytes": base64.len() / 4 * 3, "note": "not shown" })
}

/// Returns the description of a block of an unknown type.
fn unknown() -> Value {
    json!({ "type": "unknown", "note": "not shown" })
}

/// Returns `text`, or its beginning and a note if it is too long.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= MCP_TEXT_MAX_BYTES {
        return text.to_owned();
    }
    let mut end = MCP_TEXT_MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n[truncated: the whole text has {} bytes]", &text[..end], text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(result: Value) -> Result<Value, ToolError> {
        read(serde_json::from_value(result).unwrap())
    }

    #[test]
    fn text_data_and_other_content_are_converted() {
        let text = |text: &str| json!({ "type": "text", "text": text });
        assert_eq!(read_json(json!({ "content": [text("one"), text("two")] })), Ok("one\ntwo".into()));
        assert_eq!(read_json(json!({ "content": [] })), Ok("".into()));
        let data = json!({ "content": [text("{}")], "structuredContent": { "a": [1] } });
        assert_eq!(read_json(data), Ok(json!({ "a": [1] })));
        let image = json!({ "type": "image", "data": "AAAA", "mimeType": "image/png" });
        let shown = json!({ "type": "image", "mimeType": "image/png", "bytes": 3, "note": "not shown" });
        assert_eq!(read_json(json!({ "content": [text("see"), image] })), Ok(json!(["see", shown])));
        let file = json!({ "type": "resource", "resource": { "uri": "file:///a", "text": "inside" } });
        assert_eq!(read_json(json!({ "content": [file] })), Ok("inside".into()));
    }

    #[test]
    fn a_failure_has_the_tools_message() {
        let failed = |content: Value| read_json(json!({ "content": content, "isError": true })).unwrap_err();
        let told = failed(json!([{ "type": "text", "text": "no such file" }]));
        assert_eq!(told, ToolError::Failed("no such file".to_owned()));
        assert_eq!(failed(json!([])).to_string(), "tool.failed: the tool gave no reason");
    }

    #[test]
    fn a_long_result_is_truncated_with_a_note() {
        let long = "\u{e4}\"".repeat(MCP_TEXT_MAX_BYTES);
        let text = json!({ "type": "text", "text": long });
        let data = json!({ "content": [text], "structuredContent": { "a": long } });
        for result in [json!({ "content": [text] }), data] {
            let told = read_json(result).unwrap();
            assert!(told.to_string().len() <= TOOL_OUTPUT_MAX_BYTES);
            assert!(told.as_str().unwrap().ends_with(&format!("the whole text has {} bytes]", long.len())));
        }
    }
}

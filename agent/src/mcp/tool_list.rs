//! The list of an MCP server's tools, in a form that every provider accepts.
//!
//! Names are `SERVER__TOOL`, unique, and in letters that every provider accepts. A tool whose schema a provider would
//! reject is left out, as the provider would reject the whole conversation.

use std::collections::HashSet;

use rmcp::model::Tool as Raw;
use serde_json::{Map, Value};
use tracing::warn;

use super::tool_result::cut;
use crate::limits::{MCP_SCHEMA_MAX_BYTES, MCP_SCHEMA_MAX_DEPTH, MCP_TOOLS_MAX, TOOL_NAME_MAX_BYTES};
use crate::tool::ToolSpec;

const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];
/// Keywords that providers reject at the top of an input schema.
const NOT_AT_TOP: [&str; 3] = ["anyOf", "oneOf", "allOf"];
const SCHEMAS: [&str; 5] = ["items", "additionalProperties", "not", "contains", "propertyNames"];
const LISTS_OF_SCHEMAS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
const NAMED_SCHEMAS: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];

/// A tool of a server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListedTool {
    /// The tool's name at its server.
    pub(super) raw_name: String,
    /// The description for models.
    pub(super) spec: ToolSpec,
}

/// Returns the usable tools of a server's list.
pub(super) fn usable(server: &str, list: Vec<Raw>) -> Vec<ListedTool> {
    let mut names = HashSet::new();
    let mut tools = Vec::new();
    for raw in list {
        if tools.len() == MCP_TOOLS_MAX {
            warn!(server, max = MCP_TOOLS_MAX, "MCP tools left out");
            break;
        }
        match schema(&raw.input_schema) {
            Ok(input_schema) => {
                let name = unique_name(&mut names, server, &raw.name);
                let words = raw.description.as_deref().or(raw.title.as_deref()).unwrap_or_default();
                let spec = ToolSpec { name, description: cut(words), input_schema };
                tools.push(ListedTool { raw_name: raw.name.into_owned(), spec });
            }
            Err(reason) => warn!(server, tool = &*raw.name, reason, "MCP tool left out"),
        }
    }
    tools
}

/// Returns a name that no other tool of the server has.
fn unique_name(names: &mut HashSet<String>, server: &str, raw: &str) -> String {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let letters = raw.chars().map(|letter| if is_letter(letter) { letter } else { '_' });
    let name: String = format!("{server}__").chars().chain(letters).take(TOOL_NAME_MAX_BYTES).collect();
    let mut unique = name.clone();
    for number in 2.. {
        if names.insert(unique.clone()) {
            break;
        }
        let end = format!("_{number}");
        unique = format!("{}{end}", &name[..name.len().min(TOOL_NAME_MAX_BYTES - end.len())]);
    }
    unique
}

fn schema(raw: &Map<String, Value>) -> Result<Value, &'static str> {
    let mut schema = raw.clone();
    schema.remove("$schema");
    schema.entry("type").or_insert_with(|| "object".into());
    if schema["type"] != "object" {
        return Err("its input is not an object");
    }
    if NOT_AT_TOP.iter().any(|key| schema.contains_key(*key)) {
        return Err("its input has alternatives");
    }
    let schema = Value::Object(schema);
    if schema.to_string().len() > MCP_SCHEMA_MAX_BYTES {
        return Err("its schema is too large");
    }
    if is_schema(&schema, 0) { Ok(schema) } else { Err("its schema is invalid") }
}

/// Returns `true` if `value` is a valid JSON Schema in the keywords that providers check.
fn is_schema(value: &Value, depth: usize) -> bool {
    let Value::Object(words) = value else { return value.is_boolean() };
    if depth > MCP_SCHEMA_MAX_DEPTH {
        return false;
    }
    let is_schema = |value: &Value| is_schema(value, depth + 1);
    let is_type = |value: &Value| value.as_str().is_some_and(|name| TYPES.contains(&name));
    let is_name = |name: &String| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-$".contains(&byte);
        (1..=TOOL_NAME_MAX_BYTES).contains(&name.len()) && name.bytes().all(is_letter)
    };
    words.iter().all(|(word, value)| match word.as_str() {
        "type" => is_type(value) || value.as_array().is_some_and(|types| types.iter().all(is_type)),
        "required" => value.as_array().is_some_and(|names| names.iter().all(Value::is_string)),
        "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
        "$ref" => value.as_str().is_some_and(|place| place.starts_with('#')),
        "properties" => {
            value.as_object().is_some_and(|named| named.keys().all(is_name) && named.values().all(is_schema))
        }
        word if NAMED_SCHEMAS.contains(&word) => {
            value.as_object().is_some_and(|named| named.values().all(is_schema))
        }
        word if LISTS_OF_SCHEMAS.contains(&word) => {
            value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_schema))
        }
        word if SCHEMAS.contains(&word) => is_schema(value),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(tools: Value) -> Vec<ListedTool> {
        usable("srv", serde_json::from_value(tools).unwrap())
    }

    fn tool(name: &str) -> Value {
        json!({ "name": name, "inputSchema": { "type": "object" } })
    }

    #[test]
    fn names_are_valid_and_unique() {
        let long = "x".repeat(100);
        let tools =
            list(json!([tool("read.file"), tool("read/file"), tool("\u{e4}"), tool(&long), tool(&long)]));
        let names: Vec<_> = tools.iter().map(|tool| tool.spec.name.as_str()).collect();
        let cut = format!("srv__{}", "x".repeat(59));
        let second = format!("srv__{}_2", "x".repeat(57));
        assert_eq!(names, ["srv__read_file", "srv__read_file_2", "srv___", &cut, &second]);
        assert_eq!(tools[1].raw_name, "read/file");
    }

    #[test]
    fn tools_with_invalid_schemas_are_left_out() {
        let deep = (0..40).fold(json!({}), |inner, _| json!({ "items": inner }));
        let with = |schema: Value| json!([{ "name": "a", "inputSchema": schema }, tool("b")]);
        for bad in [
            json!({ "type": "array" }),
            json!({ "type": "object", "oneOf": [{}] }),
            json!({ "type": "object", "properties": { "a": { "type": "banana" } } }),
            json!({ "type": "object", "properties": { "a b": {} } }),
            json!({ "type": "object", "properties": { "a": 7 } }),
            json!({ "type": "object", "properties": [] }),
            json!({ "type": "object", "required": "a" }),
            json!({ "type": "object", "properties": { "a": { "enum": [] } } }),
            json!({ "type": "object", "properties": { "a": { "$ref": "https://evil.example/" } } }),
            json!({ "type": "object", "properties": { "a": { "anyOf": [] } } }),
            json!({ "type": "object", "properties": { "a": deep } }),
            json!({ "type": "object", "description": "x".repeat(MCP_SCHEMA_MAX_BYTES) }),
        ] {
            let names: Vec<_> = list(with(bad.clone())).into_iter().map(|tool| tool.raw_name).collect();
            assert_eq!(names, ["b"], "{bad}");
        }
        let good = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {
                "a": { "type": ["string", "null"], "enum": ["x", null] },
                "b": { "type": "array", "items": { "$ref": "#/$defs/c" } },
                "d": { "anyOf": [{ "type": "integer" }, true] },
            },
            "required": ["a"], "additionalProperties": false, "$defs": { "c": { "type": "number" } },
        });
        let told = list(with(good)).remove(0).spec.input_schema;
        assert_eq!((&told["type"], told.get("$schema")), (&json!("object"), None));
    }

    #[test]
    fn tools_and_descriptions_are_bounded() {
        let many: Value = (0..MCP_TOOLS_MAX + 5).map(|number| tool(&format!("t{number}"))).collect();
        assert_eq!(list(many).len(), MCP_TOOLS_MAX);
        let wordy = json!([{ "name": "a", "description": "w".repeat(100_000), "inputSchema": {} }]);
        assert!(list(wordy)[0].spec.description.len() < 20_000);
    }
}

//! The tool `calculate`: arithmetic, exact where it can be, with percentages and units.
//!
//! Owns the bounds around the calculator; the calculator itself is fend (<https://printfn.github.io/fend/documentation/>).
//! It has no currencies, no random numbers and no clock here: what it says can be checked.

use std::time::Instant;

use async_trait::async_trait;
use fend_core::{Context, Interrupt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::limits::{CALCULATION_STACK_BYTES, CALCULATION_TIMEOUT, EXPRESSION_MAX_BYTES, RESULT_MAX_BYTES};
use crate::tool::{self, Tool, ToolError, ToolSpec};

/// The tool's name in calls.
pub const NAME: &str = "calculate";

/// The tool's input.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// For example: 17% of 23.40; (3 + 4)^2 / 5; sqrt(2); 10 miles in km; 5 feet 10 inches to cm; 0b1010 to hex
    #[schemars(length(max = EXPRESSION_MAX_BYTES))]
    expression: String,
}

/// The tool's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What was calculated.
    pub expression: String,
    /// Without the word "approx.".
    pub result: String,
    /// Whether the result is no rounded one.
    pub exact: bool,
}

/// The tool.
#[derive(Debug, Clone, Copy)]
pub struct Calculate;

#[async_trait]
impl Tool for Calculate {
    fn spec(&self) -> ToolSpec {
        ToolSpec::new::<Input>(
            NAME,
            "Calculates an expression: arithmetic of any precision, functions, percentages, units of measurement. \
             A percent sign means a hundredth, so that 50 + 10% is 50.1: for 10% more write 50 * 110%. No currencies.",
        )
    }

    async fn call(&self, input: &Value) -> Result<Value, ToolError> {
        let Input { expression } = tool::input(input)?;
        if expression.len() > EXPRESSION_MAX_BYTES {
            return Err(ToolError::Input(format!("an expression has at most {EXPRESSION_MAX_BYTES} bytes")));
        }
        let until = Until(Instant::now() + CALCULATION_TIMEOUT);
        let (sender, answer) = oneshot::channel();
        // The calculator goes down into brackets by recursion: a thread whose stack is enough for as many as fit.
        let thread = std::thread::Builder::new().name(NAME.to_owned()).stack_size(CALCULATION_STACK_BYTES);
        let work = move || {
            let _ = sender.send(calculate(expression, &until));
        };
        thread.spawn(work).map_err(|error| ToolError::Failed(format!("cannot calculate now: {error}")))?;
        let output = answer.await.map_err(|_| ToolError::Panicked)??;
        // Text only: to become a JSON value cannot fail.
        Ok(serde_json::to_value(output).unwrap_or_default())
    }
}

/// Asked by the calculator every now and then.
struct Until(Instant);

impl Interrupt for Until {
    fn should_interrupt(&self) -> bool {
        Instant::now() >= self.0
    }
}

fn calculate(expression: String, until: &Until) -> Result<Output, ToolError> {
    let answer = fend_core::evaluate_with_interrupt(&expression, &mut Context::new(), until);
    let answer = answer.map_err(|why| {
        let why = if until.should_interrupt() { "it takes too long".to_owned() } else { why };
        ToolError::Failed(format!("cannot calculate that: {why}"))
    })?;
    let result = answer.get_main_result();
    if result.is_empty() {
        return Err(ToolError::Failed("there is nothing to calculate in that".to_owned()));
    }
    if result.len() > RESULT_MAX_BYTES {
        return Err(ToolError::TooLarge(result.len()));
    }
    let (exact, result) = match result.strip_prefix("approx. ") {
        Some(rounded) => (false, rounded),
        None => (true, result),
    };
    Ok(Output { expression, result: result.to_owned(), exact })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    async fn ask(expression: &str) -> Result<Output, String> {
        let answer = Calculate.call(&json!({ "expression": expression })).await;
        answer.map(|output| serde_json::from_value(output).unwrap()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn exact_is_told_from_rounded() {
        for (expression, result, exact) in [
            ("17% of 23.40", "3.978", true),
            ("0.1 + 0.2", "0.3", true),
            ("2^100", "1267650600228229401496703205376", true),
            ("1,000 * 2", "2000", true),
            ("5 feet 10 inches to cm", "177.8 cm", true),
            ("1/3", "0.3333333333", false),
            ("sqrt 2", "1.4142135624", false),
        ] {
            let expected = Output { expression: expression.to_owned(), result: result.to_owned(), exact };
            assert_eq!(ask(expression).await, Ok(expected));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_calculated_is_told() {
        for (expression, why) in [
            ("1/0", "division by zero"),
            ("2 +", "unexpected input"),
            ("the answer", "unknown identifier"),
            ("5 km + 3 kg", "units"),
            ("10 usd in eur", "exchange rates are not available"),
            ("roll d6", "random numbers are not available"),
            ("", "nothing to calculate"),
        ] {
            let said = ask(expression).await.unwrap_err();
            assert!(said.starts_with("tool.failed: ") && said.contains(why), "{expression}: {said}");
        }
        assert!(ask(&"1+".repeat(EXPRESSION_MAX_BYTES)).await.unwrap_err().contains("at most 512 bytes"));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up() {
        let begin = Instant::now();
        for expression in ["9^9^9^9", "1000000!"] {
            let said = ask(expression).await.unwrap_err();
            assert_eq!(said, "tool.failed: cannot calculate that: it takes too long", "{expression}");
        }
        assert!(begin.elapsed() < 10 * CALCULATION_TIMEOUT, "{:?}", begin.elapsed());
        assert!(ask("2^100000").await.unwrap_err().contains("the answer is too large"));
    }

    #[tokio::test]
    async fn an_expression_that_goes_deep_breaks_nothing() {
        for (open, inner, close) in [
            ("(", "1", ")"),
            ("-", "1", ""),
            ("2^", "1", ""),
            ("sin ", "1", ""),
            ("1/", "2", ""),
            ("x:", "1", ""),
            ("(", "", ""),
        ] {
            let times = (EXPRESSION_MAX_BYTES - inner.len()) / (open.len() + close.len());
            let expression = format!("{}{inner}{}", open.repeat(times), close.repeat(times));
            let answer = ask(&expression).await;
            assert_ne!(answer, Err(ToolError::Panicked.to_string()), "{open}");
        }
    }
}

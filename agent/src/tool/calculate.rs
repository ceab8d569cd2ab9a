//! The tool `calculate`: arithmetic, exact where possible, with percentages and units.
//!
//! The calculator is fend (<https://printfn.github.io/fend/documentation/>), without currencies, random numbers and clock,
//! so that results are reproducible. This file owns the bounds around it.

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
    /// The expression.
    pub expression: String,
    /// The result, without the word "approx.".
    pub result: String,
    /// `false` if the result is rounded.
    pub exact: bool,
}

/// The tool `calculate`.
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
            return Err(ToolError::Input(format!(
                "the expression must have at most {EXPRESSION_MAX_BYTES} bytes"
            )));
        }
        let until = Until(Instant::now() + CALCULATION_TIMEOUT);
        let (sender, answer) = oneshot::channel();
        // The calculator is recursive: the thread's stack is large enough for every expression within the bound.
        let thread = std::thread::Builder::new().name(NAME.to_owned()).stack_size(CALCULATION_STACK_BYTES);
        let work = move || {
            let _ = sender.send(calculate(expression, &until));
        };
        thread.spawn(work).map_err(|error| ToolError::Failed(format!("cannot calculate now: {error}")))?;
        let output = answer.await.map_err(|_| ToolError::Panicked)??;
        // Conversion of text into a JSON value cannot fail.
        Ok(serde_json::to_value(output).unwrap_or_default())
    }
}

/// The time at which the calculator stops; the calculator asks periodically.
struct Until(Instant);

impl Interrupt for Until {
    fn should_interrupt(&self) -> bool {
        Instant::now() >= self.0
    }
}

fn calculate(expression: String, until: &Until) -> Result<Output, ToolError> {
    let answer = fend_core::evaluate_with_interrupt(&expression, &mut Context::new(), until);
    let answer = answer.map_err(|reason| {
        let reason = if until.should_interrupt() { "it takes too long".to_owned() } else { reason };
        ToolError::Failed(format!("cannot calculate that: {reason}"))
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
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    async fn ask(expression: &str) -> Result<Output, String> {
        let answer = Calculate.call(&json!({ "expression": expression })).await;
        answer.map(|output| serde_json::from_value(output).unwrap()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn exact_and_rounded_results_are_marked() {
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
    async fn invalid_expressions_are_errors() {
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
    async fn a_long_calculation_is_stopped() {
        for expression in ["9^9^9^9", "1000000!"] {
            let said = ask(expression).await.unwrap_err();
            assert_eq!(said, "tool.failed: cannot calculate that: it takes too long", "{expression}");
        }
    }

    #[test]
    fn a_long_result_is_refused() {
        let until = Until(Instant::now() + Duration::from_secs(3600));
        let outcome = calculate("2^20000".to_owned(), &until);
        assert!(matches!(outcome, Err(ToolError::TooLarge(6000..))), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_deep_expression_does_not_panic() {
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

//! The figures of all rounds as one Markdown table: first the ratios with a target, then the absolute figures.

use std::fmt::Write;

use crate::round::{BUSY, Figures, IDLE_SESSIONS, PACED, Round, SATURATED};
use crate::servers::Way;

/// One row: one figure from each round.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    target: Option<Target>,
    /// Sorted values, one for each round that has the figure.
    values: Vec<f64>,
}

/// The target of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The figure should not exceed this value.
    AtMost(f64),
    /// The figure should reach this value.
    AtLeast(f64),
}

use Target::{AtLeast, AtMost};
use Way::{Direct, HubTcp, HubUnix, Naive, Relay};

impl Row {
    fn new(
        rounds: &[Round],
        what: impl Into<String>,
        target: Option<Target>,
        value: impl Fn(&Round) -> f64,
    ) -> Self {
        Self::of(what, target, rounds.iter().map(value))
    }

    /// Creates a row. Values that are not finite are left out.
    pub fn of(
        what: impl Into<String>,
        target: Option<Target>,
        values: impl IntoIterator<Item = f64>,
    ) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self { what: what.into(), target, values }
    }

    fn median(&self) -> Option<f64> {
        median(&self.values)
    }
}

/// Returns the median of sorted values.
pub fn median(values: &[f64]) -> Option<f64> {
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    match values.len() % 2 {
        0 => Some(f64::midpoint(*values.get(middle - 1)?, upper)),
        _ => Some(upper),
    }
}

/// Returns all rows of `make bench`.
pub fn rows(rounds: &[Round]) -> Vec<Row> {
    let row = |what: &str, target, value: &dyn Fn(&Round) -> f64| Row::new(rounds, what, target, value);
    let mut rows = Vec::new();
    for (name, way) in [("TCP", HubTcp), ("Unix", HubUnix)] {
        let added = |percentile: &str| format!("{percentile} added to direct, hub over {name} / relay");
        rows.push(row(&added("p50"), Some(AtMost(1.25)), &|round| added_ratio(&round.p50_ms, way)));
        rows.push(row(&added("p99"), Some(AtMost(1.5)), &|round| added_ratio(&round.p99_ms, way)));
    }
    rows.extend([
        row("p50 from schedule, hub over TCP / relay", Some(AtMost(1.25)), &|round| {
            round.p50_ms[HubTcp] / round.p50_ms[Relay]
        }),
        row("p99 from schedule, hub over TCP / relay", Some(AtMost(1.5)), &|round| {
            round.p99_ms[HubTcp] / round.p99_ms[Relay]
        }),
        row("CPU per token, hub over TCP / relay", Some(AtMost(1.4)), &|round| {
            round.busy_cpu_us[HubTcp] / round.busy_cpu_us[Relay]
        }),
        row("CPU per token, hub over Unix / relay over TCP", Some(AtMost(1.1)), &|round| {
            round.busy_cpu_us[HubUnix] / round.busy_cpu_us[Relay]
        }),
        row("CPU per token, hub over TCP / naive", Some(AtMost(0.75)), &|round| {
            round.busy_cpu_us[HubTcp] / round.busy_cpu_us[Naive]
        }),
        row("saturated, hub over Unix, tokens/s", Some(AtLeast(150_000.0)), &|round| {
            round.saturated_rate[HubUnix]
        }),
        row("saturated CPU per token, hub over TCP / relay", Some(AtMost(6.0)), &|round| {
            round.saturated_cpu_us[HubTcp] / round.saturated_cpu_us[Relay]
        }),
        row("memory of an idle session, hub, KB", Some(AtMost(12.0)), &|round| round.idle_kb[HubUnix]),
        row("sessions opened/s, hub", Some(AtLeast(5000.0)), &|round| round.connects[HubUnix]),
        row("sessions opened/s, hub / naive", Some(AtLeast(0.8)), &|round| {
            round.connects[HubUnix] / round.connects[Naive]
        }),
        row("connect to first token, hub / bare spawn", Some(AtMost(1.1)), &|round| {
            round.first_token_ms / round.bare_first_token_ms
        }),
    ]);
    rows.extend(figures(rounds));
    rows
}

/// Returns the latency that this way adds to `direct`, divided by what the relay adds. NaN in a round so noisy that the
/// relay added nothing.
fn added_ratio(latency_ms: &Figures, way: Way) -> f64 {
    let relay_ms = latency_ms[Relay] - latency_ms[Direct];
    if relay_ms > 0.0 { (latency_ms[way] - latency_ms[Direct]) / relay_ms } else { f64::NAN }
}

/// Returns the rows with the absolute figures behind the ratios.
fn figures(rounds: &[Round]) -> Vec<Row> {
    let mut rows = Vec::new();
    for way in [Direct, Relay, Naive, HubTcp, HubUnix] {
        rows.push(Row::new(rounds, format!("p50 from schedule, {}, ms", name(way)), None, |round| {
            round.p50_ms[way]
        }));
        rows.push(Row::new(rounds, format!("p99 from schedule, {}, ms", name(way)), None, |round| {
            round.p99_ms[way]
        }));
    }
    for way in [Relay, Naive, HubTcp, HubUnix] {
        rows.push(Row::new(rounds, format!("CPU per token, {}, us", name(way)), None, |round| {
            round.busy_cpu_us[way]
        }));
    }
    for way in [Relay, Naive, HubTcp, HubUnix] {
        let (cpu, rate) = (
            format!("saturated CPU per token, {}, us", name(way)),
            format!("saturated, {}, tokens/s", name(way)),
        );
        rows.push(Row::new(rounds, cpu, None, |round| round.saturated_cpu_us[way]));
        rows.push(Row::new(rounds, rate, None, |round| round.saturated_rate[way]));
    }
    rows.push(Row::new(rounds, "tokens/s at which CPU per token was taken, lowest", None, |round| {
        [Relay, Naive, HubTcp, HubUnix].map(|way| round.busy_rate[way]).into_iter().fold(f64::NAN, f64::min)
    }));
    rows.push(Row::new(rounds, "memory of an idle session, naive, KB", None, |round| round.idle_kb[Naive]));
    for way in [Naive, HubTcp, HubUnix] {
        let what = format!("connect to ready, p50, {}, ms", name(way));
        rows.push(Row::new(rounds, what, None, |round| round.ready_ms[way]));
    }
    rows.push(Row::new(rounds, "connect to first token, hub, ms", None, |round| round.first_token_ms));
    rows.push(Row::new(rounds, "spawn to first token, bare, ms", None, |round| round.bare_first_token_ms));
    rows
}

fn name(way: Way) -> &'static str {
    match way {
        Direct => "direct",
        Relay => "relay",
        Naive => "naive",
        HubTcp => "hub over TCP",
        HubUnix => "hub over Unix",
    }
}

/// Returns the table with a description of the loads.
pub fn render(rows: &[Row], rounds: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Rounds: {rounds}, all ways in each. Agent, server and driver share {cores} processors.\n\
         Latency: {} sessions x {} tokens/s, from each token's scheduled emission to its receipt. Added: minus the same of `direct`.\n\
         CPU per token: {} sessions x {} tokens/s. Saturated: {} sessions, answers of {} tokens one after the other.\n\
         Memory: PSS of {IDLE_SESSIONS} sessions that had a turn. \"Over\": the link to the agent.\n",
        PACED.0, PACED.1, BUSY.0, BUSY.1, SATURATED.0, SATURATED.1,
    );
    text + &markdown(rows, rounds)
}

/// Returns the table alone.
pub fn markdown(rows: &[Row], rounds: usize) -> String {
    let mut text = String::new();
    text += "| what | target | median | min - max | |\n|---|---|---|---|---|\n";
    for row in rows {
        let target = row.target.map_or_else(String::new, |target| match target {
            AtMost(bound) => format!("<= {}", number(bound)),
            AtLeast(bound) => format!(">= {}", number(bound)),
        });
        let Some(median) = row.median() else {
            let _ = writeln!(text, "| {} | {target} | - | - | no figure |", row.what);
            continue;
        };
        let [low, high] =
            [row.values.first(), row.values.last()].map(|value| value.copied().unwrap_or(median));
        let mut verdict = row.target.map_or("", |target| verdict(target, median)).to_owned();
        if row.values.len() < rounds {
            let _ = write!(verdict, " ({} of {rounds} rounds)", row.values.len());
        }
        let spread = format!("{} - {}", number(low), number(high));
        let _ = writeln!(
            text,
            "| {} | {target} | {} | {spread} | {} |",
            row.what,
            number(median),
            verdict.trim()
        );
    }
    text
}

fn verdict(target: Target, median: f64) -> &'static str {
    let holds = match target {
        AtMost(bound) => median <= bound,
        AtLeast(bound) => median >= bound,
    };
    if holds { "ok" } else { "miss" }
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: Option<Target>, values: &[f64], rounds: usize) -> String {
        let row = Row { what: "w".to_owned(), target, values: values.to_vec() };
        render(&[row], rounds).lines().last().unwrap().to_owned()
    }

    #[test]
    fn a_row_has_median_spread_and_verdict() {
        assert_eq!(
            line(Some(AtMost(1.25)), &[1.0, 1.2, 1.3], 3),
            "| w | <= 1.25 | 1.20 | 1.00 - 1.30 | ok |"
        );
        assert_eq!(line(Some(AtMost(1.25)), &[1.2, 1.4], 2), "| w | <= 1.25 | 1.30 | 1.20 - 1.40 | miss |");
        assert_eq!(line(Some(AtLeast(5000.0)), &[4999.0], 1), "| w | >= 5000 | 4999 | 4999 - 4999 | miss |");
        assert_eq!(line(None, &[12.34], 1), "| w |  | 12.3 | 12.3 - 12.3 |  |");
    }

    #[test]
    fn rounds_without_a_figure_are_told() {
        assert_eq!(
            line(Some(AtMost(2.0)), &[1.0], 3),
            "| w | <= 2.00 | 1.00 | 1.00 - 1.00 | ok (1 of 3 rounds) |"
        );
        assert_eq!(line(Some(AtMost(2.0)), &[], 3), "| w | <= 2.00 | - | - | no figure |");
    }
}

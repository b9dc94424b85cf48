//! Figures: what rounds of ours and of the floor come to, as a table for people and as JSON for programs.

use crate::load::Measurement;
use serde_json::{Map, Value, json};
use std::fmt;

/// A number that a benchmark reports, and how to read it from a round.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, which ends in the unit.
    pub name: &'static str,
    /// Its value in one round.
    pub of: fn(&Measurement) -> Option<f64>,
    /// What several rounds come to.
    pub over: Over,
}

/// How the values of several rounds become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Their median, as single rounds on a shared machine mean little.
    Median,
    /// The largest, of what is the largest in a round already.
    Largest,
    /// Their sum, of what is counted.
    Sum,
}

/// What a metric should reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Ours divided by the floor, at most.
    RatioAtMost(f64),
    /// Ours, at most.
    AtMost(f64),
    /// Ours, at least.
    AtLeast(f64),
}

/// One metric over all rounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The metric.
    pub name: &'static str,
    /// The router's.
    pub ours: Option<f64>,
    /// The floor's.
    pub floor: Option<f64>,
    /// The quotients of each round and the floor's round beside it.
    pub ratio: Option<Spread>,
    /// What it should reach.
    pub goal: Option<Goal>,
}

/// The middle and the ends of a few values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// The result of one benchmark.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The command that made it.
    pub benchmark: &'static str,
    /// The name among figures of one command; `None` for an only one.
    pub name: Option<&'static str>,
    /// What was measured, for people.
    pub title: String,
    /// The same for programs, also where it ran.
    pub setting: Map<String, Value>,
    /// The name of the floor.
    pub floor: Option<&'static str>,
    /// The numbers.
    pub rows: Vec<Row>,
}

/// Rounds of ours and of the floor, in the order in which they ran side by side.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// The router's.
    pub ours: Vec<Measurement>,
    /// The floor's.
    pub floor: Vec<Measurement>,
}

impl Rounds {
    /// The row of one metric.
    pub fn row(&self, metric: Metric, goal: Option<Goal>) -> Row {
        let values = |rounds: &[Measurement]| rounds.iter().filter_map(metric.of).collect::<Vec<f64>>();
        let (ours, floor) = (values(&self.ours), values(&self.floor));
        let ratio = match metric.over {
            Over::Median | Over::Largest => {
                let pairs = ours.iter().zip(&floor).filter(|(_, floor)| **floor > 0.0);
                Spread::of(pairs.map(|(ours, floor)| ours / floor).collect())
            }
            Over::Sum => None,
        };
        Row { name: metric.name, ours: metric.over.apply(ours), floor: metric.over.apply(floor), ratio, goal }
    }
}

impl Over {
    /// `None` of no values.
    fn apply(self, values: Vec<f64>) -> Option<f64> {
        match self {
            Over::Sum => (!values.is_empty()).then(|| values.iter().sum()),
            Over::Median => Spread::of(values).map(|spread| spread.median),
            Over::Largest => Spread::of(values).map(|spread| spread.max),
        }
    }
}

impl Spread {
    /// `None` of no values.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Spread { median, min, max })
    }
}

impl Row {
    /// Whether the goal is met; `None` without a goal or a value.
    pub fn is_met(&self) -> Option<bool> {
        match self.goal? {
            Goal::RatioAtMost(most) => Some(self.ratio?.median <= most),
            Goal::AtMost(most) => Some(self.ours? <= most),
            Goal::AtLeast(least) => Some(self.ours? >= least),
        }
    }
}

impl Figure {
    /// One object: the setting and ours at the top (of a floor alone, its own figures), `floor`, `ratio` and `goal`
    /// inside.
    pub fn to_json(&self) -> Value {
        let mut object = self.setting.clone();
        object.insert("benchmark".to_owned(), json!(self.benchmark));
        if let Some(name) = self.name {
            object.insert("name".to_owned(), json!(name));
        }
        object.extend(self.collect(|row| self.shown(row).map(rounded)));
        if let (true, Some(name)) = (self.has_ours(), self.floor) {
            let mut floor = self.collect(|row| row.floor.map(rounded));
            floor.insert("name".to_owned(), json!(name));
            object.insert("floor".to_owned(), Value::Object(floor));
            let ratio = self.collect(|row| row.ratio.map(|ratio| rounded(ratio.median)));
            object.insert("ratio".to_owned(), Value::Object(ratio));
        }
        let goals = self.collect(|row| Some(json!({"wanted": row.goal?.to_string(), "met": row.is_met()})));
        if !goals.is_empty() {
            object.insert("goal".to_owned(), Value::Object(goals));
        }
        Value::Object(object)
    }

    /// What the figure is about: the router's value, of a floor alone its own.
    pub(crate) fn shown(&self, row: &Row) -> Option<f64> {
        if self.has_ours() { row.ours } else { row.floor }
    }

    fn collect(&self, value: impl Fn(&Row) -> Option<Value>) -> Map<String, Value> {
        self.rows.iter().filter_map(|row| Some((row.name.to_owned(), value(row)?))).collect()
    }

    /// A few lines for people.
    pub fn to_table(&self) -> String {
        let mut lines = vec![self.title.clone(), self.header()];
        let rows = self.rows.iter().filter(|row| row.ours.is_some() || row.floor.is_some());
        lines.extend(rows.map(|row| self.line(row)));
        lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    fn header(&self) -> String {
        match (self.has_ours(), self.floor) {
            (true, Some(floor)) => {
                format!("  {:28}{:>14}{floor:>20}   router/floor (lowest..highest)", "", "router")
            }
            (true, None) => format!("  {:28}{:>14}", "", "router"),
            (false, floor) => format!("  {:28}{:>20}", "", floor.unwrap_or_default()),
        }
    }

    fn line(&self, row: &Row) -> String {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), readable);
        let mut line = format!("  {:28}", row.name);
        if self.has_ours() {
            line += &format!("{:>14}", number(row.ours));
        }
        if self.floor.is_some() {
            line += &format!("{:>20}", number(row.floor));
        }
        // Of single worst cases a ratio means nothing.
        if let Some(ratio) = row.ratio.filter(|_| !row.name.starts_with("max_")) {
            line +=
                &format!("   {:<24}", format!("{:.3} ({:.3}..{:.3})", ratio.median, ratio.min, ratio.max));
        }
        match (row.goal, row.is_met()) {
            (Some(goal), Some(true)) => line += &format!("   goal {goal}: met"),
            (Some(goal), Some(false)) => line += &format!("   goal {goal}: missed"),
            (Some(_), None) | (None, _) => {}
        }
        line
    }

    fn has_ours(&self) -> bool {
        self.rows.iter().any(|row| row.ours.is_some())
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::RatioAtMost(most) => write!(formatter, "ratio <= {most}"),
            Goal::AtMost(most) => write!(formatter, "<= {}", readable(*most)),
            Goal::AtLeast(least) => write!(formatter, ">= {}", readable(*least)),
        }
    }
}

/// Three decimals, as no clock here knows more; counts as integers.
pub(crate) fn rounded(value: f64) -> Value {
    if value.fract() == 0.0 && (0.0..=1e15).contains(&value) {
        return json!(value as u64);
    }
    json!((value * 1_000.0).round() / 1_000.0)
}

/// Two decimals for small numbers but whole ones, thousands set apart in large ones.
pub(crate) fn readable(value: f64) -> String {
    if value.abs() < 1_000.0 && value.fract() != 0.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn round(operations: u64) -> Measurement {
        Measurement {
            operations,
            elapsed: Duration::from_secs(1),
            latency: None,
            server_cpu_ns: None,
            load_cpu_ns: 0,
            missed: None,
        }
    }

    #[test]
    fn ratio_is_the_median_of_neighbouring_rounds() {
        let rounds =
            Rounds { ours: [100, 300, 220].map(round).into(), floor: [100, 100, 200].map(round).into() };
        let metric =
            Metric { name: "calls_per_s", of: |round| Some(round.operations as f64), over: Over::Median };
        let row = rounds.row(metric, Some(Goal::RatioAtMost(1.2)));
        assert_eq!((row.ours, row.floor), (Some(220.0), Some(100.0)));
        assert_eq!(row.ratio, Some(Spread { median: 1.1, min: 1.0, max: 3.0 }));
        assert_eq!(row.is_met(), Some(true));
        let of = |over| rounds.row(Metric { over, ..metric }, None);
        assert_eq!((of(Over::Largest).ours, of(Over::Sum).ours), (Some(300.0), Some(620.0)));
        assert_eq!(of(Over::Sum).ratio, None);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(readable(12.345), "12.35");
        assert_eq!(readable(1_234_567.4), "1,234,567");
        assert_eq!(readable(1_000.0), "1,000");
        assert_eq!(readable(500.0), "500");
    }
}

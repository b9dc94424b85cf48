//! A result that was saved as JSON, set beside the one of now.

use crate::failure::Failure;
use crate::figure::{Figure, readable, rounded};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// The largest file that is read: no result comes near it.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What tells figures of one benchmark apart.
const IDENTITY: [&str; 12] = [
    "name",
    "transport",
    "serializer",
    "pairs",
    "publishers",
    "subscribers",
    "window",
    "rate_per_s",
    "payload_bytes",
    "shape",
    "sessions",
    "workers",
];

/// The figures of a file.
#[derive(Clone, Debug)]
pub struct Saved {
    file: PathBuf,
    figures: Vec<Map<String, Value>>,
}

/// A figure and the saved one.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    file: &'a Path,
    saved: &'a Map<String, Value>,
    /// What was asked for, here and there.
    differs: Vec<(&'static str, Value, Value)>,
}

impl Saved {
    /// Reads what a benchmark printed with `--output json`, for one of `benchmark`.
    pub fn load(file: &Path, benchmark: &str) -> Result<Saved, Failure> {
        let wrong =
            |what: &dyn std::fmt::Display| Failure::usage(format!("--compare {}: {what}", file.display()));
        let length = std::fs::metadata(file).map_err(|error| wrong(&error))?.len();
        if length > FILE_BYTES_MAX {
            return Err(wrong(&format!("{length} octets are more than any result has")));
        }
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        let value: Value = serde_json::from_str(&text)
            .map_err(|error| wrong(&format!("{error}: save a result with --output json")))?;
        let figures = match value.get("figures") {
            Some(Value::Array(figures)) => figures.iter().filter_map(Value::as_object).cloned().collect(),
            Some(_) | None => value.as_object().cloned().into_iter().collect::<Vec<_>>(),
        };
        let is_wanted = |figure: &&Map<String, Value>| {
            benchmark == "all" || figure.get("benchmark").is_some_and(|name| name == benchmark)
        };
        match figures.iter().any(|figure| is_wanted(&figure)) {
            true => Ok(Saved { file: file.to_path_buf(), figures }),
            false => Err(wrong(&format!("it holds no result of `{benchmark}`"))),
        }
    }

    /// The saved figure that `figure` is to be compared with: the one that differs least in what was asked for.
    pub fn beside(&self, figure: &Figure) -> Option<Comparison<'_>> {
        let now = figure.to_json();
        let differences = |saved: &Map<String, Value>| -> Vec<(&'static str, Value, Value)> {
            let pairs = IDENTITY.iter().map(|&key| {
                let of = |value: Option<&Value>| value.cloned().unwrap_or(Value::Null);
                (key, of(now.get(key)), of(saved.get(key)))
            });
            pairs.filter(|(_, here, there)| here != there).collect()
        };
        let candidates = self.figures.iter().filter(|saved| {
            let same =
                |key: &str| saved.get(key).unwrap_or(&Value::Null) == now.get(key).unwrap_or(&Value::Null);
            same("benchmark") && same("name")
        });
        let (differs, saved) =
            candidates.map(|saved| (differences(saved), saved)).min_by_key(|(differs, _)| differs.len())?;
        Some(Comparison { file: &self.file, saved, differs })
    }
}

impl Comparison<'_> {
    /// Each row that both have: here, there, and their quotient.
    fn rows<'a>(&'a self, figure: &'a Figure) -> impl Iterator<Item = (&'static str, f64, f64)> {
        figure.rows.iter().filter_map(|row| {
            Some((row.name, figure.shown(row)?, self.saved.get(row.name).and_then(Value::as_f64)?))
        })
    }

    /// The table for people.
    pub fn to_table(&self, figure: &Figure) -> String {
        let mut text = format!("  {:28}{:>14}{:>20}   now/saved\n", "", "now", "saved");
        for (name, now, saved) in self.rows(figure) {
            let ratio = if saved > 0.0 { format!("{:.3}", now / saved) } else { "-".to_owned() };
            text += &format!("  {name:28}{:>14}{:>20}   {ratio}\n", readable(now), readable(saved));
        }
        text += &format!("  saved: {}{}\n", self.file.display(), self.url());
        for (key, here, there) in &self.differs {
            text += &format!("  differs: {key} is {here} now, {there} there\n");
        }
        text
    }

    fn url(&self) -> String {
        self.saved.get("url").and_then(Value::as_str).map(|url| format!(" ({url})")).unwrap_or_default()
    }

    /// The same for programs.
    pub fn to_json(&self, figure: &Figure) -> Value {
        let collect = |value: fn(f64, f64) -> Option<Value>| -> Map<String, Value> {
            let rows = self.rows(figure);
            rows.filter_map(|(name, now, saved)| Some((name.to_owned(), value(now, saved)?))).collect()
        };
        let differs = self
            .differs
            .iter()
            .map(|(key, here, there)| ((*key).to_owned(), json!({"now": here, "saved": there})));
        json!({
            "file": self.file.display().to_string(),
            "saved": collect(|_, saved| Some(rounded(saved))),
            "ratio": collect(|now, saved| (saved > 0.0).then(|| rounded(now / saved))),
            "differs": differs.collect::<Map<String, Value>>(),
        })
    }
}

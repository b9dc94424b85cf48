//! Results on standard output: figures as text or as one JSON object, beside a saved one where that is asked for.

use super::{Output, RunArgs};
use crate::figure::Figure;
use crate::saved::Saved;
use serde_json::{Map, Value, json};
use std::fmt;
use std::io::{self, Write};

/// Prints the figures of one command.
pub(super) struct Printer {
    output: Output,
    benchmark: &'static str,
    saved: Option<Saved>,
    /// Figures of a command with several, until it is finished.
    figures: Vec<Value>,
}

impl Printer {
    /// Reads the saved result at once, so that a wrong file costs no benchmark.
    pub(super) fn new(args: &RunArgs, benchmark: &'static str) -> anyhow::Result<Printer> {
        let saved = args.compare.as_deref().map(|file| Saved::load(file, benchmark)).transpose()?;
        Ok(Printer { output: args.output, benchmark, saved, figures: Vec::new() })
    }

    /// The only figure of a command.
    pub(super) fn one(&self, figure: &Figure) -> anyhow::Result<()> {
        match self.output {
            Output::Table => show(&self.table(figure)),
            Output::Json => show(&format!("{}\n", self.object(figure))),
        }
    }

    /// One of several: as text at once, as JSON at the end.
    pub(super) fn add(&mut self, figure: Figure) -> anyhow::Result<()> {
        match self.output {
            Output::Table => show(&format!("{}\n", self.table(&figure))),
            Output::Json => {
                self.figures.push(self.object(&figure));
                Ok(())
            }
        }
    }

    /// The end of several.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self.output {
            Output::Table => Ok(()),
            Output::Json => {
                let mut object = Map::new();
                // Of the floors, the one that calls are compared with stands for all.
                let named = |name: &str| self.figures.iter().find(|figure| figure["name"] == name);
                if let Some(Value::Object(forwarder)) =
                    named("forwarder").filter(|_| self.benchmark == "floor")
                {
                    object = forwarder.clone();
                    object.remove("name");
                    object.extend(
                        named("memory").map(|memory| ("copy_ns".to_owned(), memory["copy_ns"].clone())),
                    );
                }
                object.insert("benchmark".to_owned(), json!(self.benchmark));
                object.insert("figures".to_owned(), Value::Array(self.figures));
                show(&format!("{}\n", Value::Object(object)))
            }
        }
    }

    fn table(&self, figure: &Figure) -> String {
        let comparison = self.saved.as_ref().and_then(|saved| saved.beside(figure));
        let comparison = comparison.map(|comparison| comparison.to_table(figure)).unwrap_or_default();
        figure.to_table() + &comparison
    }

    fn object(&self, figure: &Figure) -> Value {
        let mut object = figure.to_json();
        if let Some(comparison) = self.saved.as_ref().and_then(|saved| saved.beside(figure)) {
            object["compared"] = comparison.to_json(figure);
        }
        object
    }
}

/// Nobody reads the results any more.
#[derive(Debug)]
pub(super) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("standard output is closed")
    }
}

impl std::error::Error for ReaderGone {}

fn show(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => Ok(written?),
    }
}

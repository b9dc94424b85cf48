//! Results on standard output, in the form that was asked for.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::Value;

use crate::Failure;
use crate::arguments::payload::Output;
use crate::payload::{Payload, binary, plain};

/// Writes a result to standard output. A reader that has seen enough ends the command, and is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_octets(text.as_bytes())
}

fn print_octets(octets: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(octets).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(error) => {
            Err(Failure::Other(anyhow::Error::new(error).context("cannot write to standard output")))
        }
    }
}

/// Waits until nobody reads standard output any more, which a pipe can tell before anything is written.
pub(crate) async fn reader_gone() {
    let (sender, gone) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let stdout = io::stdout();
        let ended = PollFlags::ERR | PollFlags::HUP;
        loop {
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut watched, None) {
                Ok(_) if watched[0].revents().intersects(ended) => break,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
        // The command may have ended meanwhile.
        let _ = sender.send(());
    });
    if gone.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Prints one JSON value on a line of its own.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print(&format!("{value}\n"))
}

/// Prints one JSON object on a line of its own, its entries in this order.
pub(crate) fn print_object(entries: &[(&str, Value)]) -> Result<(), Failure> {
    let entries = entries.iter().map(|(key, value)| format!("{}:{value}", Value::from(*key)));
    print(&format!("{{{}}}\n", entries.collect::<Vec<_>>().join(",")))
}

/// Prints what a call resulted in.
pub(crate) fn print_payload(output: Output, payload: &Payload) -> Result<(), Failure> {
    match output {
        Output::Json | Output::Ndjson => print_object(&payload.entries()),
        Output::Raw => print_raw(payload),
        Output::Table => print(&payload_text(payload)),
    }
}

/// The plain text of each argument on a line of its own; binary as its octets alone.
pub(crate) fn print_raw(payload: &Payload) -> Result<(), Failure> {
    let mut octets = Vec::new();
    for arg in &payload.args {
        match binary(arg) {
            Some(content) => octets.extend(content),
            None => octets.extend(format!("{}\n", plain(arg)).into_bytes()),
        }
    }
    print_octets(&octets)
}

/// For people: each argument on its own, then the keyword arguments by name.
fn payload_text(payload: &Payload) -> String {
    let mut text: String = payload.args.iter().map(|arg| format!("{}\n", readable(arg))).collect();
    let mut width = 0;
    payload.kwargs.keys().for_each(|key| width = width.max(key.chars().count() + 1));
    for (key, value) in &payload.kwargs {
        let key = format!("{key}:");
        text += &format!("{key:width$} {}\n", readable(value));
    }
    text
}

/// A string without what would steer a terminal, objects and lists over several lines.
fn readable(value: &Value) -> String {
    match value {
        Value::String(text) => match binary(value) {
            Some(content) => format!("(binary, {} octets)", content.len()),
            None => text.chars().map(visible).collect(),
        },
        Value::Object(object) if !object.is_empty() => format!("{value:#}"),
        Value::Array(list) if list.iter().any(|item| item.is_object() || item.is_array()) => {
            format!("{value:#}")
        }
        other => other.to_string(),
    }
}

/// A character as a terminal may have it: line ends and tabs stay, other control characters do not act.
fn visible(character: char) -> char {
    if character.is_control() && character != '\n' && character != '\t' { '\u{fffd}' } else { character }
}

/// A payload on one line: JSON arguments, then `key=JSON`.
pub(crate) fn payload_line(payload: &Payload) -> String {
    let args = payload.args.iter().map(Value::to_string);
    let kwargs = payload.kwargs.iter().map(|(key, value)| format!("{}={value}", one_line(key)));
    args.chain(kwargs).collect::<Vec<_>>().join(" ")
}

/// Text that a stranger chose, on one line and without what would steer a terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(value: Value) -> Payload {
        Payload::from_json(value).expect("a payload")
    }

    #[test]
    fn people_see_text_as_it_is_and_the_rest_as_json() {
        let payload =
            payload(json!({"args": ["Hello, world!", 7, [1, 2]], "kwargs": {"a": true, "bcd": "x"}}));
        assert_eq!(payload_text(&payload), "Hello, world!\n7\n[1,2]\na:   true\nbcd: x\n");
        assert_eq!(payload_line(&payload), r#""Hello, world!" 7 [1,2] a=true bcd="x""#);
    }

    #[test]
    fn nothing_that_comes_from_outside_steers_a_terminal() {
        assert_eq!(payload_text(&payload(json!({"args": ["\u{1b}[2Jx\ty"]}))), "\u{fffd}[2Jx\ty\n");
        assert_eq!(payload_line(&payload(json!({"args": ["\u{1b}[2J"]}))), r#""\u001b[2J""#);
        assert_eq!(one_line("a\nb"), "a\u{fffd}b");
    }
}

//! Errors that the other side answered, as text, as JSON and as an exit code.

use bondy_client::{Arguments, CallError, DecodeError, SendError, WampError};
use serde_json::{Value, json};

use crate::Failure;
use crate::arguments::payload::Output;
use crate::failure::say_error;
use crate::output::{one_line, payload_line, print_object};
use crate::payload::Payload;
use crate::wire;

/// The URI of a call that nothing came of in time.
const TIMEOUT: &str = "wamp.error.timeout";

/// The URI of a call that this side gave up.
const CANCELED: &str = "wamp.error.canceled";

/// The payload of a message that came.
pub(crate) fn received(arguments: &Arguments) -> Result<Payload, Failure> {
    let wrong = |error: DecodeError| {
        Failure::Other(anyhow::Error::new(error).context("the router sent what cannot be shown"))
    };
    wire::decode(arguments).map_err(wrong)
}

/// Says an error of a call, on standard output too where programs read that. The failure ends the command.
pub(crate) fn tell_call_error(error: &CallError, output: Output) -> Result<(), Failure> {
    match error {
        CallError::Wamp(error) => tell_error(error.uri(), &received(error.arguments())?, output),
        CallError::Timeout(_) => {
            let text = format!("nothing came: {error}");
            tell_error(TIMEOUT, &Payload { args: vec![json!(text)], ..Payload::default() }, output)
        }
        CallError::NotSent(cause) => Err(not_sent(cause)),
        CallError::Disconnected | CallError::NotConnected(_) | CallError::Closed => {
            Err(Failure::Connection(error.to_string()))
        }
        CallError::Canceled | CallError::TooSlow(_) => {
            let payload = Payload { args: vec![json!(error.to_string())], ..Payload::default() };
            tell_error(CANCELED, &payload, output)
        }
        CallError::Decode(_) => Err(Failure::Answer(error.to_string())),
    }
}

/// Says an ERROR and goes on.
pub(crate) fn tell_error(uri: &str, payload: &Payload, output: Output) -> Result<(), Failure> {
    say_error(&describe(uri, payload));
    match output {
        Output::Json | Output::Ndjson => {
            let [args, kwargs] = payload.entries();
            print_object(&[("error", json!(uri)), args, kwargs])
        }
        Output::Table | Output::Raw => Ok(()),
    }
}

/// An ERROR that ends the command.
pub(crate) fn refusal(error: &WampError) -> Failure {
    match received(error.arguments()) {
        Ok(payload) => Failure::Answer(describe(error.uri(), &payload)),
        Err(failure) => failure,
    }
}

/// What could not be sent: mostly because of what the command line asks for.
pub(crate) fn not_sent(error: &SendError) -> Failure {
    match error {
        SendError::Closed | SendError::NotConnected => {
            Failure::Connection("the connection to the router is lost".to_owned())
        }
        SendError::TooLarge { .. } | SendError::Encode(_) => Failure::usage(chain(error)),
        SendError::TooMany { .. } => Failure::Answer(error.to_string()),
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text += &format!(": {said}");
        }
        source = cause.source();
    }
    text
}

/// `URI: message (the rest)`, and what to do about it.
fn describe(uri: &str, payload: &Payload) -> String {
    let mut rest = payload.clone();
    let mut text = one_line(uri);
    if rest.args.first().is_some_and(Value::is_string) {
        let message = rest.args.remove(0);
        text += &format!(": {}", one_line(message.as_str().unwrap_or_default()));
    }
    let rest = payload_line(&rest);
    if !rest.is_empty() {
        text += &format!(" ({rest})");
    }
    if let Some(help) = help(uri) {
        text += &format!("\n  help: {help}");
    }
    text
}

fn help(uri: &str) -> Option<&'static str> {
    match uri {
        "wamp.error.no_such_procedure" => {
            Some("nobody serves it in this realm; `bondy top --once` lists what is served")
        }
        "wamp.error.procedure_already_exists" => Some(
            "somebody else serves it; to share it, all callees give the same `--invoke`, as in `--invoke roundrobin`",
        ),
        "wamp.error.not_authorized" | "wamp.error.authorization_failed" => {
            Some("this session may not do that; `--authid` and `--context` choose another identity")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_its_uri_its_message_and_the_rest() {
        let payload =
            Payload::from_json(json!({"args": ["it failed", 7], "kwargs": {"code": 3}})).expect("a payload");
        assert_eq!(describe("com.example.error", &payload), "com.example.error: it failed (7 code=3)");
        assert_eq!(describe("com.example.error", &Payload::default()), "com.example.error");
    }
}

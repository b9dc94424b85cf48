//! The testkit for other languages: lines of JSON in, lines of JSON out.
//!
//! A command is one line, `{"id": 1, "do": "start"}`; its answer is one line, `{"id": 1, "ok": {...}}` or
//! `{"id": 1, "error": "..."}`. The `id` is any JSON value and comes back as it is; without one it is null. Commands
//! begin in the order of their lines, and those that wait (`expect`, `accept`, `wait`, `replay`) let others go on
//! meanwhile, so answers may come in another order. What one peer is told it does in order. A line that is no command
//! gets an error and changes nothing. When the input ends, everything ends: routers, links and peers.
//!
//! `request` reads the fields of a command, `session` holds what was started, `routing`, `linking`, `speaking` and
//! `replaying` do what is asked. `docs/testkit.md` is the reference.

mod linking;
mod replaying;
mod request;
mod routing;
mod session;
mod speaking;

use std::io::{self, BufRead, Read as _, Write};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

pub use request::COMMANDS;

use request::Fields;
use session::Session;

/// Examples for the help of the command line.
pub const EXAMPLES: &str = "\
Examples:
  echo '{\"do\": \"version\"}' | bondy testkit
  echo '{\"id\": 1, \"do\": \"start\", \"set\": {\"workers\": 2}}' | bondy testkit

A command is a line of JSON on standard input, its answer one on standard output. A test starts this process, which \
ends when its standard input is closed. docs/testkit.md lists the commands.";

/// The version of the protocol.
const PROTOCOL: u64 = 1;

/// The longest line: a message of the greatest length that a peer takes, in base64, with room to spare. A longer one is
/// an error, and the rest of it is skipped.
const LINE_BYTES_MAX: usize = 128 << 20;

/// Commands that wait at once. Above it no line is read until one has ended.
const COMMANDS_MAX: usize = 1024;

/// Lines that were read and wait to be handled.
const LINES_MAX: usize = 16;

/// How long commands may go on after the end of the input: whoever sends a few lines through a pipe wants their answers,
/// and a test that has died should leave nothing behind.
const LAST_COMMANDS_TIMEOUT: Duration = Duration::from_secs(5);

/// What became of a command.
type Outcome = Result<Value, String>;

/// Follows the commands of `input` until it ends, and answers on `output`.
///
/// Output that nobody reads any more is an end, too.
///
/// # Errors
/// There is no runtime, or the answers cannot be written.
pub fn run(input: impl BufRead + Send + 'static, output: impl Write) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (lines, received) = mpsc::channel(LINES_MAX);
    // Reading blocks, and ends with the input. Nobody waits for the thread: it may be blocked when the output is gone.
    std::thread::Builder::new().name("bondy-testkit-input".to_owned()).spawn(move || read(input, &lines))?;
    let outcome = runtime.block_on(serve(received, output));
    // A router that is being stopped may take a moment.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The same with the standard input and output of this process.
///
/// # Errors
/// As [`run`].
pub fn run_process() -> io::Result<()> {
    run(io::BufReader::new(io::stdin()), io::stdout().lock())
}

/// Sends each line, or why it is none.
fn read(mut input: impl BufRead, lines: &mpsc::Sender<Result<Vec<u8>, String>>) {
    loop {
        let mut line = Vec::new();
        let outcome = match input.by_ref().take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) if line.len() > LINE_BYTES_MAX => {
                if skip_line(&mut input).is_err() {
                    return;
                }
                Err(format!("a line of more than {LINE_BYTES_MAX} bytes"))
            }
            Ok(_) => Ok(line),
        };
        if lines.blocking_send(outcome).is_err() {
            return;
        }
    }
}

/// Reads up to the end of the line and keeps nothing.
fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let available = input.fill_buf()?;
        let (used, is_end) = match available.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (available.len(), available.is_empty()),
        };
        input.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

async fn serve(mut lines: mpsc::Receiver<Result<Vec<u8>, String>>, mut output: impl Write) -> io::Result<()> {
    let session = Arc::new(Session::default());
    let mut commands = JoinSet::new();
    loop {
        tokio::select! {
            line = lines.recv(), if commands.len() < COMMANDS_MAX => match line {
                None => break,
                Some(line) => {
                    if !line.as_ref().is_ok_and(|line| line.trim_ascii().is_empty()) {
                        commands.spawn(answer(Arc::clone(&session), line));
                    }
                }
            },
            Some(ended) = commands.join_next() => write_answer(&mut output, ended)?,
        }
    }
    let last = tokio::time::Instant::now() + LAST_COMMANDS_TIMEOUT;
    while let Ok(Some(ended)) = tokio::time::timeout_at(last, commands.join_next()).await {
        write_answer(&mut output, ended)?;
    }
    Ok(())
}

fn write_answer(output: &mut impl Write, ended: Result<Value, JoinError>) -> io::Result<()> {
    let answer = ended.unwrap_or_else(|error| answer_to(&Value::Null, Err(error.to_string())));
    writeln!(output, "{answer}")?;
    output.flush()
}

async fn answer(session: Arc<Session>, line: Result<Vec<u8>, String>) -> Value {
    let command = match line {
        Ok(line) => serde_json::from_slice::<Value>(&line).map_err(|error| format!("no JSON: {error}")),
        Err(reason) => Err(reason),
    };
    let command = match command {
        Ok(command) => command,
        Err(reason) => return answer_to(&Value::Null, Err(reason)),
    };
    let id = command.get("id").cloned().unwrap_or(Value::Null);
    let outcome = match Fields::parse(command) {
        Ok(fields) => perform(&session, fields).await,
        Err(reason) => Err(reason),
    };
    answer_to(&id, outcome)
}

fn answer_to(id: &Value, outcome: Outcome) -> Value {
    match outcome {
        Ok(outcome) => json!({ "id": id, "ok": outcome }),
        Err(reason) => json!({ "id": id, "error": reason }),
    }
}

async fn perform(session: &Session, fields: Fields) -> Outcome {
    match fields.name() {
        "version" => Ok(json!({ "protocol": PROTOCOL, "version": env!("CARGO_PKG_VERSION") })),
        "start" => routing::start(session, fields).await,
        "stop" | "kill" | "restart" => routing::change(session, fields).await,
        "link" => linking::link(session, fields),
        "fault" => linking::fault(session, fields),
        "acted" | "unfault" | "clear" | "cut" | "freeze" | "thaw" | "refuse" | "counts" | "record" => {
            linking::change(session, fields)
        }
        "wait" => linking::wait(session, fields).await,
        "recording" => replaying::recording(session, fields),
        "replay" => replaying::replay(session, fields).await,
        "peer" => speaking::peer(session, fields).await,
        "fake_router" => speaking::fake_router(session).await,
        "accept" => speaking::accept(session, fields).await,
        "end" => session.end(fields),
        _ => speaking::speak(session, fields).await,
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

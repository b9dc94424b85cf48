//! A shell command that answers one call: `bondy register --exec`.
//!
//! JSON goes in by standard input; what comes out by standard output is the result. The command runs in a process group
//! of its own, which is killed when the call is given up, so that nothing it started is left behind. It knows nothing of
//! WAMP: the caller of [`run`] does.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use crate::payload::{Payload, binary_value};

/// The most that a result, or one progressive result, may have: what a router takes in one message by default.
/// Beyond it the command is killed and the call ends with an error.
const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much of the end of standard error goes into an error; what came before is dropped.
const STDERR_BYTES_MAX: usize = 4 * 1024;

/// How long the rest of standard error is waited for once a command has ended: a process that it left behind may hold
/// it.
const STDERR_WAIT: Duration = Duration::from_millis(100);

const READ_BYTES: usize = 16 * 1024;

/// The error URI of a command that did not do what it was asked for.
pub(crate) const EXEC_FAILED: &str = "bondy.error.exec_failed";

/// Why there is no result.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ExecError {
    pub(crate) message: String,
    /// As a shell says it: 128 and the signal where a signal ended it, nothing where it did not run to its end.
    pub(crate) exit_code: Option<i32>,
    /// The end of its standard error.
    pub(crate) stderr: String,
}

impl ExecError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exit_code: None, stderr: String::new() }
    }

    /// The keyword arguments of the ERROR.
    pub(crate) fn kwargs(&self) -> Map<String, Value> {
        let entries = [("exit_code", json!(self.exit_code)), ("stderr", json!(self.stderr))];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Kills the group of processes that a command has become, unless it was let go.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended in this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs `command` by the shell with `input` on its standard input, and hands over progressive results as they come.
/// Dropping the future kills the command.
pub(crate) async fn run<F: Future<Output = Result<(), ExecError>>>(
    command: &str,
    input: &Value,
    progress: impl FnMut(Payload) -> F,
) -> Result<Payload, ExecError> {
    let mut child =
        spawn(command).map_err(|error| ExecError::new(format!("cannot run the shell: {error}")))?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(ExecError::new("the command has no pipes"));
    };
    let tail = Arc::new(Mutex::new(Vec::new()));
    // It ends with the last process that holds the pipe, and goes on reading for one that was left behind.
    let collector = tokio::spawn(collect_tail(stderr, Arc::clone(&tail)));
    let ((), output) = tokio::join!(write_input(stdin, input), read_output(stdout, progress));
    let output = output?;
    let status =
        child.wait().await.map_err(|error| ExecError::new(format!("lost sight of the command: {error}")))?;
    group.0 = None;
    if status.success() {
        return Ok(parse_output(&output));
    }
    let _ = tokio::time::timeout(STDERR_WAIT, collector).await;
    let stderr = String::from_utf8_lossy(&tail.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    Err(ExecError { message: describe(status), exit_code: Some(exit_code(status)), stderr })
}

fn spawn(command: &str) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", command])
        // Who may call is not who may know it.
        .env_remove("BONDY_SECRET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn write_input(mut stdin: ChildStdin, input: &Value) {
    // A command need not read what it is told.
    let _ = stdin.write_all(format!("{input}\n").as_bytes()).await;
}

/// All that is written, less the lines that are progressive results.
async fn read_output<F: Future<Output = Result<(), ExecError>>>(
    mut stdout: ChildStdout,
    mut progress: impl FnMut(Payload) -> F,
) -> Result<Vec<u8>, ExecError> {
    let (mut output, mut line_begins) = (Vec::new(), 0);
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let read = stdout
            .read(&mut chunk)
            .await
            .map_err(|error| ExecError::new(format!("cannot read what the command prints: {error}")))?;
        for part in chunk[..read].split_inclusive(|octet| *octet == b'\n') {
            output.extend_from_slice(part);
            if part.ends_with(b"\n") {
                if let Some(payload) = parse_progress(&output[line_begins..]) {
                    output.truncate(line_begins);
                    progress(payload).await?;
                }
                line_begins = output.len();
            }
        }
        if output.len() > OUTPUT_BYTES_MAX {
            return Err(ExecError::new("the command printed more than 16 MiB, which no message may carry"));
        }
        if read == 0 {
            break;
        }
    }
    if let Some(payload) = parse_progress(&output[line_begins..]) {
        output.truncate(line_begins);
        progress(payload).await?;
    }
    Ok(output)
}

async fn collect_tail(mut stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = vec![0; READ_BYTES];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(&chunk[..read]);
        let excess = tail.len().saturating_sub(STDERR_BYTES_MAX);
        tail.drain(..excess);
    }
}

/// What a line `{"progress": ...}` carries; `None` if the line is none.
fn parse_progress(line: &[u8]) -> Option<Payload> {
    // Most lines are none, and need not be parsed to say so.
    if !line.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let value: Value = serde_json::from_slice(line).ok()?;
    let Value::Object(mut object) = value else { return None };
    if object.len() != 1 {
        return None;
    }
    object.remove("progress").map(payload_of)
}

/// What the command printed, as a result: nothing, JSON, text, or octets where it is no text.
fn parse_output(output: &[u8]) -> Payload {
    let output = output.strip_suffix(b"\n").unwrap_or(output);
    let output = output.strip_suffix(b"\r").unwrap_or(output);
    if output.is_empty() {
        return Payload::default();
    }
    if let Ok(value) = serde_json::from_slice(output) {
        return payload_of(value);
    }
    let argument = match std::str::from_utf8(output) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => binary_value(output),
    };
    Payload { args: vec![argument], ..Payload::default() }
}

/// An array is the args, an object of nothing but `args` and `kwargs` is both, anything else is one argument.
fn payload_of(value: Value) -> Payload {
    match Payload::from_json(value) {
        Ok(payload) => payload,
        Err(Value::Array(args)) => Payload { args, ..Payload::default() },
        Err(value) => Payload { args: vec![value], ..Payload::default() },
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("the command exited with {code}"),
        (None, Some(signal)) => format!("the command was ended by signal {signal}"),
        (None, None) => "the command did not end as commands do".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    }

    fn run_all(command: &str) -> (Vec<Value>, Result<Value, ExecError>) {
        let mut progressive = Vec::new();
        let result = on_a_runtime(run(command, &json!({"args": [7]}), |payload| {
            progressive.push(payload.to_json());
            ready(Ok(()))
        }));
        (progressive, result.map(|payload| payload.to_json()))
    }

    #[track_caller]
    fn assert_result(command: &str, args: Value, kwargs: Value) {
        let (progressive, result) = run_all(command);
        assert!(progressive.is_empty(), "{progressive:?}");
        assert_eq!(result, Ok(json!({"args": args, "kwargs": kwargs})), "{command}");
    }

    #[test]
    fn what_is_printed_becomes_the_result() {
        assert_result("true", json!([]), json!({}));
        assert_result("echo", json!([]), json!({}));
        assert_result("echo hello world", json!(["hello world"]), json!({}));
        assert_result("printf 'two\\nlines\\n'", json!(["two\nlines"]), json!({}));
        assert_result("echo 42", json!([42]), json!({}));
        assert_result("echo '[1, 2]'", json!([1, 2]), json!({}));
        assert_result("printf '[1,\\n 2]\\n'", json!([1, 2]), json!({}));
        assert_result(r#"echo '{"a": 1}'"#, json!([{"a": 1}]), json!({}));
        assert_result("echo '{}'", json!([{}]), json!({}));
        assert_result(r#"echo '{"args": [1], "kwargs": {"k": 2}}'"#, json!([1]), json!({"k": 2}));
        assert_result(r#"echo '{"kwargs": {"k": 2}}'"#, json!([]), json!({"k": 2}));
        assert_result(r"printf '\377'", json!(["\0/w=="]), json!({}));
    }

    #[test]
    fn the_command_finds_its_input_on_standard_input() {
        assert_result("cat", json!([7]), json!({}));
    }

    #[test]
    fn lines_of_progress_are_handed_over_and_not_part_of_the_result() {
        let (progressive, result) = run_all(
            r#"echo '{"progress": 1}'; echo text; echo '{"progress": [2, 3]}'; printf '{"progress": 4}'"#,
        );
        let expected = [json!([1]), json!([2, 3]), json!([4])];
        assert_eq!(progressive, expected.map(|args| json!({"args": args, "kwargs": {}})));
        assert_eq!(result, Ok(json!({"args": ["text"], "kwargs": {}})));
    }

    #[test]
    fn a_non_zero_exit_is_an_error_with_the_end_of_standard_error() {
        let (_, result) = run_all("echo ignored; echo what went wrong >&2; exit 3");
        let expected = ExecError {
            message: "the command exited with 3".to_owned(),
            exit_code: Some(3),
            stderr: "what went wrong\n".to_owned(),
        };
        assert_eq!(result, Err(expected));
        let (_, result) = run_all("yes x | head -c 100000 >&2; exit 1");
        assert_eq!(result.expect_err("a failure").stderr.len(), STDERR_BYTES_MAX);
        let (_, result) = run_all("kill -9 $$");
        assert_eq!(result.expect_err("a failure").exit_code, Some(137));
        let (_, result) = run_all("no-such-command-at-all");
        assert_eq!(result.expect_err("a failure").exit_code, Some(127));
    }

    #[test]
    fn endless_output_ends_the_command() {
        let (_, result) = run_all("yes");
        assert!(result.expect_err("too much").message.contains("more than 16 MiB"));
    }

    #[test]
    fn a_command_that_does_not_read_its_input_is_fine() {
        let input = json!({"args": ["x".repeat(1_000_000)]});
        let result = on_a_runtime(run("exec <&-; echo fine", &input, |_| ready(Ok(()))));
        assert_eq!(result.map(|payload| payload.args), Ok(vec![json!("fine")]));
    }

    #[test]
    fn giving_up_kills_the_command_and_what_it_started() {
        on_a_runtime(async {
            let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
            // The shell waits for a child of its own; the progressive result says which.
            let command = r#"sleep 1000 & echo "{\"progress\": $!}"; wait"#;
            let nothing = json!({});
            let work = run(command, &nothing, |payload| {
                sender.send(payload.args[0].to_string()).expect("a receiver");
                ready(Ok(()))
            });
            // Whichever ends first, the other is dropped.
            let child = tokio::select! {
                result = work => panic!("it ended: {result:?}"),
                child = receiver.recv() => child.expect("a process"),
            };
            let is_gone = || {
                let state = std::fs::read_to_string(format!("/proc/{child}/stat"));
                state.map_or(true, |state| state.contains(") Z "))
            };
            let until = std::time::Instant::now() + Duration::from_secs(10);
            while !is_gone() {
                assert!(std::time::Instant::now() < until, "the child lives");
                tokio::task::yield_now().await;
            }
        });
    }
}

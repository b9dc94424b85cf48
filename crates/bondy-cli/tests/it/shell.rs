//! The client commands as a shell runs them: to their end, or in the background.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder::Folder;
use crate::process::Bondy;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node, and an environment in which commands find it.
pub(crate) struct Shell {
    pub(crate) node: Bondy,
    pub(crate) folder: Folder,
}

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// The lines of standard output as JSON.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.stdout.lines().map(parse).collect()
    }

    /// All of standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    #[track_caller]
    pub(crate) fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// A command with this environment, and nothing else that speaks of Bondy.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bondy"));
    command.args(arguments).current_dir(folder).env("BONDY_CONFIG_HOME", folder).env("NO_COLOR", "1");
    for name in ["URL", "REALM", "SERIALIZER", "AUTHID", "AUTHMETHOD", "SECRET", "SECRET_FILE", "CONTEXT"] {
        command.env_remove(format!("BONDY_{name}"));
    }
    command
}

/// Runs a command to its end, with this text as its standard input.
#[track_caller]
pub(crate) fn run(mut command: Command, input: &str) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("standard input");
    // A command that reads nothing may have ended.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("output");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Shell {
    /// With an open realm, and the listeners `public` (WebSocket), `tcp` and `local` (rawsocket).
    #[track_caller]
    pub(crate) fn new() -> Self {
        let node = Bondy::start(
            "listeners:
  public: {bind: '127.0.0.1:0', serve: [websocket]}
  tcp: {bind: '127.0.0.1:0', serve: [rawsocket]}
  local: {bind: 'unix:./bondy.sock', serve: [rawsocket]}",
        );
        Self { node, folder: Folder::new() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.node.address("public"))
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(&self.folder.0, arguments);
        command.env("BONDY_URL", self.url());
        command
    }

    /// Runs `bondy` to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments), "")
    }

    /// Runs `bondy` in the background.
    #[track_caller]
    pub(crate) fn start(&self, arguments: &[&str]) -> Job {
        Job::start(self.command(arguments))
    }

    /// Serves a procedure in the background, and returns when it is registered.
    #[track_caller]
    pub(crate) fn register(&self, arguments: &[&str]) -> Job {
        let mut job = self.start(&[&["register"], arguments].concat());
        job.wait_for_message("registered");
        job
    }
}

/// A command in the background, killed with its owner.
pub(crate) struct Job {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    messages: Receiver<String>,
    heard: Vec<String>,
}

impl Job {
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = BufReader::new(child.stderr.take().expect("standard error"));
        let stdout = child.stdout.take().map(BufReader::new);
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The job may be gone.
                let _ = sender.send(line);
            }
        });
        Self { child, stdout, messages, heard: Vec::new() }
    }

    /// Waits for a line on standard error that begins so.
    #[track_caller]
    pub(crate) fn wait_for_message(&mut self, text: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.messages.recv_timeout(left) else {
                panic!("waited in vain for {text:?}, heard {:?}", self.heard);
            };
            self.heard.push(line.clone());
            if line.starts_with(text) {
                return line;
            }
        }
    }

    /// The next line of standard output.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().expect("standard output is open").read_line(&mut line).expect("a line");
        line.trim_end_matches('\n').to_owned()
    }

    /// Closes standard output, as `head` does when it has seen enough.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success(), "{kill}");
    }

    /// Sends SIGINT, and waits for the end.
    #[track_caller]
    pub(crate) fn interrupt(self) -> Ran {
        self.signal("INT");
        self.end()
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let until = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < until, "the command does not end; heard {:?}", self.heard);
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut stdout = String::new();
        if let Some(rest) = &mut self.stdout {
            rest.read_to_string(&mut stdout).expect("text");
        }
        while let Ok(line) = self.messages.recv() {
            self.heard.push(line);
        }
        Ran { code: status.code(), stdout, stderr: self.heard.join("\n") }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! The binary as a process that runs: its log, its signals, its end, and what the system says of it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::folder::Folder;
use crate::openmetrics::Metrics;
use crate::peer::http::{metrics, wait_for_metric};
use crate::peer::{DEADLINE, Dial};

/// The realm of these tests.
pub(crate) const REALM: &str = "realm1";

const REALMS: &str = "realms: [{uri: realm1, authmethods: [anonymous], security_enabled: false}]\n";

/// A node in a process of its own, killed with its owner.
pub(crate) struct Bondy {
    child: Child,
    log: Arc<Log>,
    bound: BTreeMap<String, String>,
    pub(crate) folder: Folder,
}

/// The lines of standard error: JSON where they are, text where not.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<Value>>,
    grown: Condvar,
}

impl Bondy {
    /// Starts with this configuration, to which an open realm is added, and waits until the node is ready.
    #[track_caller]
    pub(crate) fn start(yaml: &str) -> Self {
        Self::start_in(Folder::new(), yaml)
    }

    #[track_caller]
    pub(crate) fn start_in(folder: Folder, yaml: &str) -> Self {
        let mut bondy = Self::spawn(folder, yaml);
        let line = bondy.wait_for_line("readiness", |line| message(line).starts_with("ready "));
        let addresses = message(&line).split(' ').skip(1).filter_map(|item| item.split_once('='));
        bondy.bound = addresses.map(|(name, address)| (name.to_owned(), address.to_owned())).collect();
        bondy
    }

    /// Starts, and waits for nothing.
    #[track_caller]
    pub(crate) fn spawn(folder: Folder, yaml: &str) -> Self {
        configure(&folder, yaml);
        let mut child = Command::new(env!("CARGO_BIN_EXE_bondy"))
            .args(["start", "--config", "bondy.yaml"])
            .current_dir(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let log = Arc::new(Log::default());
        let (lines, stderr) = (Arc::clone(&log), child.stderr.take().expect("standard error"));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lines.lock().expect("the log").push(line);
                lines.grown.notify_all();
            }
        });
        Self { child, log, bound: BTreeMap::new(), folder }
    }

    #[track_caller]
    pub(crate) fn address(&self, listener: &str) -> String {
        self.bound[listener].clone()
    }

    pub(crate) fn bound(&self) -> &BTreeMap<String, String> {
        &self.bound
    }

    pub(crate) fn rawsocket(&self, listener: &str) -> Dial {
        Dial::rawsocket(&self.address(listener))
    }

    pub(crate) fn websocket(&self, listener: &str) -> Dial {
        Dial::websocket(&self.address(listener))
    }

    /// The first line of the log that is wanted, once it is there.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + DEADLINE;
        let mut lines = self.log.lines.lock().expect("the log");
        loop {
            if let Some(line) = lines.iter().find(|line| is_wanted(line)) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain for {what} in {lines:#?}");
            lines = self.log.grown.wait_timeout(lines, left).expect("the log").0;
        }
    }

    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        self.log.lines.lock().expect("the log").clone()
    }

    /// Sends a signal, by name.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(status.success(), "{kill}");
    }

    /// Waits for the end of the process, at most so long.
    #[track_caller]
    pub(crate) fn wait_for_exit(&mut self, time: Duration) -> ExitStatus {
        let until = Instant::now() + time;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < until, "the process has not ended within {time:?}: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The metrics at this moment, from the listener `admin`.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Metrics {
        metrics(&self.address("admin"))
    }

    #[track_caller]
    pub(crate) fn wait_for_metric(&self, name: &str, value: f64) {
        wait_for_metric(&self.address("admin"), name, value);
    }

    /// Open file descriptors of the process.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("/proc").count()
    }

    /// Resident memory of the process.
    pub(crate) fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("kilobytes") * 1024
    }
}

impl Drop for Bondy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a configuration, to which an open realm is added, where the node of this folder reads it.
pub(crate) fn configure(folder: &Folder, yaml: &str) {
    folder.write("bondy.yaml", &format!("{yaml}\n{REALMS}"));
}

/// The text of a log line.
pub(crate) fn message(line: &Value) -> &str {
    line["message"].as_str().or_else(|| line.as_str()).unwrap_or_default()
}

//! Child processes: started on a chosen core, listened to line by line, ended with their owner.
//!
//! Cores are chosen through `taskset` and real-time scheduling through `chrt`, which run the program in their own
//! place, so the child's process id is the program's.

use anyhow::{Context, bail};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Lines that wait to be read. A child that says more loses the rest and is never held up.
const LINES_MAX: usize = 1_024;
/// Lines that an error message repeats.
const LINES_IN_ERRORS: usize = 20;
/// How often who waits for a line is told that it still waits.
const TICK: Duration = Duration::from_millis(200);

/// Where and how a process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The one core to run on; `None` leaves it to the scheduler.
    pub core: Option<usize>,
    /// Whether to run before all ordinary processes (SCHED_FIFO), for quiet figures on a busy machine. Needs root.
    pub realtime: bool,
}

impl Placement {
    fn prefix(self) -> Vec<String> {
        let mut words = Vec::new();
        if self.realtime {
            words.extend(["chrt", "--fifo", "20"].map(String::from));
        }
        if let Some(core) = self.core {
            words.extend(["taskset", "--cpu-list"].map(String::from));
            words.push(core.to_string());
        }
        words
    }
}

/// How to start this very program again as a floor or a load.
#[derive(Clone, Debug)]
pub struct Worker {
    words: Vec<String>,
}

impl Worker {
    /// The program at `path`, with the arguments that lead to the benchmarks' commands.
    pub fn new(path: &str, arguments: &[&str]) -> Worker {
        Worker { words: std::iter::once(path).chain(arguments.iter().copied()).map(String::from).collect() }
    }

    /// The running program, with the arguments that lead to the benchmarks' commands.
    pub fn current(arguments: &[&str]) -> anyhow::Result<Worker> {
        let path = std::env::current_exe().context("cannot tell where this program is")?;
        Ok(Worker::new(&path.to_string_lossy(), arguments))
    }

    /// The command that becomes `command`, and ends with this process.
    pub fn router(&self, command: &[String]) -> Vec<String> {
        let mut words = self.command("router", Some("--"));
        words.extend(command.iter().cloned());
        words
    }

    /// The command for `worker KIND ARGUMENT`.
    pub fn command(&self, kind: &str, argument: Option<&str>) -> Vec<String> {
        let mut words = self.words.clone();
        words.extend(["worker", kind].into_iter().chain(argument).map(String::from));
        words
    }
}

/// From now on this process ends when the one that started it does, however that ends. Only Linux has that.
pub fn end_with_parent() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("cannot ask for the end of the process that started this one")?;
    Ok(())
}

/// Becomes `command`, which ends when the process that started this one does.
pub fn become_child(command: &[String]) -> anyhow::Result<()> {
    end_with_parent()?;
    let (program, arguments) = command.split_first().context("the command is empty")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {program}"))
}

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts `command` (a program and its arguments).
    pub fn start(command: &[String], placement: Placement) -> anyhow::Result<Process> {
        let name = command.first().context("the command is empty")?.clone();
        let words: Vec<String> = placement.prefix().into_iter().chain(command.iter().cloned()).collect();
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", words.join(" ")))?;
        let (sender, lines) = sync_channel(LINES_MAX);
        if let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) {
            forward_lines(output, sender.clone());
            forward_lines(errors, sender);
        }
        Ok(Process { name, child, lines })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let input = self.child.stdin.as_mut().context("its standard input is closed")?;
        input
            .write_all(format!("{line}\n").as_bytes())
            .with_context(|| format!("cannot speak to {}", self.name))
    }

    /// Waits for a line, of standard output or standard error, in which `find` finds something.
    pub fn await_line<T>(&self, timeout: Duration, find: impl Fn(&str) -> Option<T>) -> anyhow::Result<T> {
        self.await_line_with(timeout, find, |_| {})
    }

    /// The same, and calls `tick` with the time waited, every now and then.
    pub fn await_line_with<T>(
        &self,
        timeout: Duration,
        find: impl Fn(&str) -> Option<T>,
        mut tick: impl FnMut(Duration),
    ) -> anyhow::Result<T> {
        let started = Instant::now();
        let mut last = VecDeque::new();
        loop {
            tick(started.elapsed());
            let left = timeout.saturating_sub(started.elapsed());
            match self.lines.recv_timeout(left.min(TICK)) {
                Ok(line) => {
                    if let Some(found) = find(&line) {
                        return Ok(found);
                    }
                    last.push_back(line);
                    if last.len() > LINES_IN_ERRORS {
                        last.pop_front();
                    }
                }
                Err(RecvTimeoutError::Timeout) if left > TICK => {}
                Err(RecvTimeoutError::Timeout) => bail!(
                    "{} has not said what was expected within {timeout:?}; it said: {}",
                    self.name,
                    join(&last)
                ),
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended early: {}", self.name, join(&last)),
            }
        }
    }

    /// Ends its standard input and waits until it has ended by itself; past `timeout` it is killed.
    pub fn finish(mut self, timeout: Duration) {
        drop(self.child.stdin.take());
        let until = Instant::now() + timeout;
        while self.lines.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nobody to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward_lines(pipe: impl Read + Send + 'static, lines: SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            // Lines that nobody reads are dropped.
            let _ = lines.try_send(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

fn join(lines: &VecDeque<String>) -> String {
    lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
}

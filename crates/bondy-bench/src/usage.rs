//! What a process has used, read from `/proc`: CPU time to the nanosecond, resident memory, the cores it may use.
//!
//! CPU time is the sum over the threads that live now (`/proc/PID/task/*/schedstat`); a thread that ended takes its
//! time with it, so the servers and loads measured here end none while they are measured. On loopback a sender also
//! pays for the receiver's input path, as nothing else does it for the receiver.

mod listener;

pub use listener::listening_pids;

use anyhow::Context;
use std::path::PathBuf;

/// Whose usage to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This process.
    Own,
    /// Another one, by its id.
    Process(u32),
}

impl Subject {
    fn folder(self) -> PathBuf {
        match self {
            Subject::Own => PathBuf::from("/proc/self"),
            Subject::Process(pid) => PathBuf::from(format!("/proc/{pid}")),
        }
    }

    /// CPU time used by all threads so far, in nanoseconds.
    pub fn cpu_ns(self) -> anyhow::Result<u64> {
        let tasks = self.folder().join("task");
        let mut total_ns = 0;
        for task in std::fs::read_dir(&tasks).with_context(|| format!("cannot list {}", tasks.display()))? {
            // A thread that ends between the listing and the reading is no failure.
            if let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) {
                total_ns += first_number(&text).unwrap_or_default();
            }
        }
        Ok(total_ns)
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(self) -> anyhow::Result<u64> {
        let file = self.folder().join("smaps_rollup");
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let kibibytes = text.lines().find_map(|line| first_number(line.strip_prefix("Rss:")?));
        Ok(kibibytes.with_context(|| format!("no Rss in {}", file.display()))? * 1_024)
    }

    /// The cores that the process may run on, as the kernel writes them (`0-1`).
    pub fn cores(self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder().join("status")).ok()?;
        let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        Some(list.trim().to_owned())
    }

    /// How many files the process may have open.
    pub fn open_files_max(self) -> Option<usize> {
        let text = std::fs::read_to_string(self.folder().join("limits")).ok()?;
        let limit = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
        first_number(limit).and_then(|number| usize::try_from(number).ok())
    }
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// CPU time used by all of `pids` so far, in nanoseconds; `None` if there are none.
pub fn cpu_ns_of(pids: &[u32]) -> anyhow::Result<Option<u64>> {
    sum_of(pids, Subject::cpu_ns)
}

/// Resident memory of all of `pids` in bytes; `None` if there are none.
pub fn resident_bytes_of(pids: &[u32]) -> anyhow::Result<Option<u64>> {
    sum_of(pids, Subject::resident_bytes)
}

fn sum_of(pids: &[u32], of: fn(Subject) -> anyhow::Result<u64>) -> anyhow::Result<Option<u64>> {
    if pids.is_empty() {
        return Ok(None);
    }
    let values = pids.iter().map(|&pid| of(Subject::Process(pid)));
    values.sum::<anyhow::Result<u64>>().map(Some)
}

/// The cores of a list such as `0-2,5`.
pub fn parse_cores(list: &str) -> Vec<usize> {
    let range = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn core_lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse_cores("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(parse_cores("3"), [3]);
        assert!(parse_cores("").is_empty());
    }

    #[test]
    fn own_usage_is_there() {
        assert!(Subject::Own.cpu_ns().expect("cpu") > 0);
        assert!(Subject::Own.resident_bytes().expect("memory") > 0);
        assert!(!parse_cores(&Subject::Own.cores().expect("cores")).is_empty());
    }
}

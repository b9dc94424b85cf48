//! How much memory the process may use.

use std::fs;

/// What is assumed where the system does not say.
const FALLBACK_BYTES: u64 = 1024 * 1024 * 1024;

/// The memory of the machine, or of the control group if that has less.
pub(crate) fn available_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| machine_bytes(&text));
    let group =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(FALLBACK_BYTES)
}

fn machine_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_memory_is_read_in_kibibytes() {
        assert_eq!(machine_bytes("MemTotal:       25165824 kB\nMemFree: 1 kB\n"), Some(25_165_824 * 1024));
        assert_eq!(machine_bytes("MemFree: 1 kB\n"), None);
    }
}

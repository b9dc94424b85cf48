//! Which processes listen at an address of this machine: from the kernel's tables of sockets to the descriptors of
//! processes.
//!
//! Descriptors of another user's process cannot be read, and then it is not found: `--pid` names it.

use crate::endpoint::Address;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// The state of a listening socket in the kernel's tables.
const LISTENING: &str = "0A";

/// The processes that hold the socket that listens at `address`, in order; empty if none is found.
pub fn listening_pids(address: &Address) -> Vec<u32> {
    if !address.is_local() {
        return Vec::new();
    }
    let inodes = match address {
        Address::Tcp(address) => tcp_inodes(*address),
        Address::Unix(path) => unix_inodes(path),
    };
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<u32> = match links.is_empty() {
        true => Vec::new(),
        false => processes().filter(|&pid| holds(pid, &links)).collect(),
    };
    pids.sort_unstable();
    pids
}

/// A socket at the very address, else those at all addresses of the machine.
fn tcp_inodes(address: SocketAddr) -> Vec<u64> {
    let listeners: Vec<(SocketAddr, u64)> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|table| table.lines().filter_map(tcp_listener).collect::<Vec<_>>())
        .filter(|(listener, _)| listener.port() == address.port())
        .collect();
    let at = |wanted: &dyn Fn(IpAddr) -> bool| -> Vec<u64> {
        let found = listeners.iter().filter(|(listener, _)| wanted(listener.ip().to_canonical()));
        found.map(|(_, inode)| *inode).collect()
    };
    let exact = at(&|ip| ip == address.ip().to_canonical());
    if exact.is_empty() { at(&|ip| ip.is_unspecified()) } else { exact }
}

/// A line of `/proc/net/tcp` or `tcp6`, if it is of a listening socket: `sl local remote state ... inode`.
fn tcp_listener(line: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTENING {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((SocketAddr::new(kernel_address(ip)?, port), fields.get(9)?.parse().ok()?))
}

/// The kernel writes an address as words in the byte order of the machine, each in hexadecimal.
fn kernel_address(text: &str) -> Option<IpAddr> {
    let word = |index: usize| -> Option<[u8; 4]> {
        let digits = text.get(8 * index..8 * index + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?).into())
        }
        _ => None,
    }
}

/// The listening sockets bound to a path, which the kernel's table shows as it was given to the process.
fn unix_inodes(path: &Path) -> Vec<u64> {
    let Ok(table) = fs::read_to_string("/proc/net/unix") else { return Vec::new() };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let candidates = table.lines().filter_map(|line| {
        // Num RefCount Protocol Flags Type St Inode Path; the flag of a listening socket is 0x10000.
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_listening = *fields.get(3)? == "00010000";
        let bound = Path::new(fields.get(7)?);
        (is_listening && bound.file_name()?.to_string_lossy() == name).then_some(())?;
        Some((bound.to_path_buf(), fields.get(6)?.parse().ok()?))
    });
    let candidates: Vec<(std::path::PathBuf, u64)> = candidates.collect();
    let exact: Vec<u64> =
        candidates.iter().filter(|(bound, _)| bound == path).map(|(_, inode)| *inode).collect();
    match exact.is_empty() {
        // A relative path here or there: the name alone has to do, if it is the only one.
        true if candidates.len() == 1 => candidates.iter().map(|(_, inode)| *inode).collect(),
        true | false => exact,
    }
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds(pid: u32, links: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    #[test]
    fn own_listener_is_found_and_nobody_at_a_port_without_one() {
        for host in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let port = listener.local_addr().expect("an address").port();
            let loopback: IpAddr =
                if host.starts_with('[') { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
            let address = Address::Tcp(SocketAddr::new(loopback, port));
            assert_eq!(listening_pids(&address), [std::process::id()], "{host}");
            drop(listener);
            assert!(listening_pids(&address).is_empty());
        }
    }

    #[test]
    fn own_unix_listener_is_found() {
        let path = std::env::temp_dir().join(format!("bench-listener-{}.sock", std::process::id()));
        let listener = UnixListener::bind(&path).expect("a socket");
        assert_eq!(listening_pids(&Address::Unix(path.clone())), [std::process::id()]);
        drop(listener);
        std::fs::remove_file(path).expect("the socket's file");
    }

    #[test]
    fn another_machine_has_no_process_here() {
        assert!(listening_pids(&Address::Tcp("192.0.2.1:80".parse().expect("an address"))).is_empty());
    }
}

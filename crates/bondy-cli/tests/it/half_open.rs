//! A host that vanishes without a word: its packets are lost in a network namespace of their own.
//!
//! That takes the right to make one. Where it is missing the test says so and ends; what happens to a peer that
//! answers no pings is tested without it.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::peer::{DEADLINE, Dial, Peer};
use crate::process::{Bondy, REALM};

const CALLEE_ADDRESS: &str = "BONDY_TEST_HALF_OPEN_ADDRESS";
const PROCEDURE: &str = "com.example.far";

/// What the documentation promises, and a second for a busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(16);

/// Not a test of its own: what runs on the far host.
#[test]
fn far_callee_process() {
    let Ok(address) = std::env::var(CALLEE_ADDRESS) else { return };
    let mut callee = Dial::rawsocket(&address).join(REALM);
    callee.register(PROCEDURE);
    loop {
        let _ = callee.try_receive(DEADLINE);
    }
}

/// A network namespace with one link to this one.
struct FarHost {
    name: String,
    near: String,
    far: String,
    subnet: u32,
    callee: Option<Child>,
}

impl FarHost {
    fn new() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = std::process::id() % 8_000 * 2 + NEXT.fetch_add(1, Ordering::Relaxed);
        let host = Self {
            name: format!("bondy{number}"),
            near: format!("bn{number}"),
            far: format!("bf{number}"),
            subnet: number,
            callee: None,
        };
        let Self { name, near, far, .. } = &host;
        let address = |last: u32| format!("{}/30", host.address(last));
        let is_made = ip(&["netns", "add", name])
            && ip(&["link", "add", near, "type", "veth", "peer", "name", far, "netns", name])
            && ip(&["addr", "add", &address(1), "dev", near])
            && ip(&["link", "set", near, "up"])
            && ip(&["-n", name, "addr", "add", &address(2), "dev", far])
            && ip(&["-n", name, "link", "set", far, "up"]);
        is_made.then_some(host)
    }

    /// In 198.18.0.0/15, which is set apart for tests.
    fn address(&self, last: u32) -> String {
        let offset = self.subnet % 16_384 * 4 + last;
        format!("198.18.{}.{}", offset / 256, offset % 256)
    }

    fn spawn_callee(&mut self, address: &str) {
        let this = std::env::current_exe().expect("this binary");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.name])
            .arg(this)
            .args(["--exact", "half_open::far_callee_process", "--nocapture"])
            .env(CALLEE_ADDRESS, address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.callee = Some(child.expect("a process in the namespace"));
    }

    /// From now on every packet is lost, both ways.
    fn vanish(&self) -> Instant {
        assert!(ip(&["-n", &self.name, "link", "set", &self.far, "down"]), "the link goes down");
        Instant::now()
    }
}

impl Drop for FarHost {
    fn drop(&mut self) {
        if let Some(callee) = &mut self.callee {
            let _ = callee.kill();
            let _ = callee.wait();
        }
        ip(&["link", "del", &self.near]);
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    let status = Command::new("ip").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A node with a callee on the far host and a caller on this one.
fn scene() -> Option<(FarHost, Bondy, Peer)> {
    let Some(mut host) = FarHost::new() else {
        println!("skipped: no right to make a network namespace");
        return None;
    };
    let bondy = Bondy::start(&format!(
        "listeners:
  far: {{bind: '{}:0', serve: [rawsocket]}}
  tcp: {{bind: '127.0.0.1:0', serve: [rawsocket]}}
  admin: {{bind: '127.0.0.1:0', serve: [admin]}}",
        host.address(1)
    ));
    host.spawn_callee(&bondy.address("far"));
    bondy.wait_for_metric("bondy_registrations", 1.0);
    let caller = bondy.rawsocket("tcp").join(REALM);
    Some((host, bondy, caller))
}

/// The call ends in time, and nothing of the far session is left.
#[track_caller]
fn conclude(bondy: &Bondy, mut caller: Peer, request: u64, vanished: Instant) {
    assert_eq!(caller.end_call(request), Err("wamp.error.canceled".to_owned()));
    let elapsed = vanished.elapsed();
    println!("noticed after {elapsed:?}");
    assert!(elapsed < GONE_WITHIN, "{elapsed:?}");
    assert_eq!(caller.call(PROCEDURE, &json!([])), Err("wamp.error.no_such_procedure".to_owned()));
    bondy.wait_for_metric("bondy_sessions", 1.0);
}

#[test]
fn a_host_that_vanishes_is_noticed_within_15_seconds_without_any_ping() {
    let Some((host, bondy, mut caller)) = scene() else { return };
    let request = caller.begin_call(PROCEDURE, &json!([]));
    bondy.wait_for_metric("bondy_invocations_pending", 1.0);
    let vanished = host.vanish();
    conclude(&bondy, caller, request, vanished);
}

#[test]
fn a_host_that_vanishes_with_bytes_under_way_is_noticed_as_well() {
    let Some((host, bondy, mut caller)) = scene() else { return };
    let vanished = host.vanish();
    // The invocation is never acknowledged: keepalive does not probe then, the user timeout counts.
    let request = caller.begin_call(PROCEDURE, &json!([]));
    conclude(&bondy, caller, request, vanished);
}

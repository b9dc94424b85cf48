//! HTTP as a client has it, and the metrics that it reads.

use std::io::{Read, Write};

use crate::openmetrics::Metrics;

use super::stream::Stream;
use super::wire::read_head;
use super::{Dial, wait_for};

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// One request over one connection.
#[track_caller]
pub(crate) fn http(address: &str, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    read_answer(&mut ask(&Dial::rawsocket(address), &request))
}

/// Connects and sends a request.
#[track_caller]
pub(crate) fn ask(dial: &Dial, request: &str) -> Stream {
    let mut stream = dial.try_connect().expect("a connection");
    stream.write_all(request.as_bytes()).expect("a request");
    stream
}

/// Reads an answer whose connection ends with it.
#[track_caller]
pub(crate) fn read_answer(stream: &mut impl Read) -> Answer {
    let head = read_head(stream).expect("the head of an answer");
    let mut body = String::new();
    stream.read_to_string(&mut body).expect("the body of an answer");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body }
}

/// The metrics at this moment, from the admin listener at this address.
#[track_caller]
pub(crate) fn metrics(address: &str) -> Metrics {
    let answer = http(address, "GET", "/metrics");
    assert_eq!(answer.status, 200);
    Metrics::parse(&answer.body).unwrap_or_else(|error| panic!("{error}\n{}", answer.body))
}

/// Waits until a metric of the node with this admin listener has the value.
#[track_caller]
pub(crate) fn wait_for_metric(address: &str, name: &str, value: f64) {
    wait_for(&format!("{name} {value}"), || metrics(address).value(name) == value);
}

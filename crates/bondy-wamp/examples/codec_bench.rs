//! Times parsing, skipping, transcoding and re-framing of one CALL in every serializer, beside memcpy of the same
//! bytes.
//!
//! `cargo run --release -p bondy-wamp --example codec_bench [MILLISECONDS [FILTER]]`: each figure is the best of
//! several rounds that take so long together; the filter is a part of the names of the figures wanted.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bondy_wamp::id::{RegistrationId, RequestId};
use bondy_wamp::message::{self, Invocation, InvocationDetails, Message, MessageType};
use bondy_wamp::payload::Payload;
use bondy_wamp::serializer::{Decoder, Encoder, Serializer, transcode};
use bondy_wamp::value::Value;

const ROUNDS: u32 = 20;

fn main() {
    let budget_ms = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(100);
    let filter = std::env::args().nth(2).unwrap_or_default();
    let bench = Bench { round: Duration::from_millis(budget_ms) / ROUNDS, filter };
    println!("{:<44} {:>7} {:>9} {:>8}", "", "bytes", "ns", "GB/s");
    for (name, kwargs) in [("small", small()), ("strings", strings()), ("large", large())] {
        for serializer in Serializer::ALL {
            bench.serializer(name, serializer, &kwargs);
        }
    }
}

struct Bench {
    round: Duration,
    filter: String,
}

impl Bench {
    fn serializer(&self, name: &str, serializer: Serializer, kwargs: &Value) {
        let bytes = call(serializer, kwargs);
        let payload = kwargs.to_bytes(serializer);
        let mut out = Vec::with_capacity(4 * bytes.len());
        let label = |what: &str| format!("{name} {serializer}: {what}");
        self.print(&label("memcpy"), bytes.len(), || {
            out.clear();
            out.extend_from_slice(black_box(&bytes));
        });
        self.print(&label("parse"), bytes.len(), || {
            black_box(message::parse(serializer, black_box(&bytes)).is_ok());
        });
        self.print(&label("skip kwargs"), payload.len(), || {
            let mut decoder = Decoder::new(serializer, black_box(&payload)).expect("the payload is UTF-8");
            black_box(decoder.skip().is_ok());
        });
        self.print(&label("parse and encode INVOCATION"), bytes.len(), || {
            out.clear();
            invoke(serializer, black_box(&bytes), &mut out);
            black_box(&out);
        });
        for target in Serializer::ALL.into_iter().filter(|target| *target != serializer) {
            out.clear();
            transcode(serializer, &payload, target, &mut out).expect("the payload is well-formed");
            let both = payload.len() + out.len();
            self.print(&label(&format!("transcode kwargs to {target} (in+out)")), both, || {
                out.clear();
                black_box(transcode(serializer, black_box(&payload), target, &mut out).is_ok());
            });
        }
    }

    fn print(&self, label: &str, bytes: usize, mut run: impl FnMut()) {
        if !label.contains(&self.filter) {
            return;
        }
        let best = (0..ROUNDS).map(|_| self.time(&mut run)).fold(f64::INFINITY, f64::min);
        println!("{label:<44} {bytes:>7} {best:>9.1} {:>8.2}", bytes as f64 / best);
    }

    /// Nanoseconds for one run.
    fn time(&self, run: &mut impl FnMut()) -> f64 {
        let start = Instant::now();
        let mut runs = 0u32;
        while runs == 0 || start.elapsed() < self.round {
            (0..64).for_each(|_| run());
            runs += 64;
        }
        start.elapsed().as_nanos() as f64 / f64::from(runs)
    }
}

/// What a router does with a call, but for finding the callee.
fn invoke(serializer: Serializer, bytes: &[u8], out: &mut Vec<u8>) {
    let Ok(Message::Call(call)) = message::parse(serializer, bytes) else { return };
    let invocation = Invocation {
        request: RequestId(1234),
        registration: RegistrationId(77),
        details: InvocationDetails::none(serializer),
        payload: Payload { ..call.payload },
    };
    let head =
        message::head(serializer, invocation.elements(), MessageType::Invocation, invocation.request.0);
    out.extend_from_slice(head.as_bytes());
    black_box(invocation.encode_tail(&mut Encoder::tail(serializer, out)).is_ok());
}

fn call(serializer: Serializer, kwargs: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(serializer, &mut bytes);
    encoder.begin_list(6);
    encoder.unsigned(48);
    encoder.unsigned(7_814_135);
    encoder.begin_dict(0);
    encoder.end_dict();
    encoder.string("com.example.orders.create");
    encoder.begin_list(0);
    encoder.end_list();
    kwargs.encode(&mut encoder);
    encoder.end_list();
    bytes
}

/// Numbers, texts and lists as in a typical call; about 290 bytes of JSON with the envelope.
fn small() -> Value {
    Value::from([
        ("customer", Value::from("Ada Lovelace")),
        ("order_id", Value::from(982_734_234)),
        ("price", Value::Float(1249.99)),
        ("currency", Value::from("EUR")),
        ("express", Value::from(true)),
        ("positions", Value::List((1..=6).map(|n| Value::from(n * 111)).collect())),
        ("ratios", Value::List([0.25, 1.5, 3.375].map(Value::Float).to_vec())),
        ("note", Value::from("please ring twice, the bell is slow")),
        ("address", Value::from([("city", Value::from("London")), ("zip", Value::from("W1J 7NT"))])),
    ])
}

fn strings() -> Value {
    let line = "The quick brown fox jumps over the lazy dog, again and again and again, until it is dark. ";
    Value::from([
        ("title", Value::from("A log of foxes")),
        ("lines", Value::List((0..20).map(|n| Value::from(line.repeat(1 + n % 4).as_str())).collect())),
    ])
}

fn large() -> Value {
    Value::from([("orders", Value::List((0..60).map(|_| small()).collect()))])
}

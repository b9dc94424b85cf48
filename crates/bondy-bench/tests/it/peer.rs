//! The other end of the load: a small router over rawsocket with JSON, good and bad, and a small NATS server. They
//! know no more than the benchmarks ask of them.

use super::guard::Guard;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What the router does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Routes calls and events.
    Routes,
    /// Routes calls, and of the events every second one.
    DropsEvents,
    /// Lets sessions in and refuses everything else.
    Refuses,
    /// Has no realm.
    HasNoRealm,
    /// Routes for those who prove who they are.
    Asks,
    /// Refuses the serializer.
    SpeaksNothing,
    /// Routes so many calls, then closes the callers' connections.
    ClosesAfter(u64),
}

type Writer = Arc<Mutex<Box<dyn Write + Send>>>;

#[derive(Default)]
struct Routes {
    last_id: u64,
    callees: HashMap<String, Writer>,
    calls: HashMap<u64, (Writer, Value)>,
    subscribers: HashMap<String, Vec<Writer>>,
    published: u64,
}

/// Starts a router on a free port; it ends with this process.
pub(crate) fn start(behaviour: Behaviour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let routes = Arc::new(Mutex::new(Routes::default()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (routes, writer) = (Arc::clone(&routes), stream.try_clone().expect("a second handle"));
            stream.set_nodelay(true).expect("an option of TCP");
            std::thread::spawn(move || serve(stream, Box::new(writer), &routes, behaviour));
        }
    });
    address
}

/// The same on a Unix socket.
pub(crate) fn start_unix(path: &Path) {
    let listener = UnixListener::bind(path).expect("a path of its own");
    let routes = Arc::new(Mutex::new(Routes::default()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (routes, writer) = (Arc::clone(&routes), stream.try_clone().expect("a second handle"));
            std::thread::spawn(move || serve(stream, Box::new(writer), &routes, Behaviour::Routes));
        }
    });
}

fn serve(
    mut reader: impl Read,
    writer: Box<dyn Write + Send>,
    routes: &Mutex<Routes>,
    behaviour: Behaviour,
) -> io::Result<()> {
    let writer: Writer = Arc::new(Mutex::new(writer));
    let mut handshake = [0; 4];
    reader.read_exact(&mut handshake)?;
    if behaviour == Behaviour::SpeaksNothing {
        handshake = [0x7f, 0x10, 0, 0];
    }
    writer.lock().expect("no panic").write_all(&handshake)?;
    let mut guard = None;
    loop {
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        reader.read_exact(&mut message)?;
        let message: Value = serde_json::from_slice(&message)?;
        match (message[0].as_u64(), &guard) {
            (Some(1), _) if behaviour == Behaviour::Asks && message[2].get("authmethods").is_some() => {
                let (asking, challenge) = Guard::ask(&message);
                guard = Some(asking);
                send(&writer, &challenge)?;
            }
            (Some(1), _) if behaviour == Behaviour::Asks => send(&writer, &json!([4, "ticket", {}]))?,
            (Some(5), Some(guard)) => send(&writer, &guard.admit(&message))?,
            _ => handle(&message, &writer, &mut routes.lock().expect("no panic"), behaviour)?,
        }
    }
}

fn handle(message: &Value, own: &Writer, routes: &mut Routes, behaviour: Behaviour) -> io::Result<()> {
    let text = |index: usize| message[index].as_str().unwrap_or_default().to_owned();
    match (message[0].as_u64(), behaviour) {
        (Some(1), Behaviour::HasNoRealm) => send(own, &json!([3, {}, "wamp.error.no_such_realm"])),
        (Some(1), _) => send(own, &json!([2, 1, {}])),
        (Some(6), _) => send(own, &json!([6, {}, "wamp.close.goodbye_and_out"])),
        (Some(code), Behaviour::Refuses) => {
            send(own, &json!([8, code, message[1], {}, "wamp.error.not_authorized"]))
        }
        (Some(64), _) => {
            routes.callees.insert(text(3), Arc::clone(own));
            send(own, &json!([65, message[1], 1]))
        }
        (Some(48), _) => {
            routes.last_id += 1;
            if behaviour == Behaviour::ClosesAfter(routes.last_id) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            routes.calls.insert(routes.last_id, (Arc::clone(own), message[1].clone()));
            send(&routes.callees[&text(3)], &json!([68, routes.last_id, 1, {}, message[4]]))
        }
        (Some(70), _) => {
            let id = message[1].as_u64().expect("an id");
            let (caller, request) = routes.calls.remove(&id).expect("a call");
            send(&caller, &json!([50, request, {}, message[3]]))
        }
        (Some(32), _) => {
            routes.subscribers.entry(text(3)).or_default().push(Arc::clone(own));
            send(own, &json!([33, message[1], 5]))
        }
        (Some(16), _) => {
            routes.published += 1;
            let is_dropped = behaviour == Behaviour::DropsEvents && routes.published.is_multiple_of(2);
            let event = json!([36, 5, routes.published, {}, message[4]]);
            let subscribers = routes.subscribers.get(&text(3)).filter(|_| !is_dropped);
            // A subscriber that is gone misses nothing.
            subscribers.into_iter().flatten().for_each(|subscriber| drop(send(subscriber, &event)));
            Ok(())
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn send(writer: &Writer, message: &Value) -> io::Result<()> {
    let text = message.to_string();
    let frame = [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    writer.lock().expect("no panic").write_all(&frame)
}

/// Starts a NATS server on a free port; it ends with this process.
pub(crate) fn start_nats() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let subscriptions: Subscriptions = Arc::default();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let subscriptions = Arc::clone(&subscriptions);
            stream.set_nodelay(true).expect("an option of TCP");
            std::thread::spawn(move || serve_nats(stream, &subscriptions));
        }
    });
    address
}

/// The subject, up to a wildcard at its end, the subscriber's number for it, and the subscriber.
type Subscriptions = Arc<Mutex<Vec<(String, String, TcpStream)>>>;

fn serve_nats(mut stream: TcpStream, subscriptions: &Subscriptions) -> io::Result<()> {
    stream.write_all(b"INFO {\"server_id\":\"test\"}\r\n")?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["CONNECT", ..] => {}
            ["PING"] => stream.write_all(b"PONG\r\n")?,
            ["SUB", subject, number] => subscriptions.lock().expect("no panic").push((
                subject.to_owned(),
                number.to_owned(),
                stream.try_clone()?,
            )),
            ["PUB", subject, ref rest @ .., size] => {
                let mut payload = vec![0; size.parse::<usize>().expect("a size") + 2];
                reader.read_exact(&mut payload)?;
                let matches = |wanted: &str| match wanted.strip_suffix('*') {
                    Some(prefix) => subject.starts_with(prefix),
                    None => subject == wanted,
                };
                for (wanted, number, subscriber) in subscriptions.lock().expect("no panic").iter_mut() {
                    if matches(wanted) {
                        let reply = rest.iter().map(|reply| format!("{reply} ")).collect::<String>();
                        let head = format!("MSG {subject} {number} {reply}{size}\r\n");
                        // A subscriber that is gone misses nothing.
                        let _ = subscriber.write_all(&[head.as_bytes(), &payload].concat());
                    }
                }
            }
            _ => return stream.write_all(b"-ERR 'Unknown Protocol Operation'\r\n"),
        }
    }
}

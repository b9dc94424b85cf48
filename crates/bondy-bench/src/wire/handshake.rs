//! From a connected socket to a joined session: what each transport asks for first, and what its refusals mean.

use super::{Connection, Credentials, FloorRole, Serializer, Target, Wire, code, nats, shortened};
use crate::endpoint::Place;
use crate::failure::Failure;
use anyhow::Context;
use bondy_wamp::message::Authenticate;
use bondy_wamp::value::Value;

/// Shakes hands and joins; on the floor says `role`.
pub(super) fn open(connection: &mut Connection, target: &Target, role: FloorRole) -> anyhow::Result<()> {
    match target.wire {
        Wire::Blind => say_role(connection, role),
        Wire::RawSocket(serializer) => {
            shake_rawsocket(connection, serializer)?;
            join(connection, target)
        }
        Wire::WebSocket(serializer) => {
            upgrade(connection, target, serializer)?;
            join(connection, target)
        }
        Wire::Nats => greet(connection),
    }
}

fn say_role(connection: &mut Connection, role: FloorRole) -> anyhow::Result<()> {
    connection.exchange.output.push(role.octet());
    connection.flush()?;
    let answer = connection.read_until(|inbox| inbox.take(1).map(<[u8]>::to_vec))?;
    match answer == [role.octet()] {
        true => Ok(()),
        false => Err(Failure::unreachable(format!("the floor server answered {answer:?}")).into()),
    }
}

/// The four octets of rawsocket and their answer (the WAMP specification, "RawSocket transport").
fn shake_rawsocket(connection: &mut Connection, serializer: Serializer) -> anyhow::Result<()> {
    let number = serializer.rawsocket_number();
    connection.exchange.output.extend_from_slice(&[0x7f, 0xf0 | number, 0, 0]);
    connection.flush()?;
    let answer = connection.read_until(|inbox| inbox.take(4).map(<[u8]>::to_vec));
    // A port of another protocol often closes without a word.
    let answer =
        answer.context("no rawsocket handshake: is this a WebSocket port (then write ws://HOST:PORT/ws)?")?;
    let refusal = match (answer[0], answer[1] & 0x0f, answer[1] >> 4) {
        (0x7f, accepted, _) if accepted == number => return Ok(()),
        (0x7f, 0, 1) => format!("it does not speak {}: choose another --serializer", serializer.name()),
        (0x7f, 0, 2) => "it does not accept the maximum length of messages".to_owned(),
        (0x7f, 0, 4) => "it has as many connections as it allows".to_owned(),
        (0x7f, 0, error) => format!("error {error}"),
        _ => format!("{answer:02x?} is no answer of a rawsocket: is this a WebSocket port?"),
    };
    Err(Failure::unreachable(format!("the rawsocket handshake was refused: {refusal}")).into())
}

fn upgrade(connection: &mut Connection, target: &Target, serializer: Serializer) -> anyhow::Result<()> {
    let endpoint = &target.endpoint;
    let host = match &endpoint.place {
        Place::Host(host, port) if host.contains(':') => format!("[{host}]:{port}"),
        Place::Host(host, port) => format!("{host}:{port}"),
        Place::File(_) => "localhost".to_owned(),
    };
    let subprotocol = serializer.subprotocol();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Ym9uZHktYmVuY2gta2V5IQ==\r\n\
         Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n",
        endpoint.path
    );
    connection.exchange.output.extend_from_slice(request.as_bytes());
    connection.flush()?;
    let answer = connection.read_until(|inbox| inbox.take_through(b"\r\n\r\n").map(<[u8]>::to_vec))?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    if !status.starts_with("HTTP/1.1 101") {
        let text = format!(
            "the WebSocket upgrade was refused with `{status}`: is the path {} right, and does the router speak \
             {subprotocol} (--serializer)?",
            endpoint.path
        );
        return Err(Failure::unreachable(text).into());
    }
    if !answer.contains(subprotocol) {
        let text = format!("the server did not agree to {subprotocol}: choose another --serializer");
        return Err(Failure::unreachable(text).into());
    }
    Ok(())
}

/// HELLO, a CHALLENGE where the target has credentials, and WELCOME.
fn join(connection: &mut Connection, target: &Target) -> anyhow::Result<()> {
    hello(connection, target).map_err(|error| {
        let failure = Failure::of(&error);
        let message = format!("cannot join the realm {}: {}", target.realm, failure.message);
        Failure { message, ..failure }.into()
    })
}

fn hello(connection: &mut Connection, target: &Target) -> anyhow::Result<()> {
    let roles = ["caller", "callee", "publisher", "subscriber"].map(|role| (role, Value::from([])));
    let mut details = vec![("roles", Value::from(roles))];
    let mut proof = target.credentials.as_ref().map(Credentials::prove).transpose()?;
    if let (Some(credentials), Some(proof)) = (&target.credentials, &proof) {
        details.extend(credentials.hello(proof));
    }
    let details = Value::Dict(details.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    connection.append_value(vec![Value::from(code::HELLO), Value::from(target.realm.as_str()), details]);
    connection.flush()?;
    let mut answer = connection.receive()?;
    if let (Some(proof), Some(code::CHALLENGE)) = (&mut proof, code_of(&answer)) {
        let extra = answer.as_list().and_then(|challenge| challenge.get(2)).cloned().unwrap_or_default();
        let Authenticate { signature, extra } = proof.answer(&extra).map_err(|error| {
            Failure::unreachable(format!("the router's challenge cannot be answered: {error}"))
        })?;
        let signature = Value::from(signature.as_str());
        connection.append_value(vec![Value::from(code::AUTHENTICATE), signature, extra]);
        connection.flush()?;
        answer = connection.receive()?;
    }
    if code_of(&answer) != Some(code::WELCOME) {
        return Err(Failure::unreachable(refusal(&answer)).into());
    }
    let details = answer.as_list().and_then(|welcome| welcome.get(2)).cloned().unwrap_or_default();
    match proof.map_or(Ok(()), |proof| proof.verify(&details)) {
        Ok(()) => Ok(()),
        Err(error) => Err(Failure::unreachable(format!("the router has not proven itself: {error}")).into()),
    }
}

/// What a router says instead of WELCOME, and what to do about it.
fn refusal(answer: &Value) -> String {
    let part = |index: usize| answer.as_list().and_then(|parts| parts.get(index));
    match code_of(answer) {
        Some(code::ABORT) => {
            let reason = part(2).and_then(Value::as_str).unwrap_or("no reason");
            let message = part(1).and_then(|details| details.entry("message")).and_then(Value::as_str);
            let message = message.map(|text| format!(" ({})", shortened(text))).unwrap_or_default();
            format!("the router refused: {}{message}{}", shortened(reason), help(reason))
        }
        Some(code::CHALLENGE) => "the realm wants to know who joins\n  help: see --authmethod".to_owned(),
        _ => {
            let text = answer.to_bytes(bondy_wamp::serializer::Serializer::Json);
            format!("expected WELCOME, got {}", shortened(&String::from_utf8_lossy(&text)))
        }
    }
}

fn help(reason: &str) -> &'static str {
    match reason {
        "wamp.error.no_such_realm" => "\n  help: --realm chooses another",
        "wamp.error.no_matching_auth_method" | "wamp.error.authentication_required" => {
            "\n  help: see --authid, --authmethod and --secret-file; without them the benchmark joins as anonymous"
        }
        _ => "",
    }
}

fn code_of(message: &Value) -> Option<u64> {
    message.as_list()?.first()?.as_u64()
}

fn greet(connection: &mut Connection) -> anyhow::Result<()> {
    connection.exchange.output.extend_from_slice(nats::greeting().as_bytes());
    connection.flush()?;
    connection.await_message(code::PONG).map(|_| ())
}

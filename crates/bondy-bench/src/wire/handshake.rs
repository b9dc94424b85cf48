//! From a connected socket to a joined session: what each transport asks for first, and what its refusals mean.

use super::{Connection, FloorRole, Serializer, Target, Wire, code, nats};
use crate::endpoint::Place;
use crate::failure::Failure;
use serde_json::json;

/// Shakes hands and joins; on the floor says `role`.
pub(super) fn open(connection: &mut Connection, target: &Target, role: FloorRole) -> anyhow::Result<()> {
    match target.wire {
        Wire::Blind => say_role(connection, role),
        Wire::RawSocket(serializer) => {
            shake_rawsocket(connection, serializer)?;
            join(connection, &target.realm)
        }
        Wire::WebSocket(serializer) => {
            upgrade(connection, target, serializer)?;
            join(connection, &target.realm)
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
    let answer = connection.read_until(|inbox| inbox.take(4).map(<[u8]>::to_vec))?;
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

fn join(connection: &mut Connection, realm: &str) -> anyhow::Result<()> {
    let roles = json!({"roles": {"caller": {}, "callee": {}, "publisher": {}, "subscriber": {}}});
    connection.append_value(&json!([code::HELLO, realm, roles]));
    connection.flush()?;
    connection.await_message(code::WELCOME).map_err(|error| {
        let failure = Failure::of(&error);
        Failure { message: format!("cannot join the realm {realm}: {}", failure.message), ..failure }
    })?;
    Ok(())
}

fn greet(connection: &mut Connection) -> anyhow::Result<()> {
    connection.exchange.output.extend_from_slice(nats::greeting().as_bytes());
    connection.flush()?;
    connection.await_message(code::PONG).map(|_| ())
}

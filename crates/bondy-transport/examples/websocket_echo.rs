//! Echoes WebSocket messages, with no subprotocol, on exactly the layer that the router uses, so that WebSocket
//! conformance suites can run against it (`scripts/wstest.sh`).
//!
//! ```sh
//! cargo run --example websocket_echo -- 9001 --compression
//! ```
//!
//! Listens on 127.0.0.1; port 0 takes a free one. The first line printed is the bound address. A connection waits
//! for readiness without owning a buffer, as in the router: all connections share the one of their thread.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bondy_transport::websocket::decoder::{Decoder, Event, MessageKind, Settings};
use bondy_transport::websocket::deflate::{Deflater, Extension, Inflater, deflate_message};
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_transport::websocket::handshake::Policy;
use bondy_transport::websocket::upgrade::{self, Outcome, Upgraded};
use bondy_transport::websocket::{Role, close};
use hyper::{Response, StatusCode};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

const MESSAGE_BYTES_MAX: usize = 16 << 20;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// What the connections of a thread share. Borrowed between two awaits only.
struct Worker {
    input: Vec<u8>,
    inflater: Inflater,
    deflater: Deflater,
    deflated: Vec<u8>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let (mut port, mut compression) = (9001, false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--compression" => compression = true,
            number => {
                port = number.parse().map_err(|_| {
                    let message = format!("{number}: expected a port number or --compression");
                    io::Error::new(io::ErrorKind::InvalidInput, message)
                })?;
            }
        }
    }
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    announce(&listener)?;
    LocalSet::new().run_until(accept(listener, compression)).await
}

#[expect(clippy::print_stdout, reason = "scripts read the address from standard output")]
fn announce(listener: &TcpListener) -> io::Result<()> {
    println!("{}", listener.local_addr()?);
    Ok(())
}

async fn accept(listener: TcpListener, compression: bool) -> io::Result<()> {
    let worker = Rc::new(RefCell::new(Worker {
        input: vec![0; READ_BUFFER_BYTES],
        inflater: Inflater::default(),
        deflater: Deflater::default(),
        deflated: Vec::new(),
    }));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let worker = Rc::clone(&worker);
        // A connection that fails is the peer's affair; the next one is served all the same.
        spawn_local(async move { drop(serve(stream, compression, &worker).await) });
    }
}

async fn serve(stream: TcpStream, compression: bool, worker: &RefCell<Worker>) -> io::Result<()> {
    let settings = upgrade::Settings {
        path: None,
        policy: Policy { subprotocols: &[], compression },
        head_bytes_max: 16 << 10,
        headers_max: 100,
        head_timeout: Duration::from_secs(10),
    };
    let not_found = async |_| {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    };
    // Boxed, so that the task does not keep the size of its first phase.
    let handshake = Box::pin(upgrade::serve(stream, &settings, not_found, std::future::pending()));
    match handshake.await {
        Ok(Outcome::Upgraded(upgraded)) => echo(*upgraded, worker).await,
        Ok(Outcome::Closed) => Ok(()),
        Err(error) => Err(io::Error::other(error)),
    }
}

async fn echo(upgraded: Upgraded<TcpStream>, worker: &RefCell<Worker>) -> io::Result<()> {
    let Upgraded { mut stream, read, extension, .. } = upgraded;
    let mut decoder = Decoder::new(Settings {
        role: Role::Server,
        message_bytes_max: MESSAGE_BYTES_MAX,
        deflate: extension.is_some(),
        kind: None,
        check_text: true,
    });
    let mut output = Vec::new();
    let mut open = worker.borrow_mut().answer(&mut decoder, extension, Input::Given(&read), &mut output)?;
    while open {
        stream.write_all(&output).await?;
        output = Vec::new();
        stream.readable().await?;
        open = worker.borrow_mut().answer(&mut decoder, extension, Input::Stream(&stream), &mut output)?;
    }
    stream.write_all(&output).await?;
    stream.shutdown().await
}

/// Where the bytes of a batch come from.
enum Input<'a> {
    Given(&'a [u8]),
    Stream(&'a TcpStream),
}

impl Worker {
    /// Reads one batch and appends the answers to `output`. Tells whether the connection stays open.
    fn answer(
        &mut self,
        decoder: &mut Decoder,
        extension: Option<Extension>,
        input: Input<'_>,
        output: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let len = match input {
            Input::Given(bytes) => {
                self.input.resize(bytes.len().max(READ_BUFFER_BYTES), 0);
                self.input[..bytes.len()].copy_from_slice(bytes);
                bytes.len()
            }
            Input::Stream(stream) => match stream.try_read(&mut self.input) {
                Ok(0) => return Ok(false),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            },
        };
        let mut rest = &mut self.input[..len];
        loop {
            match decoder.next(&mut rest, &mut self.inflater) {
                Ok(None) => return Ok(true),
                Ok(Some(Event::Message { kind, payload })) => {
                    let opcode = match kind {
                        MessageKind::Text => Opcode::Text,
                        MessageKind::Binary => Opcode::Binary,
                    };
                    let header = FrameHeader::whole(opcode, payload.len());
                    if extension.is_some_and(|extension| extension.may_deflate(payload.len())) {
                        self.deflated.clear();
                        deflate_message(&mut self.deflater, &payload, &mut self.deflated);
                        append_frame(FrameHeader { compressed: true, ..header }, &self.deflated, output);
                    } else {
                        append_frame(header, &payload, output);
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    append_frame(FrameHeader::whole(Opcode::Pong, payload.len()), &payload, output);
                }
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(received))) => {
                    close::append_answer(&received, None, output);
                    return Ok(false);
                }
                Err(error) => {
                    close::append_error(error, None, output);
                    return Ok(false);
                }
            }
        }
    }
}

//! Servers made of this crate's server half, which send every message back.

use std::time::Duration;

use bondy_transport::rawsocket::{self, FrameKind, MaxLength, ServerHandshake};
use bondy_transport::socket::{BindAddress, Listener, SocketOptions, Stream};
use bondy_transport::websocket::Role;
use bondy_transport::websocket::close;
use bondy_transport::websocket::decoder::{Decoder, Event, MessageKind, Settings};
use bondy_transport::websocket::deflate::Inflater;
use bondy_transport::websocket::frame::{FrameHeader, Opcode, append_frame};
use bondy_transport::websocket::handshake::Policy;
use bondy_transport::websocket::upgrade::{self, Outcome};
use bondy_wamp::serializer::Serializer;
use hyper::Response;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) const SETTINGS: upgrade::Settings = upgrade::Settings {
    path: Some("/ws"),
    policy: Policy { subprotocols: &["wamp.2.json", "wamp.2.msgpack", "wamp.2.cbor"], compression: true },
    head_bytes_max: 8192,
    headers_max: 30,
    head_timeout: Duration::from_secs(10),
};

/// A listener and the URL by which rawsocket is spoken with it.
pub(crate) async fn bind(address: &str) -> (Listener, String) {
    let listener = Listener::bind(&BindAddress::parse(address).unwrap()).await.unwrap();
    let url = match listener.address() {
        BindAddress::Unix { .. } => listener.address().to_string(),
        BindAddress::Tcp { .. } => format!("rs://{}", listener.address()),
    };
    (listener, url)
}

pub(crate) async fn accept(listener: &Listener) -> Stream {
    listener.accept().await.unwrap().register(&SocketOptions::default()).unwrap()
}

/// Serves one WebSocket until its end; gives the target that was asked for.
pub(crate) async fn echo_websocket(listener: Listener) -> String {
    let stream = accept(&listener).await;
    serve_websocket(stream).await
}

pub(crate) async fn serve_websocket(stream: impl AsyncRead + AsyncWrite + Unpin) -> String {
    let handler = async |_| Response::default();
    let outcome = upgrade::serve(stream, &SETTINGS, handler, std::future::pending()).await;
    let Ok(Outcome::Upgraded(mut upgraded)) = outcome else { panic!("no upgrade") };
    assert_eq!(upgraded.extension, None, "compression is not offered");
    let is_text = upgraded.subprotocol == Some("wamp.2.json");
    let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
    let settings = Settings {
        role: Role::Server,
        message_bytes_max: 1 << 24,
        deflate: false,
        kind: Some(kind),
        check_text: true,
    };
    let (mut decoder, mut inflater) = (Decoder::new(settings), Inflater::default());
    let mut input = upgraded.read.to_vec();
    loop {
        let mut output = Vec::new();
        let mut rest = &mut input[..];
        while let Some(event) = decoder.next(&mut rest, &mut inflater).unwrap() {
            match event {
                Event::Message { payload, .. } => {
                    // Asked on the way, so that the client has to answer in between.
                    append_frame(FrameHeader::whole(Opcode::Ping, 0), b"there?", &mut output);
                    let opcode = if is_text { Opcode::Text } else { Opcode::Binary };
                    append_frame(FrameHeader::whole(opcode, 0), &payload, &mut output);
                }
                Event::Pong(payload) => assert_eq!(&payload[..], b"there?"),
                Event::Ping(payload) => {
                    append_frame(FrameHeader::whole(Opcode::Pong, 0), &payload, &mut output);
                }
                Event::Close(received) => close::append_answer(&received, None, &mut output),
            }
        }
        let written = send(&mut upgraded.stream, &output).await;
        input.clear();
        if written.is_err() || upgraded.stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
            return upgraded.uri.to_string();
        }
    }
}

/// Serves rawsocket connections until one that was let in ends; the others asked for another serializer.
pub(crate) async fn echo_rawsocket(listener: Listener, serializers: &'static [Serializer]) {
    while !serve_rawsocket(accept(&listener).await, serializers).await {}
}

/// Whether the client was let in.
pub(crate) async fn serve_rawsocket(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    serializers: &'static [Serializer],
) -> bool {
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.unwrap();
    let handshake = ServerHandshake { receive_max: MaxLength::LARGEST, serializers };
    let (reply, negotiated) = match handshake.answer(request) {
        Ok(agreed) => agreed,
        Err(refusal) => {
            stream.write_all(&refusal.reply.unwrap()).await.unwrap();
            return false;
        }
    };
    send(&mut stream, &reply).await.unwrap();
    let decoder = rawsocket::Decoder::new(negotiated.receive_max);
    let mut input = Vec::new();
    loop {
        let mut output = Vec::new();
        let range = match decoder.next(&input).unwrap() {
            rawsocket::Event::Message(range) => {
                rawsocket::append_frame(&mut output, FrameKind::Ping, b"there?");
                rawsocket::append_frame(&mut output, FrameKind::Message, &input[range.clone()]);
                range
            }
            rawsocket::Event::Pong(range) => {
                assert_eq!(&input[range.clone()], b"there?");
                range
            }
            rawsocket::Event::Ping(range) => {
                rawsocket::append_frame(&mut output, FrameKind::Pong, &input[range.clone()]);
                range
            }
            rawsocket::Event::NeedMore(_) => {
                if stream.read_buf(&mut input).await.unwrap_or(0) == 0 {
                    return true;
                }
                continue;
            }
        };
        input.drain(..range.end);
        if send(&mut stream, &output).await.is_err() {
            return true;
        }
    }
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

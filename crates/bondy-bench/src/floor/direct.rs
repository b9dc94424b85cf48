//! The peer of a direct ping-pong: a blocking thread for each connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 64 << 10;

/// Accepts and echoes for ever.
pub(super) fn serve(listener: &TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        // A connection that fails ends with its thread: its peer sees that and reports it.
        std::thread::spawn(move || echo(stream));
    }
}

/// The opening octet is echoed like all that follows it.
fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

//! The other end of a rawsocket that lets sessions in and out and refuses all else, in JSON.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Starts it on a free port; it ends with this process.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut handshake = [0; 4];
    stream.read_exact(&mut handshake)?;
    stream.write_all(&handshake)?;
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut message)?;
        let answer = match &message[..3] {
            b"[1," => r#"[2,1,{}]"#,
            b"[6," => r#"[6,{},"wamp.close.goodbye_and_out"]"#,
            _ => r#"[8,64,1,{},"wamp.error.not_authorized"]"#,
        };
        stream.write_all(&(answer.len() as u32).to_be_bytes())?;
        stream.write_all(answer.as_bytes())?;
    }
}

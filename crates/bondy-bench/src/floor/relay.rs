//! Blind servers on one current-thread tokio runtime: echo, forwarder, fan-out.
//!
//! They read into one buffer of the thread when there is something to read, so an idle connection costs what tokio
//! and the socket cost: the floor of a session's memory too. Reads go through `poll_read`, which knows that a short
//! read has emptied the socket and saves the call that would say so.

use super::{FloorKind, role};
use crate::wire::FloorRole;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 64 << 10;

/// One connection: the task that reads it owns one half, whoever sends to it shares the other.
struct Ends {
    reader: OwnedReadHalf,
    writer: Rc<OwnedWriteHalf>,
}

/// What the connections of one server share; all of them live on one thread.
struct Relay {
    kind: FloorKind,
    buffer: RefCell<Vec<u8>>,
    /// Forwarder: receivers that no sender has taken yet.
    waiting: RefCell<VecDeque<Ends>>,
    /// Fan-out: everybody that gets what a sender sends.
    receivers: RefCell<Vec<Rc<OwnedWriteHalf>>>,
}

/// Serves until the process ends.
pub(super) fn serve(kind: FloorKind, listener: std::net::TcpListener) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, accept(kind, listener))
}

async fn accept(kind: FloorKind, listener: std::net::TcpListener) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let relay = Rc::new(Relay {
        kind,
        buffer: RefCell::new(vec![0; BUFFER_BYTES]),
        waiting: RefCell::default(),
        receivers: RefCell::default(),
    });
    loop {
        let (stream, _) = listener.accept().await?;
        let relay = Rc::clone(&relay);
        // A connection that fails ends with its task: its peer sees that and reports it.
        tokio::task::spawn_local(async move { relay.connection(stream).await });
    }
}

impl Relay {
    async fn connection(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let mut ends = Ends { reader, writer: Rc::new(writer) };
        if self.read(&mut ends.reader).await? == 0 {
            return Ok(());
        }
        let Some(role) = role(self.buffer.borrow()[0]) else { return Ok(()) };
        // All but the echo is boxed: an idle connection, which is what the echo is for, stays as small as it can be.
        match (self.kind, role) {
            (FloorKind::Echo | FloorKind::Direct, _) => {
                write_all(&ends.writer, &[role.octet()]).await?;
                self.pass(&mut ends.reader, &ends.writer).await
            }
            (FloorKind::Forwarder, FloorRole::Receiver) => {
                let writer = Rc::clone(&ends.writer);
                self.waiting.borrow_mut().push_back(ends);
                write_all(&writer, &[role.octet()]).await
            }
            (FloorKind::Forwarder, FloorRole::Sender) => Box::pin(self.pair(ends)).await,
            (FloorKind::FanOut, FloorRole::Receiver) => Box::pin(self.receive(ends)).await,
            (FloorKind::FanOut, FloorRole::Sender) => {
                write_all(&ends.writer, &[role.octet()]).await?;
                Box::pin(self.fan_out(&mut ends.reader)).await
            }
        }
    }

    /// A caller takes the callee that waits longest.
    async fn pair(&self, mut caller: Ends) -> io::Result<()> {
        let Some(mut callee) = self.waiting.borrow_mut().pop_front() else { return Ok(()) };
        write_all(&caller.writer, &[FloorRole::Sender.octet()]).await?;
        let answers = async { self.pass(&mut callee.reader, &caller.writer).await };
        // Whichever end closes first takes the pair with it.
        tokio::select! {
            ended = self.pass(&mut caller.reader, &callee.writer) => ended,
            ended = answers => ended,
        }
    }

    async fn pass(&self, from: &mut OwnedReadHalf, to: &OwnedWriteHalf) -> io::Result<()> {
        loop {
            let length = self.read(from).await?;
            if length == 0 {
                return Ok(());
            }
            let rest = try_write(to, &self.buffer.borrow()[..length])?.to_vec();
            write_all(to, &rest).await?;
        }
    }

    async fn receive(&self, mut ends: Ends) -> io::Result<()> {
        self.receivers.borrow_mut().push(Rc::clone(&ends.writer));
        write_all(&ends.writer, &[FloorRole::Receiver.octet()]).await?;
        // Receivers have nothing to say, so this waits for the end.
        let ended = self.read(&mut ends.reader).await;
        self.receivers.borrow_mut().retain(|receiver| !Rc::ptr_eq(receiver, &ends.writer));
        ended.map(|_| ())
    }

    async fn fan_out(&self, sender: &mut OwnedReadHalf) -> io::Result<()> {
        loop {
            let length = self.read(sender).await?;
            if length == 0 {
                return Ok(());
            }
            let mut late = Vec::new();
            for receiver in self.receivers.borrow().iter() {
                // A receiver that is gone is taken out by its own task.
                if let Ok(rest @ [_, ..]) = try_write(receiver, &self.buffer.borrow()[..length]) {
                    late.push((Rc::clone(receiver), rest.to_vec()));
                }
            }
            for (receiver, rest) in late {
                // As above.
                let _ = write_all(&receiver, &rest).await;
            }
        }
    }

    /// Waits for bytes and reads them into the thread's buffer; 0 at the end of the stream. The buffer is borrowed
    /// only while polled, and its content is the caller's until the caller next waits.
    async fn read(&self, from: &mut OwnedReadHalf) -> io::Result<usize> {
        std::future::poll_fn(|context| {
            let mut buffer = self.buffer.borrow_mut();
            let mut unfilled = ReadBuf::new(&mut buffer);
            Pin::new(&mut *from).poll_read(context, &mut unfilled).map_ok(|()| unfilled.filled().len())
        })
        .await
    }
}

/// Writes without waiting; gives what did not fit.
fn try_write<'a>(stream: &OwnedWriteHalf, mut bytes: &'a [u8]) -> io::Result<&'a [u8]> {
    while !bytes.is_empty() {
        match stream.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

async fn write_all(stream: &OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    loop {
        rest = try_write(stream, rest)?;
        if rest.is_empty() {
            return Ok(());
        }
        stream.writable().await?;
    }
}

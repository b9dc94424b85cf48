//! From an endpoint to a connected socket.

use super::endpoint::Place;
use super::error::ConnectCause;
use crate::socket::{SocketOptions, Stream};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;

/// More addresses of one name are not tried.
const ADDRESSES_MAX: usize = 16;

/// So long an address may stay silent while there is another to try.
const SILENCE_MAX: Duration = Duration::from_secs(3);

pub(super) async fn dial(place: &Place, options: &SocketOptions) -> Result<Stream, ConnectCause> {
    match place {
        Place::Tcp { host, port, .. } => dial_tcp(&resolve(host, *port).await?, options).await,
        Place::Unix(path) => Stream::connect_unix(path)
            .await
            .map_err(|source| ConnectCause::Unreachable { addresses: path.display().to_string(), source }),
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectCause> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let failed = |source| ConnectCause::Resolve { host: host.to_owned(), source };
    let found = tokio::net::lookup_host((host, port)).await.map_err(failed)?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
        false => Ok(addresses),
    }
}

/// Tries the addresses in order. The last one has as much time as the system gives it; the caller has the deadline.
async fn dial_tcp(addresses: &[SocketAddr], options: &SocketOptions) -> Result<Stream, ConnectCause> {
    let mut outcome = Err(io::ErrorKind::NotFound.into());
    for (index, address) in addresses.iter().enumerate() {
        let connecting = Stream::connect_tcp(*address, options);
        outcome = match index + 1 < addresses.len() {
            true => {
                timeout(SILENCE_MAX, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            false => connecting.await,
        };
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(|source| {
        let tried: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        ConnectCause::Unreachable { addresses: tried.join(", "), source }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_refuses_is_left_for_the_next() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = gone.local_addr().unwrap();
        drop(gone);
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let options = SocketOptions::default();
        let stream = dial_tcp(&[refusing, open, refusing], &options).await.unwrap();
        assert_eq!(stream.peer_address().unwrap().to_string(), open.to_string());
        let error = dial_tcp(&[refusing, refusing], &options).await.unwrap_err().to_string();
        assert!(error.contains(&format!("no connection to {refusing}, {refusing};")), "{error}");
    }
}

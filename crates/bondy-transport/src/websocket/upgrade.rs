//! HTTP/1.1 on a stream until one request upgrades it to a WebSocket.
//!
//! hyper reads and answers; the [`handshake`] module judges upgrade requests, and everything else
//! goes to a handler given by the caller. hyper's buffers end with the upgrade: the stream comes back bare, with the
//! bytes that were read beyond the request. The future is large, so long-lived tasks should box it.
//!
//! This module opens no sockets, knows no paths but the one it is told, and spawns nothing.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::OnceLock;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::deflate::Extension;
use super::handshake::{self, Accepted, Policy, Rejection};

/// How requests on one connection are treated.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The path at which WebSockets are accepted; `None` accepts them at any.
    pub path: Option<&'static str>,
    /// What upgrades are offered.
    pub policy: Policy,
    /// The longest request head, in bytes; beyond it hyper answers 431.
    pub head_bytes_max: usize,
    /// The most header lines of a request; beyond it hyper answers 431.
    pub headers_max: usize,
    /// How long a request's head may take to arrive, and so how long a connection may idle between requests.
    pub head_timeout: Duration,
}

/// How a connection's life as HTTP ended.
#[derive(Debug)]
pub enum Outcome<S> {
    /// It is a WebSocket now; the response 101 has been sent.
    Upgraded(Box<Upgraded<S>>),
    /// It was closed by either side, in order.
    Closed,
}

/// A stream that speaks WebSocket from here on.
#[derive(Debug)]
pub struct Upgraded<S> {
    /// The stream that was given.
    pub stream: S,
    /// What was read from it after the request: the first bytes for the decoder.
    pub read: Bytes,
    /// The target of the request: its path and query.
    pub uri: Uri,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// The subprotocol that was agreed.
    pub subprotocol: Option<&'static str>,
    /// The compression that was agreed.
    pub extension: Option<Extension>,
}

/// What is known of an upgrade before the stream is free.
struct Agreed {
    uri: Uri,
    headers: HeaderMap,
    subprotocol: Option<&'static str>,
    extension: Option<Extension>,
}

/// Serves HTTP/1.1 on `stream` until a request upgrades it or it ends. Requests that ask for no WebSocket, or at
/// another path, are answered by `handler`. Once `shutdown` is done, the request in progress is finished and the
/// connection closed.
pub async fn serve<S, H, F>(
    stream: S,
    settings: &Settings,
    handler: H,
    shutdown: impl Future<Output = ()>,
) -> Result<Outcome<S>, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>>,
{
    let agreed = OnceLock::new();
    let (agreed_ref, handler) = (&agreed, &handler);
    let service = service_fn(move |request: Request<Incoming>| {
        // Boxed to be `Unpin`, which hyper wants where the stream is taken back.
        Box::pin(async move {
            let response = match asks_for_websocket(&request, settings.path) {
                true => respond(request, &settings.policy, agreed_ref),
                false => handler(request).await,
            };
            Ok::<_, Infallible>(response)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_headers(settings.headers_max)
        .max_header_size(settings.head_bytes_max)
        .max_buf_size(settings.head_bytes_max.max(HYPER_BUFFER_BYTES_MIN))
        .serve_connection(TokioIo::new(stream), service);
    let mut shutdown = pin!(shutdown);
    let mut is_shutting_down = false;
    poll_fn(|context| {
        if !is_shutting_down && shutdown.as_mut().poll(context).is_ready() {
            is_shutting_down = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(context)
    })
    .await?;
    let http1::Parts { io, read_buf: read, .. } = connection.into_parts();
    let mut stream = io.into_inner();
    let Some(Agreed { uri, headers, subprotocol, extension }) = agreed.into_inner() else {
        // The peer may have gone first, in which case there is nobody left to tell.
        drop(stream.shutdown().await);
        return Ok(Outcome::Closed);
    };
    let upgraded = Upgraded { stream, read, uri, headers, subprotocol, extension };
    Ok(Outcome::Upgraded(Box::new(upgraded)))
}

/// The least that hyper accepts as the size of its read buffer.
const HYPER_BUFFER_BYTES_MIN: usize = 8192;

fn asks_for_websocket<B>(request: &Request<B>, path: Option<&str>) -> bool {
    let values = request.headers().get_all(header::UPGRADE);
    let mut tokens = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    path.is_none_or(|path| request.uri().path() == path)
        && tokens.any(|token| token.trim().eq_ignore_ascii_case("websocket"))
}

fn respond<B>(request: Request<B>, policy: &Policy, agreed: &OnceLock<Agreed>) -> Response<Full<Bytes>> {
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let is_http_1_1 = request.version() == Version::HTTP_11;
    match handshake::accept(request.method().as_str(), is_http_1_1, headers, policy) {
        Ok(accepted) => {
            let response = accept(&accepted);
            let Accepted { subprotocol, extension, .. } = accepted;
            let (head, _) = request.into_parts();
            let (uri, headers) = (head.uri, head.headers);
            // hyper serves nothing after a 101, so this is the first.
            agreed.get_or_init(|| Agreed { uri, headers, subprotocol, extension });
            response
        }
        Err(rejection) => reject(rejection),
    }
}

fn accept(accepted: &Accepted) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let extension = accepted.extension.map(Extension::response);
    let headers = [
        (header::UPGRADE, Some("websocket")),
        (header::CONNECTION, Some("Upgrade")),
        (header::SEC_WEBSOCKET_ACCEPT, Some(accepted.accept_key.as_str())),
        (header::SEC_WEBSOCKET_PROTOCOL, accepted.subprotocol),
        (header::SEC_WEBSOCKET_EXTENSIONS, extension.as_deref()),
    ];
    for (name, value) in headers {
        // A name from the list of subprotocols that is no header value is left out rather than fatal.
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn reject(rejection: Rejection) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{rejection}\n")));
    *response.status_mut() = StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::BAD_REQUEST);
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    if rejection == Rejection::Version {
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

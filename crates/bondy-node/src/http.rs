//! What a listener answers to HTTP requests that ask for no WebSocket.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use crate::config::Serve;
use crate::listener::ListenerContext;
use crate::telemetry;

/// Answers one request; `is_full`: the listener has as many connections as it may have.
pub(crate) fn answer<B>(
    request: &Request<B>,
    listener: &ListenerContext,
    is_full: bool,
) -> Response<Full<Bytes>> {
    if is_full {
        let mut response = text(StatusCode::SERVICE_UNAVAILABLE, "too many connections, try again later\n");
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        return response;
    }
    if listener.config.serve.contains(&Serve::Admin)
        && let Some(response) = answer_admin(request, listener)
    {
        return response;
    }
    if request.uri().path() == "/ws" && listener.config.serve.contains(&Serve::Websocket) {
        let mut response = text(StatusCode::UPGRADE_REQUIRED, "connect with a WebSocket client\n");
        response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return response;
    }
    text(StatusCode::NOT_FOUND, "nothing is here\n")
}

/// `/ping`, `/ready` and `/metrics` need no credentials.
fn answer_admin<B>(request: &Request<B>, listener: &ListenerContext) -> Option<Response<Full<Bytes>>> {
    let path = request.uri().path();
    if !matches!(path, "/ping" | "/ready" | "/metrics") {
        return None;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    Some(match path {
        "/ping" => empty(StatusCode::NO_CONTENT),
        "/ready" if listener.node.is_draining() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the node is shutting down\n")
        }
        "/ready" => empty(StatusCode::NO_CONTENT),
        _ => {
            let mut response = Response::new(Full::from(telemetry::metrics(&listener.node)));
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
            response
        }
    })
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

//! What the clients of calls send. The arguments of a CALL name its caller, its number and the chunk; those of an
//! answer name the call that is answered.

use std::sync::Arc;

use bondy_router::realm::Realm;
use bondy_router::session::Session;
use bondy_router::turn::Turn;
use bondy_wamp::id::{PublicationId, RegistrationId, RequestId};
use bondy_wamp::message::{
    Attributes, Call, CallOptions, Cancel, CancelMode, Error, Message, MessageType, Published, Register,
    RegisterOptions, Unregister, Yield,
};
use bondy_wamp::payload::Payload;
use bondy_wamp::uri::MatchPolicy;

use super::{Act, Registers};
use crate::seat::SERIALIZER;

/// What everybody registers and calls.
pub(super) const PROCEDURE: &str = "com.example.procedure";

/// The request of a REGISTER or UNREGISTER: nothing depends on it.
const SOME_REQUEST: RequestId = RequestId(1000);

/// The timeout of calls that have one. Timers fire at any moment; the unit is that of the world's clock.
const TIMEOUT_MS: u64 = 1;

fn payload(args: &[u8]) -> Payload<'_> {
    Payload { serializer: SERIALIZER, args, kwargs: &[] }
}

fn send(realm: &Realm, session: &Arc<Session>, message: &Message<'_>, turn: &mut Turn) {
    // The answers of a callee never become a fan-out, and a client sees in its outbox that it has ended.
    let _ = realm.handle(session, message, turn);
}

/// One chunk of a CALL: the first is the CALL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub(super) request: u64,
    pub(super) procedure: &'a str,
    /// Caller, number of the call, number of the chunk.
    pub(super) numbers: [u64; 3],
    pub(super) has_more: bool,
    pub(super) has_timeout: bool,
}

pub(super) fn call(realm: &Realm, session: &Arc<Session>, chunk: Chunk<'_>, turn: &mut Turn) {
    let args = format!("{:?}", chunk.numbers);
    call_with(realm, session, chunk, &args, turn);
}

fn call_with(realm: &Realm, session: &Arc<Session>, chunk: Chunk<'_>, args: &str, turn: &mut Turn) {
    let call = Call {
        request: RequestId(chunk.request),
        options: CallOptions {
            receive_progress: true,
            progress: chunk.has_more,
            timeout_ms: if chunk.has_timeout { TIMEOUT_MS } else { 0 },
            ..CallOptions::none(SERIALIZER)
        },
        procedure: chunk.procedure.into(),
        payload: payload(args.as_bytes()),
    };
    send(realm, session, &Message::Call(call), turn);
}

/// CALL of a meta procedure.
pub(super) fn meta_call(
    realm: &Realm,
    session: &Arc<Session>,
    procedure: &str,
    args: &[u64],
    turn: &mut Turn,
) {
    let chunk = Chunk { request: 1, procedure, numbers: [0; 3], has_more: false, has_timeout: false };
    call_with(realm, session, chunk, &format!("{args:?}"), turn);
}

pub(super) fn cancel(realm: &Realm, session: &Arc<Session>, request: u64, mode: CancelMode, turn: &mut Turn) {
    let cancel = Cancel { request: RequestId(request), mode };
    send(realm, session, &Message::Cancel(cancel), turn);
}

pub(super) fn register(realm: &Realm, session: &Arc<Session>, registers: Registers, turn: &mut Turn) {
    let register = Register {
        request: SOME_REQUEST,
        options: RegisterOptions {
            match_policy: registers.match_policy,
            invoke: Some("roundrobin".into()),
            concurrency: registers.concurrency,
            force_reregister: registers.takes_over,
            ..RegisterOptions::default()
        },
        procedure: match registers.match_policy {
            MatchPolicy::Exact => PROCEDURE.into(),
            MatchPolicy::Prefix => "com.example.".into(),
            MatchPolicy::Wildcard => "com..procedure".into(),
        },
    };
    send(realm, session, &Message::Register(register), turn);
}

pub(super) fn unregister(realm: &Realm, session: &Arc<Session>, id: RegistrationId, turn: &mut Turn) {
    let unregister = Unregister { request: SOME_REQUEST, registration: id };
    send(realm, session, &Message::Unregister(unregister), turn);
}

/// A message that no client may send.
pub(super) fn violate(realm: &Realm, session: &Arc<Session>, turn: &mut Turn) {
    let published = Published { request: SOME_REQUEST, publication: PublicationId(1) };
    send(realm, session, &Message::Published(published), turn);
}

/// One part of the answer to an invocation of this call.
pub(super) fn answer(
    realm: &Realm,
    session: &Arc<Session>,
    id: u64,
    act: Act,
    call: (usize, u64),
    turn: &mut Turn,
) {
    let args = format!("[{},{}]", call.0, call.1);
    let (request, payload) = (RequestId(id), payload(args.as_bytes()));
    let attributes = Attributes::none(SERIALIZER);
    let uri = match act {
        Act::Progress | Act::Result => {
            let progress = act == Act::Progress;
            let message = Message::Yield(Yield { request, progress, options: attributes, payload });
            return send(realm, session, &message, turn);
        }
        Act::Unavailable => "wamp.error.unavailable",
        Act::Error | Act::OnInterrupt => "com.example.error",
    };
    let error = Error {
        request_type: MessageType::Invocation,
        request,
        details: attributes,
        error: uri.into(),
        payload,
    };
    send(realm, session, &Message::Error(error), turn);
}

//! From bytes to a message, strictly: what the specification calls a protocol violation is an error here.
//!
//! What it does not check: URIs (an invalid one is answered, not punished), and whether the message may be sent
//! in the state that its session is in.

mod pubsub;
mod rpc;
mod session;

use std::borrow::Cow;

use super::entries::{Entries, whole_number};
use super::{Attributes, Call, CallOptions, Identity, Message, MessageType, Publish, PublishOptions, Yield};
use crate::id::{ID_MAX, RequestId, SessionId};
use crate::payload::Payload;
use crate::serializer::{
    Decoder, Envelope, Items, Kind, ParseError, ParseErrorKind, Serializer, Token, envelope,
};
use crate::value::Value;

type Parsed<T> = std::result::Result<T, ParseError>;

/// Parses exactly one message; nothing may follow it.
///
/// # Errors
/// The bytes are not well-formed, or the message breaks the protocol. Where nothing but `args` or `kwargs` of a
/// request is wrong (so far as it was read) and the session need not end for it, [`ParseError::request`] is set.
pub fn parse<'a>(serializer: Serializer, bytes: &'a [u8]) -> Parsed<Message<'a>> {
    match usual(serializer, bytes) {
        Some(message) => Ok(message),
        None => parse_any(serializer, bytes),
    }
}

/// CALL, YIELD and PUBLISH without options, which most messages are. `None`: look properly.
#[inline(always)]
fn usual<'a>(serializer: Serializer, bytes: &'a [u8]) -> Option<Message<'a>> {
    const CALL: u64 = MessageType::Call as u64;
    const YIELD: u64 = MessageType::Yield as u64;
    const PUBLISH: u64 = MessageType::Publish as u64;
    let envelope = envelope(serializer, bytes, |code| match code {
        CALL | PUBLISH => Some(true),
        YIELD => Some(false),
        _ => None,
    })?;
    let Envelope { code, request: request @ 1..=ID_MAX, uri, args, kwargs } = envelope else { return None };
    let (request, payload) = (RequestId(request), Payload { serializer, args, kwargs });
    Some(match code {
        CALL => {
            let options = CallOptions::none(serializer);
            Message::Call(Call { request, options, procedure: Cow::Borrowed(uri), payload })
        }
        PUBLISH => {
            let options = PublishOptions::none(serializer);
            Message::Publish(Publish { request, options, topic: Cow::Borrowed(uri), payload })
        }
        _ => {
            Message::Yield(Yield { request, progress: false, options: Attributes::none(serializer), payload })
        }
    })
}

fn parse_any<'a>(serializer: Serializer, bytes: &'a [u8]) -> Parsed<Message<'a>> {
    let mut decoder = Decoder::message(serializer, bytes)?;
    let mut items = match decoder.token()? {
        Token::List(len) => decoder.enter(len, 0)?,
        _ => return Err(ParseErrorKind::Expected("a list as message").at(0)),
    };
    if !decoder.next_item(&mut items)? {
        return Err(ParseErrorKind::Malformed("a message must not be an empty list").at(0));
    }
    let start = decoder.offset();
    let code = match decoder.usual_unsigned() {
        Some(code) => code,
        None => match decoder.token()? {
            Token::Unsigned(code) => code,
            _ => return Err(ParseErrorKind::Expected("an integer as message type").at(start)),
        },
    };
    let Ok(message_type) = MessageType::try_from(code) else {
        return Err(ParseErrorKind::UnknownType(code).at(start));
    };
    Elements { decoder, items, message_type }.message()
}

/// The elements of a message after its type, while they are read.
struct Elements<'a> {
    decoder: Decoder<'a>,
    items: Items,
    message_type: MessageType,
}

impl<'a> Elements<'a> {
    fn message(mut self) -> Parsed<Message<'a>> {
        let message = match self.message_type {
            MessageType::Hello => Message::Hello(Box::new(self.hello()?)),
            MessageType::Welcome => Message::Welcome(Box::new(self.welcome()?)),
            MessageType::Abort => Message::Abort(self.abort()?),
            MessageType::Challenge => Message::Challenge(self.challenge()?),
            MessageType::Authenticate => Message::Authenticate(self.authenticate()?),
            MessageType::Goodbye => Message::Goodbye(self.goodbye()?),
            MessageType::Error => Message::Error(self.error()?),
            MessageType::Publish => Message::Publish(self.publish()?),
            MessageType::Published => Message::Published(self.published()?),
            MessageType::Subscribe => Message::Subscribe(self.subscribe()?),
            MessageType::Subscribed => Message::Subscribed(self.subscribed()?),
            MessageType::Unsubscribe => Message::Unsubscribe(self.unsubscribe()?),
            MessageType::Unsubscribed => Message::Unsubscribed(self.unsubscribed()?),
            MessageType::Event => Message::Event(self.event()?),
            MessageType::Call => Message::Call(self.call()?),
            MessageType::Cancel => Message::Cancel(self.cancel()?),
            MessageType::Result => Message::Result(self.result()?),
            MessageType::Register => Message::Register(self.register()?),
            MessageType::Registered => Message::Registered(self.registered()?),
            MessageType::Unregister => Message::Unregister(self.unregister()?),
            MessageType::Unregistered => Message::Unregistered(self.unregistered()?),
            MessageType::Invocation => Message::Invocation(self.invocation()?),
            MessageType::Interrupt => Message::Interrupt(self.interrupt()?),
            MessageType::Yield => Message::Yield(self.yielded()?),
        };
        if self.more()? {
            return Err(self.arity(false));
        }
        self.decoder.end()?;
        Ok(message)
    }

    /// Goes to the next element, if there is one.
    #[inline]
    fn more(&mut self) -> Parsed<bool> {
        self.decoder.next_item(&mut self.items)
    }

    /// Goes to the next element, which must be there.
    #[inline]
    fn required(&mut self) -> Parsed<usize> {
        if self.more()? { Ok(self.decoder.offset()) } else { Err(self.arity(true)) }
    }

    #[cold]
    fn arity(&self, missing: bool) -> ParseError {
        ParseErrorKind::Arity { message_type: self.message_type, missing }.at(self.decoder.offset())
    }

    #[cold]
    fn wrong(&self, element: &'static str, expected: &'static str, start: usize) -> ParseError {
        ParseErrorKind::Element { message_type: self.message_type, element, expected }.at(start)
    }

    /// An unsigned integer, if one stands next.
    #[inline]
    fn unsigned(&mut self) -> Parsed<Option<u64>> {
        if let Some(value) = self.decoder.usual_unsigned() {
            return Ok(Some(value));
        }
        match self.decoder.token()? {
            Token::Unsigned(value) => Ok(Some(value)),
            _ => Ok(None),
        }
    }

    /// A request id: an integer on the wire, from 1 to 2^53.
    #[inline]
    fn request(&mut self) -> Parsed<RequestId> {
        let start = self.required()?;
        match self.unsigned()? {
            Some(id @ 1..=ID_MAX) => Ok(RequestId(id)),
            _ => Err(self.wrong("Request", "an integer from 1 to 2^53", start)),
        }
    }

    /// The request id of a message that also tells of revocations, where it is 0.
    fn request_or_0(&mut self) -> Parsed<RequestId> {
        let start = self.required()?;
        match self.unsigned()? {
            Some(id @ 0..=ID_MAX) => Ok(RequestId(id)),
            _ => Err(self.wrong("Request", "an integer from 0 to 2^53", start)),
        }
    }

    /// Any other id: an integer, or an integral float, which some clients send.
    fn id(&mut self, element: &'static str) -> Parsed<u64> {
        let start = self.required()?;
        match whole_number(self.decoder.token()?) {
            Some(id) => Ok(id),
            None => Err(self.wrong(element, "an id", start)),
        }
    }

    /// A URI or another text.
    #[inline]
    fn text(&mut self, element: &'static str) -> Parsed<Cow<'a, str>> {
        let start = self.required()?;
        let token = self.decoder.token()?;
        match self.decoder.text_of(token, start) {
            Err(error) if matches!(error.kind, ParseErrorKind::Expected(_)) => {
                Err(self.wrong(element, "a string", start))
            }
            text => text,
        }
    }

    #[inline]
    fn entries(&mut self, element: &'static str) -> Parsed<Entries<'_, 'a>> {
        self.required()?;
        Entries::enter(&mut self.decoder, self.message_type, element)
    }

    /// An options or details dictionary as a tree.
    fn dict_value(&mut self, element: &'static str) -> Parsed<Value> {
        let mut entries = self.entries(element)?;
        let mut values = std::collections::BTreeMap::new();
        while let Some(key) = entries.next()? {
            values.insert(key.into_owned(), entries.value()?);
        }
        Ok(Value::Dict(values))
    }

    fn no_attributes(&self) -> Attributes<'a> {
        Attributes::none(self.decoder.serializer())
    }

    /// The arguments that end a message. With the legacy `enc_algo` they are one bare binary.
    #[inline]
    fn payload(&mut self, request: RequestId, attributes: &Attributes<'a>) -> Parsed<Payload<'a>> {
        let mut payload = Payload::none(self.decoder.serializer());
        if !self.more()? {
            return Ok(payload);
        }
        let start = self.decoder.offset();
        let kind = if self.decoder.usual_list() { Kind::List } else { self.payload_kind(request)? };
        let bare = kind != Kind::List && self.is_bare(attributes)?;
        if !matches!(kind, Kind::List | Kind::Null) && !bare {
            return Err(self.wrong("Arguments", "a list", start));
        }
        payload.args = self.present_part(kind, request)?;
        if bare || !self.more()? {
            return Ok(payload);
        }
        let start = self.decoder.offset();
        let kind = if self.decoder.usual_dict() { Kind::Dict } else { self.payload_kind(request)? };
        if !matches!(kind, Kind::Dict | Kind::Null) {
            return Err(self.wrong("ArgumentsKw", "a dictionary", start));
        }
        payload.kwargs = self.present_part(kind, request)?;
        Ok(payload)
    }

    /// One part of the payload. Null counts as absent: a widely used client writes it before `kwargs` without `args`.
    #[inline]
    fn present_part(&mut self, kind: Kind, request: RequestId) -> Parsed<&'a [u8]> {
        let part = self.skip_part(request)?;
        Ok(if kind == Kind::Null { &[] } else { part })
    }

    /// Is this the one opaque binary of a message with `enc_algo`? (JSON writes binary as a string.)
    #[cold]
    fn is_bare(&self, attributes: &Attributes<'a>) -> Parsed<bool> {
        let legacy = attributes.entries.iter().any(|(key, _)| key == "enc_algo");
        Ok(legacy && self.decoder.clone().token()?.is_binary())
    }

    #[inline]
    fn payload_kind(&mut self, request: RequestId) -> Parsed<Kind> {
        match self.decoder.kind() {
            Ok(kind) => Ok(kind),
            Err(error) => Err(self.in_payload(error, request)),
        }
    }

    #[inline]
    fn skip_part(&mut self, request: RequestId) -> Parsed<&'a [u8]> {
        match self.decoder.skip_item(true) {
            Ok(part) => Ok(part),
            Err(error) => Err(self.in_payload(error, request)),
        }
    }

    /// Text that no other serializer could carry is the sender's problem, not a broken session.
    #[cold]
    fn in_payload(&self, error: ParseError, request: RequestId) -> ParseError {
        let answerable = error.kind == ParseErrorKind::LoneSurrogate;
        ParseError { request: answerable.then_some((self.message_type, request)), ..error }
    }
}

/// An identity of which some parts have been read. What is not disclosed stays 0 or empty.
#[derive(Default)]
struct PartialIdentity<'a> {
    session: Option<u64>,
    authid: Option<Cow<'a, str>>,
    authrole: Option<Cow<'a, str>>,
}

impl<'a> PartialIdentity<'a> {
    fn complete(self) -> Option<Identity<'a>> {
        let session = SessionId(self.session.unwrap_or(0));
        let (authid, authrole) = (self.authid.unwrap_or_default(), self.authrole.unwrap_or_default());
        let disclosed = session.0 != 0 || !authid.is_empty() || !authrole.is_empty();
        disclosed.then_some(Identity { session, authid, authrole })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    /// Messages of the usual shape, with payloads of every kind.
    fn usual_messages(serializer: Serializer) -> Vec<Vec<u8>> {
        let args =
            Value::List(vec![1.into(), "text".into(), Value::Null, Value::List(vec![])]).to_bytes(serializer);
        let kwargs: Value = [("key", Value::Float(0.5)), ("a longer key", [("x", 7.into())].into())].into();
        let kwargs = kwargs.to_bytes(serializer);
        let empty = Value::List(vec![]).to_bytes(serializer);
        let payloads = [(&[][..], &[][..]), (&args, &[]), (&empty, &kwargs), (&args, &kwargs)];
        let mut messages = Vec::new();
        for (args, kwargs) in payloads {
            let payload = Payload { serializer, args, kwargs };
            for request in [1, 300, ID_MAX] {
                let request = RequestId(request);
                let (call, publish) = (CallOptions::none(serializer), PublishOptions::none(serializer));
                let options = Attributes::none(serializer);
                messages.extend(
                    [
                        Message::Call(Call {
                            request,
                            options: call,
                            procedure: "com.example.add".into(),
                            payload,
                        }),
                        Message::Publish(Publish { request, options: publish, topic: "a.b".into(), payload }),
                        Message::Yield(Yield { request, progress: false, options, payload }),
                    ]
                    .map(|message| {
                        let mut bytes = Vec::new();
                        message.encode(serializer, &mut bytes).unwrap();
                        bytes
                    }),
                );
            }
        }
        messages
    }

    #[test]
    fn the_usual_shape_is_recognised() {
        for serializer in Serializer::ALL {
            for bytes in usual_messages(serializer) {
                assert_eq!(
                    usual(serializer, &bytes),
                    parse_any(serializer, &bytes).ok(),
                    "{serializer} {bytes:?}"
                );
            }
        }
    }

    #[test]
    fn a_message_with_any_byte_changed_is_read_as_the_decoder_reads_it() {
        for serializer in Serializer::ALL {
            for mut bytes in usual_messages(serializer) {
                for position in 0..bytes.len() {
                    let original = bytes[position];
                    for byte in 0..=255 {
                        bytes[position] = byte;
                        if let Some(message) = usual(serializer, &bytes) {
                            assert_eq!(Ok(message), parse_any(serializer, &bytes), "{serializer} {bytes:?}");
                        }
                    }
                    bytes[position] = original;
                    if let Some(message) = usual(serializer, &bytes[..position]) {
                        panic!("a message cut at {position} is taken for {message:?}");
                    }
                }
            }
        }
    }
}

//! From a message to bytes.
//!
//! Every message is a head and a tail (see [`Head`](super::Head)). Options and details at their defaults are left
//! out, and so are empty `args` and `kwargs`.

mod pubsub;
mod rpc;
mod session;

use super::{Attributes, Identity, Message, head};
use crate::buffer::Buffer;
use crate::serializer::{Encoder, Serializer, TranscodeError};
use crate::uri::MatchPolicy;

type Encoded = std::result::Result<(), TranscodeError>;

impl Message<'_> {
    /// Appends the message.
    ///
    /// # Errors
    /// `args`, `kwargs` or an attribute that has to be re-encoded is not well-formed. Nothing is appended then.
    pub fn encode(&self, serializer: Serializer, out: &mut Buffer) -> Encoded {
        let start = out.len();
        let outcome = self.encode_unchecked(serializer, out);
        if outcome.is_err() {
            out.truncate(start);
        }
        outcome
    }

    fn encode_unchecked(&self, serializer: Serializer, out: &mut Buffer) -> Encoded {
        let (elements, first) = self.elements_and_first();
        match first {
            Some(first) => {
                out.extend_from_slice(head(serializer, elements, self.message_type(), first).as_bytes());
                self.encode_tail(&mut Encoder::tail(serializer, out))
            }
            None => {
                let mut encoder = Encoder::new(serializer, out);
                encoder.begin_list(elements);
                encoder.unsigned(self.message_type().code());
                self.encode_tail(&mut encoder)
            }
        }
    }

    /// The number of elements, and the integer behind the type, if one stands there.
    fn elements_and_first(&self) -> (usize, Option<u64>) {
        match self {
            Message::Hello(_)
            | Message::Abort(_)
            | Message::Challenge(_)
            | Message::Authenticate(_)
            | Message::Goodbye(_) => (3, None),
            Message::Welcome(message) => (3, Some(message.session.0)),
            Message::Error(message) => (message.elements(), Some(message.request_type.code())),
            Message::Publish(message) => (message.elements(), Some(message.request.0)),
            Message::Published(message) => (3, Some(message.request.0)),
            Message::Subscribe(message) => (4, Some(message.request.0)),
            Message::Subscribed(message) => (3, Some(message.request.0)),
            Message::Unsubscribe(message) => (3, Some(message.request.0)),
            Message::Unsubscribed(message) => (message.elements(), Some(message.request.0)),
            Message::Event(message) => (message.elements(), Some(message.subscription.0)),
            Message::Call(message) => (message.elements(), Some(message.request.0)),
            Message::Cancel(message) => (3, Some(message.request.0)),
            Message::Result(message) => (message.elements(), Some(message.request.0)),
            Message::Register(message) => (4, Some(message.request.0)),
            Message::Registered(message) => (3, Some(message.request.0)),
            Message::Unregister(message) => (3, Some(message.request.0)),
            Message::Unregistered(message) => (message.elements(), Some(message.request.0)),
            Message::Invocation(message) => (message.elements(), Some(message.request.0)),
            Message::Interrupt(message) => (3, Some(message.request.0)),
            Message::Yield(message) => (message.elements(), Some(message.request.0)),
        }
    }

    fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        match self {
            Message::Hello(message) => message.encode_tail(encoder),
            Message::Welcome(message) => message.encode_tail(encoder),
            Message::Abort(message) => message.encode_tail(encoder),
            Message::Challenge(message) => message.encode_tail(encoder),
            Message::Authenticate(message) => message.encode_tail(encoder),
            Message::Goodbye(message) => message.encode_tail(encoder),
            Message::Error(message) => return message.encode_tail(encoder),
            Message::Publish(message) => return message.encode_tail(encoder),
            Message::Published(message) => message.encode_tail(encoder),
            Message::Subscribe(message) => message.encode_tail(encoder),
            Message::Subscribed(message) => message.encode_tail(encoder),
            Message::Unsubscribe(message) => message.encode_tail(encoder),
            Message::Unsubscribed(message) => message.encode_tail(encoder),
            Message::Event(message) => return message.encode_tail(encoder),
            Message::Call(message) => return message.encode_tail(encoder),
            Message::Cancel(message) => message.encode_tail(encoder),
            Message::Result(message) => return message.encode_tail(encoder),
            Message::Register(message) => message.encode_tail(encoder),
            Message::Registered(message) => message.encode_tail(encoder),
            Message::Unregister(message) => message.encode_tail(encoder),
            Message::Unregistered(message) => message.encode_tail(encoder),
            Message::Invocation(message) => return message.encode_tail(encoder),
            Message::Interrupt(message) => message.encode_tail(encoder),
            Message::Yield(message) => return message.encode_tail(encoder),
        }
        Ok(())
    }
}

fn flag_entry(encoder: &mut Encoder<'_>, key: &str, set: bool) {
    if set {
        encoder.key(key);
        encoder.bool(true);
    }
}

fn number_entry(encoder: &mut Encoder<'_>, key: &str, number: Option<u64>) {
    if let Some(number) = number {
        encoder.key(key);
        encoder.unsigned(number);
    }
}

fn text_entry(encoder: &mut Encoder<'_>, key: &str, text: Option<&str>) {
    if let Some(text) = text {
        encoder.key(key);
        encoder.string(text);
    }
}

fn list_entry<T>(
    encoder: &mut Encoder<'_>,
    key: &str,
    items: Option<&[T]>,
    write: impl Fn(&mut Encoder<'_>, &T),
) {
    if let Some(items) = items {
        encoder.key(key);
        encoder.begin_list(items.len());
        items.iter().for_each(|item| write(encoder, item));
        encoder.end_list();
    }
}

/// What a non-zero number is written as; zero stands for absent.
fn non_zero(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number != 0)
}

fn count<const N: usize>(there: [bool; N]) -> usize {
    there.into_iter().map(usize::from).sum()
}

impl Attributes<'_> {
    fn encode(&self, encoder: &mut Encoder<'_>) -> Encoded {
        for (key, value) in &self.entries {
            encoder.key(key);
            encoder.item(self.serializer, value)?;
        }
        Ok(())
    }
}

impl Identity<'_> {
    /// The parts that are disclosed.
    fn entries(&self) -> usize {
        count([self.session.0 != 0, !self.authid.is_empty(), !self.authrole.is_empty()])
    }

    fn encode(&self, keys: [&str; 3], encoder: &mut Encoder<'_>) {
        let [session, authid, authrole] = keys;
        number_entry(encoder, session, non_zero(self.session.0));
        text_entry(encoder, authid, Some(&*self.authid).filter(|text| !text.is_empty()));
        text_entry(encoder, authrole, Some(&*self.authrole).filter(|text| !text.is_empty()));
    }
}

/// The name of any policy but the default.
fn match_entry(policy: MatchPolicy) -> Option<&'static str> {
    Some(policy.as_str()).filter(|_| policy != MatchPolicy::default())
}

/// What an UNSUBSCRIBED or UNREGISTERED that nobody asked for carries.
fn encode_revocation(key: &str, id: u64, reason: &str, encoder: &mut Encoder<'_>) {
    encoder.begin_dict(2);
    number_entry(encoder, key, Some(id));
    text_entry(encoder, "reason", Some(reason));
    encoder.end_dict();
}

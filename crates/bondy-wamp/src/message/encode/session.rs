//! The messages that open and close sessions, and ERROR.

use super::{Encoded, text_entry};
use crate::message::{Abort, Authenticate, Challenge, Error, Goodbye, Hello, Welcome, hello};
use crate::serializer::Encoder;

impl Hello {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.string(&self.realm);
        hello::encode_details(&self.details, encoder);
        encoder.end_list();
    }
}

impl Welcome {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        self.details.encode(encoder);
        encoder.end_list();
    }
}

impl Abort<'_> {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encode_message_detail(self.message.as_deref(), encoder);
        encoder.string(&self.reason);
        encoder.end_list();
    }
}

impl Challenge {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.string(&self.authmethod);
        self.extra.encode(encoder);
        encoder.end_list();
    }
}

impl Authenticate {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.string(&self.signature);
        self.extra.encode(encoder);
        encoder.end_list();
    }
}

impl Goodbye<'_> {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encode_message_detail(self.message.as_deref(), encoder);
        encoder.string(&self.reason);
        encoder.end_list();
    }
}

fn encode_message_detail(message: Option<&str>, encoder: &mut Encoder<'_>) {
    encoder.begin_dict(usize::from(message.is_some()));
    text_entry(encoder, "message", message);
    encoder.end_dict();
}

impl Error<'_> {
    /// How many elements the whole message has.
    pub fn elements(&self) -> usize {
        5 + self.payload.elements()
    }

    /// Appends everything behind the type of the request, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        encoder.unsigned(self.request.0);
        encoder.begin_dict(self.details.entries.len());
        self.details.encode(encoder)?;
        encoder.end_dict();
        encoder.string(&self.error);
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

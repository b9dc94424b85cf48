//! The messages of callers and callees.

use super::{Encoded, count, encode_revocation, flag_entry, match_entry, non_zero, number_entry, text_entry};
use crate::message::{
    Attributes, Call, CallOptions, Cancel, CancelMode, Identity, Interrupt, Invocation, InvocationDetails,
    Register, RegisterOptions, Registered, Result, Unregister, Unregistered, Yield,
};
use crate::serializer::Encoder;

impl Call<'_> {
    /// How many elements the whole message has.
    #[inline]
    pub fn elements(&self) -> usize {
        4 + self.payload.elements()
    }

    /// Appends everything behind the request id, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    #[inline]
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        self.options.encode(encoder)?;
        encoder.string(&self.procedure);
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

impl CallOptions<'_> {
    fn encode(&self, encoder: &mut Encoder<'_>) -> Encoded {
        let flags = [self.receive_progress, self.progress, self.disclose_me];
        let optional = [self.timeout_ms != 0, !self.rkey.is_empty()];
        encoder.begin_dict(count(flags) + count(optional) + self.attributes.entries.len());
        flag_entry(encoder, "receive_progress", self.receive_progress);
        flag_entry(encoder, "progress", self.progress);
        number_entry(encoder, "timeout", non_zero(self.timeout_ms));
        flag_entry(encoder, "disclose_me", self.disclose_me);
        if !self.rkey.is_empty() {
            encoder.key("rkey");
            encoder.item(self.attributes.serializer, self.rkey)?;
        }
        self.attributes.encode(encoder)?;
        encoder.end_dict();
        Ok(())
    }
}

impl Cancel {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encode_mode(self.mode, encoder);
        encoder.end_list();
    }
}

impl Interrupt {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encode_mode(self.mode, encoder);
        encoder.end_list();
    }
}

/// The mode is written even if it is the default, because the specification never states the default.
fn encode_mode(mode: CancelMode, encoder: &mut Encoder<'_>) {
    encoder.begin_dict(1);
    text_entry(encoder, "mode", Some(mode.as_str()));
    encoder.end_dict();
}

impl Result<'_> {
    /// How many elements the whole message has.
    #[inline]
    pub fn elements(&self) -> usize {
        3 + self.payload.elements()
    }

    /// Appends everything behind the request id, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    #[inline]
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        encode_progress(self.progress, &self.details, encoder)?;
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

impl Yield<'_> {
    /// How many elements the whole message has.
    #[inline]
    pub fn elements(&self) -> usize {
        3 + self.payload.elements()
    }

    /// Appends everything behind the request id, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    #[inline]
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        encode_progress(self.progress, &self.options, encoder)?;
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

fn encode_progress(progress: bool, attributes: &Attributes<'_>, encoder: &mut Encoder<'_>) -> Encoded {
    encoder.begin_dict(usize::from(progress) + attributes.entries.len());
    flag_entry(encoder, "progress", progress);
    attributes.encode(encoder)?;
    encoder.end_dict();
    Ok(())
}

impl Register<'_> {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        self.options.encode(encoder);
        encoder.string(&self.procedure);
        encoder.end_list();
    }
}

impl RegisterOptions<'_> {
    fn encode(&self, encoder: &mut Encoder<'_>) {
        let policy = match_entry(self.match_policy);
        let optional = [policy.is_some(), self.invoke.is_some(), self.concurrency != 0];
        let flags = [self.force_reregister, self.disclose_caller, self.forward_timeout];
        encoder.begin_dict(count(optional) + count(flags));
        text_entry(encoder, "match", policy);
        text_entry(encoder, "invoke", self.invoke.as_deref());
        number_entry(encoder, "concurrency", non_zero(self.concurrency.into()));
        flag_entry(encoder, "force_reregister", self.force_reregister);
        flag_entry(encoder, "disclose_caller", self.disclose_caller);
        flag_entry(encoder, "forward_timeout", self.forward_timeout);
        encoder.end_dict();
    }
}

impl Registered {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.unsigned(self.registration.0);
        encoder.end_list();
    }
}

impl Unregister {
    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        encoder.unsigned(self.registration.0);
        encoder.end_list();
    }
}

impl Unregistered {
    pub(super) fn elements(&self) -> usize {
        2 + usize::from(self.revoked.is_some())
    }

    pub(super) fn encode_tail(&self, encoder: &mut Encoder<'_>) {
        if let Some((registration, reason)) = &self.revoked {
            encode_revocation("registration", registration.0, reason, encoder);
        }
        encoder.end_list();
    }
}

impl Invocation<'_> {
    /// How many elements the whole message has.
    #[inline]
    pub fn elements(&self) -> usize {
        4 + self.payload.elements()
    }

    /// Appends everything behind the request id, to the end of the list.
    ///
    /// # Errors
    /// As [`Message::encode`](crate::message::Message::encode), but what was appended until then stays.
    #[inline]
    pub fn encode_tail(&self, encoder: &mut Encoder<'_>) -> Encoded {
        encoder.unsigned(self.registration.0);
        self.details.encode(encoder)?;
        self.payload.encode(encoder)?;
        encoder.end_list();
        Ok(())
    }
}

impl InvocationDetails<'_> {
    fn encode(&self, encoder: &mut Encoder<'_>) -> Encoded {
        let flags = [self.receive_progress, self.progress];
        let optional = [self.timeout_ms != 0, self.procedure.is_some(), self.trustlevel.is_some()];
        let caller = self.caller.as_ref().map_or(0, Identity::entries);
        let entries = count(flags) + count(optional) + caller + self.attributes.entries.len();
        encoder.begin_dict(entries);
        if entries == 0 {
            encoder.end_dict();
            return Ok(());
        }
        flag_entry(encoder, "receive_progress", self.receive_progress);
        flag_entry(encoder, "progress", self.progress);
        number_entry(encoder, "timeout", non_zero(self.timeout_ms));
        text_entry(encoder, "procedure", self.procedure.as_deref());
        if let Some(caller) = &self.caller {
            caller.encode(["caller", "caller_authid", "caller_authrole"], encoder);
        }
        number_entry(encoder, "trustlevel", self.trustlevel);
        self.attributes.encode(encoder)?;
        encoder.end_dict();
        Ok(())
    }
}

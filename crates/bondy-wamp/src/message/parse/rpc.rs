//! The messages of callers and callees.

use super::{Elements, Parsed, PartialIdentity};
use crate::id::RegistrationId;
use crate::message::{
    Attributes, Call, CallOptions, Cancel, CancelMode, Interrupt, Invocation, InvocationDetails, Register,
    RegisterOptions, Registered, Result, Unregister, Unregistered, Yield,
};

impl<'a> Elements<'a> {
    pub(super) fn call(&mut self) -> Parsed<Call<'a>> {
        let request = self.request()?;
        let options = self.call_options()?;
        let procedure = self.text("Procedure")?;
        let payload = self.payload(request, &options.attributes)?;
        Ok(Call { request, options, procedure, payload })
    }

    pub(super) fn call_options(&mut self) -> Parsed<CallOptions<'a>> {
        let mut options = CallOptions::none(self.decoder.serializer());
        let mut entries = self.entries("Options")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "receive_progress" => options.receive_progress = entries.flag("receive_progress")?,
                "progress" => options.progress = entries.flag("progress")?,
                "timeout" => options.timeout_ms = entries.number("timeout")?.unwrap_or(0),
                "disclose_me" => options.disclose_me = entries.flag("disclose_me")?,
                "rkey" => options.rkey = entries.raw()?.unwrap_or_default(),
                _ => entries.other(key, &mut options.attributes)?,
            }
        }
        Ok(options)
    }

    pub(super) fn cancel(&mut self) -> Parsed<Cancel> {
        Ok(Cancel { request: self.request()?, mode: self.cancel_mode()? })
    }

    pub(super) fn interrupt(&mut self) -> Parsed<Interrupt> {
        Ok(Interrupt { request: self.request()?, mode: self.cancel_mode()? })
    }

    pub(super) fn cancel_mode(&mut self) -> Parsed<CancelMode> {
        let mut mode = CancelMode::default();
        let mut entries = self.entries("Options")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "mode" => mode = entries.cancel_mode("mode")?.unwrap_or_default(),
                other => entries.unused(other)?,
            }
        }
        Ok(mode)
    }

    pub(super) fn result(&mut self) -> Parsed<Result<'a>> {
        let request = self.request()?;
        let (progress, details) = self.progress_and_attributes("Details")?;
        let payload = self.payload(request, &details)?;
        Ok(Result { request, progress, details, payload })
    }

    pub(super) fn yielded(&mut self) -> Parsed<Yield<'a>> {
        let request = self.request()?;
        let (progress, options) = self.progress_and_attributes("Options")?;
        let payload = self.payload(request, &options)?;
        Ok(Yield { request, progress, options, payload })
    }

    pub(super) fn progress_and_attributes(
        &mut self,
        element: &'static str,
    ) -> Parsed<(bool, Attributes<'a>)> {
        let mut progress = false;
        let mut attributes = self.no_attributes();
        let mut entries = self.entries(element)?;
        while let Some(key) = entries.next()? {
            match &*key {
                "progress" => progress = entries.flag("progress")?,
                _ => entries.other(key, &mut attributes)?,
            }
        }
        Ok((progress, attributes))
    }

    pub(super) fn register(&mut self) -> Parsed<Register<'a>> {
        let request = self.request()?;
        let mut options = RegisterOptions::default();
        let mut entries = self.entries("Options")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "match" => options.match_policy = entries.match_policy("match")?.unwrap_or_default(),
                "invoke" => options.invoke = entries.text("invoke")?,
                "concurrency" => options.concurrency = entries.number_32("concurrency")?.unwrap_or(0),
                "force_reregister" => options.force_reregister = entries.flag("force_reregister")?,
                "disclose_caller" => options.disclose_caller = entries.flag("disclose_caller")?,
                "forward_timeout" => options.forward_timeout = entries.flag("forward_timeout")?,
                other => entries.unused(other)?,
            }
        }
        Ok(Register { request, options, procedure: self.text("Procedure")? })
    }

    pub(super) fn registered(&mut self) -> Parsed<Registered> {
        Ok(Registered { request: self.request()?, registration: RegistrationId(self.id("Registration")?) })
    }

    pub(super) fn unregister(&mut self) -> Parsed<Unregister> {
        Ok(Unregister { request: self.request()?, registration: RegistrationId(self.id("Registration")?) })
    }

    pub(super) fn unregistered(&mut self) -> Parsed<Unregistered> {
        let request = self.request_or_0()?;
        let revoked = self.revocation("registration")?;
        Ok(Unregistered { request, revoked: revoked.map(|(id, reason)| (RegistrationId(id), reason)) })
    }

    pub(super) fn invocation(&mut self) -> Parsed<Invocation<'a>> {
        let request = self.request()?;
        let registration = RegistrationId(self.id("Registration")?);
        let details = self.invocation_details()?;
        let payload = self.payload(request, &details.attributes)?;
        Ok(Invocation { request, registration, details, payload })
    }

    pub(super) fn invocation_details(&mut self) -> Parsed<InvocationDetails<'a>> {
        let mut details = InvocationDetails::none(self.decoder.serializer());
        let mut caller = PartialIdentity::default();
        let mut entries = self.entries("Details")?;
        while let Some(key) = entries.next()? {
            match &*key {
                "receive_progress" => details.receive_progress = entries.flag("receive_progress")?,
                "progress" => details.progress = entries.flag("progress")?,
                "timeout" => details.timeout_ms = entries.number("timeout")?.unwrap_or(0),
                "procedure" => details.procedure = entries.text("procedure")?,
                "caller" => caller.session = entries.number("caller")?,
                "caller_authid" => caller.authid = entries.text("caller_authid")?,
                "caller_authrole" => caller.authrole = entries.text("caller_authrole")?,
                "trustlevel" => details.trustlevel = entries.number("trustlevel")?,
                _ => entries.other(key, &mut details.attributes)?,
            }
        }
        details.caller = caller.complete();
        Ok(details)
    }
}

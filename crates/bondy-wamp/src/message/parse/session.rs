//! The messages that open and close sessions, and ERROR.

use std::borrow::Cow;

use super::{Elements, Parsed};
use crate::id::{RequestId, SessionId};
use crate::message::{Abort, Authenticate, Challenge, Error, Goodbye, Hello, MessageType, Welcome, hello};
use crate::serializer::Token;

impl<'a> Elements<'a> {
    pub(super) fn hello(&mut self) -> Parsed<Hello> {
        let realm = self.text("Realm")?.into_owned();
        self.required()?;
        Ok(Hello { realm, details: hello::details(&mut self.decoder)? })
    }

    pub(super) fn welcome(&mut self) -> Parsed<Welcome> {
        Ok(Welcome { session: SessionId(self.id("Session")?), details: self.dict_value("Details")? })
    }

    pub(super) fn challenge(&mut self) -> Parsed<Challenge> {
        Ok(Challenge { authmethod: self.text("AuthMethod")?.into_owned(), extra: self.dict_value("Extra")? })
    }

    pub(super) fn authenticate(&mut self) -> Parsed<Authenticate> {
        Ok(Authenticate { signature: self.text("Signature")?.into_owned(), extra: self.dict_value("Extra")? })
    }

    pub(super) fn abort(&mut self) -> Parsed<Abort<'a>> {
        let message = self.details_message()?;
        let reason = self.text("Reason")?;
        // Newer texts of the specification allow arguments, which nothing reads.
        self.payload(RequestId(0), &self.no_attributes())?;
        Ok(Abort { message, reason })
    }

    pub(super) fn goodbye(&mut self) -> Parsed<Goodbye<'a>> {
        Ok(Goodbye { message: self.details_message()?, reason: self.text("Reason")? })
    }

    pub(super) fn details_message(&mut self) -> Parsed<Option<Cow<'a, str>>> {
        let mut entries = self.entries("Details")?;
        let mut message = None;
        while let Some(key) = entries.next()? {
            match &*key {
                "message" => message = entries.text("message")?,
                _ => entries.skip()?,
            }
        }
        Ok(message)
    }

    pub(super) fn error(&mut self) -> Parsed<Error<'a>> {
        let start = self.required()?;
        let request_type = match self.decoder.token()? {
            Token::Unsigned(code) => MessageType::try_from(code).ok(),
            _ => None,
        };
        let Some(request_type) = request_type else {
            return Err(self.wrong("REQUEST.Type", "the type of a message", start));
        };
        let request = self.request()?;
        let mut details = self.no_attributes();
        let mut entries = self.entries("Details")?;
        while let Some(key) = entries.next()? {
            entries.other(key, &mut details)?;
        }
        let error = self.text("Error")?;
        let payload = self.payload(request, &details)?;
        Ok(Error { request_type, request, details, error, payload })
    }
}

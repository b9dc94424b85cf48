//! HELLO: what a client announces about itself.

use super::entries::Entries;
use super::{HelloDetails, MessageType};
use crate::feature::{Feature, Features, WampRole};
use crate::serializer::{Decoder, Encoder, ParseError};

/// A misspelling of `call_canceling` in one chapter of the specification, which some clients follow.
const CALL_CANCELING_MISSPELT: &str = "call_cancelling";

type Parsed<T> = std::result::Result<T, ParseError>;

/// Reads the details of HELLO.
pub(super) fn details(decoder: &mut Decoder<'_>) -> Parsed<HelloDetails> {
    let mut details = HelloDetails::default();
    let mut entries = Entries::enter(decoder, MessageType::Hello, "Details")?;
    while let Some(key) = entries.next()? {
        match &*key {
            "roles" => details.features = roles(&mut entries)?,
            "agent" => details.agent = entries.text("agent")?.map(Into::into),
            "authmethods" => details.authmethods = entries.texts("authmethods")?,
            "authid" => details.authid = entries.text("authid")?.map(Into::into),
            "authrole" => details.authrole = entries.text("authrole")?.map(Into::into),
            "authextra" => details.authextra = entries.dict_value("authextra")?,
            _ => entries.skip()?,
        }
    }
    Ok(details)
}

/// Roles and features. Unknown ones are ignored; the flag of a known feature must be a boolean.
fn roles(entries: &mut Entries<'_, '_>) -> Parsed<Features> {
    let mut features = Features::default();
    entries.dict("roles", |roles, name| {
        let Some((role, key)) = WampRole::ALL.iter().find(|(_, known)| *known == name) else {
            return roles.skip();
        };
        let announced = roles.dict(key, |role_entries, key| match key {
            "features" => role_features(role_entries, *role, &mut features),
            _ => role_entries.skip(),
        })?;
        if announced {
            features.insert_role(*role);
        }
        Ok(())
    })?;
    Ok(features)
}

fn role_features(entries: &mut Entries<'_, '_>, role: WampRole, features: &mut Features) -> Parsed<()> {
    entries.dict("features", |flags, name| {
        let name = if name == CALL_CANCELING_MISSPELT { "call_canceling" } else { name };
        let known = Feature::ALL.iter().find(|(_, of, known)| *of == role && *known == name);
        let Some((feature, _, key)) = known else { return flags.skip() };
        if flags.flag(key)? {
            features.insert(*feature);
        }
        Ok(())
    })?;
    Ok(())
}

/// Appends the details of HELLO.
pub(super) fn encode_details(details: &HelloDetails, encoder: &mut Encoder<'_>) {
    let texts = [("agent", &details.agent), ("authid", &details.authid), ("authrole", &details.authrole)];
    let has_authextra = details.authextra != crate::value::Value::Null;
    let given = texts.iter().filter(|(_, text)| text.is_some()).count();
    encoder.begin_dict(1 + given + usize::from(details.authmethods.is_some()) + usize::from(has_authextra));
    for (key, text) in texts {
        if let Some(text) = text {
            encoder.key(key);
            encoder.string(text);
        }
    }
    if let Some(methods) = &details.authmethods {
        encoder.key("authmethods");
        encoder.begin_list(methods.len());
        methods.iter().for_each(|method| encoder.string(method));
        encoder.end_list();
    }
    if has_authextra {
        encoder.key("authextra");
        details.authextra.encode(encoder);
    }
    encode_roles(details.features, encoder);
    encoder.end_dict();
}

fn encode_roles(features: Features, encoder: &mut Encoder<'_>) {
    let roles = || WampRole::ALL.iter().filter(|(role, _)| features.has_role(*role));
    encoder.key("roles");
    encoder.begin_dict(roles().count());
    for (role, name) in roles() {
        let announced =
            || Feature::ALL.iter().filter(|(feature, of, _)| of == role && features.has(*feature));
        encoder.key(name);
        encoder.begin_dict(1);
        encoder.key("features");
        encoder.begin_dict(announced().count());
        for (_, _, name) in announced() {
            encoder.key(name);
            encoder.bool(true);
        }
        encoder.end_dict();
        encoder.end_dict();
    }
    encoder.end_dict();
}

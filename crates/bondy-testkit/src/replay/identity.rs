//! The ids in messages, and which new one stands for which recorded one.
//!
//! Basic Profile, "IDs": session and publication ids are global, registration and subscription ids the router's; the
//! request ids of client and router (those of invocations) belong to one connection each. The texts by which sessions
//! are known (authids) are treated alike, because an anonymous session gets a new one.

use std::collections::BTreeMap;

use bondy_wamp::message::MessageType;
use serde_json::Value;

use crate::message::type_of;

/// What an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Session,
    AuthId,
    Publication,
    Registration,
    Subscription,
    /// A request of the client on this connection.
    Request(u64),
    /// A request of the router on this connection.
    Invocation(u64),
}

/// New ids by kind and recorded id.
#[derive(Debug, Default)]
pub(super) struct Identities(BTreeMap<(Kind, String), Value>);

impl Identities {
    /// The recorded message with the ids of this run. An id that is not known yet stays as it is: the sender chooses.
    pub(super) fn translate(&self, connection: u64, recorded: &Value) -> Value {
        let mut message = recorded.clone();
        for (pointer, kind) in places(connection, recorded) {
            let Some(id) = message.pointer_mut(&pointer) else { continue };
            if let Some(new) = self.0.get(&(kind, id.to_string())) {
                *id = new.clone();
            }
        }
        message
    }

    /// Takes note of the ids of a message that came where another was recorded. One that is known stays.
    pub(super) fn learn(&mut self, connection: u64, recorded: &Value, came: &Value) {
        for (pointer, kind) in places(connection, recorded) {
            let (Some(old), Some(new)) = (recorded.pointer(&pointer), came.pointer(&pointer)) else {
                continue;
            };
            let is_id = |value: &Value| value.is_u64() || (kind == Kind::AuthId && value.is_string());
            if is_id(old) && is_id(new) {
                self.0.entry((kind, old.to_string())).or_insert_with(|| new.clone());
            }
        }
    }
}

/// Where a message has ids, as JSON pointers.
fn places(connection: u64, message: &Value) -> Vec<(String, Kind)> {
    let (request, invocation) = (Kind::Request(connection), Kind::Invocation(connection));
    let Some(message_type) = type_of(message) else { return Vec::new() };
    let found: &[(&str, Kind)] = match message_type {
        MessageType::Welcome => {
            &[("/1", Kind::Session), ("/2/session", Kind::Session), ("/2/authid", Kind::AuthId)]
        }
        MessageType::Error
            if message.get(1).and_then(Value::as_u64) == Some(MessageType::Invocation.code()) =>
        {
            &[("/2", invocation)]
        }
        MessageType::Error => &[("/2", request)],
        MessageType::Published => &[("/1", request), ("/2", Kind::Publication)],
        MessageType::Subscribed => &[("/1", request), ("/2", Kind::Subscription)],
        MessageType::Unsubscribe => &[("/1", request), ("/2", Kind::Subscription)],
        MessageType::Unsubscribed => &[("/1", request), ("/2/subscription", Kind::Subscription)],
        MessageType::Registered => &[("/1", request), ("/2", Kind::Registration)],
        MessageType::Unregister => &[("/1", request), ("/2", Kind::Registration)],
        MessageType::Unregistered => &[("/1", request), ("/2/registration", Kind::Registration)],
        MessageType::Event => &[
            ("/1", Kind::Subscription),
            ("/2", Kind::Publication),
            ("/3/publisher", Kind::Session),
            ("/3/publisher_authid", Kind::AuthId),
        ],
        MessageType::Invocation => &[
            ("/1", invocation),
            ("/2", Kind::Registration),
            ("/3/caller", Kind::Session),
            ("/3/caller_authid", Kind::AuthId),
        ],
        MessageType::Interrupt | MessageType::Yield => &[("/1", invocation)],
        MessageType::Result => {
            &[("/1", request), ("/2/callee", Kind::Session), ("/2/callee_authid", Kind::AuthId)]
        }
        MessageType::Publish
        | MessageType::Subscribe
        | MessageType::Call
        | MessageType::Cancel
        | MessageType::Register => &[("/1", request)],
        MessageType::Hello
        | MessageType::Abort
        | MessageType::Challenge
        | MessageType::Authenticate
        | MessageType::Goodbye => &[],
    };
    let mut places: Vec<(String, Kind)> =
        found.iter().map(|(pointer, kind)| ((*pointer).to_owned(), *kind)).collect();
    if message_type == MessageType::Publish {
        for list in ["eligible", "exclude"] {
            let count = message.pointer(&format!("/2/{list}")).and_then(Value::as_array).map_or(0, Vec::len);
            places.extend((0..count).map(|index| (format!("/2/{list}/{index}"), Kind::Session)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_learnt_where_they_come_and_used_where_they_go() {
        let mut identities = Identities::default();
        identities.learn(1, &json!([33, 1, 10]), &json!([33, 1, 77]));
        identities.learn(2, &json!([2, 5, {"authid": "a"}]), &json!([2, 6, {"authid": "b"}]));
        let event = json!([36, 10, 9, {"publisher": 5, "publisher_authid": "a", "topic": "x"}, [10, 5]]);
        let translated = json!([36, 77, 9, {"publisher": 6, "publisher_authid": "b", "topic": "x"}, [10, 5]]);
        assert_eq!(identities.translate(1, &event), translated);
        let publish = json!([16, 1, {"exclude": [5, 4]}, "x"]);
        assert_eq!(identities.translate(1, &publish), json!([16, 1, {"exclude": [6, 4]}, "x"]));
    }

    #[test]
    fn requests_belong_to_one_connection() {
        let mut identities = Identities::default();
        identities.learn(1, &json!([68, 1, 2, {}]), &json!([68, 9, 2, {}]));
        assert_eq!(identities.translate(1, &json!([70, 1, {}])), json!([70, 9, {}]));
        assert_eq!(identities.translate(2, &json!([70, 1, {}])), json!([70, 1, {}]));
        assert_eq!(identities.translate(1, &json!([8, 68, 1, {}, "e"])), json!([8, 68, 9, {}, "e"]));
        assert_eq!(identities.translate(1, &json!([8, 48, 1, {}, "e"])), json!([8, 48, 1, {}, "e"]));
    }
}

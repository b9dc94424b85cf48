//! `start`, `stop`, `kill`, `restart`.

use serde_json::{Value, json};

use super::request::Fields;
use super::session::{Session, Turns, done};
use super::{Outcome, chain};
use crate::router::Router;

pub(super) async fn start(session: &Session, mut fields: Fields) -> Outcome {
    let mut builder = Router::builder();
    for realm in fields.texts("realms")? {
        builder = builder.realm(realm);
    }
    for (key, value) in fields.dict("set")? {
        // JSON is YAML, so that a list or a number is what it says.
        let value = match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        builder = builder.set(key, value);
    }
    let router = builder.start().await.map_err(|error| chain(&error))?;
    let mut answer = json!({
        "url": router.url(),
        "rawsocket_url": router.rawsocket_url(),
        "admin_url": router.admin_url(),
        "bound": router.bound(),
    });
    answer["router"] = session.routers.put(Turns::new(router))?.into();
    Ok(answer)
}

pub(super) async fn change(session: &Session, mut fields: Fields) -> Outcome {
    let router = session.routers.of(&mut fields)?;
    let mut router = router.lock().await;
    match fields.name() {
        "stop" => router.stop().await,
        "kill" => router.kill().await,
        _ => router.restart().await.map_err(|error| chain(&error))?,
    }
    Ok(done())
}

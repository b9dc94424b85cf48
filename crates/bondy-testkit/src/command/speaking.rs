//! Peers and fake routers.

use serde_json::{Value, json};

use super::request::Fields;
use super::session::{Session, Turns, done};
use super::{Outcome, chain};
use crate::pattern::Pattern;
use crate::peer::{FakeRouter, Peer, PeerError, PeerOptions, octets};

/// The realm that `join` joins unless it is told otherwise.
const REALM: &str = "realm1";

pub(super) async fn peer(session: &Session, mut fields: Fields) -> Outcome {
    let mut options = PeerOptions::default();
    options.serializer = fields.serializer()?.unwrap_or(options.serializer);
    options.deadline = fields.milliseconds("timeout_ms")?.unwrap_or(options.deadline);
    let url = url(session, &mut fields).await?;
    let peer = Peer::connect_with(&url, options).await.map_err(|error| chain(&error))?;
    Ok(json!({ "peer": session.peers.put(Turns::new(Some(peer)))? }))
}

/// The URL that a command gives, or that of the link or router that it names.
pub(super) async fn url(session: &Session, fields: &mut Fields) -> Result<String, String> {
    if let Some(url) = fields.text("url")? {
        return Ok(url);
    }
    if fields.has("link") {
        return Ok(session.links.of(fields)?.url());
    }
    let router = session.routers.of(fields)?;
    let router = router.lock().await;
    Ok(router.url())
}

pub(super) async fn fake_router(session: &Session) -> Outcome {
    let fake = FakeRouter::start().await.map_err(|error| format!("cannot listen: {error}"))?;
    let mut answer =
        json!({ "url": fake.url(), "rawsocket_url": fake.rawsocket_url(), "address": fake.address() });
    answer["fake_router"] = session.fake_routers.put(Turns::new(fake))?.into();
    Ok(answer)
}

pub(super) async fn accept(session: &Session, mut fields: Fields) -> Outcome {
    let fake = session.fake_routers.of(&mut fields)?;
    let deadline = fields.milliseconds("timeout_ms")?.unwrap_or(PeerOptions::default().deadline);
    let mut fake = fake.lock().await;
    fake.set_deadline(deadline);
    let peer = fake.accept().await.map_err(|error| chain(&error))?;
    let (transport, serializer) = (peer.transport().as_str(), peer.serializer().as_str());
    let number = session.peers.put(Turns::new(Some(peer)))?;
    Ok(json!({ "peer": number, "transport": transport, "serializer": serializer }))
}

/// What a peer is told.
pub(super) async fn speak(session: &Session, mut fields: Fields) -> Outcome {
    let peer = session.peers.of(&mut fields)?;
    let mut peer = peer.lock().await;
    if fields.name() == "reset" {
        if let Some(peer) = peer.take() {
            peer.reset();
        }
        return Ok(done());
    }
    let Some(peer) = peer.as_mut() else { return Err("the peer was reset".to_owned()) };
    let usual = peer.deadline();
    peer.set_deadline(fields.milliseconds("timeout_ms")?.unwrap_or(usual));
    let outcome = tell(peer, fields).await;
    peer.set_deadline(usual);
    outcome
}

async fn tell(peer: &mut Peer, mut fields: Fields) -> Outcome {
    let told = |outcome: Result<(), PeerError>| outcome.map(|()| done()).map_err(|error| chain(&error));
    let message = |outcome: Result<Value, PeerError>| {
        outcome.map(|message| json!({ "message": message })).map_err(|error| chain(&error))
    };
    match fields.name() {
        "join" => {
            let realm = fields.text("realm")?;
            let session = peer.join(realm.as_deref().unwrap_or(REALM)).await;
            session.map(|session| json!({ "session": session })).map_err(|error| chain(&error))
        }
        "send" => told(peer.send(pattern(&mut fields)?).await),
        "send_payload" => told(peer.send_payload(&bytes(&mut fields)?).await),
        "send_bytes" => told(peer.send_bytes(&bytes(&mut fields)?).await),
        "expect" => message(peer.expect(pattern(&mut fields)?).await),
        "receive" => message(peer.receive().await),
        "expect_closed" => told(peer.expect_closed().await),
        "play" => {
            let script = fields.text("script")?.ok_or_else(|| fields.missing("`script`"))?;
            told(peer.play(&script).await)
        }
        _ => {
            peer.close().await;
            Ok(done())
        }
    }
}

/// A message: a JSON list, or text in the notation of transcripts.
fn pattern(fields: &mut Fields) -> Result<Pattern, String> {
    match fields.any("message") {
        None => Err(fields.missing("`message`")),
        Some(Value::String(text)) => Pattern::try_from(text.as_str()).map_err(|error| error.to_string()),
        Some(value) => Ok(Pattern::from(value)),
    }
}

fn bytes(fields: &mut Fields) -> Result<Vec<u8>, String> {
    match (fields.text("text")?, fields.text("hex")?) {
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(digits)) => {
            octets(&digits).ok_or_else(|| format!("`{digits}` are no pairs of hexadecimal digits"))
        }
        (Some(_), Some(_)) | (None, None) => Err(fields.missing("either `text` or `hex`")),
    }
}

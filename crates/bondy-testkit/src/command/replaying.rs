//! `recording` and `replay`.

use serde_json::{Value, json};

use super::request::{Fields, message_type};
use super::session::Session;
use super::speaking::url;
use super::{Outcome, chain};
use crate::recording::Recording;
use crate::replay::Replay;

pub(super) fn recording(session: &Session, mut fields: Fields) -> Outcome {
    let link = session.links.of(&mut fields)?;
    let file = fields.text("file")?;
    let recording = link.recording();
    let mut answer = json!({ "entries": recording.entries.len(), "cut_off": recording.is_cut_off });
    match file {
        Some(file) => std::fs::write(&file, recording.to_lines())
            .map_err(|error| format!("cannot write the recording to `{file}`: {error}"))?,
        None => answer["recording"] = recording.to_lines().into(),
    }
    Ok(answer)
}

pub(super) async fn replay(session: &Session, mut fields: Fields) -> Outcome {
    let text = match (fields.text("recording")?, fields.text("file")?) {
        (Some(text), None) => text,
        (None, Some(file)) => {
            std::fs::read_to_string(&file).map_err(|error| format!("cannot read `{file}`: {error}"))?
        }
        (Some(_), Some(_)) | (None, None) => return Err(fields.missing("either `recording` or `file`")),
    };
    let recording = Recording::parse(&text).map_err(|error| error.to_string())?;
    let mut replay = Replay::new(&recording);
    for ignored in fields.list("ignore")? {
        let place = (ignored.get(0).and_then(Value::as_str), ignored.get(1).and_then(Value::as_str));
        let (Some(name), Some(pointer)) = place else {
            return Err(format!("`ignore` lists pairs such as [\"RESULT\", \"/3/0\"], not {ignored}"));
        };
        replay = replay.ignore(message_type(name)?, pointer);
    }
    if let Some(deadline) = fields.milliseconds("timeout_ms")? {
        replay = replay.deadline(deadline);
    }
    let replayed = if fields.has("fake_router") {
        let fake = session.fake_routers.of(&mut fields)?;
        let fake = fake.lock().await;
        replay.against_client(&fake).await
    } else {
        replay.against_router(&url(session, &mut fields).await?).await
    };
    let replayed = replayed.map_err(|error| chain(&error))?;
    Ok(json!({ "sent": replayed.sent, "matched": replayed.matched, "connections": replayed.connections }))
}

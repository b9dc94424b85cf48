//! `link`, what goes wrong on it, and what it has seen.

use std::time::Duration;

use serde_json::{Value, json};

use super::Outcome;
use super::request::{Fields, message_type};
use super::session::{Session, done};
use crate::link::{Action, Counts, Direction, Ending, Fault, FaultId, Link, Step, Traffic};

/// How long `wait` waits unless it is told otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

pub(super) fn link(session: &Session, mut fields: Fields) -> Outcome {
    let target = match fields.text("to")? {
        Some(target) => target,
        None => {
            let router = session.routers.of(&mut fields)?;
            let router =
                router.try_lock().map_err(|_| "the router is being stopped or started".to_owned())?;
            router.address().to_owned()
        }
    };
    let link = Link::to(target).map_err(|error| format!("the link does not start: {error}"))?;
    let mut answer =
        json!({ "url": link.url(), "rawsocket_url": link.rawsocket_url(), "address": link.address() });
    answer["link"] = session.links.put(link)?.into();
    Ok(answer)
}

pub(super) fn change(session: &Session, mut fields: Fields) -> Outcome {
    let link = session.links.of(&mut fields)?;
    match fields.name() {
        "acted" => {
            let fault = fault_id(&mut fields)?;
            let acted = link.acted(fault).ok_or_else(|| format!("there is no fault {}", fault.0))?;
            return Ok(json!({ "acted": acted }));
        }
        "unfault" => {
            let fault = fault_id(&mut fields)?;
            if !link.remove(fault) {
                return Err(format!("there is no fault {}", fault.0));
            }
        }
        "clear" => link.clear(),
        "cut" => link.cut(ending(&mut fields)?),
        "freeze" => match fields.direction()? {
            Some(direction) => link.freeze(direction),
            None => Direction::ALL.into_iter().for_each(|direction| link.freeze(direction)),
        },
        "thaw" => link.thaw(),
        "refuse" => link.refuse(fields.flag("refuse")?.unwrap_or(true)),
        "record" => link.record(),
        _ => return Ok(counts_to_json(&link.counts())),
    }
    Ok(done())
}

pub(super) fn fault(session: &Session, mut fields: Fields) -> Outcome {
    let link = session.links.of(&mut fields)?;
    let fault = fault_of(&mut fields)?;
    let FaultId(number) = link.add(fault);
    Ok(json!({ "fault": number }))
}

/// Waits until what `until` names is so: a number, or `{"at_least": number}`, for each path into the counts.
pub(super) async fn wait(session: &Session, mut fields: Fields) -> Outcome {
    let link = session.links.of(&mut fields)?;
    let until = fields.dict("until")?;
    let deadline = fields.milliseconds("timeout_ms")?.unwrap_or(DEADLINE);
    if until.is_empty() {
        return Err(fields.missing("`until`, such as {\"open\": 0}"));
    }
    let mut conditions = Vec::new();
    for (path, wanted) in &until {
        conditions.push((format!("/{}", path.replace('.', "/")), Wanted::parse(path, wanted)?));
    }
    let is_so = |counts: &Counts| {
        let counts = counts_to_json(counts);
        conditions.iter().all(|(pointer, wanted)| wanted.is_met(count_at(&counts, pointer)))
    };
    let what = Value::Object(until.clone()).to_string();
    match link.wait_until(&what, deadline, is_so).await {
        Ok(counts) => Ok(counts_to_json(&counts)),
        Err(error) => {
            let counts = counts_to_json(&error.counts);
            Err(format!("{what} was not so within {deadline:?}; the link has seen {counts}"))
        }
    }
}

/// A condition on one count.
enum Wanted {
    Exactly(u64),
    AtLeast(u64),
}

impl Wanted {
    fn parse(path: &str, wanted: &Value) -> Result<Self, String> {
        let at_least = wanted.get("at_least").and_then(Value::as_u64).map(Wanted::AtLeast);
        let parsed = wanted.as_u64().map(Wanted::Exactly).or(at_least);
        // A type of message that has not passed is no mistake; any other name is.
        let is_known = path.starts_with("to_router.by_type.")
            || path.starts_with("to_client.by_type.")
            || counts_to_json(&Counts::default())
                .pointer(&format!("/{}", path.replace('.', "/")))
                .is_some_and(Value::is_u64);
        if !is_known {
            return Err(format!(
                "`{path}` is no count; `counts` shows which there are, such as to_client.messages"
            ));
        }
        parsed.ok_or_else(|| {
            format!("`{path}` is to be {wanted}, but a number or {{\"at_least\": number}} was expected")
        })
    }

    fn is_met(&self, count: u64) -> bool {
        match self {
            Wanted::Exactly(wanted) => count == *wanted,
            Wanted::AtLeast(wanted) => count >= *wanted,
        }
    }
}

fn count_at(counts: &Value, pointer: &str) -> u64 {
    counts.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn counts_to_json(counts: &Counts) -> Value {
    json!({
        "connections": counts.connections,
        "open": counts.open,
        "refused": counts.refused,
        "cut": counts.cut,
        "to_router": traffic_to_json(&counts.to_router),
        "to_client": traffic_to_json(&counts.to_client),
    })
}

fn traffic_to_json(traffic: &Traffic) -> Value {
    let by_type =
        traffic.by_type.iter().map(|(message, count)| (message.as_str().to_owned(), (*count).into()));
    json!({
        "bytes": traffic.bytes,
        "messages": traffic.messages,
        "dropped": traffic.dropped,
        "by_type": Value::Object(by_type.collect()),
    })
}

fn fault_id(fields: &mut Fields) -> Result<FaultId, String> {
    fields.number("fault")?.map(FaultId).ok_or_else(|| fields.missing("`fault`"))
}

fn ending(fields: &mut Fields) -> Result<Ending, String> {
    match fields.text("ending")?.as_deref() {
        None | Some("close") => Ok(Ending::Close),
        Some("reset") => Ok(Ending::Reset),
        Some(other) => Err(format!("`ending` is `{other}`, but close or reset was expected")),
    }
}

fn fault_of(fields: &mut Fields) -> Result<Fault, String> {
    let mut fault = Fault::new(action(fields)?);
    if let Some(step) = step(fields)? {
        fault = fault.at(step);
    }
    if let Some(direction) = fields.direction()? {
        fault = fault.going(direction);
    }
    if let Some(connection) = fields.number("connection")? {
        fault = fault.connection(connection);
    }
    if let Some(uri) = fields.text("uri")? {
        fault = fault.uri(uri);
    }
    if let Some(times) = fields.number("times")? {
        fault = fault.times(times);
    }
    if let Some(matches) = fields.number("after")? {
        fault = fault.after(matches);
    }
    if let Some(number) = fields.number("nth")? {
        fault = fault.nth(number);
    }
    if fields.flag("each_connection")? == Some(true) {
        fault = fault.each_connection();
    }
    if fields.flag("delivered")? == Some(true) {
        fault = fault.delivered();
    }
    chance(fields, fault)
}

fn action(fields: &mut Fields) -> Result<Action, String> {
    let name = fields.text("action")?.ok_or_else(|| fields.missing("`action`"))?;
    match name.as_str() {
        "delay" => {
            let by = fields.milliseconds("delay_ms")?;
            by.map(Action::Delay).ok_or_else(|| fields.missing("`delay_ms`"))
        }
        "drop" => Ok(Action::Drop),
        "freeze" => Ok(Action::Freeze),
        "freeze_both" => Ok(Action::FreezeBoth),
        "cut" => Ok(Action::Cut(ending(fields)?)),
        "cut_inside" => {
            let bytes = fields.number("bytes")?.ok_or_else(|| fields.missing("`bytes`"))?;
            Ok(Action::CutInside(usize::try_from(bytes).unwrap_or(usize::MAX), ending(fields)?))
        }
        other => Err(format!(
            "`action` is `{other}`, but delay, drop, freeze, freeze_both, cut or cut_inside was expected"
        )),
    }
}

fn step(fields: &mut Fields) -> Result<Option<Step>, String> {
    if let Some(bytes) = fields.number("after_bytes")? {
        return Ok(Some(Step::Bytes(bytes)));
    }
    let named = fields.texts("on")?;
    Ok(match named.iter().map(String::as_str).collect::<Vec<&str>>()[..] {
        [] => None,
        ["opening"] => Some(Step::Opening),
        ["control"] => Some(Step::Control),
        ["message"] => Some(Step::Message(Vec::new())),
        ref names => {
            Some(Step::Message(names.iter().map(|name| message_type(name)).collect::<Result<_, _>>()?))
        }
    })
}

fn chance(fields: &mut Fields, fault: Fault) -> Result<Fault, String> {
    let (share, seed) = (fields.any("chance"), fields.number("seed")?);
    match (share.as_ref().map(Value::as_f64), seed) {
        (None, _) => Ok(fault),
        (Some(Some(share)), Some(seed)) if (0.0..=1.0).contains(&share) => Ok(fault.chance(share, seed)),
        (Some(_), _) => Err("`chance` is a share from 0 to 1, and needs a `seed`".to_owned()),
    }
}

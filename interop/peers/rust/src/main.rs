//! The `wamp_async` crate as a peer: WebSocket and rawsocket over TCP, JSON and MessagePack.
//!
//! `README.md` three folders above describes the line protocol. This client takes no options, hands out neither
//! session ids nor details, and holds payloads as JSON values; `ABOUT` says so for the driver.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{Notify, RwLock};
use wamp_async::{Client, ClientConfig, SerializerType, WampArgs, WampError, WampId, WampKwArgs};

const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

type Session = Arc<RwLock<Client<'static>>>;
type Payload = (Option<WampArgs>, Option<WampKwArgs>);

/// What the driver is told when an operation fails.
enum Failure {
    /// An ERROR: its URI.
    Wamp(String),
    /// Anything else.
    Other(String),
}

impl From<WampError> for Failure {
    fn from(error: WampError) -> Self {
        match error {
            WampError::ServerError(uri, _details) => Self::Wamp(uri),
            other => Self::Other(other.to_string()),
        }
    }
}

struct Peer {
    sessions: Mutex<HashMap<String, Session>>,
    handles: Mutex<HashMap<String, WampId>>,
    release: Notify,
}

fn about() -> Value {
    const OPTIONS: &str = "sends no options";
    const TORN: &str = "loses its place in the stream when it sends while a message comes in";
    const DETAILS: &str = "hands no details to the application";
    let endpoints: Vec<_> = ["websocket", "rawsocket"]
        .into_iter()
        .flat_map(|transport| ["json", "msgpack"].map(|serializer| json!([transport, serializer])))
        .collect();
    json!({
        "client": "wamp-async-rust",
        "version": "0.3.1",
        "endpoints": endpoints,
        "binary_in_json": "raw",
        "no_binary": ["msgpack"],
        "lacks": {
            "call_options.caller": OPTIONS,
            "register_options.callee": OPTIONS,
            "subscribe_options.subscriber": OPTIONS,
            "publish_options.publisher": OPTIONS,
            "cancel.caller": "cannot cancel a call",
            "cancel.callee": "does not know INTERRUPT",
            "progressive_results.callee": DETAILS,
            "progressive_invocations.caller": OPTIONS,
            "progressive_invocations.callee": DETAILS,
            "identified.callee": DETAILS,
            "identified.subscriber": DETAILS,
            "retain.publisher": OPTIONS,
            "retain.subscriber": OPTIONS,
            "passthru.caller": OPTIONS,
            "passthru.callee": DETAILS,
            "passthru.publisher": OPTIONS,
            "passthru.subscriber": DETAILS,
            "concurrency.caller/rawsocket": TORN,
            "concurrency.callee/rawsocket": TORN,
            "order.subscriber": "gives each subscription a queue of its own",
            "error_uri.callee": "answers every failure with one URI of its own",
            "error_payload.caller": "drops the payload of an error",
            "session_id.caller": "does not hand out the session id",
            "session_id.callee": "does not hand out the session id",
            "session_id.publisher": "does not hand out the session id",
            "session_id.subscriber": "does not hand out the session id",
        },
    })
}

fn say(message: &Value) {
    let mut out = std::io::stdout().lock();
    // A driver that went away ends this process through its standard input.
    let _ = writeln!(out, "{message}").and_then(|()| out.flush());
}

/// A WAMP value as line JSON: nothing is lost, whatever reads the line.
fn encode(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(encode).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, inner)| (key.clone(), encode(inner))).collect())
        }
        Value::Number(number) if number.is_f64() => {
            json!({ "$float": format!("{:?}", number.as_f64().unwrap_or(f64::NAN)) })
        }
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)).unwrap_or(0);
            if magnitude > SAFE_INTEGER_MAX {
                json!({ "$integer": number.to_string() })
            } else {
                value.clone()
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// The inverse of `encode`; binary becomes the specification's JSON text, which is all this client can hold.
fn decode(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(decode).collect(),
        Value::Object(map) => {
            if let Some(number) = map.get("$integer").and_then(Value::as_str) {
                return number
                    .parse::<i64>()
                    .map(Value::from)
                    .or_else(|_| number.parse::<u64>().map(Value::from))
                    .unwrap_or(Value::Null);
            }
            if let Some(number) = map.get("$float").and_then(Value::as_str) {
                return number.parse::<f64>().map_or(Value::Null, Value::from);
            }
            if let Some(text) = map.get("$binary").and_then(Value::as_str) {
                let data = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
                return Value::from(format!("\0{}", base64::engine::general_purpose::STANDARD.encode(data)));
            }
            Value::Object(map.iter().map(|(key, inner)| (key.clone(), decode(inner))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn text(command: &Value, key: &str) -> String {
    command[key].as_str().unwrap_or_default().to_owned()
}

fn payload_of(command: &Value) -> Payload {
    let args = decode(&command["args"]).as_array().filter(|args| !args.is_empty()).cloned();
    let kwargs = decode(&command["kwargs"]).as_object().filter(|kwargs| !kwargs.is_empty()).cloned();
    // Kwargs without args would leave a hole in the message.
    (args.or_else(|| kwargs.as_ref().map(|_| Vec::new())), kwargs)
}

fn fields(payload: Payload) -> Value {
    let (args, kwargs) = payload;
    json!({
        "args": encode(&Value::Array(args.unwrap_or_default())),
        "kwargs": encode(&Value::Object(kwargs.unwrap_or_default())),
    })
}

impl Peer {
    fn session(&self, command: &Value) -> Result<Session, Failure> {
        let sessions = self.sessions.lock().map_err(|_| Failure::Other("poisoned".to_owned()))?;
        sessions
            .get(&text(command, "session"))
            .cloned()
            .ok_or_else(|| Failure::Other("no such session".to_owned()))
    }

    fn keep(&self, id: WampId) -> Value {
        if let Ok(mut handles) = self.handles.lock() {
            handles.insert(id.to_string(), id);
        }
        json!(u64::from(std::num::NonZeroU64::from(id)))
    }

    fn kept(&self, command: &Value, key: &str) -> Result<WampId, Failure> {
        let number = decode(&command[key]).to_string();
        let handles = self.handles.lock().map_err(|_| Failure::Other("poisoned".to_owned()))?;
        handles.get(&number).copied().ok_or_else(|| Failure::Other(format!("no {key} {number}")))
    }

    async fn run(self: &Arc<Self>, command: &Value) -> Result<Value, Failure> {
        match command["op"].as_str().unwrap_or_default() {
            "about" => Ok(about()),
            "join" => self.join(command).await,
            "leave" => {
                let session = self.session(command)?;
                session.write().await.leave_realm().await?;
                Ok(json!({}))
            }
            "register" => self.register(command).await,
            "unregister" => {
                let id = self.kept(command, "registration")?;
                self.session(command)?.read().await.unregister(id).await?;
                Ok(json!({}))
            }
            "call" => {
                let (args, kwargs) = payload_of(command);
                let session = self.session(command)?;
                let result = session.read().await.call(text(command, "procedure"), args, kwargs).await?;
                Ok(fields(result))
            }
            "subscribe" => self.subscribe(command).await,
            "unsubscribe" => {
                let id = self.kept(command, "subscription")?;
                self.session(command)?.read().await.unsubscribe(id).await?;
                Ok(json!({}))
            }
            "publish" => {
                let (args, kwargs) = payload_of(command);
                let acknowledge = command["options"]["acknowledge"].as_bool().unwrap_or(false);
                let session = self.session(command)?;
                let topic = text(command, "topic");
                let publication = session.read().await.publish(topic, args, kwargs, acknowledge).await?;
                Ok(publication.map_or_else(
                    || json!({}),
                    |id| json!({ "publication": encode(&json!(u64::from(std::num::NonZeroU64::from(id)))) }),
                ))
            }
            "release" => {
                self.release.notify_waiters();
                Ok(json!({}))
            }
            other => Err(Failure::Other(format!("no operation {other}"))),
        }
    }

    async fn join(self: &Arc<Self>, command: &Value) -> Result<Value, Failure> {
        let serializer =
            if command["serializer"] == "json" { SerializerType::Json } else { SerializerType::MsgPack };
        let config = ClientConfig::default().set_serializers(vec![serializer]);
        let (mut client, (events, procedures)) = Client::connect(text(command, "url"), Some(config)).await?;
        let name = text(command, "session");
        let left = name.clone();
        tokio::task::spawn_local(async move {
            let _ = events.await;
            say(&json!({ "event": "left", "session": left }));
        });
        if let Some(mut procedures) = procedures {
            tokio::task::spawn_local(async move {
                while let Some(procedure) = procedures.recv().await {
                    tokio::task::spawn_local(procedure);
                }
            });
        }
        client.join_realm(text(command, "realm")).await?;
        if let Ok(mut sessions) = self.sessions.lock() {
            sessions.insert(name, Arc::new(RwLock::new(client)));
        }
        Ok(json!({ "realm": command["realm"] }))
    }

    async fn register(self: &Arc<Self>, command: &Value) -> Result<Value, Failure> {
        let session = self.session(command)?;
        let (peer, own) = (Arc::clone(self), command.clone());
        let handler = move |args, kwargs| {
            let (peer, own) = (Arc::clone(&peer), own.clone());
            async move { peer.behave(&own, args, kwargs).await }
        };
        let id = session.read().await.register(text(command, "procedure"), handler).await?;
        Ok(json!({ "registration": self.keep(id) }))
    }

    async fn behave(
        &self,
        command: &Value,
        args: Option<WampArgs>,
        kwargs: Option<WampKwArgs>,
    ) -> Result<Payload, WampError> {
        let behaviour = &command["behaviour"];
        let answer = |value: Value| Ok((Some(vec![value]), None));
        match behaviour["kind"].as_str().unwrap_or_default() {
            "echo" => Ok((args.or_else(|| kwargs.as_ref().map(|_| Vec::new())), kwargs)),
            "add" => answer(json!(args.unwrap_or_default().iter().filter_map(Value::as_i64).sum::<i64>())),
            "constant" => answer(decode(&behaviour["value"])),
            "keywords" => Ok((None, decode(&behaviour["kwargs"]).as_object().cloned())),
            "progress" => answer(behaviour["count"].clone()),
            "slow" => {
                let released = self.release.notified();
                say(
                    &json!({ "event": "invoked", "session": command["session"], "procedure": command["procedure"] }),
                );
                released.await;
                answer(json!("late"))
            }
            other => Err(WampError::UnknownError(format!("no behaviour {other}"))),
        }
    }

    async fn subscribe(self: &Arc<Self>, command: &Value) -> Result<Value, Failure> {
        let session = self.session(command)?;
        let topic = text(command, "topic");
        let (id, mut events) = session.read().await.subscribe(&topic).await?;
        let name = command["session"].clone();
        tokio::task::spawn_local(async move {
            while let Some((publication, args, kwargs)) = events.recv().await {
                let mut event = fields((args, kwargs));
                let extra = json!({
                    "event": "event",
                    "session": name,
                    "subscribed": topic,
                    "publication": encode(&json!(u64::from(std::num::NonZeroU64::from(publication)))),
                    "details": { "topic": topic },
                });
                merge(&mut event, &extra);
                say(&event);
            }
        });
        Ok(json!({ "subscription": self.keep(id) }))
    }
}

fn merge(into: &mut Value, from: &Value) {
    let empty = Map::new();
    for (key, value) in from.as_object().unwrap_or(&empty) {
        into[key] = value.clone();
    }
}

async fn answer(peer: Arc<Peer>, command: Value) {
    let id = &command["id"];
    match peer.run(&command).await {
        Ok(fields) => say(&json!({ "id": id, "ok": fields })),
        Err(Failure::Wamp(uri)) => {
            say(&json!({ "id": id, "error": { "uri": uri, "args": [], "kwargs": {} } }))
        }
        Err(Failure::Other(problem)) => say(&json!({ "id": id, "failure": problem })),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let peer =
        Arc::new(Peer { sessions: Mutex::default(), handles: Mutex::default(), release: Notify::new() });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            while let Some(line) = lines.next_line().await? {
                match serde_json::from_str(&line) {
                    Ok(command) => drop(tokio::task::spawn_local(answer(Arc::clone(&peer), command))),
                    Err(problem) => eprintln!("{problem}"),
                }
            }
            Ok(())
        })
        .await
}

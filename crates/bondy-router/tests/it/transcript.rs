//! Transcripts: text scripts of messages in and out, one file for each chapter of the specification.
//!
//! Each transcript begins with a comment that cites the chapter. `alice > SUBSCRIBE 1 {} com.example.tick` is a message
//! from a client, `alice < SUBSCRIBED 1 sub:1` is what comes of it; every output of every client must be named. What
//! else happens begins with `@`. `tests/transcripts/README.md` describes the notation.

mod notation;
mod setting;
mod stage;
mod symbol;

/// Plays every transcript of a file, twice: what happens must not depend on anything but the script.
fn play_file(name: &str, text: &str) {
    let transcripts = notation::parse(text).unwrap_or_else(|error| panic!("{name}.txt: {error}"));
    assert!(!transcripts.is_empty(), "{name}.txt has no transcript");
    let mut failures = Vec::new();
    for transcript in &transcripts {
        let failure = match (stage::play(transcript), stage::play(transcript)) {
            (Err(error), _) | (_, Err(error)) => error,
            (Ok(first), Ok(second)) if first != second => {
                let differs = first.iter().zip(&second).find(|(first, second)| first != second);
                format!("the outputs differ from one run to the next: {differs:#?}")
            }
            _ => continue,
        };
        let (title, line) = (&transcript.title, transcript.line);
        failures.push(format!("{name}.txt:{line}: {title}\n  {failure}"));
    }
    let (failed, count) = (failures.len(), transcripts.len());
    assert!(failures.is_empty(), "{failed} of {count} transcripts failed:\n\n{}\n", failures.join("\n\n"));
}

#[test]
fn sessions_follow_their_transcripts() {
    play_file("session", include_str!("../transcripts/session.txt"));
}

#[test]
fn violations_follow_their_transcripts() {
    play_file("violation", include_str!("../transcripts/violation.txt"));
}

#[test]
fn publications_follow_their_transcripts() {
    play_file("publish", include_str!("../transcripts/publish.txt"));
}

#[test]
fn retained_events_follow_their_transcripts() {
    play_file("retention", include_str!("../transcripts/retention.txt"));
}

#[test]
fn event_histories_follow_their_transcripts() {
    play_file("history", include_str!("../transcripts/history.txt"));
}

#[test]
fn calls_follow_their_transcripts() {
    play_file("call", include_str!("../transcripts/call.txt"));
}

#[test]
fn registrations_follow_their_transcripts() {
    play_file("registration", include_str!("../transcripts/registration.txt"));
}

#[test]
fn progressive_calls_follow_their_transcripts() {
    play_file("progressive", include_str!("../transcripts/progressive.txt"));
}

#[test]
fn canceled_calls_follow_their_transcripts() {
    play_file("cancel", include_str!("../transcripts/cancel.txt"));
}

#[test]
fn rerouted_calls_follow_their_transcripts() {
    play_file("reroute", include_str!("../transcripts/reroute.txt"));
}

#[test]
fn meta_procedures_and_events_follow_their_transcripts() {
    play_file("meta", include_str!("../transcripts/meta.txt"));
}

#[test]
fn testaments_follow_their_transcripts() {
    play_file("testament", include_str!("../transcripts/testament.txt"));
}

#[test]
fn limits_follow_their_transcripts() {
    play_file("limit", include_str!("../transcripts/limit.txt"));
}

#[test]
fn outboxes_follow_their_transcripts() {
    play_file("outbox", include_str!("../transcripts/outbox.txt"));
}

#[test]
fn serializers_follow_their_transcripts() {
    play_file("serializer", include_str!("../transcripts/serializer.txt"));
}

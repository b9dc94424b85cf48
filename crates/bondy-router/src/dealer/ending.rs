//! How a call ends without an answer: CANCEL, its deadline, and what its callee hears of it.

use bondy_wamp::error_uri::ErrorUri;
use bondy_wamp::feature::Feature;
use bondy_wamp::message::{self, Cancel, CancelMode, MessageType};
use bondy_wamp::mutation::mutated;

use crate::realm::{Flow, Realm};
use crate::session::{Phase, Refusal, Session, SessionState};
use crate::sync::Arc;
use crate::timer::Timer;
use crate::turn::Turn;

impl Realm {
    /// CANCEL.
    pub(crate) fn cancel(&self, caller: &Arc<Session>, cancel: Cancel, turn: &mut Turn) -> Flow {
        match cancel_1_caller(caller, cancel, turn) {
            Canceled::Settled => {}
            Canceled::Abandon(callee, id) => abandon(&callee, id, turn),
            Canceled::Kill(callee, id) => {
                let mut state = callee.lock();
                let is_there =
                    state.serving.as_ref().is_some_and(|serving| serving.invocations.contains_key(&id));
                if is_there || mutated("kill_without_looking") {
                    append_interrupt(&mut state, &callee, id, CancelMode::Kill, turn);
                }
            }
        }
        Flow::Done
    }
}

/// The deadline, at the caller: same serial? Moved on: arm again. Else as `killnowait`, with `timeout`.
pub(crate) fn deadline(timer: &Timer, turn: &mut Turn) {
    let Some(caller) = timer.caller.upgrade() else { return };
    let mut state = caller.lock();
    let Some(entry) = state.call(timer.request, timer.serial) else { return };
    if entry.is_timeout_forwarded {
        return;
    }
    if entry.deadline_ns > turn.now.monotonic_ns {
        turn.timers.push(Timer { deadline_ns: entry.deadline_ns, ..timer.clone() });
        return;
    }
    let Some(entry) = state.remove_call(timer.request, timer.serial) else { return };
    turn.stats.calls_timed_out += 1;
    let text = format!("the call did not end within {} ms", entry.timeout_ns / 1_000_000);
    let refusal = Refusal::new(ErrorUri::Timeout, text);
    state.append_error(&caller, MessageType::Call, timer.request, &refusal, turn);
    drop(state);
    if let Phase::Invoked(callee, id) = entry.phase {
        abandon(&callee, id, turn);
    }
}

/// At the callee: the invocation is there and can be interrupted? Remove it, INTERRUPT. Else it keeps its
/// concurrency slot until the callee answers or leaves.
pub(crate) fn abandon(callee: &Arc<Session>, id: u64, turn: &mut Turn) {
    if !callee.features().has(Feature::CalleeCanceling) {
        return;
    }
    let mut state = callee.lock();
    if state.remove_invocation(id).is_some() {
        append_interrupt(&mut state, callee, id, CancelMode::KillNoWait, turn);
    }
}

fn append_interrupt(
    state: &mut SessionState,
    callee: &Arc<Session>,
    id: u64,
    mode: CancelMode,
    turn: &mut Turn,
) {
    if mutated("interrupt_needs_room") && !state.outbox.has_room() {
        return;
    }
    let head = message::head(callee.serializer(), 3, MessageType::Interrupt, id);
    state.append_small(callee, &head, turn, |encoder| {
        encoder.begin_dict(1);
        encoder.key("mode");
        encoder.string(mode.as_str());
        encoder.end_dict();
        encoder.end_list();
    });
}

/// What is left to do for a CANCEL.
enum Canceled {
    Settled,
    Abandon(Arc<Session>, u64),
    Kill(Arc<Session>, u64),
}

/// CANCEL, at the caller. Unknown: ignore. `skip`, `killnowait`, not invoked yet, or a callee that cannot be
/// interrupted: rule 1 with `canceled`. `kill`: mark it the first time, and interrupt the callee.
fn cancel_1_caller(caller: &Arc<Session>, cancel: Cancel, turn: &mut Turn) -> Canceled {
    let mut state = caller.lock();
    let request = cancel.request;
    let Some(entry) = state.calling.as_mut().and_then(|calling| calling.calls.get_mut(&request.0)) else {
        return Canceled::Settled;
    };
    let invoked = match &entry.phase {
        Phase::Invoked(callee, id) => Some((Arc::clone(callee), *id)),
        Phase::Placing => None,
    };
    let serial = entry.serial;
    let can_be_interrupted =
        invoked.as_ref().is_some_and(|(callee, _)| callee.features().has(Feature::CalleeCanceling));
    if cancel.mode == CancelMode::Kill && (can_be_interrupted || mutated("kill_to_any_callee")) {
        if std::mem::replace(&mut entry.is_killing, true) && !mutated("kill_every_time") {
            return Canceled::Settled;
        }
        return invoked.map_or(Canceled::Settled, |(callee, id)| Canceled::Kill(callee, id));
    }
    state.calling().remove(request, serial);
    turn.stats.calls_canceled += 1;
    let refusal = Refusal::new(ErrorUri::Canceled, "the caller has canceled the call");
    state.append_error(caller, MessageType::Call, request, &refusal, turn);
    match invoked {
        Some((callee, id)) if cancel.mode == CancelMode::KillNoWait => Canceled::Abandon(callee, id),
        _ => Canceled::Settled,
    }
}

//! Deliberate mistakes in the router: each must make a property fail, else the properties say little.

use crate::explore::{Run, failure_of, note, scaled};
use crate::{call, flushing, subscription};

/// How often the scenarios are gone through before a mistake counts as not caught.
const ROUNDS: usize = 2_000;

/// Executions of a scenario in one round.
const EXECUTIONS: usize = 20;

/// The scenarios whose names contain one of these.
fn among(named: impl Fn(&str) -> Vec<(String, Run)>, parts: &[&str]) -> Vec<(String, Run)> {
    let scenarios: Vec<_> = parts.iter().flat_map(|part| named(part)).collect();
    assert!(!scenarios.is_empty(), "there are scenarios named {parts:?}");
    scenarios
}

/// Makes the mistake; the failure has to be that of one of these properties.
fn is_caught(mistake: &'static str, scenarios: &[(String, Run)], properties: &[&str]) {
    let failure = failure_of(mistake, scenarios, ROUNDS, scaled(EXECUTIONS));
    let Some((scenario, failure)) = failure else {
        panic!("nobody notices the mistake {mistake}");
    };
    note(&format!("{mistake}: {scenario}: {failure}"));
    let is_expected = properties.iter().any(|property| failure.starts_with(property));
    assert!(is_expected, "{mistake} is noticed by {failure}, not by one of {properties:?}");
}

/// One test for each mistake: where it is looked for, and the properties by which it is found.
macro_rules! mistakes {
    ($($mistake:ident: $module:ident $parts:expr, $properties:expr;)*) => {$(
        #[test]
        fn $mistake() {
            is_caught(stringify!($mistake), &among($module::named, &$parts), &$properties);
        }
    )*};
}

mistakes! {
    // Rule 1: the final answer is appended, the entry stays.
    answer_without_removing: call ["call | result or error"], ["P1", "P2", "P4"];
    // Rule 1: any entry under the request id is taken for ours.
    serial_not_checked: call ["killnowait, reuse | result"], ["P2"];
    // A progressive result is appended without looking for the call.
    progress_not_looked_up: call ["killnowait, reuse | progress", "skip | progress"], ["P2"];
    // CALL 2 trusts the route and does not look at the slot.
    route_instead_of_slot: call ["call | result or error | UNREGISTER"], ["P3"];
    // CALL 2 takes an inactive slot for a refusal instead of resolving again.
    slot_not_resolved_again: call ["hands over to another"], ["P12"];
    // CALL 2 takes a closed callee for a refusal instead of resolving again.
    closed_is_a_refusal: call ["leaves when another is there"], ["P12"];
    // Concurrency is compared before the callee's lock is taken.
    concurrency_read_before: call ["concurrency 1 | two calls"], ["P4"];
    // The invocation is given its id in one section, INVOCATION appended in the next.
    id_before_append: call ["two callers in order", "two calls | result"], ["P3", "P5", "P6"];
    // CALL 3 is left out: an entry never becomes invoked.
    skip_step_3: call ["kill | waiting", "input | result"], ["P4", "P11", "P13"];
    // CALL 3 finds the entry gone and does not abandon the invocation.
    step_3_forgets_abandon: call ["timeout | silent", "killnowait, reuse | waiting"], ["P4"];
    // CALL 3 looks at the serial but not at the attempt: rerouting may overtake it.
    step_3_any_attempt: call ["kill | waiting", "timeout | waiting", "kill with timeout | unav"], ["P4", "P11"];
    // Rerouting puts a call that is being killed back to placing.
    reroute_forgets_kill: call ["kill | waiting"], ["P11"];
    // `kill` sends INTERRUPT and waits, whether or not the callee can be interrupted.
    kill_to_any_callee: call ["kill | silent"], ["P5"];
    // Every CANCEL `kill` sends an INTERRUPT.
    kill_every_time: call ["kill, kill, killnowait | silent"], ["P5"];
    // INTERRUPT `kill` is appended without looking for the invocation.
    kill_without_looking: call ["kill | result or error"], ["P5", "P9"];
    // An INTERRUPT is dropped where an INVOCATION would not be admitted.
    interrupt_needs_room: call ["INTERRUPT to a full callee"], ["P4", "P11"];
    // A chunk that is not admitted by the callee's outbox is dropped and the call goes on.
    chunk_needs_no_room: call ["callee becomes full | input"], ["P13"];
    // The request id of a call that ended before its last chunk is forgotten.
    chunk_of_ended_call: call ["input, killnowait, reuse | result"], ["P2", "P13"];
    // The same for a CALL that was refused at once.
    chunk_of_refused_call: call ["a chunk of a refused call"], ["P2", "P13"];
    // UNREGISTERED is appended in one section, the slot deactivated in the next.
    reply_before_deactivation: call ["call | result or error | UNREGISTER"], ["P3"];
    // Control takes the routes, lets go, and only then the session is closed.
    leave_in_two_holds: call ["UNREGISTER, REGISTER, callee killed"], ["P4", "P14"];
    // ABORT is appended when the violation is found, and the session leaves afterwards.
    abort_before_leaving: call ["callee breaks the protocol"], ["P9"];
    // The invocations of a leaving callee are dropped without answers.
    callee_leaves_silently: call ["call | silent | callee leaves"], ["P1"];
    // Shutdown ends the calls in one section and appends GOODBYE in another.
    shutdown_in_two_sections: call ["call, reuse | result or error | shutdown"], ["P9"];

    // PUBLISH with retain reads the routes first, and stores then.
    routes_read_before_store: subscription ["retain"], ["S4"];
    // PUBLISH with retain stores under control, and reads the routes after letting go.
    routes_read_after_store: subscription ["retain"], ["S1", "S3"];
    // An EVENT is appended to whatever the route says.
    slot_not_checked: subscription ["subscribe, unsubscribe"], ["S1"];
    // SUBSCRIBED is appended in one section, the retained event in the next.
    retained_in_another_section: subscription ["retain"], ["S1", "S2", "S3"];
    // SUBSCRIBE activates the slot and replies, and changes the route afterwards.
    slot_before_route: subscription ["once bob is subscribed"], ["S4", "S5"];

    // After a complete write the writer becomes idle although bytes were appended meanwhile.
    idle_without_looking: flushing [""], ["P10", "deadlock"];
    // What the socket did not take is put back behind what was appended meanwhile.
    put_back_behind: flushing [""], ["P10"];
    // Who finds the writer busy takes the bytes all the same.
    write_while_busy: flushing [""], ["P10", "deadlock"];
    // After a write that would block, or after many, the writer becomes idle, and nobody waits.
    blocked_is_idle: flushing [""], ["P10", "deadlock"];
    // After a foreign write that would block the owner is not woken.
    owner_not_woken: flushing [""], ["deadlock"];
    // A write that would block clears the readiness flag even if an edge came since.
    readiness_cleared_late: flushing [""], ["deadlock"];
    // The owner of an encrypting session forgets that it was woken in a section after the one in which it looks.
    woken_cleared_late: flushing ["encrypting"], ["deadlock"];
}

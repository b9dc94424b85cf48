//! Publish and subscribe: who gets which EVENT, and when.

mod ledger;
pub(crate) mod message;
mod scenario;
mod world;

use std::sync::Arc;

use bondy_wamp::uri::MatchPolicy;

use self::world::World;
use crate::explore::{Run, explore, scaled};

/// Executions of each scenario.
const EXECUTIONS: usize = 200;

/// One world to explore.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    name: String,
    parties: Vec<Party>,
    /// How all subscribe.
    match_policy: MatchPolicy,
    /// Who is killed, at any moment.
    killed: Option<&'static str>,
}

/// What one client sends, in this order, each at any moment at which it may be sent.
#[derive(Clone, Debug)]
struct Party {
    name: &'static str,
    script: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Once this party has seen SUBSCRIBED, if one is named.
    Publish {
        retain: bool,
        once: Option<&'static str>,
    },
    Subscribe {
        get_retained: bool,
    },
    Unsubscribe,
    /// The connection is lost.
    Leave,
}

/// What explores a scenario.
fn run_of(scenario: Scenario) -> Run {
    let scenario = Arc::new(scenario);
    Arc::new(move || World::run(&scenario))
}

/// The scenarios whose name contains this.
pub(crate) fn named(part: &str) -> Vec<(String, Run)> {
    let chosen = scenario::all().into_iter().filter(|scenario| scenario.name.contains(part));
    chosen.map(|scenario| (scenario.name.clone(), run_of(scenario))).collect()
}

#[test]
fn a_subscription_gets_every_event_once_and_in_order() {
    for (name, run) in named("") {
        explore(&name, scaled(EXECUTIONS), &run);
    }
}

//! The worlds to explore: what is published x what subscribers do, and then two publishers.

use bondy_wamp::uri::MatchPolicy;

use super::{Party, Scenario, Step};

const RETAIN: Step = Step::Publish { retain: true, once: None };
const PLAIN: Step = Step::Publish { retain: false, once: None };
const PLAIN_ONCE: Step = Step::Publish { retain: false, once: Some("bob") };
const RETAIN_ONCE: Step = Step::Publish { retain: true, once: Some("bob") };
const SUBSCRIBE: Step = Step::Subscribe { get_retained: true };
const SUBSCRIBE_PLAINLY: Step = Step::Subscribe { get_retained: false };
const UNSUBSCRIBE: Step = Step::Unsubscribe;

const PUBLISHERS: &[(&str, &[Step])] = &[
    ("retain", &[RETAIN]),
    ("retain twice", &[RETAIN, RETAIN]),
    ("plain, retain, plain", &[PLAIN, RETAIN, PLAIN]),
    ("retain, plain", &[RETAIN, PLAIN]),
    ("plain twice", &[PLAIN, PLAIN]),
    ("plain once bob is subscribed", &[PLAIN_ONCE]),
    ("retain once bob is subscribed", &[RETAIN, RETAIN_ONCE]),
];

const SUBSCRIBERS: &[(&str, &[Step])] = &[
    ("subscribe", &[SUBSCRIBE]),
    ("subscribe, plainly", &[SUBSCRIBE_PLAINLY]),
    ("subscribe, unsubscribe", &[SUBSCRIBE, UNSUBSCRIBE]),
    ("subscribe, unsubscribe, subscribe", &[SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]),
    ("subscribe, leave", &[SUBSCRIBE, Step::Leave]),
];

fn party(name: &'static str, script: &[Step]) -> Party {
    Party { name, script: script.to_vec() }
}

pub(super) fn all() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (published, publisher) in PUBLISHERS {
        for (subscribed, subscriber) in SUBSCRIBERS {
            for killed in [None, Some("bob")] {
                let end = if killed.is_some() { " | killed" } else { "" };
                let parties =
                    [party("alice", publisher), party("bob", subscriber), party("carol", &[SUBSCRIBE])];
                scenarios.extend(by_each_policy(
                    &format!("{published} | {subscribed}{end}"),
                    &parties,
                    killed,
                ));
            }
        }
    }
    let two: [(&str, &[Step], &[Step]); 3] = [
        ("retain | retain", &[RETAIN], &[RETAIN]),
        ("retain, plain | retain", &[RETAIN, PLAIN], &[RETAIN]),
        ("retain twice | plain, retain, plain", &[RETAIN, RETAIN], &[PLAIN, RETAIN, PLAIN]),
    ];
    for (title, first, second) in two {
        let bob = party("bob", &[SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBE]);
        let parties = [party("alice", first), party("dave", second), bob];
        scenarios.extend(by_each_policy(&format!("two publishers | {title}"), &parties, None));
    }
    let parties =
        [party("alice", &[RETAIN, SUBSCRIBE, RETAIN]), party("bob", &[SUBSCRIBE, RETAIN, UNSUBSCRIBE])];
    scenarios.extend(by_each_policy("a publisher that subscribes too", &parties, None));
    scenarios
}

/// Exact subscriptions and patterns are found in different ways.
fn by_each_policy(name: &str, parties: &[Party], killed: Option<&'static str>) -> [Scenario; 2] {
    [("", MatchPolicy::Exact), (" | prefix", MatchPolicy::Prefix)].map(|(end, match_policy)| Scenario {
        name: format!("{name}{end}"),
        parties: parties.to_vec(),
        match_policy,
        killed,
    })
}

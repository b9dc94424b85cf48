//! The worlds to explore: what is published x what subscribers do, and then two publishers.

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
                    vec![party("alice", publisher), party("bob", subscriber), party("carol", &[SUBSCRIBE])];
                scenarios.push(Scenario {
                    name: format!("{published} | {subscribed}{end}"),
                    parties,
                    killed,
                });
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
        let parties = vec![party("alice", first), party("dave", second), bob];
        scenarios.push(Scenario { name: format!("two publishers | {title}"), parties, killed: None });
    }
    scenarios.push(Scenario {
        name: "a publisher that subscribes too".to_owned(),
        parties: vec![
            party("alice", &[RETAIN, SUBSCRIBE, RETAIN]),
            party("bob", &[SUBSCRIBE, RETAIN, UNSUBSCRIBE]),
        ],
        killed: None,
    });
    scenarios
}

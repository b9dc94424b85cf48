//! What needs more clients or more calls than a transcript can name: long fan-outs in slices, and chance.

use std::collections::BTreeMap;

use bondy_router::config::RealmConfig;
use bondy_wamp::serializer::Serializer;
use bondy_wamp::value::Value;

use crate::harness::{Output, Profile, World};

/// More than one slice of a fan-out.
const SUBSCRIBERS: usize = 6_000;

/// The most subscribers that one slice visits, and some more, because slices end with a chunk.
const SLICE_MAX: usize = 4096 + 256;

fn list(json: &str) -> Value {
    Value::decode(Serializer::Json, json.as_bytes()).expect("the test writes JSON")
}

fn world() -> World {
    let mut world = World::new(1);
    world.add_realm(RealmConfig { uri: "realm1".to_owned(), ..RealmConfig::default() });
    world
}

fn join(world: &mut World, name: &str) {
    world.join(name, "realm1", &Profile::named(name)).expect("the realm takes everybody");
    world.take_outputs(name);
}

/// Every tenth of them by another serializer or another subscription, so that slices end anywhere.
fn crowd(world: &mut World) -> Vec<String> {
    let names: Vec<String> = (0..SUBSCRIBERS).map(|index| format!("subscriber{index:05}")).collect();
    for (index, name) in names.iter().enumerate() {
        let serializer = Serializer::ALL[index % Serializer::ALL.len()];
        let profile = Profile { serializer, ..Profile::named(name) };
        world.join(name, "realm1", &profile).expect("the realm takes everybody");
        let subscribe = match index % 10 {
            0 => r#"[32, 1, {"match": "prefix"}, "com.a"]"#,
            1 => r#"[32, 1, {"match": "wildcard"}, "com."]"#,
            _ => r#"[32, 1, {}, "com.a"]"#,
        };
        world.send(name, &list(subscribe));
        world.take_outputs(name);
    }
    names
}

/// The first argument of each event that a client has received.
fn events(world: &mut World, name: &str) -> Vec<u64> {
    let first_argument = |output: Output| match output {
        Output::Message(Value::List(items)) => items.get(4)?.as_list()?.first()?.as_u64(),
        _ => None,
    };
    world.take_outputs(name).into_iter().filter_map(first_argument).collect()
}

/// How many clients have received something since this was last asked, and what, if it was the same for all.
fn received(world: &mut World, names: &[String]) -> BTreeMap<Vec<u64>, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(events(world, name)).or_default() += 1;
    }
    counts
}

#[test]
fn a_long_fan_out_is_done_in_slices_between_which_others_are_served() {
    let mut world = world();
    let names = crowd(&mut world);
    for name in ["publisher", "callee", "caller"] {
        join(&mut world, name);
    }
    world.send("callee", &list(r#"[64, 1, {}, "com.b"]"#));
    world.take_outputs("callee");

    world.pauses_fan_outs = true;
    world.send("publisher", &list(r#"[16, 1, {"acknowledge": true}, "com.a", [1]]"#));
    let mut reached = 0;
    let mut slices = 1;
    loop {
        let counts = received(&mut world, &names);
        let of_this_slice = counts.get(&vec![1]).copied().unwrap_or(0);
        assert!(of_this_slice <= SLICE_MAX, "{of_this_slice} events in one slice");
        assert_eq!(counts.keys().filter(|events| events.len() > 1).count(), 0, "nobody gets it twice");
        reached += of_this_slice;
        if reached == SUBSCRIBERS {
            break;
        }
        assert_eq!(world.take_outputs("publisher"), [], "PUBLISHED comes when the event is out");

        world.send("caller", &list(r#"[48, 1, {}, "com.b"]"#));
        assert_eq!(world.take_outputs("callee").len(), 1, "a call is served between slices");
        world.send("callee", &list(&format!("[70, {slices}, {{}}]")));
        assert_eq!(world.take_outputs("caller").len(), 1);

        world.continue_fan_out("publisher");
        slices += 1;
    }
    assert!(slices >= SUBSCRIBERS.div_ceil(SLICE_MAX), "{slices} slices");
    while !world.continue_fan_out("publisher") {}
    assert_eq!(world.take_outputs("publisher").len(), 1, "PUBLISHED");
}

#[test]
fn events_keep_their_order_across_long_fan_outs() {
    let mut world = world();
    let names = crowd(&mut world);
    join(&mut world, "publisher");
    for number in 1..=3 {
        world.send("publisher", &list(&format!(r#"[16, {number}, {{}}, "com.a", [{number}]]"#)));
    }
    assert_eq!(received(&mut world, &names), BTreeMap::from([(vec![1, 2, 3], SUBSCRIBERS)]));
}

#[test]
fn subscribers_that_leave_during_a_long_fan_out_are_passed_over_and_new_ones_are_not_in_it() {
    let mut world = world();
    let names = crowd(&mut world);
    join(&mut world, "publisher");
    world.pauses_fan_outs = true;
    world.send("publisher", &list(r#"[16, 1, {}, "com.a", [1]]"#));
    let reached_first: Vec<&String> = names.iter().filter(|name| events(&mut world, name) == [1]).collect();
    assert!((1..=SLICE_MAX).contains(&reached_first.len()));

    let last = &names[SUBSCRIBERS - 1];
    assert!(!reached_first.contains(&last), "the last one is not in the first slice");
    world.send(last, &list("[34, 2, 1]"));
    world.send(last, &list("[34, 3, 2]"));
    world.send(last, &list("[34, 4, 3]"));
    world.take_outputs(last);
    join(&mut world, "latecomer");
    world.send("latecomer", &list(r#"[32, 1, {}, "com.a"]"#));
    world.take_outputs("latecomer");
    while !world.continue_fan_out("publisher") {}

    assert_eq!(events(&mut world, last), [], "it has unsubscribed");
    assert_eq!(events(&mut world, "latecomer"), [], "it was not there when the event was published");
    let reached_later = names.iter().filter(|name| events(&mut world, name) == [1]).count();
    assert_eq!(reached_first.len() + reached_later, SUBSCRIBERS - 1);
}

#[test]
fn a_publisher_that_is_lost_during_its_long_fan_out_has_published_all_the_same() {
    let mut world = world();
    let names = crowd(&mut world);
    join(&mut world, "publisher");
    world.pauses_fan_outs = true;
    world.send("publisher", &list(r#"[16, 1, {"acknowledge": true}, "com.a", [1]]"#));
    world.lose("publisher");
    while !world.continue_fan_out("publisher") {}
    assert_eq!(received(&mut world, &names), BTreeMap::from([(vec![1], SUBSCRIBERS)]));
}

#[test]
fn random_asks_every_callee_about_equally_often() {
    const CALLEES: usize = 4;
    const CALLS: usize = 2_000;
    let mut world = world();
    let callees: Vec<String> = (0..CALLEES).map(|index| format!("callee{index}")).collect();
    join(&mut world, "caller");
    for callee in &callees {
        join(&mut world, callee);
        world.send(callee, &list(r#"[64, 1, {"invoke": "random"}, "com.b"]"#));
        world.take_outputs(callee);
    }
    for request in 1..=CALLS {
        world.send("caller", &list(&format!(r#"[48, {request}, {{}}, "com.b"]"#)));
    }
    for callee in &callees {
        let count = world.take_outputs(callee).len();
        assert!((CALLS / CALLEES * 8 / 10..CALLS / CALLEES * 12 / 10).contains(&count), "{callee}: {count}");
    }
}

#[test]
fn consistent_hash_moves_only_the_keys_of_the_callee_that_leaves() {
    const KEYS: usize = 300;
    let mut world = world();
    let callees: Vec<String> = (0..5).map(|index| format!("callee{index}")).collect();
    join(&mut world, "caller");
    for callee in &callees {
        join(&mut world, callee);
        world.send(callee, &list(r#"[64, 1, {"invoke": "consistent_hash"}, "com.b"]"#));
        world.take_outputs(callee);
    }
    let mut request = 0;
    let mut placed = |world: &mut World| -> Vec<usize> {
        let mut place = |key: usize| {
            request += 1;
            world.send("caller", &list(&format!(r#"[48, {request}, {{"rkey": "key-{key}"}}, "com.b"]"#)));
            let asked: Vec<bool> =
                callees.iter().map(|callee| !world.take_outputs(callee).is_empty()).collect();
            asked.iter().position(|asked| *asked).expect("somebody is asked")
        };
        (0..KEYS).map(&mut place).collect()
    };
    let before = placed(&mut world);
    for callee in 0..callees.len() {
        let keys = before.iter().filter(|placed| **placed == callee).count();
        assert!(keys > KEYS / 10, "callee{callee} has {keys} keys");
    }
    world.lose("callee2");
    let after = placed(&mut world);
    for (key, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(*before == 2 || before == after, "key-{key} moved from callee{before} to callee{after}");
    }
}

#[test]
fn a_session_remembers_the_last_1024_calls_that_ended_before_their_last_chunk() {
    const REMEMBERED: usize = 1024;
    let mut world = world();
    join(&mut world, "caller");
    for request in 1..=REMEMBERED + 1 {
        world.send("caller", &list(&format!(r#"[48, {request}, {{"progress": true}}, "com.nobody"]"#)));
    }
    assert_eq!(world.take_outputs("caller").len(), REMEMBERED + 1, "nobody has registered it");
    world.send("caller", &list(r#"[48, 2, {}, "com.nobody"]"#));
    assert_eq!(world.take_outputs("caller"), [], "a chunk of a call that is remembered");
    world.send("caller", &list(r#"[48, 1, {}, "com.nobody"]"#));
    assert_eq!(world.take_outputs("caller").len(), 1, "the oldest is forgotten: this is a new call");
}

//! No text, however wrong, makes the loader panic, hang or run out of stack or memory.

use super::World;

const SEEDS: &[&str] = &[
    include_str!("../../../../../docs/reference/bondy.default.yaml"),
    "a: &a [x]\nb: *a\nc: {d: \"${E:-f}\", g: 'h'}\n",
    "{\"version\": 1, \"listeners\": {\"a\": {\"bind\": \"[::1]:0\", \"serve\": [\"admin\"]}}}",
    "version = 1\n[listeners.a]\nbind = \"h:1\"\nserve = [\"admin\"]\n[[realms]]\nuri = 'x'\n",
];

const PIECES: &[&str] = &[
    ": ",
    "\n",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "&a ",
    "*a",
    "!!str ",
    "\"",
    "'",
    "|\n",
    ">\n",
    "#",
    "\t",
    "  ",
    "${",
    "${X}",
    "null",
    "~",
    "<<",
    "---\n",
    "...",
    "%YAML 1.2\n",
    "\u{feff}",
    "\u{0}",
    "é",
    "=",
    "[[",
    "'''",
    "\"\"\"",
    "0x",
    "1e999",
    "realms",
    "grants",
    "sources",
    "listeners",
    "99999999999999999999",
    "-1",
    "16MiB",
    "unix:",
];

fn mutate(random: &mut fastrand::Rng, seed: &str) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    if random.bool() {
        text.truncate(random.usize(..=text.len()));
    }
    for _ in 0..random.usize(1..12) {
        let at = random.usize(..=text.len());
        if random.bool() {
            let piece = PIECES[random.usize(..PIECES.len())];
            text.splice(at..at, piece.chars());
        } else {
            let end = (at + random.usize(..8)).min(text.len());
            text.drain(at..end);
        }
    }
    text.into_iter().collect()
}

#[test]
fn arbitrary_text_gives_a_configuration_or_problems() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..1500 {
        let seed = SEEDS[random.usize(..SEEDS.len())];
        let text = mutate(&mut random, seed);
        let value: String = mutate(&mut random, "[a, b]");
        let key = mutate(&mut random, "realms.0.grants.1.roles");
        for file in ["f.yaml", "f.json", "f.toml"] {
            let world = World::of(file, &text).file("realms.json", &text).set(&key, &value);
            let world = world
                .variable("BONDY__REALMS__0", &value)
                .variable("X", &text)
                .set("realms_file", "realms.json");
            // Either outcome is fine; both have to be printable.
            match world.load() {
                Ok(loaded) => drop(loaded.show(true)),
                Err(problems) => assert!(!problems.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn arbitrary_bytes_give_problems() {
    let mut random = fastrand::Rng::with_seed(8);
    for _ in 0..2000 {
        let length = random.usize(..200);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(length).collect();
        for file in ["f.yaml", "f.toml"] {
            let _ = World::of(file, &bytes).load();
        }
    }
}

#[test]
fn deep_nesting_is_refused() {
    for (file, text) in [
        ("f.json", "[".repeat(100_000)),
        ("f.json", "{\"a\":".repeat(100_000)),
        ("f.yaml", "- ".repeat(100_000)),
        ("f.yaml", (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect()),
        ("f.toml", format!("a = {}", "[".repeat(100_000))),
        ("f.toml", format!("{} = 1", vec!["a"; 100_000].join("."))),
    ] {
        let problems = World::of(file, text).problems();
        assert!(problems.starts_with(file), "{problems}");
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let previous = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{previous}]\n");
    }
    assert_eq!(World::of("f.yaml", text).problems(), "f.yaml:4:45: aliases add more than 10000 values");
}

#[test]
fn a_large_file_of_mistakes_is_told_in_full() {
    let realms = "{\"uri\": \"a b\", \"grants\": [], \"x\": 1},\n".repeat(1_000);
    let text = format!(
        "{{\"listeners\": {{\"a\": {{\"bind\": \"h:1\", \"serve\": [\"admin\"]}}}}, \"realms\": [{realms}]}}"
    );
    let problems = World::of("f.json", text).load().expect_err("mistakes");
    // For each realm: its URI, the unknown key, no authentication methods, no grants, no sources.
    assert_eq!(problems.count(), 5_000);
}

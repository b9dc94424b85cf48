//! What an operator reads: file, line, key, what is wrong, and the way out.

use super::World;

#[test]
fn every_kind_of_mistake_has_its_message() {
    let cases = [
        ("nod: {}", "2:1: nod: unknown key", "did you mean `node`?"),
        ("node: {nam: x}", "2:8: node.nam: unknown key", "did you mean `name`?"),
        ("drain_timeout: 10s", "2:1: drain_timeout: unknown key", "there is `node.drain_timeout`"),
        ("bind: x", "2:1: bind: unknown key", "there is `listeners.NAME.bind`"),
        (
            "node: {zzzzzz: 1}",
            "2:8: node.zzzzzz: unknown key",
            "the keys here are `name`, `data_dir` or `drain_timeout`",
        ),
        (
            "node: {name: 7}",
            "2:14: node.name: expected a name, found the number 7",
            "write it in quotes: `\"7\"`",
        ),
        (
            "node: {name: 'a b'}",
            "2:14: node.name: expected a name, found the text `a b`",
            "letters, digits, `.`, `_`, `@` and `-`; at most 255",
        ),
        (
            "node: {drain_timeout: 10}",
            "2:23: node.drain_timeout: the duration 10 has no unit",
            "did you mean `10s` or `10ms`?",
        ),
        (
            "node: {drain_timeout: 10sec}",
            "2:23: node.drain_timeout: `sec` is no unit of a duration",
            "the units are `ms`, `s`, `m`, `h` or `d`",
        ),
        (
            "node: {drain_timeout: soon}",
            "2:23: node.drain_timeout: expected a duration, found `soon`",
            "write a whole number with its unit, such as `10s`",
        ),
        ("node: {drain_timeout: 2h}", "2:23: node.drain_timeout: 2h is too much", "at most 1h"),
        (
            "log: {level: inf}",
            "2:14: log.level: expected `off`, `error`, `warn`, `info`, `debug` or `trace`, found the text `inf`",
            "did you mean `info`?",
        ),
        ("version: '1'", "2:10: version: expected `1`, found the text `1`", ""),
        ("workers: -1", "2:10: workers: expected a whole number from 0 to 1024, found the number -1", ""),
        ("workers: 1.5", "2:10: workers: expected a whole number from 0 to 1024, found the number 1.5", ""),
        (
            "outbox_memory_max: 120%",
            "2:20: outbox_memory_max: expected a percentage from 1% to 100%, found `120%`",
            "",
        ),
        (
            "outbox_memory_max: 4096",
            "2:20: outbox_memory_max: the size 4096 has no unit",
            "did you mean `4096B` or `4096KiB`?",
        ),
        ("log: info", "2:6: log: expected a map of keys, found the text `info`", ""),
        ("log: [info]", "2:6: log: expected a map of keys, found a list", ""),
        ("node: {name: {a: b}}", "2:14: node.name: expected a name, found a map", ""),
        (
            "gateway: {specs: [api.json]}",
            "2:18: gateway.specs: this version has no HTTP gateway yet, so that it cannot serve specifications",
            "leave the list empty",
        ),
        ("realms: {uri: x}", "2:9: realms: expected a list, found a map", ""),
        (
            "realms: [{security_enabled: false}]",
            "2:10: realms.0.uri: missing",
            "such as `uri: com.example.app`",
        ),
        (
            "realms: [{uri: a..b, security_enabled: false}]",
            "2:16: realms.0.uri: expected a WAMP URI, found the text `a..b`",
            "parts joined by dots, without blanks, `#` or empty parts",
        ),
        (
            "realms: [{uri: r, security_enabled: false, event_history: [{uri: a..b}]}]",
            "2:66: realms.0.event_history.0.uri: `a..b` is no URI for the match policy `exact`",
            "",
        ),
        (
            "realms: [{uri: r, security_enabled: false, limits: {calls_max: 0}}]",
            "2:64: realms.0.limits.calls_max: expected a whole number from 1 to 10000000, found the number 0",
            "",
        ),
        (
            "node: {name: \"${NOBODY}\"}",
            "2:14: the environment variable `NOBODY` is not set",
            "set it, or write `${NOBODY:-VALUE}` to say what holds without it",
        ),
    ];
    for (line, what, help) in cases {
        let problems = World::with(line).problems();
        let help = if help.is_empty() { String::new() } else { format!("\n  help: {help}") };
        let expected = format!("bondy.yaml:{what}{help}");
        // The text of an unfilled variable is no name either.
        assert_eq!(problems.lines().take(expected.lines().count()).collect::<Vec<_>>().join("\n"), expected);
    }
}

#[test]
fn every_mistake_in_a_listener_has_its_message() {
    let cases = [
        ("serve: [admin]", "1:16: listeners.a.bind: missing", "such as `bind: 127.0.0.1:18080`"),
        ("bind: 'h:1'", "1:16: listeners.a.serve: missing", "such as `serve: [websocket, http]`"),
        (
            "bind: 18080, serve: [admin]",
            "1:23: listeners.a.bind: expected `HOST:PORT` or `unix:PATH`, found `18080`",
            "did you mean `127.0.0.1:18080`?",
        ),
        (
            "bind: localhost, serve: [admin]",
            "1:23: listeners.a.bind: expected `HOST:PORT` or `unix:PATH`, found `localhost`",
            "a port is missing; did you mean `localhost:18080`?",
        ),
        (
            "bind: '*:80', serve: [admin]",
            "1:23: listeners.a.bind: expected `HOST:PORT` or `unix:PATH`, found `*:80`",
            "for every address write `0.0.0.0:80` or `[::]:80`",
        ),
        (
            "bind: '::1:80', serve: [admin]",
            "1:23: listeners.a.bind: expected `HOST:PORT` or `unix:PATH`, found `::1:80`",
            "did you mean `[::1]:80`?",
        ),
        (
            "bind: 'h:1', serve: websocket",
            "1:37: listeners.a.serve: expected a list, found the text `websocket`",
            "did you mean `[websocket]`?",
        ),
        (
            "bind: 'h:1', serve: []",
            "1:37: listeners.a.serve: the list is empty: the listener would serve nothing",
            "such as `[websocket]`",
        ),
        (
            "bind: 'h:1', serve: [websockets]",
            "1:38: listeners.a.serve.0: expected `websocket`, `http`, `admin` or `rawsocket`, found the text `websockets`",
            "did you mean `websocket`?",
        ),
        (
            "bind: 'h:1', serve: [admin], strict: yes",
            "1:54: listeners.a.strict: expected `true` or `false`, found the text `yes`",
            "did you mean `true`?",
        ),
        (
            "bind: 'h:1', serve: [admin], message_bytes_max: 16",
            "1:65: listeners.a.message_bytes_max: the size 16 has no unit",
            "did you mean `16MiB` or `16KiB`?",
        ),
        (
            "bind: 'h:1', serve: [admin], outbox_hard: 128KiB",
            "1:59: listeners.a.outbox_hard: the hard limit (128KiB) is below the soft limit (256KiB)",
            "",
        ),
        (
            "bind: 'h:1', serve: [admin], outbox_soft: 2MiB",
            "1:59: listeners.a.outbox_soft: the hard limit (1MiB) is below the soft limit (2MiB)",
            "",
        ),
        (
            "bind: 'h:1', serve: [admin], trusted_proxies: [x]",
            "1:64: listeners.a.trusted_proxies.0: expected a network such as `10.0.0.0/8`, found the text `x`",
            "",
        ),
        (
            "bind: 'h:1', serve: [admin], ping_interval: of",
            "1:61: listeners.a.ping_interval: expected a duration such as `10s`, or `auto` or `off`, found the text `of`",
            "did you mean `off`?",
        ),
        (
            "bind: 'h:1', serve: [admin], tls: {cert: c.pem}",
            "1:51: listeners.a.tls.key: missing",
            "such as `key: key.pem`",
        ),
        (
            "bind: 'h:1', serve: [admin], tls: {cert: no.pem, key: c.pem}",
            "1:58: listeners.a.tls.cert: cannot read `no.pem`: no such file or directory",
            "",
        ),
        (
            "bind: 'unix:s', serve: [admin], tls: {cert: c.pem, key: c.pem}",
            "1:54: listeners.a.tls: TLS is for TCP only, not for a Unix socket",
            "",
        ),
    ];
    for (listener, what, help) in cases {
        let world = World::of("f.yaml", format!("listeners: {{a: {{{listener}}}}}")).file("c.pem", "");
        let help = if help.is_empty() { String::new() } else { format!("\n  help: {help}") };
        assert_eq!(world.problems(), format!("f.yaml:{what}{help}"));
    }
}

#[test]
fn names_of_listeners_and_ports_are_checked() {
    let text = "listeners:\n  a b: {bind: 'h:1', serve: [admin]}\n  c: {bind: 'h:2', serve: [admin]}\n  d: {bind: 'h:2', serve: [admin]}";
    let expected = "f.yaml:2:3: listeners: `a b` cannot be a name here\n  \
                    help: letters, digits, `_` and `-`; at most 64\n\
                    f.yaml:4:13: listeners.d.bind: the listener `c` is bound to `h:2` already";
    assert_eq!(World::of("f.yaml", text).problems(), expected);
    let zero = "listeners:\n  c: {bind: 'h:0', serve: [admin]}\n  d: {bind: 'h:0', serve: [admin]}";
    assert_eq!(World::of("f.yaml", zero).config().listeners.len(), 2);
}

#[test]
fn all_problems_are_told_in_the_order_of_their_places() {
    let world = World::of("f.yaml", "workers: x\nnode: {nam: 1}\nlisteners: {a: {bind: 'h:1', serve: [x]}}")
        .variable("BONDY__LOG__LEVEL", "x")
        .set("node.x", "1")
        .set("realms.5.uri", "r")
        .set("workers.y", "1")
        .set("", "1");
    let expected = "\
f.yaml:1:10: workers: expected a whole number from 0 to 1024, found the text `x`
f.yaml:2:8: node.nam: unknown key
  help: did you mean `name`?
f.yaml:3:38: listeners.a.serve.0: expected `websocket`, `http`, `admin` or `rawsocket`, found the text `x`
environment BONDY__LOG__LEVEL: log.level: expected `off`, `error`, `warn`, `info`, `debug` or `trace`, found the text `x`
--set : not the path of a key
  help: names joined by `.`, in variables by `__`
--set node.x: node.x: unknown key
  help: the keys here are `name`, `data_dir` or `drain_timeout`
--set realms.5.uri: realms.5.uri: there is no item 5: the list has 0
  help: the next one is 0
--set workers.y: workers.y: the path leads through a single value";
    assert_eq!(world.problems(), expected);
}

#[test]
fn a_file_without_listeners_says_what_to_write() {
    let expected = "listeners: no listener: nobody could reach the node\n  \
                    help: such as `listeners: {public: {bind: \"127.0.0.1:18080\", serve: [websocket]}}`";
    assert_eq!(World::of("f.yaml", "node: {name: n}").problems(), format!("f.yaml:1:1: {expected}"));
    assert_eq!(World::of("f.yaml", "listeners: {}").problems(), format!("f.yaml:1:12: {expected}"));
}

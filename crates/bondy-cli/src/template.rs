//! Text with placeholders such as `{{count}}`, parsed once and filled in for each repetition.
//!
//! Filling in comes before the text is read as JSON, so that `{"n": {{count}}}` has a number in it. No placeholder
//! becomes anything that would have to be escaped in a JSON string.

use std::time::{SystemTime, UNIX_EPOCH};

/// The longest text that `{{text N}}` makes.
const TEXT_MAX: usize = 1_000_000;

/// The largest number that every serializer and language carries exactly, less one.
const RANDOM_MAX: i64 = (1 << 53) - 1;

/// A text, and what is filled into it.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Count,
    Time,
    Unix,
    UnixMilliseconds,
    Uuid,
    Random(i64, i64),
    Text(usize),
}

/// What was written between `{{` and `}}`, or that there is no end to it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("`{{{{` has no `}}}}` behind it")]
    Open,
    #[error("there is no placeholder `{{{{{0}}}}}`")]
    Unknown(String),
    #[error("`{{{{{0}}}}}`: {1}")]
    Argument(String, &'static str),
}

impl TemplateError {
    /// What to do about it.
    pub(crate) const HELP: &'static str = "known are count, time, unix, unix_ms, uuid, random, `random MIN MAX` and \
        `text LENGTH`; write `{{{{` for `{{` itself, or give --no-template";
}

impl Template {
    /// The text as it is.
    pub(crate) fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Literal(text.to_owned())] }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find("{{") {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 2..];
            if let Some(behind) = rest.strip_prefix("{{") {
                literal.push_str("{{");
                rest = behind;
                continue;
            }
            let (name, behind) = rest.split_once("}}").ok_or(TemplateError::Open)?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::parse(name)?);
            rest = behind;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The text of repetition `count`, the first being 1.
    pub(crate) fn render(&self, count: u64) -> String {
        self.parts.iter().map(|part| part.render(count)).collect()
    }
}

impl Part {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let wrong = |why| TemplateError::Argument(text.to_owned(), why);
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        let arguments: Vec<&str> = words.collect();
        let simple = |part| if arguments.is_empty() { Ok(part) } else { Err(wrong("takes no argument")) };
        match name {
            "count" => simple(Part::Count),
            "time" => simple(Part::Time),
            "unix" => simple(Part::Unix),
            "unix_ms" => simple(Part::UnixMilliseconds),
            "uuid" => simple(Part::Uuid),
            "random" => Self::parse_random(&arguments).map_err(wrong),
            "text" => match *arguments {
                [length] => length
                    .parse()
                    .ok()
                    .filter(|length| *length <= TEXT_MAX)
                    .map(Part::Text)
                    .ok_or_else(|| wrong("the length is a whole number, at most 1000000")),
                _ => Err(wrong("takes one argument, the length")),
            },
            _ => Err(TemplateError::Unknown(text.to_owned())),
        }
    }

    fn parse_random(arguments: &[&str]) -> Result<Self, &'static str> {
        let [least, most] = arguments else {
            let is_plain = arguments.is_empty();
            return if is_plain {
                Ok(Part::Random(0, RANDOM_MAX))
            } else {
                Err("takes none or two arguments")
            };
        };
        match (least.parse(), most.parse()) {
            (Ok(least), Ok(most)) if least <= most => Ok(Part::Random(least, most)),
            (Ok(_), Ok(_)) => Err("the first number is the smaller one"),
            _ => Err("the arguments are whole numbers"),
        }
    }

    fn render(&self, count: u64) -> String {
        match self {
            Part::Literal(text) => text.clone(),
            Part::Count => count.to_string(),
            Part::Time => time(),
            Part::Unix => (unix_us() / 1_000_000).to_string(),
            Part::UnixMilliseconds => (unix_us() / 1_000).to_string(),
            Part::Uuid => uuid(fastrand::u128(..)),
            Part::Random(least, most) => fastrand::i64(*least..=*most).to_string(),
            Part::Text(length) => (0..*length).map(|_| fastrand::alphanumeric()).collect(),
        }
    }
}

fn unix_us() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX)
}

/// Now, as in 2026-01-31T12:00:00.000000Z.
fn time() -> String {
    jiff::Timestamp::from_microsecond(unix_us()).map_or_else(|_| String::new(), |time| format!("{time:.6}"))
}

/// A version 4 UUID of these bits (RFC 9562).
fn uuid(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let text = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> String {
        Template::parse(text).expect("a template").render(7)
    }

    #[test]
    fn the_count_is_filled_in_wherever_it_stands() {
        assert_eq!(rendered("{{count}}"), "7");
        assert_eq!(rendered("a{{ count }}b{{count}}"), "a7b7");
        assert_eq!(rendered(r#"{"a":{"n":{{count}}}}"#), r#"{"a":{"n":7}}"#);
    }

    #[test]
    fn four_braces_are_two() {
        assert_eq!(rendered("{{{{count}}"), "{{count}}");
        assert_eq!(rendered("no placeholder }} { here"), "no placeholder }} { here");
    }

    #[test]
    fn what_is_random_keeps_to_its_bounds() {
        for _ in 0..100 {
            let number: i64 = rendered("{{random -1 1}}").parse().expect("a number");
            assert!((-1..=1).contains(&number));
        }
        assert_eq!(rendered("{{text 12}}").len(), 12);
        assert_eq!(rendered("{{random 5 5}}"), "5");
    }

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn the_time_is_utc_with_microseconds() {
        let time = rendered("{{time}}");
        assert!(time.len() == 27 && time.ends_with('Z'), "{time}");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(Template::parse("a {{count").expect_err("open"), TemplateError::Open);
        let unknown = Template::parse("{{cuont}}").expect_err("unknown").to_string();
        assert_eq!(unknown, "there is no placeholder `{{cuont}}`");
        for wrong in [
            "{{}}",
            "{{count 1}}",
            "{{random 1}}",
            "{{random 2 1}}",
            "{{random a b}}",
            "{{text}}",
            "{{text 9999999}}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}

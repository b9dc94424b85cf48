//! Arguments and keyword arguments: read from the command line, files and processes, and written as text.
//!
//! Inside this crate they are JSON values. Binary, which JSON has no type for, is written as the WAMP specification
//! does in JSON: a string that begins with U+0000, followed by base64.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value, json};

use crate::Failure;
use crate::arguments::payload::{OptionArguments, PayloadArguments};
use crate::template::{Template, TemplateError};

/// The most that is read from a file or from standard input.
pub(crate) const INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Payload {
    pub(crate) args: Vec<Value>,
    pub(crate) kwargs: Map<String, Value>,
}

impl Payload {
    /// `args` and `kwargs`, under these names.
    pub(crate) fn entries(&self) -> [(&'static str, Value); 2] {
        [("args", self.args.clone().into()), ("kwargs", self.kwargs.clone().into())]
    }

    /// `{"args": [...], "kwargs": {...}}`.
    #[cfg(test)]
    pub(crate) fn to_json(&self) -> Value {
        json!({"args": self.args, "kwargs": self.kwargs})
    }

    /// From an object of nothing but `args` and `kwargs`, at least one of them.
    pub(crate) fn from_json(value: Value) -> Result<Self, Value> {
        let Value::Object(mut object) = value else { return Err(value) };
        let is_known = |(key, value): (&String, &Value)| match key.as_str() {
            "args" => value.is_array(),
            "kwargs" => value.is_object(),
            _ => false,
        };
        if object.is_empty() || !object.iter().all(is_known) {
            return Err(Value::Object(object));
        }
        let mut payload = Self::default();
        if let Some(Value::Array(args)) = object.remove("args") {
            payload.args = args;
        }
        if let Some(Value::Object(kwargs)) = object.remove("kwargs") {
            payload.kwargs = kwargs;
        }
        Ok(payload)
    }
}

/// JSON where the text parses as JSON, else the text.
pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The same, where JSON that cannot be carried is a mistake: as text it would arrive as something else than was meant.
fn carried(text: &str) -> Result<Value, Failure> {
    match serde_json::from_str(text) {
        Ok(value) => Ok(value),
        Err(error) if BEYOND.iter().any(|beyond| error.to_string().contains(beyond)) => {
            let start: String = text.chars().take(40).collect();
            Err(Failure::usage(format!("the JSON {start} cannot be carried: {}", reason(&error))))
        }
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

/// What the parser says of JSON that is well-formed, and more than it can read.
const BEYOND: [&str; 3] = ["recursion limit exceeded", "number out of range", "hex escape"];

/// A value as plain text: a string as it is, anything else as JSON.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The octets, if the value is binary as WAMP writes it in JSON.
pub(crate) fn binary(value: &Value) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let encoded = value.as_str()?.strip_prefix('\0')?;
    base64::engine::general_purpose::STANDARD.decode(encoded).ok()
}

/// Binary as WAMP writes it in JSON.
pub(crate) fn binary_value(octets: &[u8]) -> Value {
    use base64::Engine as _;
    Value::String(format!("\0{}", base64::engine::general_purpose::STANDARD.encode(octets)))
}

/// The protocol options of `-o`.
pub(crate) fn options(arguments: &OptionArguments) -> Map<String, Value> {
    arguments.options.iter().map(|(key, text)| (key.clone(), value(text))).collect()
}

/// The payload of each repetition: parsed once, filled in each time.
#[derive(Clone, Debug)]
pub(crate) struct PayloadTemplate {
    file: Option<(String, Template)>,
    args: Vec<Template>,
    kwargs: Vec<(String, Template)>,
}

impl PayloadTemplate {
    /// Reads the file, if one is named, and parses every placeholder.
    pub(crate) fn read(arguments: &PayloadArguments) -> Result<Self, Failure> {
        let parse = |place: &str, text: &str| match arguments.no_template {
            true => Ok(Template::literal(text)),
            false => Template::parse(text).map_err(|error| {
                Failure::usage(format!("{place}: {error}\n  help: {}", TemplateError::HELP))
            }),
        };
        let file = match &arguments.args_file {
            Some(name) => Some((name.clone(), parse(&shown(name), &read_text(name)?)?)),
            None => None,
        };
        let named = |(key, text): &(String, String)| -> Result<_, Failure> {
            Ok((key.clone(), parse(&format!("-k {key}"), text)?))
        };
        let args = arguments.args.iter().zip(1..).map(|(text, number)| parse(&format!("ARG {number}"), text));
        let args = args.collect::<Result<_, Failure>>()?;
        let kwargs = arguments.kwargs.iter().map(named).collect::<Result<_, Failure>>()?;
        let template = Self { file, args, kwargs };
        // What is wrong with the file is said before anything is sent.
        template.render(1)?;
        Ok(template)
    }

    /// The payload of repetition `count`, the first being 1.
    pub(crate) fn render(&self, count: u64) -> Result<Payload, Failure> {
        let mut payload = match &self.file {
            Some((name, template)) => parse_file(name, &template.render(count))?,
            None => Payload::default(),
        };
        for template in &self.args {
            payload.args.push(carried(&template.render(count))?);
        }
        for (key, template) in &self.kwargs {
            payload.kwargs.insert(key.clone(), carried(&template.render(count))?);
        }
        Ok(payload)
    }
}

fn shown(name: &str) -> String {
    if name == "-" { "standard input".to_owned() } else { name.to_owned() }
}

fn parse_file(name: &str, text: &str) -> Result<Payload, Failure> {
    let name = shown(name);
    let expected = r#"expected {"args": [...], "kwargs": {...}}"#;
    if text.trim().is_empty() {
        return Ok(Payload::default());
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        Failure::usage(format!("{name}:{}:{}: {}", error.line(), error.column(), reason(&error)))
    })?;
    if value == json!({}) {
        return Ok(Payload::default());
    }
    Payload::from_json(value).map_err(|_| Failure::usage(format!("{name}: {expected}")))
}

/// What is wrong with JSON, without the place.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// The text of a file, `-` being standard input; what is too large or no text is an error.
pub(crate) fn read_text(name: &str) -> Result<String, Failure> {
    static IS_READ: AtomicBool = AtomicBool::new(false);
    if name == "-" && IS_READ.swap(true, Ordering::Relaxed) {
        return Err(Failure::usage("standard input can be one thing only: the secret or the arguments"));
    }
    let mut text = String::new();
    let read = if name == "-" {
        std::io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(name).and_then(|file| file.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text))
    };
    match read {
        Ok(_) if text.len() as u64 > INPUT_BYTES_MAX => {
            Err(Failure::usage(format!("{}: more than 16 MiB, which no message may carry", shown(name))))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", shown(name)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(args: &[&str], kwargs: &[(&str, &str)]) -> PayloadArguments {
        PayloadArguments {
            args: args.iter().map(|text| (*text).to_owned()).collect(),
            kwargs: kwargs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect(),
            args_file: None,
            no_template: false,
        }
    }

    #[test]
    fn json_that_cannot_be_carried_is_not_sent_as_text() {
        for text in [&*("[".repeat(200) + &"]".repeat(200)), "1e400", r#""\ud800""#] {
            assert!(matches!(carried(text), Err(Failure::Usage(_))), "{text}");
        }
        assert_eq!(carried("[").ok(), Some(json!("[")));
    }

    #[test]
    fn an_argument_is_json_where_it_parses_as_json_and_else_a_string() {
        assert_eq!(value("7"), json!(7));
        assert_eq!(value("-1.5"), json!(-1.5));
        assert_eq!(value("true"), json!(true));
        assert_eq!(value("null"), json!(null));
        assert_eq!(value(r#"{"a": [1]}"#), json!({"a": [1]}));
        assert_eq!(value(r#""7""#), json!("7"));
        for text in ["world", "", "{a", "1 2", "True", "+1"] {
            assert_eq!(value(text), json!(text));
        }
    }

    #[test]
    fn templates_are_filled_in_before_json_is_read() {
        let template =
            PayloadTemplate::read(&arguments(&["{{count}}", "n{{count}}"], &[("x", "[{{count}}]")]));
        let Ok(template) = template else { panic!("a payload") };
        let Ok(payload) = template.render(3) else { panic!("a payload") };
        assert_eq!(payload.to_json(), json!({"args": [3, "n3"], "kwargs": {"x": [3]}}));
    }

    #[test]
    fn only_an_object_of_args_and_kwargs_is_a_whole_payload() {
        let payload = Payload::from_json(json!({"args": [1]})).expect("a payload");
        assert_eq!(payload.args, [json!(1)]);
        for value in
            [json!({}), json!({"args": 1}), json!({"kwargs": []}), json!({"args": [], "x": 1}), json!([1])]
        {
            assert_eq!(Payload::from_json(value.clone()), Err(value));
        }
    }

    #[test]
    fn binary_is_base64_behind_a_nul() {
        let value = binary_value(&[0, 255]);
        assert_eq!(value, json!("\0AP8="));
        assert_eq!(binary(&value), Some(vec![0, 255]));
        assert_eq!(binary(&json!("AP8=")), None);
    }
}

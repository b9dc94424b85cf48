//! A small strict reader of OpenMetrics text 1.0: what it takes, any scraper takes.
//!
//! It knows counters and gauges, which is all that the node writes.

use std::collections::BTreeMap;

/// Samples by name, with labels as they stand.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Default)]
struct Family {
    name: String,
    kind: Option<Kind>,
    has_help: bool,
    has_samples: bool,
}

impl Metrics {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("the text must end with # EOF")?;
        let (mut samples, mut families) = (BTreeMap::new(), Vec::new());
        let mut family = Family::default();
        for line in body.lines() {
            if line.is_empty() || line.contains('\r') {
                return Err(format!("a line that is empty or has a carriage return: {line:?}"));
            }
            match line.strip_prefix("# ") {
                Some(comment) => describe(comment, &mut family, &mut families)?,
                None => {
                    let (name, value) = sample(line, &mut family)?;
                    if samples.insert(name, value).is_some() {
                        return Err(format!("a sample that is there twice: {line}"));
                    }
                }
            }
        }
        Ok(Self(samples))
    }

    /// A sample without labels, which must be there.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        *self.0.get(name).unwrap_or_else(|| panic!("there is no sample {name} in {:?}", self.0.keys()))
    }

    #[allow(dead_code, reason = "the tests of the binary, which use this file too, do not ask")]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// `TYPE name kind`, `HELP name text` or `UNIT name unit`; a new name begins a new family, and no family comes twice.
fn describe(comment: &str, family: &mut Family, families: &mut Vec<String>) -> Result<(), String> {
    let mut words = comment.splitn(3, ' ');
    let (Some(keyword), Some(name), Some(rest)) = (words.next(), words.next(), words.next()) else {
        return Err(format!("a comment of no known form: {comment}"));
    };
    if !is_name(name) {
        return Err(format!("{name} is no name of a metric"));
    }
    if family.name != name {
        if families.iter().any(|known| known == name) {
            return Err(format!("the family {name} is there twice"));
        }
        families.push(name.to_owned());
        *family = Family { name: name.to_owned(), ..Family::default() };
    }
    if family.has_samples {
        return Err(format!("{keyword} of {name} behind its samples"));
    }
    match (keyword, rest) {
        ("TYPE", "counter") if family.kind.is_none() => family.kind = Some(Kind::Counter),
        ("TYPE", "gauge") if family.kind.is_none() => family.kind = Some(Kind::Gauge),
        ("HELP", _) if !family.has_help && !rest.contains('"') => family.has_help = true,
        ("UNIT", unit) if name.ends_with(&format!("_{unit}")) => {}
        _ => return Err(format!("a comment that is repeated or wrong: {comment}")),
    }
    Ok(())
}

/// `name value` or `name{labels} value`, of the family that stands before it.
fn sample(line: &str, family: &mut Family) -> Result<(String, f64), String> {
    let (series, value) = line.rsplit_once(' ').ok_or_else(|| format!("a sample without value: {line}"))?;
    let name = series.split('{').next().unwrap_or(series);
    let expected = match family.kind {
        Some(Kind::Counter) => format!("{}_total", family.name),
        Some(Kind::Gauge) => family.name.clone(),
        None => return Err(format!("a sample of no family: {line}")),
    };
    if name != expected {
        return Err(format!("a sample {name} where {expected} belongs"));
    }
    let value: f64 = value.parse().map_err(|_| format!("not a number: {line}"))?;
    if family.kind == Some(Kind::Counter) && (value < 0.0 || value.is_nan()) {
        return Err(format!("a counter below zero: {line}"));
    }
    family.has_samples = true;
    Ok((series.to_owned(), value))
}

fn is_name(name: &str) -> bool {
    let mut octets = name.bytes();
    octets.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_' || first == b':')
        && octets.all(|octet| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b':')
}

#[test]
fn the_reader_refuses_what_a_scraper_would_refuse() {
    let good = "# TYPE a counter\n# HELP a Text.\na_total 1\n# TYPE b gauge\nb 2.5\n# EOF\n";
    assert_eq!(Metrics::parse(good).expect("good").value("b"), 2.5);
    for bad in [
        "# TYPE a counter\na_total 1\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "a_total 1\n# EOF\n",
        "# TYPE a counter\na_total x\n# EOF\n",
        "# TYPE a counter\na_total 1\na_total 2\n# EOF\n",
        "# TYPE a counter\na_total 1\n# TYPE b gauge\nb 1\n# TYPE a counter\n# EOF\n",
        "# TYPE a counter\na_total -1\n# EOF\n",
        "# TYPE 9 gauge\n9 1\n# EOF\n",
        "\n# EOF\n",
    ] {
        assert!(Metrics::parse(bad).is_err(), "{bad}");
    }
}

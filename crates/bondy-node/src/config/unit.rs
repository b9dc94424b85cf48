//! Durations and sizes, which are written with their unit: `10s`, `16MiB`.
//!
//! A bare number is refused, because half of its readers would guess another unit than its writer.

use std::time::Duration;

use super::problem::{Complaint, one_of};

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A whole number and `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, Complaint> {
    let (number, unit) = split(text).ok_or_else(|| not_a(text, "duration", "10s"))?;
    let Some((_, factor)) = DURATION_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(unknown_unit("duration", number, unit, &DURATION_UNITS, &["s", "ms"]));
    };
    let milliseconds = number.checked_mul(*factor);
    milliseconds.map(Duration::from_millis).ok_or_else(|| Complaint::new("the duration is too long"))
}

/// A whole number and `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` or `GiB`, in bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, Complaint> {
    let (number, unit) = split(text).ok_or_else(|| not_a(text, "size", "16MiB"))?;
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) else {
        return Err(unknown_unit("size", number, unit, &SIZE_UNITS, &size_guesses(number)));
    };
    number.checked_mul(*factor).ok_or_else(|| Complaint::new("the size is too large"))
}

/// The shortest exact spelling of a duration.
pub(crate) fn format_duration(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    format_exact(milliseconds, &DURATION_UNITS, "s")
}

/// The shortest exact spelling of a size.
pub(crate) fn format_size(bytes: u64) -> String {
    format_exact(bytes, &SIZE_UNITS, "B")
}

/// The units by name, for the schema and the documentation.
pub(crate) fn unit_names(of_sizes: bool) -> Vec<&'static str> {
    let units: &[(&'static str, u64)] = if of_sizes { &SIZE_UNITS } else { &DURATION_UNITS };
    units.iter().map(|(name, _)| *name).collect()
}

fn format_exact(value: u64, units: &[(&str, u64)], zero_unit: &str) -> String {
    let exact = units.iter().find(|(_, factor)| value > 0 && value.is_multiple_of(*factor));
    exact.map_or_else(|| format!("{value}{zero_unit}"), |(name, factor)| format!("{}{name}", value / factor))
}

/// The number and what follows it, blanks between them left out.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

fn not_a(text: &str, what: &str, example: &str) -> Complaint {
    let text: String = text.chars().take(60).collect();
    Complaint::new(format!("expected a {what}, found `{}`", text.escape_debug()))
        .help(format!("write a whole number with its unit, such as `{example}`"))
}

fn unknown_unit(what: &str, number: u64, unit: &str, units: &[(&str, u64)], guesses: &[&str]) -> Complaint {
    if unit.is_empty() {
        let guesses: Vec<String> = guesses.iter().map(|unit| format!("{number}{unit}")).collect();
        let guesses: Vec<&str> = guesses.iter().map(String::as_str).collect();
        return Complaint::new(format!("the {what} {number} has no unit"))
            .help(format!("did you mean {}?", one_of(&guesses)));
    }
    let unit: String = unit.chars().take(20).collect();
    let names: Vec<&str> = units.iter().rev().map(|(name, _)| *name).collect();
    Complaint::new(format!("`{}` is no unit of a {what}", unit.escape_debug()))
        .help(format!("the units are {}", one_of(&names)))
}

/// Bytes as a round binary size where the number is one, else what the number is mostly meant as.
fn size_guesses(number: u64) -> Vec<&'static str> {
    if number < 1024 { vec!["MiB", "KiB"] } else { vec!["B", "KiB"] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_need_their_unit() {
        assert_eq!(parse_duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse_duration("500 ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_size("16MiB"), Ok(16 << 20));
        assert_eq!(parse_size("64kb"), Ok(64_000));
        for wrong in ["10", "", "s", "-1s", "1.5s", "10 S", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse_duration(wrong).is_err(), "{wrong:?}");
        }
        for wrong in ["16", "16M", "MiB", "18446744073709551615KiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_formatted_reads_back() {
        for milliseconds in [0, 1, 999, 1_000, 90_000, 3_600_000, 86_400_000, 86_400_001] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
        for bytes in [0, 1, 1000, 1024, 1500, 1 << 20, (1 << 30) + 1] {
            assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
        }
    }
}

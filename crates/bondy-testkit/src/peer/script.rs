//! A whole conversation as text, one step a line, from this peer's point of view:
//!
//! ```text
//! > HELLO realm1 {"roles": {"caller": {}}}      # sent
//! < WELCOME session:me {...}                     # expected
//! > RAW [48,                                     # in a frame, as it is
//! > HEX 00 00 00 01                              # on the stream, as it is
//! < CLOSED                                       # the other side closes
//! > CLOSE                                        # this side closes
//! ```
//!
//! What follows two spaces and `#` or `//`, and a line that begins with either, is a remark.

use super::{Peer, PeerError};

/// A step that is none.
fn unknown(step: &str) -> PeerError {
    PeerError::Step(step.to_owned())
}

impl Peer {
    /// Follows a script, line by line, to its end.
    ///
    /// # Errors
    /// What went wrong first, with the number of its line.
    pub async fn play(&mut self, script: &str) -> Result<(), PeerError> {
        for (number, line) in (1..).zip(script.lines()) {
            let step = without_remark(line);
            if step.is_empty() {
                continue;
            }
            if let Err(error) = self.step(step).await {
                return Err(PeerError::Line { line: number, source: Box::new(error) });
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &str) -> Result<(), PeerError> {
        match step {
            "< CLOSED" => return self.expect_closed().await,
            "> CLOSE" => {
                self.close().await;
                return Ok(());
            }
            _ => {}
        }
        let Some((sign, rest)) = step.split_once(' ') else { return Err(unknown(step)) };
        let rest = rest.trim_start();
        match sign {
            "<" => self.expect(rest).await.map(drop),
            ">" => match rest.split_once(' ') {
                Some(("RAW", text)) => self.send_payload(text.as_bytes()).await,
                Some(("HEX", digits)) => self.send_bytes(&octets(digits).ok_or_else(|| unknown(step))?).await,
                Some(_) | None => self.send(rest).await,
            },
            _ => Err(unknown(step)),
        }
    }
}

/// The step of a line.
fn without_remark(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') || line.starts_with("//") {
        return "";
    }
    let ends = ["  #", "  //"].into_iter().filter_map(|mark| line.find(mark));
    line[..ends.min().unwrap_or(line.len())].trim_end()
}

/// Octets in hexadecimal digits, two each, with or without spaces between them.
pub(crate) fn octets(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let octet = |pair: &[u8]| {
        let high = (*pair.first()? as char).to_digit(16)?;
        let low = (*pair.get(1)? as char).to_digit(16)?;
        u8::try_from(high * 16 + low).ok()
    };
    pairs.map(octet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_are_no_steps() {
        assert_eq!(without_remark("  # only a remark"), "");
        assert_eq!(without_remark("// only a remark"), "");
        assert_eq!(without_remark("> CALL 1 {} a.b  # what for"), "> CALL 1 {} a.b");
        assert_eq!(without_remark("> PUBLISH 1 {} a [\"#\"]  // c"), "> PUBLISH 1 {} a [\"#\"]");
    }

    #[test]
    fn octets_come_in_pairs_of_digits() {
        assert_eq!(octets("7f F5 0000"), Some(vec![0x7f, 0xf5, 0, 0]));
        assert_eq!((octets("7"), octets("zz"), octets("ä")), (None, None, None));
    }
}

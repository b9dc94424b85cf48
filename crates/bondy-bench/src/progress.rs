//! What is going on, on one line of standard error that is written over again and again; silent where standard error
//! is no terminal.

use std::io::{IsTerminal, Write};

/// The line.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    is_shown: bool,
}

impl Progress {
    /// Shown on a terminal, else silent.
    pub fn new() -> Progress {
        Progress { is_shown: std::io::stderr().is_terminal() }
    }

    /// Writes `text` over what was there.
    pub fn show(self, text: &str) {
        self.write(&format!("\r\x1b[2K{text}"));
    }

    /// Leaves the line empty, for whatever comes next.
    pub fn clear(self) {
        self.write("\r\x1b[2K");
    }

    fn write(self, text: &str) {
        if self.is_shown {
            let mut output = std::io::stderr();
            // A terminal that has gone away misses nothing that matters.
            let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
        }
    }
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

//! `bondy top` on a terminal: what it draws, its keys, and that it leaves the terminal as it found it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::peer::wait_for;
use crate::shell::Shell;

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// A terminal with a command on it.
struct Terminal {
    keyboard: File,
    /// Kept open, so that its modes can be read after the end.
    line: File,
    before: Termios,
    screen: Arc<Mutex<String>>,
    child: Child,
}

impl Terminal {
    fn start(mut command: std::process::Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let line = OpenOptions::new().read(true).write(true).open(path).expect("a terminal");
        let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).expect("a size");
        let before = tcgetattr(&line).expect("its modes");
        let end = || line.try_clone().expect("a descriptor");
        let child = command
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the binary runs");
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut output, shown) = (keyboard.try_clone().expect("a descriptor"), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut chunk) {
                shown.lock().expect("the screen").push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        Self { keyboard, line, before, screen, child }
    }

    /// All that was written so far.
    fn written(&self) -> String {
        self.screen.lock().expect("the screen").clone()
    }

    fn wait_until_written(&self, text: &str) {
        wait_for(text, || self.written().contains(text));
    }

    fn wait_until_shown(&self, text: &str) {
        wait_for(text, || shown(&self.written()).contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("a key");
    }

    /// Waits for the end, and checks that the terminal is as it was.
    fn end(mut self) -> ExitStatus {
        let until = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(Instant::now() < until, "top does not end: {}", shown(&self.written()));
            std::thread::sleep(Duration::from_millis(5));
        };
        self.wait_until_written(LEAVE);
        self.wait_until_written(SHOW_CURSOR);
        let after = tcgetattr(&self.line).expect("its modes");
        assert_eq!(after.local_modes, self.before.local_modes);
        assert!(after.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The screen as it looks after all that was written: only what is different is ever written, in any order.
fn shown(written: &str) -> String {
    let mut cells: Vec<Vec<char>> = Vec::new();
    let (mut row, mut column) = (0, 0);
    let mut parts = written.split('\x1b');
    let first = parts.next().unwrap_or_default();
    let sequences = parts.map(|part| {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        part.split_at(end)
    });
    for (sequence, text) in [("", first)].into_iter().chain(sequences) {
        if let Some(place) = sequence.strip_prefix('[').and_then(|rest| rest.strip_suffix('H')) {
            let mut numbers = place.split(';').map(|number| number.parse::<usize>().unwrap_or(1) - 1);
            (row, column) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        }
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            cells.resize_with(cells.len().max(row + 1), Vec::new);
            let line = &mut cells[row];
            line.resize(line.len().max(column + 1), ' ');
            line[column] = letter;
            column += 1;
        }
    }
    cells.into_iter().map(|line| line.into_iter().collect::<String>() + "\n").collect()
}

fn top(shell: &Shell) -> Terminal {
    Terminal::start(shell.command(&["top", "--interval", "50ms"]))
}

#[test]
fn keys_choose_what_is_shown_and_q_ends_with_0() {
    let shell = Shell::new();
    let _callee = shell.register(&["com.example.echo", "--echo"]);
    let mut terminal = top(&shell);
    terminal.wait_until_written(ENTER);
    terminal.wait_until_shown("SESSION");
    terminal.press("p");
    terminal.wait_until_shown("com.example.echo");
    terminal.press("t");
    terminal.wait_until_shown("SUBSCRIBERS");
    terminal.press("\x1b[B\tr");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn control_c_and_signals_end_it_and_leave_the_terminal_as_it_was() {
    let shell = Shell::new();
    let mut interrupted = top(&shell);
    interrupted.wait_until_shown("SESSION");
    interrupted.press("\x03");
    assert_eq!(interrupted.end().code(), Some(130));
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let terminal = top(&shell);
        terminal.wait_until_shown("SESSION");
        let kill = format!("kill -{signal} {}", terminal.child.id());
        std::process::Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert_eq!(terminal.end().code(), Some(code));
    }
}

#[test]
fn a_router_that_goes_away_is_said_on_the_screen() {
    let mut shell = Shell::new();
    let mut terminal = top(&shell);
    terminal.wait_until_shown("SESSION");
    shell.node.signal("KILL");
    shell.node.wait_for_exit(Duration::from_secs(10));
    terminal.wait_until_shown("reconnecting");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

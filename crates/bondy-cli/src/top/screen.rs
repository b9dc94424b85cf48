//! The live view of `bondy top`: a table on the terminal, and the keys that steer it.
//!
//! The terminal is put in order again when the [`Screen`] is dropped, and by the panic hook that `ratatui` sets.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table, TableState};
use tokio::sync::mpsc;

use super::layout::{SPACING, fit};
use super::snapshot::{Kind, Snapshot};

/// Keys that wait to be handled; more are dropped.
const KEYS_MAX: usize = 64;

/// How soon the thread that reads keys notices the end.
const KEY_WAIT: Duration = Duration::from_millis(100);

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    /// Ctrl-C, which a terminal in this mode does not turn into a signal.
    Interrupt,
    Show(Kind),
    Next,
    Up,
    Down,
    PageUp,
    PageDown,
    Reverse,
    /// The terminal has another size.
    Redraw,
}

/// The terminal while it is ours.
pub(super) struct Screen {
    terminal: DefaultTerminal,
    is_over: Arc<AtomicBool>,
    commands: mpsc::Receiver<Command>,
    view: View,
}

/// What is shown of a snapshot.
#[derive(Debug)]
pub(super) struct View {
    kind: Kind,
    is_reversed: bool,
    table: TableState,
    rows: usize,
}

impl Screen {
    /// Takes the terminal.
    pub(super) fn take() -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        let (sender, commands) = mpsc::channel(KEYS_MAX);
        let is_over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&is_over);
        std::thread::spawn(move || read_keys(&sender, &ended));
        Ok(Self { terminal, is_over, commands, view: View::new() })
    }

    /// The next command; `None` when the terminal is gone.
    pub(super) async fn next_command(&mut self) -> Option<Command> {
        self.commands.recv().await
    }

    pub(super) fn handle(&mut self, command: Command) {
        self.view.handle(command);
    }

    /// Draws the snapshot, if there is one yet, and a line about the connection.
    pub(super) fn draw(&mut self, snapshot: Option<&Snapshot>, status: &str) -> io::Result<()> {
        let view = &mut self.view;
        self.terminal.draw(|frame| view.draw(frame, snapshot, status)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

/// Reads keys until the screen is given back. It waits with a bound, so as not to take a key that is no longer ours.
fn read_keys(commands: &mpsc::Sender<Command>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        match event::poll(KEY_WAIT) {
            Ok(false) => continue,
            Ok(true) => {}
            Err(_) => return,
        }
        match event::read() {
            Ok(event) => {
                if let Some(command) = command(&event) {
                    // Whoever holds a key down loses some of it.
                    let _ = commands.try_send(command);
                }
            }
            Err(_) => return,
        }
    }
}

fn command(event: &Event) -> Option<Command> {
    let key = match event {
        Event::Resize(..) => return Some(Command::Redraw),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    Some(match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Command::Interrupt,
        KeyCode::Char('q') | KeyCode::Esc => Command::Quit,
        KeyCode::Char('s') => Command::Show(Kind::Sessions),
        KeyCode::Char('p') => Command::Show(Kind::Procedures),
        KeyCode::Char('t') => Command::Show(Kind::Topics),
        KeyCode::Char('r') => Command::Reverse,
        KeyCode::Tab | KeyCode::Right => Command::Next,
        KeyCode::Up | KeyCode::Char('k') => Command::Up,
        KeyCode::Down | KeyCode::Char('j') => Command::Down,
        KeyCode::PageUp => Command::PageUp,
        KeyCode::PageDown => Command::PageDown,
        _ => return None,
    })
}

impl View {
    fn new() -> Self {
        Self { kind: Kind::Sessions, is_reversed: false, table: TableState::default(), rows: 1 }
    }

    fn handle(&mut self, command: Command) {
        let page = u16::try_from(self.rows).unwrap_or(u16::MAX);
        match command {
            Command::Show(kind) => self.show(kind),
            Command::Next => {
                let at = Kind::ALL.iter().position(|kind| *kind == self.kind).unwrap_or(0);
                self.show(Kind::ALL[(at + 1) % Kind::ALL.len()]);
            }
            Command::Up => self.table.scroll_up_by(1),
            Command::Down => self.table.scroll_down_by(1),
            Command::PageUp => self.table.scroll_up_by(page),
            Command::PageDown => self.table.scroll_down_by(page),
            Command::Reverse => self.is_reversed = !self.is_reversed,
            Command::Quit | Command::Interrupt | Command::Redraw => {}
        }
    }

    fn show(&mut self, kind: Kind) {
        self.kind = kind;
        self.table = TableState::default();
    }

    fn draw(&mut self, frame: &mut Frame<'_>, snapshot: Option<&Snapshot>, status: &str) {
        let layout = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Min(1),
            Constraint::Length(1),
        ]);
        let [summary, tabs, body, foot] = layout.areas(frame.area());
        self.rows = usize::from(body.height.saturating_sub(1)).max(1);
        let text = snapshot.map_or_else(|| "looking...".to_owned(), Snapshot::short_summary);
        frame.render_widget(Line::from(text).bold(), summary);
        frame.render_widget(self.tabs(snapshot), tabs);
        if let Some(snapshot) = snapshot {
            let table = self.table(snapshot, body.width.into());
            frame.render_stateful_widget(table, body, &mut self.table);
        }
        let help = "q quit  s p t or tab: table  up/down: scroll  r: reverse";
        let foot_text = if status.is_empty() { help.to_owned() } else { format!("{status}  ({help})") };
        frame.render_widget(Line::from(foot_text).dim(), foot);
    }

    fn tabs(&self, snapshot: Option<&Snapshot>) -> Line<'static> {
        let tab = |kind: Kind| {
            let name = snapshot.map_or_else(|| kind.name().to_owned(), |snapshot| snapshot.counted(kind));
            let name = format!(" {name} ");
            if kind == self.kind { name.reversed() } else { name.into() }
        };
        Line::from(Kind::ALL.map(tab).to_vec())
    }

    fn table(&self, snapshot: &Snapshot, width: usize) -> Table<'static> {
        let mut cells = snapshot.rows(self.kind);
        if self.is_reversed {
            cells.reverse();
        }
        let columns = self.kind.columns();
        let places = fit(columns, &cells, width);
        let widths =
            places.iter().map(|place| Constraint::Length(place.width.try_into().unwrap_or(u16::MAX)));
        let head = Row::new(places.iter().map(|place| place.cell(columns[place.index].heading)));
        let row = |cells: &Vec<String>| Row::new(places.iter().map(|place| place.cell(&cells[place.index])));
        Table::new(cells.iter().map(row), widths)
            .header(head.style(Style::new().bold()))
            .column_spacing(SPACING.try_into().unwrap_or(u16::MAX))
            .row_highlight_style(Style::new().reversed())
    }
}

//! Which columns a table of `bondy top` has on a terminal of some width, and how wide they are.
//!
//! Minor columns go first, the column of the URI has what is left, and whatever is cut says so with `…`.

use super::snapshot::Column;

/// Between two columns.
pub(super) const SPACING: usize = 2;

/// No column but that of the URI needs more.
const WIDTH_MAX: usize = 20;

/// A column on the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Among the columns of its kind.
    pub(super) index: usize,
    pub(super) width: usize,
    is_number: bool,
    is_uri: bool,
}

/// The columns for which a terminal of this width has room.
pub(super) fn fit(columns: &[Column], rows: &[Vec<String>], width: usize) -> Vec<Place> {
    let mut places: Vec<Place> = (0..columns.len()).map(|index| natural(columns, rows, index)).collect();
    // A URI gives up to half of the width for the sake of other columns.
    let needed = |place: &Place| match place.is_uri {
        true => place.width.min(width / 2),
        false => place.width,
    };
    while total(places.iter().map(needed)) > width {
        let least = places.iter().max_by_key(|place| columns[place.index].rank);
        let Some(least) = least.filter(|place| columns[place.index].rank > 0).map(|place| place.index) else {
            break;
        };
        places.retain(|place| place.index != least);
    }
    let excess = total(places.iter().map(|place| place.width)).saturating_sub(width);
    if let Some(uri) = places.iter_mut().find(|place| place.is_uri) {
        uri.width = uri.width.saturating_sub(excess).max(1);
    }
    places
}

fn natural(columns: &[Column], rows: &[Vec<String>], index: usize) -> Place {
    let cells = || rows.iter().map(|row| row[index].as_str());
    let longest = cells().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let heading = columns[index].heading.chars().count();
    let is_uri = columns[index].key == "uri";
    let width = longest.max(heading);
    let is_number =
        cells().any(|cell| cell != "-") && cells().all(|cell| cell == "-" || cell.parse::<f64>().is_ok());
    Place { index, width: if is_uri { width } else { width.min(WIDTH_MAX.max(heading)) }, is_number, is_uri }
}

fn total(widths: impl Iterator<Item = usize>) -> usize {
    let (count, sum) = widths.fold((0_usize, 0), |(count, sum), width| (count + 1, sum + width));
    sum + SPACING * count.saturating_sub(1)
}

impl Place {
    /// The text as wide as the column: numbers to the right.
    pub(super) fn cell(&self, text: &str) -> String {
        let text = self.cut(text);
        let width = self.width;
        if self.is_number { format!("{text:>width$}") } else { format!("{text:width$}") }
    }

    /// URIs differ at their end, everything else at its beginning.
    fn cut(&self, text: &str) -> String {
        let count = text.chars().count();
        if count <= self.width {
            return text.to_owned();
        }
        let kept = self.width.saturating_sub(1);
        match self.is_uri {
            true => format!("…{}", text.chars().skip(count - kept).collect::<String>()),
            false => format!("{}…", text.chars().take(kept).collect::<String>()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Kind;
    use super::*;

    fn lines(kind: Kind, rows: &[Vec<String>], width: usize) -> Vec<String> {
        let places = fit(kind.columns(), rows, width);
        let line = |text: &dyn Fn(usize) -> String| {
            let cells = places.iter().map(|place| place.cell(&text(place.index)));
            cells.collect::<Vec<_>>().join(&" ".repeat(SPACING))
        };
        let head = line(&|index| kind.columns()[index].heading.to_owned());
        let body = rows.iter().map(|row| line(&|index| row[index].clone()));
        std::iter::once(head).chain(body).collect()
    }

    fn procedure(uri: &str) -> Vec<String> {
        let cells = [uri, "exact", "roundrobin", "2", "12.5", "1000000", "0", "3"];
        cells.map(str::to_owned).to_vec()
    }

    #[test]
    fn a_wide_terminal_has_every_column_as_it_is() {
        let rows = [procedure("com.example.greet")];
        let shown = lines(Kind::Procedures, &rows, 120);
        assert_eq!(
            shown[0],
            "PROCEDURE          MATCH  INVOKE      CALLEES  CALLS/S    CALLS  ERRORS  RUNNING"
        );
        assert_eq!(
            shown[1],
            "com.example.greet  exact  roundrobin        2     12.5  1000000       0        3"
        );
    }

    #[test]
    fn minor_columns_go_first_and_then_uris_are_cut_at_their_beginning() {
        let rows = [procedure("com.example.a.rather.long.name.of.some.procedure.create")];
        for width in [40, 60, 80] {
            let shown = lines(Kind::Procedures, &rows, width);
            assert!(shown.iter().all(|line| line.chars().count() <= width), "{shown:#?}");
            assert!(shown[1].starts_with('…') && shown[1].contains("procedure.create  "), "{shown:#?}");
            assert!(shown[0].contains("CALLS/S") && !shown[0].contains("MATCH"), "{shown:#?}");
        }
    }

    #[test]
    fn the_id_of_a_session_is_never_cut() {
        let cells = ["9007199254740991", "a-rather-long-name-of-some-user", "anonymous", "websocket+tls"];
        let rest = ["[2001:db8::1]:12345", "10.5", "20.5", "0", "0", "0", "0"];
        let rows = [cells.into_iter().chain(rest).map(str::to_owned).collect::<Vec<_>>()];
        let shown = lines(Kind::Sessions, &rows, 60);
        assert!(shown[1].starts_with("9007199254740991  a-rather-long-name-…  "), "{shown:#?}");
        assert!(shown.iter().all(|line| line.chars().count() <= 60), "{shown:#?}");
    }
}

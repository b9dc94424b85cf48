//! Text in columns, for people.

/// Columns as wide as their widest cell, two spaces apart; columns of numbers are aligned to the right.
pub(crate) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let is_number = |column: usize| {
        let cells = || {
            rows.iter().filter_map(|row| row.get(column)).filter(|cell| !["", "-"].contains(&cell.as_str()))
        };
        cells().next().is_some() && cells().all(|cell| cell.parse::<f64>().is_ok())
    };
    let shape: Vec<(usize, bool)> =
        (0..head.len()).map(|column| (width(column), is_number(column))).collect();
    let mut text = line(&shape, head.iter().copied());
    rows.iter().for_each(|row| text.push_str(&line(&shape, row.iter().map(String::as_str))));
    text
}

/// Names and what they stand for, the second column aligned.
pub(crate) fn pairs(rows: &[(String, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

fn line<'a>(shape: &[(usize, bool)], cells: impl Iterator<Item = &'a str>) -> String {
    let padded = cells.zip(shape).map(|(cell, (width, is_number))| match is_number {
        true => format!("{cell:>width$}"),
        false => format!("{cell:width$}"),
    });
    let mut text = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let rows = [vec!["a".to_owned(), "7".to_owned()], vec!["longer".to_owned(), "12345".to_owned()]];
        assert_eq!(columns(&["NAME", "N"], &rows), "NAME        N\na           7\nlonger  12345\n");
        assert_eq!(columns(&["NAME", "N"], &[]), "NAME  N\n");
    }
}

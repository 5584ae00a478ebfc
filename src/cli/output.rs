//! What commands print on standard output.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use super::CliError;

/// Prints a line, or several.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    write(&[text, "\n"])
}

fn write(texts: &[&str]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    let written = texts
        .iter()
        .try_for_each(|text| stdout.write_all(text.as_bytes()))
        .and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => CliError::Closed,
        _ => CliError::failed(format!("standard output: {error}")),
    })
}

/// Prints a value as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    print(&json(value)?)
}

/// A value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> Result<String, CliError> {
    serde_json::to_string_pretty(value).map_err(|error| CliError::failed(format!("JSON: {error}")))
}

/// A list as indented JSON, printed part by part.
#[derive(Debug, Default)]
pub(super) struct JsonList {
    is_begun: bool,
}

impl JsonList {
    /// Prints these too.
    pub(super) fn add<T: Serialize>(&mut self, items: impl Iterator<Item = T>) -> Result<(), CliError> {
        let text = self.text_of(items)?;
        write(&[&text])
    }

    /// Prints its end.
    pub(super) fn end(self) -> Result<(), CliError> {
        print(self.text_of_end())
    }

    fn text_of<T: Serialize>(&mut self, items: impl Iterator<Item = T>) -> Result<String, CliError> {
        let mut text = String::new();
        for item in items {
            let before = if self.is_begun { "," } else { "[" };
            let item = json(&item)?.replace('\n', "\n  ");
            text.push_str(&format!("{before}\n  {item}"));
            self.is_begun = true;
        }
        Ok(text)
    }

    fn text_of_end(&self) -> &'static str {
        if self.is_begun { "\n]" } else { "[]" }
    }
}

/// Rows below their titles, each column as wide as its widest cell, two blanks between them.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_in_parts_looks_as_one_in_one_part() {
        let items = [json!({"a": "x\ny", "b": []}), json!(7), json!([{"c": null}])];
        for parts in [1, 2, 3] {
            let mut list = JsonList::default();
            let texts: Result<Vec<_>, _> = items.chunks(parts).map(|part| list.text_of(part.iter())).collect();
            let text = texts.expect("JSON").concat() + list.text_of_end();
            assert_eq!(text, super::json(&items).expect("JSON"));
        }
        assert_eq!(
            JsonList::default().text_of_end(),
            super::json(&json!([])).expect("JSON")
        );
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["slug", "name"], ["enrolled_three", "Three"], ["é", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "slug            name\nenrolled_three  Three\né");
        assert_eq!(table(&[]), "");
    }
}

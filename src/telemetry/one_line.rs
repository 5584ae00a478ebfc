//! One line an event: what an event says cannot look like an event of its own, and does not steer a terminal.

use std::io;

use tracing_subscriber::fmt::MakeWriter;

/// Makes writers that escape control characters within an event, line breaks above all, and other characters that end a
/// line for some reader. Each event must come in one call of `write`, as the text format of tracing-subscriber writes it.
#[derive(Debug, Clone)]
pub(super) struct OneLine<M> {
    pub(super) writer: M,
    /// Colours are let through.
    pub(super) colours: bool,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for OneLine<M> {
    type Writer = Escaping<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping {
            writer: self.writer.make_writer(),
            colours: self.colours,
        }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        Escaping {
            writer: self.writer.make_writer_for(meta),
            colours: self.colours,
        }
    }
}

/// See [`OneLine`].
pub(super) struct Escaping<W> {
    writer: W,
    colours: bool,
}

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (&*text, ""),
        };
        match escaped(line, self.colours) {
            Some(escaped) => self.writer.write_all(format!("{escaped}{end}").as_bytes())?,
            None => self.writer.write_all(event)?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The line with what it must not hold escaped; `None`: it holds nothing of that.
fn escaped(line: &str, colours: bool) -> Option<String> {
    if !line.contains(is_harmful) {
        return None;
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for (place, c) in line.char_indices() {
        if is_harmful(c) && !(colours && is_colour(&line[place..])) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    Some(escaped)
}

fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a text begins with a choice of colours (ECMA-48, 8.3.117), which is all that our own lines have of escapes.
fn is_colour(text: &str) -> bool {
    text.strip_prefix("\u{1b}[").is_some_and(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
            .starts_with('m')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_where_there_are_some_and_no_other_escape_does() {
        let line = "\u{1b}[2m12:00\u{1b}[0m \u{1b}[1;32mINFO\u{1b}[0m said\u{1b}[2J \u{1b}]0;title\u{7}";
        let coloured = "\u{1b}[2m12:00\u{1b}[0m \u{1b}[1;32mINFO\u{1b}[0m said\\u{1b}[2J \\u{1b}]0;title\\u{7}";
        assert_eq!(escaped(line, true).as_deref(), Some(coloured));
        assert!(escaped(line, false).is_some_and(|plain| plain == line.escape_default().to_string()));
        assert_eq!(escaped("12:00  INFO one\ttwo é", false), None);
    }
}

//! What the demo shows: coloured on a terminal, plain in a pipe.

use std::io::{IsTerminal, stdout};

use super::awards::Award;
use crate::cli::{CliError, output::print};

/// Standard output.
pub(super) struct Screen {
    /// A person watches.
    pub(super) is_terminal: bool,
    coloured: bool,
    url: String,
}

impl Screen {
    /// Standard output, for a service at this address. `NO_COLOR` is honoured.
    pub(super) fn of_stdout(url: &str) -> Self {
        let is_terminal = stdout().is_terminal();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            is_terminal,
            coloured: is_terminal && !dumb && !set("NO_COLOR"),
            url: url.to_owned(),
        }
    }

    /// What is about to happen.
    pub(super) fn title(&self, events: usize, servers: &str) -> Result<(), CliError> {
        print(&format!(
            "Accolade at {}/, Kafka at {servers}; publishing {events} events:",
            self.url
        ))
    }

    /// One award.
    pub(super) fn award(&self, award: &Award) -> Result<(), CliError> {
        print(&self.line(award))
    }

    /// The sample is told.
    pub(super) fn end(&self, awards: usize, once: bool) -> Result<(), CliError> {
        let more = match once {
            true => String::new(),
            false => format!(" The pages stay at {}/ until Ctrl-C.", self.url),
        };
        print(&format!("{awards} awards published.{more}"))
    }

    fn line(&self, award: &Award) -> String {
        let who = format!("{:<10}", award.earned.username);
        let what = format!("{:<38}", award.name);
        let link = format!("{}/badges/{}", self.url, award.page);
        match self.coloured {
            true => format!("\x1b[1m{who}\x1b[0m  \x1b[32m{what}\x1b[0m  \x1b[4;36m{link}\x1b[0m"),
            false => format!("{who}  {what}  {link}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::story::Earned;

    #[test]
    fn a_pipe_gets_no_colours() {
        let award = Award {
            earned: Earned {
                username: "ada".to_owned(),
                badge: "three".to_owned(),
            },
            name: "Three".to_owned(),
            page: "9f3c".to_owned(),
        };
        let line = |coloured| {
            Screen {
                is_terminal: coloured,
                coloured,
                url: "http://x".to_owned(),
            }
            .line(&award)
        };
        assert_eq!(
            line(false).split_whitespace().collect::<Vec<_>>(),
            ["ada", "Three", "http://x/badges/9f3c"]
        );
        assert!(line(true).contains("\x1b[1mada"));
    }
}

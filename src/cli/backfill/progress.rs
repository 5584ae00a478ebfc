//! How far a backfill is, on standard error: a bar on a terminal, else a line every few seconds.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::backfill::Tally;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(5);
const BAR: &str = "[{bar:30}] {human_pos} of {human_len} learners, {per_sec}, {eta} to go; {msg}";

/// What is told on the way.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { learners: i64, next: Instant },
}

impl Progress {
    /// So many learners are to be looked at; some were before.
    pub(super) fn new(learners: i64, tally: &Tally) -> Self {
        if !stderr().is_terminal() {
            return Self::Lines {
                learners,
                next: Instant::now() + EVERY,
            };
        }
        let bar = ProgressBar::new(u64::try_from(learners).unwrap_or(0));
        bar.set_style(ProgressStyle::with_template(BAR).expect("the template is right"));
        bar.set_position(u64::try_from(tally.learners).unwrap_or(0));
        bar.reset_eta();
        Self::Bar(bar)
    }

    /// It has come so far; this process drives it, or another one.
    pub(super) fn tell(&mut self, tally: &Tally, is_own: bool) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(u64::try_from(tally.learners).unwrap_or(0));
                bar.set_message(decided(tally, is_own));
            }
            Self::Lines { learners, next } if Instant::now() >= *next => {
                *next = Instant::now() + EVERY;
                eprintln!("{}", line(*learners, tally, is_own));
            }
            Self::Lines { .. } => {}
        }
    }

    /// Nothing more is told.
    pub(super) fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn line(learners: i64, tally: &Tally, is_own: bool) -> String {
    format!("{} of {learners} learners; {}", tally.learners, decided(tally, is_own))
}

fn decided(tally: &Tally, is_own: bool) -> String {
    let other = if is_own { "" } else { " (another process is at it)" };
    format!("{} awards decided{other}", tally.decided())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_can_be_drawn_and_a_line_says_who_is_at_it() {
        ProgressStyle::with_template(BAR).expect("the template is right");
        let mut tally = Tally::default();
        tally.learners = 2000;
        assert_eq!(line(5000, &tally, true), "2000 of 5000 learners; 0 awards decided");
        assert!(line(5000, &tally, false).contains("another process"));
    }
}

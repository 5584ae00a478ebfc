//! Days as people read them.

use chrono::{DateTime, Datelike as _, Utc};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `2026-11-20`
pub(super) fn day(time: DateTime<Utc>) -> String {
    time.date_naive().to_string()
}

/// `20 November 2026`
pub(super) fn in_words(time: DateTime<Utc>) -> String {
    let month = usize::try_from(time.month0())
        .ok()
        .and_then(|month| MONTHS.get(month))
        .copied();
    format!("{} {} {}", time.day(), month.unwrap_or_default(), time.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_both_ways() {
        let time: DateTime<Utc> = "2026-12-01T23:59:59Z".parse().expect("a time");
        assert_eq!(
            (day(time), in_words(time)),
            ("2026-12-01".to_owned(), "1 December 2026".to_owned())
        );
    }
}

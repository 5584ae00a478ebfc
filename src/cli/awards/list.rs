//! Awards in a list, read and printed page by page: a long list is not held in memory.

use serde_json::{Value, json};

use crate::{
    cli::{
        CliError,
        output::{JsonList, print, table},
    },
    domain::award::AwardState,
    store::{
        Store, StoreError,
        api_reads::{self, AwardFilter, ListedAward},
    },
};

/// Awards of one read.
pub(super) const PAGE: usize = 2_000;

const TITLES: [&str; 8] = [
    "ID",
    "STATE",
    "REASON",
    "USER",
    "BADGE",
    "ATTEMPTS",
    "NEXT ATTEMPT",
    "LAST ERROR",
];

/// Awards in this state, or all, newest first, in pages of so many; the last one may be empty.
pub(super) fn pages(
    store: &Store,
    state: Option<AwardState>,
    length: usize,
) -> impl Iterator<Item = Result<Vec<ListedAward>, StoreError>> {
    let filter = AwardFilter {
        state,
        ..AwardFilter::default()
    };
    let at_most = i64::try_from(length).unwrap_or(i64::MAX);
    let (mut last, mut is_over) = (None::<ListedAward>, false);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let read = store.read("list_awards", |tx| {
            api_reads::awards_after(tx, &filter, last.as_ref(), at_most)
        });
        is_over = read.as_ref().map_or(true, |page| page.len() < length);
        if let Ok(page) = &read {
            last = page.last().cloned();
        }
        Some(read)
    })
}

/// Prints each page as it comes.
pub(super) fn print_pages(
    pages: impl Iterator<Item = Result<Vec<ListedAward>, StoreError>>,
    as_json: bool,
    database: impl Fn(StoreError) -> CliError,
) -> Result<(), CliError> {
    let mut list = JsonList::default();
    let mut is_empty = true;
    for page in pages {
        let page = page.map_err(&database)?;
        if as_json {
            list.add(page.iter().map(in_json))?;
        } else if !page.is_empty() {
            let titles = is_empty.then(|| TITLES.map(str::to_owned).to_vec());
            let rows: Vec<_> = titles.into_iter().chain(page.iter().map(row)).collect();
            print(&table(&rows))?;
        }
        is_empty &= page.is_empty();
    }
    match (as_json, is_empty) {
        (true, _) => list.end(),
        (false, true) => print("no such awards"),
        (false, false) => Ok(()),
    }
}

fn row(award: &ListedAward) -> Vec<String> {
    vec![
        award.id.clone(),
        award.state.clone(),
        award.state_reason.clone().unwrap_or_default(),
        award.username.clone(),
        award.badge_class.key.slug.clone(),
        award.attempts.to_string(),
        award.next_attempt_at.format("%F %T").to_string(),
        award.last_error.clone().unwrap_or_default(),
    ]
}

pub(super) fn in_json(award: &ListedAward) -> Value {
    let key = &award.badge_class.key;
    json!({
        "id": award.id, "state": award.state, "reason": award.state_reason, "rule": award.rule,
        "user": {"id": award.learner.0, "username": award.username},
        "badge_class": {"id": award.badge_class.id.0, "slug": key.slug, "issuing_component": key.issuing_component,
            "course_id": Some(&key.course_id).filter(|course| !course.is_empty()),
            "display_name": award.badge_class.display_name},
        "attempts": award.attempts, "last_error": award.last_error,
        "next_attempt_at": award.next_attempt_at, "created": award.created,
    })
}

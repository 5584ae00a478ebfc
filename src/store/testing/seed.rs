//! Rows for tests that only read.

use diesel::{
    RunQueryDsl, sql_query,
    sql_types::{BigInt, Binary, Nullable, Text, Timestamp},
};

use crate::{
    domain::badge_class::{BadgeClass, NewBadgeClass},
    store::{
        Store, StoreError, Tx, badge_classes,
        dead_letters::{self, NewDeadLetter},
    },
    wire::record::Record,
};

/// A time of the tests: so many minutes after the start of November 2026.
fn minute(minutes: i64) -> chrono::NaiveDateTime {
    let start: chrono::DateTime<chrono::Utc> = "2026-11-01T00:00:00Z".parse().expect("a time");
    (start + chrono::TimeDelta::minutes(minutes)).naive_utc()
}

/// A learner whose newest event, of that minute, carries this username.
pub(crate) fn learner(store: &Store, id: i64, username: &str, at: i64) {
    store
        .transaction("seed_learner", |tx| {
            sql_query(
                "INSERT INTO learner (learner_id, username, username_at, username_event, email) \
                 VALUES ($1, $2, $3, 'e', 'ada@example.com')",
            )
            .bind::<BigInt, _>(id)
            .bind::<Text, _>(username)
            .bind::<Timestamp, _>(minute(at))
            .execute(tx.conn)?;
            Ok(())
        })
        .expect("inserted");
}

/// A course.
pub(crate) fn course(store: &Store, key: &str, name: &str) {
    store
        .transaction("seed_course", |tx| {
            sql_query("INSERT INTO course (course_key, display_name) VALUES ($1, $2)")
                .bind::<Text, _>(key)
                .bind::<Text, _>(name)
                .execute(tx.conn)?;
            Ok(())
        })
        .expect("inserted");
}

/// A badge class.
pub(crate) fn badge_class(store: &Store, new: &NewBadgeClass) -> BadgeClass {
    let made = store.transaction("seed_badge_class", |tx| badge_classes::get_or_create(tx, new));
    made.expect("inserted").0
}

/// An assertion of the built-in issuer below `https://badges.example.com`, issued in that minute.
pub(crate) fn assertion(store: &Store, learner: i64, id: &str, badge_class: &BadgeClass, at: i64) {
    let url = format!("https://badges.example.com/ob2/assertions/{id}");
    store
        .transaction("seed_assertion", |tx| {
            sql_query(
                "INSERT INTO assertion (learner_id, award_id, id, badge_class_id, backend, image_url, assertion_url, \
                 issuer, recipient_salt, recipient_hash, data, created_at) \
                 VALUES ($1, $2, $2, $3, 'builtin', $4, $5, 'i', 'b7f3c1', 'sha256$00', '{}', $6)",
            )
            .bind::<BigInt, _>(learner)
            .bind::<Text, _>(id)
            .bind::<diesel::sql_types::Integer, _>(badge_class.id.0)
            .bind::<Text, _>(format!("{url}/image.png"))
            .bind::<Text, _>(&url)
            .bind::<Timestamp, _>(minute(at))
            .execute(tx.conn)?;
            Ok(())
        })
        .expect("inserted");
}

/// Makes an assertion one of another server.
pub(crate) fn issued_elsewhere(store: &Store, id: &str, assertion_url: &str, image_url: &str) {
    store
        .transaction("seed_elsewhere", |tx| {
            sql_query("UPDATE assertion SET backend = 'badgr', assertion_url = $1, image_url = $2 WHERE id = $3")
                .bind::<Text, _>(assertion_url)
                .bind::<Text, _>(image_url)
                .bind::<Text, _>(id)
                .execute(tx.conn)?;
            Ok(())
        })
        .expect("updated");
}

/// Revokes an assertion.
pub(crate) fn revoke(store: &Store, id: &str, reason: &str) {
    store
        .transaction("seed_revoke", |tx| {
            sql_query("UPDATE assertion SET revoked_at = $1, revocation_reason = $2 WHERE id = $3")
                .bind::<Timestamp, _>(minute(60))
                .bind::<Text, _>(reason)
                .bind::<Text, _>(id)
                .execute(tx.conn)?;
            Ok(())
        })
        .expect("updated");
}

/// An award in this state, decided in that minute.
pub(crate) fn award(
    store: &Store,
    learner: i64,
    id: &str,
    badge_class: &BadgeClass,
    (state, reason): (&str, Option<&str>),
    at: i64,
) {
    store
        .transaction("seed_award", |tx| {
            sql_query(
                "INSERT INTO award (learner_id, id, badge_class_id, idempotency_key, rule, by_backfill, state, \
                 state_reason, attempts, last_error, next_attempt_at, created_at, updated_at) \
                 VALUES ($1, $2, $3, $2, 'requested', false, $4, $5, 2, 'not sent', $6, $6, $6)",
            )
            .bind::<BigInt, _>(learner)
            .bind::<Text, _>(id)
            .bind::<diesel::sql_types::Integer, _>(badge_class.id.0)
            .bind::<Text, _>(state)
            .bind::<Nullable<Text>, _>(reason)
            .bind::<Timestamp, _>(minute(at))
            .execute(tx.conn)?;
            Ok(())
        })
        .expect("inserted");
}

/// A request of this award may have been carried out.
pub(crate) fn posted(store: &Store, id: &str) {
    store
        .transaction("seed_posted", |tx| {
            sql_query("UPDATE award SET posted = true WHERE id = $1")
                .bind::<Text, _>(id)
                .execute(tx.conn)?;
            Ok(())
        })
        .expect("updated");
}

/// Another image for a badge class.
pub(crate) fn image(store: &Store, badge_class: &BadgeClass, png: &[u8]) {
    store
        .transaction("seed_image", |tx| {
            sql_query("UPDATE badge_class SET image = $1 WHERE id = $2")
                .bind::<Binary, _>(png)
                .bind::<diesel::sql_types::Integer, _>(badge_class.id.0)
                .execute(tx.conn)?;
            Ok(())
        })
        .expect("updated");
}

/// A dead letter; its id. The database's clock has gone on when this returns: a record may become one again, but not in
/// the same millisecond, which is as fine as SQLite's clock is.
pub(crate) fn dead_letter(store: &Store, record: &Record, reason: &str, message: &str) -> i64 {
    let letter = NewDeadLetter {
        record,
        reason,
        message,
    };
    let inserted = store.transaction("seed_dead_letter", |tx| {
        dead_letters::insert(tx, std::slice::from_ref(&letter))?;
        let ids = dead_letters::waiting(tx, &dead_letters::Filter::default())?;
        Ok((*ids.last().expect("it was inserted"), tx.now()?))
    });
    let (id, created_at) = inserted.expect("inserted");
    while store.read("seed_clock", |tx| tx.now()).expect("asked") <= created_at {
        std::thread::yield_now();
    }
    id
}

/// Writes headers that nobody understands into every dead letter; how many there are.
pub(crate) fn spoil_dead_letters(tx: &mut Tx<'_>) -> Result<usize, StoreError> {
    Ok(sql_query("UPDATE dead_letter SET headers = 'no JSON'").execute(tx.conn)?)
}

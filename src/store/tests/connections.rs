//! Connections that are too few, that fell asleep, or that lead to a server which does not write.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_query,
    sql_types::{BigInt, Bool, Integer, Text},
};

use super::touch;
use crate::{
    clock::SystemClock,
    store::{
        Disposition, Store,
        testing::{TestDatabase, databases, postgres, seed, sqlite},
    },
};

fn with_one_connection(database: &TestDatabase) -> Arc<Store> {
    database.another(Arc::new(SystemClock), 1)
}

#[test]
fn who_finds_no_connection_free_waits_for_some_seconds_and_comes_again() {
    let database = sqlite();
    let store = with_one_connection(&database);
    let (refused, waited) = store
        .read("first", |_| {
            let begun = Instant::now();
            Ok((store.ping(), begun.elapsed()))
        })
        .expect("the one connection");
    let error = refused.expect_err("there is no other");
    assert_eq!(
        (error.code(), error.disposition()),
        ("database_unavailable", Disposition::Retry)
    );
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    store.ping().expect("it is free again");
}

#[test]
fn a_connection_to_a_server_that_does_not_write_is_replaced() {
    let Some(database) = postgres() else { return };
    let store = with_one_connection(&database);
    seed::learner(&store, 1, "ada", 0);
    // As one to a server that was the first until another took over.
    let demoted = store.read("demote", |tx| {
        Ok(tx.conn.batch_execute("SET default_transaction_read_only = on")?)
    });
    demoted.expect("set");
    let error = store.transaction("write", |tx| touch(tx, 1)).expect_err("read-only");
    assert_eq!(
        (error.code(), error.disposition()),
        ("database_exhausted", Disposition::Retry)
    );
    store
        .transaction("write", |tx| touch(tx, 1))
        .expect("another connection leads to one that does");
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    setting: String,
}

#[test]
fn no_statement_lock_or_transaction_lasts_for_ever() {
    let Some(database) = postgres() else { return };
    let store = with_one_connection(&database);
    let limits = || {
        let read = store.read("limits", |tx| {
            let settings = sql_query(
                "SELECT name, setting FROM pg_settings WHERE name IN \
                 ('idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout') ORDER BY name",
            );
            Ok(settings.load::<Setting>(tx.conn)?)
        });
        let read = read.expect("read").into_iter();
        read.map(|one| (one.name, one.setting)).collect::<Vec<_>>()
    };
    let expected = [
        ("idle_in_transaction_session_timeout", "60000"),
        ("lock_timeout", "30000"),
        ("statement_timeout", "60000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(limits(), expected);
    // Migrations take as long as they take, and nothing else on their connection does.
    assert_eq!(store.migrate().expect("nothing to do"), [""; 0]);
    assert_eq!(limits(), expected);
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Session {
    #[diesel(sql_type = Integer)]
    pid: i32,
}

#[derive(QueryableByName)]
struct Ended {
    #[diesel(sql_type = Bool)]
    ended: bool,
}

#[test]
fn a_transaction_that_fell_asleep_is_ended_by_the_server_and_tried_again_on_another_connection() {
    let Some(database) = postgres() else { return };
    let (store, observer) = (with_one_connection(&database), database.store());
    seed::learner(&store, 1, "ada", 0);
    let slept = store.transaction_after(
        "SET LOCAL idle_in_transaction_session_timeout = '20ms'",
        "sleep",
        |tx| {
            let session: Session = sql_query("SELECT pg_backend_pid() AS pid").get_result(tx.conn)?;
            let deadline = Instant::now() + Duration::from_secs(20);
            let is_there = || {
                let sessions = observer.read("look", |tx| {
                    let sql = "SELECT count(*) AS number FROM pg_stat_activity WHERE pid = $1";
                    let found: Number = sql_query(sql).bind::<Integer, _>(session.pid).get_result(tx.conn)?;
                    Ok(found.number)
                });
                sessions.expect("read") > 0
            };
            while is_there() {
                assert!(Instant::now() < deadline, "it sleeps for ever");
                std::thread::yield_now();
            }
            touch(tx, 1)
        },
    );
    let error = slept.expect_err("the server ended it");
    assert_eq!(
        (error.code(), error.disposition()),
        ("database_unavailable", Disposition::Retry)
    );
    store.transaction("again", |tx| touch(tx, 1)).expect("it passes");
}

#[test]
fn a_start_whose_connection_breaks_waits_and_goes_on_with_another_one() {
    let Some(database) = postgres() else { return };
    let (store, observer) = (with_one_connection(&database), database.store());
    for ask in [Store::pending_migrations, Store::migrate] {
        let session = store.read("pid", |tx| {
            Ok(sql_query("SELECT pg_backend_pid() AS pid").get_result::<Session>(tx.conn)?)
        });
        let ended = observer.read("end", |tx| {
            let sql = "SELECT pg_terminate_backend($1, 20000) AS ended";
            let pid = session.expect("read").pid;
            Ok(sql_query(sql)
                .bind::<Integer, _>(pid)
                .get_result::<Ended>(tx.conn)?
                .ended)
        });
        assert!(ended.expect("read"), "the session ends");
        let error = ask(&store).expect_err("the connection is broken");
        assert_eq!(
            (error.code(), error.disposition()),
            ("database_unavailable", Disposition::Retry)
        );
        assert_eq!(ask(&store).expect("another connection"), [""; 0]);
    }
}

/// What Linux says of an established connection of this process to this port: the kind of its timer, and when it is due,
/// in hundredths of a second.
fn timers(port: u16) -> Vec<(u8, u64)> {
    let own: HashSet<String> = std::fs::read_dir("/proc/self/fd")
        .expect("Linux")
        .filter_map(|file| {
            let target = std::fs::read_link(file.ok()?.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, _, remote, state, _, timer, _, _, _, inode, ..] = fields[..] else {
                return None;
            };
            let is_it = state == "01" && remote.ends_with(&format!(":{port:04X}")) && own.contains(inode);
            let (kind, due) = timer.split_once(':').filter(|_| is_it)?;
            Some((u8::from_str_radix(kind, 16).ok()?, u64::from_str_radix(due, 16).ok()?))
        })
        .collect()
}

#[test]
fn a_server_from_which_nothing_comes_is_asked_for_a_sign_of_life_within_half_a_minute() {
    const KEEPALIVE: u8 = 2;
    let Some(database) = postgres() else { return };
    let url = std::env::var("ACCOLADE_TEST_POSTGRES_URL").expect("there is a PostgreSQL");
    let port = url::Url::parse(&url).expect("a URL").port().unwrap_or(5432);
    let store = database.store();
    store.ping().expect("connected");
    let deadline = Instant::now() + Duration::from_secs(20);
    // Right after a message another timer runs, until it is acknowledged; other tests connect and leave.
    let waits = |(kind, due): &(u8, u64)| *kind == KEEPALIVE && *due <= 3_000;
    loop {
        let timers = timers(port);
        if !timers.is_empty() && timers.iter().all(waits) {
            return;
        }
        assert!(Instant::now() < deadline, "{timers:?}");
        std::thread::yield_now();
    }
}

#[test]
fn an_older_version_works_on_newer_tables() {
    for database in databases() {
        let store = database.store();
        let newer = store.transaction("newer", |tx| {
            Ok(tx.conn.batch_execute(
                "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000000'); \
                 ALTER TABLE learner ADD COLUMN of_a_newer_version TEXT",
            )?)
        });
        newer.expect("migrated by a newer version");
        assert_eq!(store.pending_migrations().expect("it looks"), [""; 0]);
        assert_eq!(store.migrate().expect("there is nothing to do"), [""; 0]);
        seed::learner(&store, 1, "ada", 0);
        store.transaction("write", |tx| touch(tx, 1)).expect("written");
    }
}

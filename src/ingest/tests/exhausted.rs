//! A PostgreSQL that answers, and cannot write for the moment.

use diesel::{QueryDsl, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::BigInt};

use super::reading::{Running, broker, enrolled, learners, letters, position, send};
use crate::{
    ingest::Paused,
    store::{Store, schema::learner_course, testing::postgres},
};

/// Whoever writes facts gets this error, and is counted, although nothing is written.
fn refuse(store: &Store, sqlstate: &str, message: &str) {
    let refused = store.transaction("refuse", |tx| {
        Ok(tx.conn.batch_execute(&format!(
            "CREATE SEQUENCE refused; \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM nextval('refused'); RAISE EXCEPTION '{message}' USING ERRCODE = '{sqlstate}'; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON learner_course EXECUTE FUNCTION refuse()"
        ))?)
    });
    refused.expect("made");
}

/// How often that was so.
fn refusals(store: &Store) -> i64 {
    #[derive(QueryableByName)]
    struct Refused {
        #[diesel(sql_type = BigInt)]
        last_value: i64,
    }
    let refused = store.read("refusals", |tx| {
        Ok(sql_query("SELECT last_value FROM refused").get_result::<Refused>(tx.conn)?)
    });
    refused.expect("read").last_value
}

fn facts(store: &Store) -> i64 {
    let facts = store.read("facts", |tx| Ok(learner_course::table.count().get_result(tx.conn)?));
    facts.expect("read")
}

#[tokio::test]
async fn a_database_without_room_memory_or_connections_is_waited_for() {
    for (sqlstate, message) in [
        (
            "53100",
            "could not extend file \"base/16384/16411\": No space left on device",
        ),
        ("53200", "out of shared memory"),
        ("53300", "sorry, too many clients already"),
    ] {
        let Some(database) = postgres() else { return };
        let store = database.store();
        refuse(&store, sqlstate, message);
        let (broker, producer) = broker();
        for learner in 0..20 {
            send(&producer, enrolled(learner, "ada")).await;
        }
        let running = Running::start(&broker, database.store());
        running.wait("waits", |running| running.is_paused(Paused::Database));
        running.wait("tried again", |_| refusals(&store) >= 2);
        assert!(running.is_paused(Paused::Database), "{sqlstate}");
        let problems = running.shared.health.problems();
        assert!(
            problems.iter().any(|problem| problem.reason == "database"),
            "{problems:?}"
        );
        let written = (letters(&store), position(&store), learners(&store));
        assert_eq!(written, (0, None, 0), "{sqlstate}");

        let allowed = store.transaction("allow", |tx| {
            Ok(tx.conn.batch_execute("DROP TRIGGER refuse ON learner_course")?)
        });
        allowed.expect("dropped");
        running.wait("all done", |_| position(&store) == Some(20));
        running.wait("goes on", |running| running.shared.health.paused().is_empty());
        let written = (letters(&store), learners(&store), facts(&store));
        assert_eq!(written, (0, 20, 20), "{sqlstate}");
        running.stop();
    }
}

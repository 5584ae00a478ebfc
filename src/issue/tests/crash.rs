//! Processes that die, and several at once.

use chrono::TimeDelta;
use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, dsl::max};

use super::{
    Running, Scripted,
    scripted::{Call, Fault},
    until, until_all,
};
use crate::{
    domain::award::AwardState::{Issued, Issuing, Pending, Uncertain},
    store::{outbox, schema::award, testing::databases},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_after_the_request_issues_once() {
    for database in databases() {
        database.decide([1], &database.badge_class("three"));
        let (backend, store) = (Scripted::remote(), database.store());
        backend.script(Call::Award, [Fault::Hangs]);
        let dying = Running::start(&database, &backend);
        until("the request", || backend.issued() == [1]).await;
        dying.task.abort();
        drop(dying.task.await);
        assert_eq!(database.states(), [(Issuing, 1)]);

        let running = Running::with(&database, &backend, false);
        database.clock.advance(TimeDelta::seconds(96));
        until_all(&store, Uncertain).await;
        database.clock.advance(TimeDelta::seconds(31));
        until_all(&store, Issued).await;
        running.stop().await;
        assert_eq!(backend.calls(), [Call::Award, Call::LookUp]);
        assert_eq!(backend.issued(), [1]);
        assert_eq!(store.read("test", outbox::backlog).expect("read").0, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_issue_each_award_once() {
    for database in databases() {
        database.decide(1..=60, &database.badge_class("three"));
        let (backend, store) = (Scripted::remote(), database.store());
        let running = [0; 3].map(|_| Running::start(&database, &backend));
        until_all(&store, Issued).await;
        for one in running {
            one.stop().await;
        }
        assert_eq!(backend.issued(), [1; 60]);
        assert_eq!(backend.count(Call::Award), 60);
        assert_eq!(backend.made(), [1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_ends_before_the_process_does() {
    for database in databases() {
        database.decide(1..=9, &database.badge_class("three"));
        let backend = Scripted::remote();
        backend.always(Call::Award, Fault::Waits);
        let running = Running::start(&database, &backend);
        until("four in flight", || backend.count(Call::Award) == 4).await;
        until("two at hand", || database.states().contains(&(Issuing, 6))).await;
        running.stop.cancel();
        backend.gate.add_permits(9);
        running.stop().await;
        assert_eq!(backend.count(Call::Award), 4, "what was at hand is not asked for");
        assert_eq!(database.states(), [(Pending, 5), (Issued, 4)]);
        let attempts = database.store().read("test", |tx| {
            let of_pending = award::table.filter(award::state.eq(Pending.as_str()));
            Ok(of_pending.select(max(award::attempts)).first::<Option<i32>>(tx.conn)?)
        });
        assert_eq!(attempts.expect("read"), Some(0));
    }
}

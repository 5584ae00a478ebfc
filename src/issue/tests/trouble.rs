//! A backend that is down.

use std::{backtrace::Backtrace, sync::Arc, time::Duration};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use diesel::{OptionalExtension, QueryDsl, RunQueryDsl};
use tokio_util::sync::CancellationToken;

use super::{
    Running, Scripted,
    scripted::{Call, Fault},
    until, until_all,
};
use crate::{
    clock::Clock,
    domain::award::AwardState::{Issued, Pending},
    store::{schema::comparison, testing::databases},
};

/// Panics when it is asked from this function.
struct PanicsIn(&'static str);

impl Clock for PanicsIn {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn skew(&self) -> TimeDelta {
        let callers = Backtrace::force_capture().to_string();
        assert!(!callers.contains(self.0), "a panic was ordered");
        TimeDelta::zero()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_that_panics_ends_the_loop() {
    for part in [
        "::claim::{{closure}}",
        "::probe::{{closure}}",
        "::revoke_due::{{closure}}",
    ] {
        for database in databases() {
            database.decide([1], &database.badge_class("three"));
            let (mut issuer, _) = Running::issuer(&database, &Scripted::remote(), true);
            issuer.store = database.another(Arc::new(PanicsIn(part)), 4);
            let running = tokio::spawn(issuer.run(CancellationToken::new()));
            let ended = tokio::time::timeout(Duration::from_secs(20), running).await;
            let ended = ended.unwrap_or_else(|_| panic!("half alive without {part}"));
            assert!(ended.is_err_and(|error| error.is_panic()), "{part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_is_down_is_left_alone_until_it_answers() {
    for database in databases() {
        database.decide(1..=40, &database.badge_class("three"));
        let (backend, store) = (Scripted::remote(), database.store());
        backend.always(Call::Award, Fault::NotSent);
        let running = Running::start(&database, &backend);
        let gauge = running.metrics.backend_breaker_open.clone();
        until("open", || gauge.get() == 1).await;
        let asked = backend.count(Call::Award);
        assert!(asked < 10, "{asked} requests before it was left alone");
        until_all(&store, Pending).await;
        backend.always(Call::Award, Fault::None);
        until("closed", || gauge.get() == 0).await;
        database.clock.advance(TimeDelta::seconds(10));
        until_all(&store, Issued).await;
        // What it may have carried out too late is looked for when it has had its time.
        let compared_within = || {
            let read = store.read("test", |tx| {
                let now = tx.now()?;
                let due: Option<NaiveDateTime> =
                    comparison::table.select(comparison::due_at).first(tx.conn).optional()?;
                Ok(due.map(|due| due - now))
            });
            read.expect("read")
        };
        let soon = TimeDelta::minutes(1)..TimeDelta::minutes(12);
        until("compared soon", || {
            compared_within().is_some_and(|within| soon.contains(&within))
        })
        .await;
        running.stop().await;
        assert_eq!(backend.issued(), [1; 40]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gauges_say_what_waits() {
    for database in databases() {
        database.decide(1..=3, &database.badge_class("three"));
        database.clock.advance(TimeDelta::seconds(60));
        let (store, metrics) = (database.store(), crate::telemetry::Metrics::new());
        crate::issue::refresh_gauges(&store, &metrics, true).expect("read");
        assert_eq!(metrics.awards.with_label_values(&["pending"]).get(), 3);
        assert!(metrics.award_oldest_pending_age.get() >= Duration::from_secs(60).as_secs_f64());
        assert_eq!(metrics.outbox_unpublished.get(), 0);
    }
}

//! Processes whose clocks differ.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};

use crate::{
    clock::WrongClock,
    store::{
        Store,
        awards::{
            self,
            testing::{claim_all, completed},
        },
        outbox,
        testing::databases,
    },
};

fn claim_events(store: &Store) -> usize {
    let claimed = store.transaction("test", |tx| outbox::claim(tx, 10, TimeDelta::seconds(60)));
    claimed.expect("claimed").len()
}

#[test]
fn leases_go_by_the_databases_clock_whatever_the_processes_think() {
    for database in databases() {
        database.decide([1], &database.badge_class("one"));
        let [ahead, behind] = [1, -1].map(|hours| database.another(Arc::new(WrongClock(TimeDelta::hours(hours))), 2));
        // Due since now, by a clock on which it is an hour earlier.
        let held = claim_all(&behind);
        assert_eq!(held.len(), 1);
        assert_eq!(claim_all(&ahead).len(), 0, "the lease lasts a minute");
        let done: Vec<_> = held.iter().map(completed).collect();
        let written = behind.transaction("test", |tx| awards::complete(tx, &done));
        assert_eq!(written.expect("written").len(), 1);
        assert_eq!(claim_events(&behind), 1);
        assert_eq!(claim_events(&ahead), 0, "the lease lasts a minute");
        let apart = ahead.read("test", |tx| Ok(tx.now_utc()? - Utc::now())).expect("read");
        assert!(apart.abs() < TimeDelta::minutes(1), "{apart}");
    }
}

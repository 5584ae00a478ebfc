//! Badge classes at the backend.

use chrono::TimeDelta;

use super::{
    Running, Scripted,
    scripted::{Call, Fault},
    until, until_all,
};
use crate::{
    domain::award::AwardState::{Blocked, Issued, Pending},
    store::{badge_classes, testing::databases},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_class_that_may_have_been_made_is_looked_for() {
    for (fault, made) in [(Fault::Unseen, 1), (Fault::Lost, 2)] {
        for database in databases() {
            database.decide([1], &database.badge_class("three"));
            let (backend, store) = (Scripted::remote(), database.store());
            backend.script(Call::Make, [fault.clone()]);
            let running = Running::start(&database, &backend);
            until("made", || backend.count(Call::Make) == 1).await;
            until_all(&store, Pending).await;
            assert_eq!(backend.count(Call::Find), 0, "not before it has settled");
            database.clock.advance(TimeDelta::seconds(31));
            until_all(&store, Issued).await;
            running.stop().await;
            assert_eq!((backend.count(Call::Find), backend.count(Call::Make)), (1, made));
            assert_eq!(backend.made(), [1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_class_that_is_refused_blocks_its_awards() {
    for database in databases() {
        database.decide(1..=3, &database.badge_class("three"));
        let (backend, store) = (Scripted::remote(), database.store());
        backend.always(Call::Make, Fault::Refused);
        let running = Running::start(&database, &backend);
        until("one blocked", || {
            database.states().iter().any(|(state, _)| *state == Blocked)
        })
        .await;
        database.clock.advance(TimeDelta::seconds(5));
        until("two", || database.states().contains(&(Blocked, 2))).await;
        database.clock.advance(TimeDelta::seconds(5));
        until_all(&store, Blocked).await;
        running.stop().await;
        assert_eq!(backend.count(Call::Award), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_badge_class_of_another_backend_is_looked_for_and_made_at_this_one() {
    for database in databases() {
        let badge_class = database.badge_class("three");
        let store = database.store();
        store
            .transaction("test", |tx| {
                let making = badge_classes::claim_making(tx, badge_class.id, "another", TimeDelta::seconds(30))?;
                let making = making.expect("nobody makes it");
                badge_classes::complete_making(tx, badge_class.id, making, ("another", "id-there"), None)
            })
            .expect("made at another");
        database.decide([1], &badge_class);
        let backend = Scripted::remote();
        let running = Running::start(&database, &backend);
        until_all(&store, Issued).await;
        running.stop().await;
        assert_eq!((backend.count(Call::Find), backend.count(Call::Make)), (1, 1));
        let stored = store.read("test", |tx| badge_classes::get(tx, badge_class.id));
        let stored = stored.expect("it reads").expect("it is there");
        assert!(stored.is_made_at("scripted") && !stored.is_made_at("another"));
    }
}

use chrono::TimeDelta;

use super::*;
use crate::{
    domain::badge_class::{BadgeClassKey, NewBadgeClass},
    store::testing::{databases, seed},
};

const AWARD: &str = "0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c";

fn with_assertion(test: impl Fn(&Store, &Assertion, &str)) {
    for database in databases() {
        let store = database.store();
        seed::learner(&store, 42, "ada", 1);
        let class = NewBadgeClass {
            key: BadgeClassKey {
                slug: "three".to_owned(),
                issuing_component: String::new(),
                course_id: String::new(),
            },
            mode: String::new(),
            display_name: "Three".to_owned(),
            description: "d".to_owned(),
            criteria: "c".to_owned(),
            image: vec![1],
        };
        let class = seed::badge_class(&store, &class);
        seed::award(&store, 42, AWARD, &class, ("published", None), 1);
        seed::assertion(&store, 42, AWARD, &class, 1);
        let actor = context::actor();
        let asked = store.transaction("test", |tx| revocations::request(tx, AWARD, "by mistake", &actor));
        test(&store, &asked.expect("asked for").expect("there"), AWARD);
    }
}

#[test]
fn a_revocation_that_nobody_carries_out_is_a_failure() {
    with_assertion(|store, found, id| {
        let told = see_done(store, id, found, 1).expect("read");
        let Err(CliError::Failed(causes)) = told else {
            panic!("nothing was revoked: {told:?}");
        };
        assert!(
            causes[0].starts_with(id) && causes[0].contains("accolade serve"),
            "{causes:?}"
        );
    });
}

#[test]
fn a_revocation_is_seen_done_or_refused() {
    with_assertion(|store, found, id| {
        let claim = || store.transaction("test", |tx| revocations::claim(tx, 1, TimeDelta::zero()));
        let claimed = claim().expect("claimed").remove(0);
        store
            .transaction("test", |tx| {
                revocations::put_off(tx, &claimed, TimeDelta::zero(), "no answer")
            })
            .expect("put off");
        let told = see_done(store, id, found, 1).expect("read");
        assert!(
            matches!(&told, Err(CliError::Failed(causes)) if causes[0].contains("no answer")),
            "{told:?}"
        );
        let claimed = claim().expect("claimed").remove(0);
        store
            .transaction("test", |tx| revocations::complete(tx, &claimed))
            .expect("revoked");
        assert_eq!(
            see_done(store, id, found, 1).expect("read"),
            Ok(format!("{id} is revoked"))
        );
    });
}

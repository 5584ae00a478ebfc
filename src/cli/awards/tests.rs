use super::*;
use crate::{
    domain::badge_class::{BadgeClassKey, NewBadgeClass},
    store::{
        api_reads::ListedAward,
        audit::Actor,
        testing::{databases, seed},
    },
};

fn listed(store: &Store, state: Option<AwardState>) -> Vec<ListedAward> {
    let pages: Result<Vec<_>, _> = list::pages(store, state, list::PAGE).collect();
    pages.expect("read").concat()
}

const ID: AwardId = AwardId(uuid::Uuid::from_u128(7));

fn with_award(state: &str, posted: bool, test: impl Fn(&Store, &Actor)) {
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
        seed::award(&store, 42, &ID.0.to_string(), &class, (state, None), 1);
        if posted {
            seed::posted(&store, &ID.0.to_string());
        }
        test(&store, &context::actor());
    }
}

#[test]
fn only_what_was_not_sent_is_cancelled() {
    for (state, posted, goes) in [
        ("pending", false, true),
        ("blocked", false, true),
        ("failed", false, true),
        ("dead", false, true),
        ("dead", true, false),
        ("uncertain", true, false),
        ("issuing", false, false),
        ("issued", false, false),
        ("published", false, false),
    ] {
        with_award(state, posted, |store, actor| {
            let cancel = || each(store, "test", &[ID], |tx, id| awards::cancel_by(tx, id, actor)).expect("done");
            let (lines, refused) = told(cancel(), after_cancel);
            assert_eq!((lines.len(), refused.is_empty()), (usize::from(goes), goes), "{state}");
            let listed = listed(store, Some(AwardState::Cancelled));
            assert_eq!(listed.len(), usize::from(goes), "{state}");
            assert!(
                listed
                    .iter()
                    .all(|award| award.state_reason.as_deref() == Some("by_hand"))
            );
            assert_eq!(told(cancel(), after_cancel).1.is_empty(), goes, "again: {state}");
        });
    }
}

#[test]
fn what_was_given_up_is_tried_again_by_state() {
    for (state, posted, after) in [("failed", false, "pending"), ("dead", true, "uncertain")] {
        with_award(state, posted, |store, actor| {
            let given_up = given_up(state).expect("a state");
            let ids = store.read("test", |tx| awards::in_state(tx, given_up, i64::MAX));
            let ids = ids.expect("read");
            assert_eq!(ids, [ID]);
            let done = each(store, "test", &ids, |tx, id| awards::retry_by(tx, id, actor)).expect("done");
            let (lines, refused) = told(done, after_retry);
            assert!(lines[0].contains(after) && refused.is_empty(), "{lines:?}");
            assert_eq!(list::in_json(&listed(store, None)[0])["state"], after);
        });
    }
}

#[test]
fn unknown_ids_and_wrong_states_are_refused() {
    with_award("pending", false, |store, actor| {
        let other = AwardId(uuid::Uuid::from_u128(8));
        let done = each(store, "test", &[other], |tx, id| awards::retry_by(tx, id, actor)).expect("done");
        assert_eq!(told(done, after_retry).1.len(), 1);
    });
    assert!(given_up("pending").is_err() && any_state("waiting").is_err() && award_id("7").is_err());
}

#[test]
fn a_list_goes_on_after_the_last_one_whatever_is_decided_meanwhile() {
    with_award("pending", false, |store, _| {
        let class = store
            .read("test", |tx| {
                let key = BadgeClassKey {
                    slug: "three".to_owned(),
                    issuing_component: String::new(),
                    course_id: String::new(),
                };
                crate::store::badge_classes::find(tx, &key)
            })
            .expect("read")
            .expect("there");
        // Three of one minute, which their ids put in order.
        for (id, at) in [("b", 2), ("a", 2), ("c", 2), ("d", 3)] {
            seed::award(store, 42, id, &class, ("pending", None), at);
        }
        let mut pages = list::pages(store, Some(AwardState::Pending), 2);
        let mut next = || -> Option<Vec<String>> {
            let page = pages.next()?.expect("read");
            Some(page.into_iter().map(|award| award.id).collect())
        };
        assert_eq!(next().as_deref(), Some(&["d".to_owned(), "c".to_owned()][..]));
        seed::award(store, 42, "newer", &class, ("pending", None), 4);
        assert_eq!(next().as_deref(), Some(&["b".to_owned(), "a".to_owned()][..]));
        assert_eq!(next(), Some(vec![ID.0.to_string()]));
        assert_eq!(next(), None);
    });
}

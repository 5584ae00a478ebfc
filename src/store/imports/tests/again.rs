//! Rows that come again, and rows of who has gone.

use super::*;

#[test]
fn a_row_that_comes_again_is_taken_once() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        let (new, there) = (Taken::New, Taken::WasThere);
        let same = [
            one(1, 41, &three, true),
            one(1, 41, &three, false),
            one(1, 41, &three, false),
        ];
        assert_eq!(take(&store, &same), [new, there, there]);
        // Another badge of the same learner, and that one under two more keys.
        let mut second = one(3, 41, &three, false);
        second.assertion_url = "https://b.example/2".to_owned();
        let more = [one(2, 41, &three, false), second.clone(), one(2, 41, &three, false)];
        assert_eq!(take(&store, &more), [new, there, there]);
        assert_eq!(assertions(&store), 2);
        assert_eq!(take(&store, &[same, more].concat()), [there; 6]);
    }
}

#[test]
fn of_who_has_retired_nothing_personal_is_taken_and_the_badge_is_revoked() {
    for database in databases() {
        let store = database.store();
        let three = class(&store, "three");
        let mut all = [one(1, 41, &three, true), one(2, 42, &three, true)];
        for one in &mut all {
            one.details = Some(LearnerDetails {
                id: one.learner,
                username: "quxwhistle".to_owned(),
                email: Some("q@example.com".to_owned()),
                name: Some("Zinnia".to_owned()),
            });
            one.assertion_url = format!("https://b.example/quxwhistle/{}", one.pk);
            one.evidence_url = Some("https://lms.example.com/u/quxwhistle".to_owned());
        }
        let retired = store.transaction("test", |tx| {
            let mut gone = learners::Learner::unknown(LearnerId(41));
            gone.retire(DateTime::UNIX_EPOCH);
            learners::insert(tx, &[&gone])
        });
        retired.expect("retired");
        assert_eq!(take(&store, &all), [Taken::New; 2]);
        assert_eq!(take(&store, &all), [Taken::WasThere; 2], "although its URL is another");
        let read = store.transaction("test", |tx| {
            let kept: Vec<(i64, String, Option<String>, String)> = assertion::table
                .order(assertion::learner_id)
                .select((
                    assertion::learner_id,
                    assertion::assertion_url,
                    assertion::evidence_url,
                    assertion::data,
                ))
                .load(tx.conn)?;
            Ok((kept, revocations::claim(tx, 10, chrono::TimeDelta::seconds(30))?))
        });
        let (kept, revoked) = read.expect("read");
        assert_eq!(
            kept[0],
            (41, "https://b.example/[erased]/1".to_owned(), None, "{}".to_owned())
        );
        assert!(kept[1].1.contains("quxwhistle") && kept[1].2.is_some());
        let revoked: Vec<(i64, Option<&str>)> = revoked
            .iter()
            .map(|one| (one.learner.0, one.backend_id.as_deref()))
            .collect();
        assert_eq!(revoked, [(41, Some("e1"))]);
    }
}

//! Badges that are lost while they are issued, and come back unissued.

use super::*;
use crate::{
    domain::award::AwardState::{self, Blocked, Dead, Failed, Pending, Uncertain},
    store::awards::{Step, apply_steps},
};

fn come_back(database: &TestDatabase, state: AwardState) -> bool {
    let mut writer = taking(database);
    tell(&mut writer, 1, [enrollment(7, 1, true), enrollment(7, 2, true)]);
    let claimed = testing::claim_all(&database.store());
    tell(&mut writer, 3, [enrollment(7, 2, false)]);
    assert_eq!(to_revoke(database).len(), 1, "it may be there");
    let step = Step {
        learner: claimed[0].learner,
        award: claimed[0].award,
        lease_token: claimed[0].lease_token,
        state,
        reason: None,
        after: TimeDelta::zero(),
        posted: state == Uncertain,
        counted: true,
        error: None,
    };
    let moved = database
        .store()
        .transaction("test", |tx| apply_steps(tx, std::slice::from_ref(&step)));
    assert_eq!(moved.expect("moved").len(), 1);
    // Qualifying again brings it back.
    if state != Uncertain {
        assert_eq!(
            (self::state(database), to_revoke(database)),
            ("cancelled".to_owned(), Vec::new())
        );
        tell(&mut writer, 4, [enrollment(7, 3, true)]);
    }
    self::state(database) == "pending"
}

#[test]
fn what_comes_back_unsent_is_not_awarded_to_who_lost_it() {
    for state in [Pending, Blocked, Failed, Dead] {
        for database in databases() {
            activate(&database, "2,two", "", "");
            assert!(come_back(&database, state), "{state:?}");
            assert_eq!(issue(&database), 1);
        }
    }
}

#[test]
fn what_may_be_there_is_still_looked_for() {
    for database in databases() {
        activate(&database, "2,two", "", "");
        assert!(!come_back(&database, Uncertain));
        assert_eq!(self::state(&database), "uncertain");
        assert_eq!(to_revoke(&database).len(), 1);
    }
}

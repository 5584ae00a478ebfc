use super::*;
use crate::store::{
    audit::{Actor, Via},
    dead_letters::{DeadLetter, Dropped, NotReplayed, Replayed},
    testing::{databases, seed},
};
use crate::wire::record::Record;

fn record(topic: &str, offset: i64) -> Record {
    Record {
        topic: topic.into(),
        partition: 0,
        offset,
        timestamp: None,
        key: None,
        value: Some(b"{".to_vec()),
        headers: Vec::new(),
    }
}

fn which(id: &[i64], reason: Option<&str>, topic: Option<&str>) -> Which {
    Which {
        id: id.to_vec(),
        all: id.is_empty(),
        reason: reason.map(str::to_owned),
        topic: topic.map(str::to_owned),
    }
}

#[test]
fn ids_are_taken_once_each_and_all_are_those_that_wait() {
    for database in databases() {
        let store = database.store();
        let letter = |topic, offset, reason| seed::dead_letter(&store, &record(topic, offset), reason, "wrong");
        let ids = [
            letter("a", 0, "x"),
            letter("b", 0, "x"),
            letter("a", 1, "y"),
            letter("a", 2, "x"),
        ];
        let actor = Actor {
            name: "ada".to_owned(),
            via: Via::CommandLine,
        };
        store
            .transaction("test", |tx| dead_letters::drop_by(tx, ids[3], &actor))
            .expect("dropped");
        for (which, expected) in [
            (which(&[9, 7, 9], None, None), vec![9, 7]),
            (which(&[], None, None), vec![ids[0], ids[1], ids[2]]),
            (which(&[], Some("x"), None), vec![ids[0], ids[1]]),
            (which(&[], Some("x"), Some("a")), vec![ids[0]]),
        ] {
            let said = format!("{which:?}");
            assert_eq!(which.ids(&store).expect("read"), expected, "{said}");
        }
    }
}

fn letter() -> DeadLetter {
    DeadLetter {
        id: 7,
        topic: "t".to_owned(),
        partition: 0,
        offset: 0,
        time: None,
        reason: "schema".to_owned(),
        message: "user.id: missing".to_owned(),
        created: "2026-11-01T00:00:00Z".parse().expect("a time"),
        sent_at: None,
        replays: 1,
        replayed_at: None,
        dropped_at: None,
        erased_at: None,
    }
}

#[test]
fn what_came_of_it_is_said() {
    let done = |outcome, awards| {
        Ok(Replayed {
            letter: letter(),
            outcome,
            awards,
        })
    };
    let failed = NotReplayed::FailedAgain {
        reason: "schema".to_owned(),
        message: "user.id: missing".to_owned(),
    };
    let at = "2026-11-02T03:04:05Z".parse().expect("a time");
    for (replay, is_done, part) in [
        (done("applied", 2), true, "replayed: applied, new awards: 2"),
        (done("applied", 0), true, "replayed: applied"),
        (done("stale", 0), true, "was known"),
        (Err(failed), false, "failed again (schema): user.id: missing"),
        (
            Err(NotReplayed::Before(at)),
            false,
            "replayed already, on 2026-11-02 at 03:04:05 UTC",
        ),
        (Err(NotReplayed::Dropped(at)), false, "was dropped"),
        (Err(NotReplayed::Erased(at)), false, "was erased on 2026-11-02"),
        (Err(NotReplayed::NothingAwarded), false, "ENABLE_OPENBADGES"),
    ] {
        let told = after_replay(replay);
        assert_eq!(told.is_ok(), is_done, "{told:?}");
        let line = told.unwrap_or_else(|refusal| refusal);
        assert!(line.contains(part), "{line}");
    }
    let dropped = |changed| {
        let dropped = Dropped {
            letter: letter(),
            changed,
        };
        after_drop(&dropped).expect("no refusal")
    };
    assert!(dropped(true).contains("as soon as it was sent"));
    assert_eq!(dropped(false), "was dropped before");
}

#[test]
fn one_that_is_refused_or_unknown_does_not_keep_the_others_back() {
    let mut asked = Vec::new();
    let done = each(
        &[1, 2, 3],
        |error| CliError::failed(error.to_string()),
        |id| {
            asked.push(id);
            Ok(match id {
                1 => None,
                2 => Some(Err("it failed again".to_owned())),
                _ => Some(Ok("replayed".to_owned())),
            })
        },
    );
    assert_eq!(asked, [1, 2, 3]);
    let Err(CliError::Failed(refused)) = done else {
        panic!("{done:?}");
    };
    assert_eq!(refused.len(), 2);
    assert!(refused[0].starts_with("dead letter 1: there is none"), "{refused:?}");
    assert_eq!(refused[1], "dead letter 2: it failed again");
}

fn unavailable() -> StoreError {
    StoreError::Unavailable {
        message: "gone".to_owned(),
    }
}

fn refused(done: Result<(), CliError>) -> Vec<String> {
    match done {
        Err(CliError::Failed(causes)) => causes,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn one_bad_letter_does_not_keep_the_others_and_what_was_refused_is_told() {
    let mut tried = Vec::new();
    let database = |error: StoreError| CliError::failed(error.code());
    let told = |id: i64| match id {
        2 => Ok(Some(Err("no".to_owned()))),
        3 => Err(StoreError::Corrupt("x".to_owned())),
        4 => Ok(None),
        6 => Err(unavailable()),
        _ => Ok(Some(Ok("done".to_owned()))),
    };
    let done = each(&[1, 2, 3, 4, 5], database, |id| {
        tried.push(id);
        told(id)
    });
    assert_eq!(tried, [1, 2, 3, 4, 5]);
    let causes = refused(done);
    assert_eq!(causes[..2], ["dead letter 2: no", "dead letter 3: database_corrupt"]);
    assert_eq!(
        (causes.len(), causes[2].starts_with("dead letter 4: there is none")),
        (3, true)
    );
    // Without its database nothing can be done; what was refused before is told.
    tried.clear();
    let done = each(&[2, 6, 1], database, |id| {
        tried.push(id);
        told(id)
    });
    assert_eq!(tried, [2, 6]);
    assert_eq!(refused(done), ["dead letter 2: no", "database_unavailable"]);
}

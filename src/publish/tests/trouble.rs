//! Kafka takes one topic and not the other, takes what it acknowledges too late, or takes its time.

use std::{collections::BTreeSet, time::Duration};

use chrono::NaiveDateTime;
use diesel::{QueryDsl, RunQueryDsl};

use super::*;
use crate::{
    clock::WrongClock,
    store::schema::{dead_letter as letter_rows, outbox as outbox_rows},
};

#[tokio::test(flavor = "multi_thread")]
async fn events_go_out_while_the_topic_of_dead_letters_is_refused() {
    for database in databases() {
        let store = database.store();
        let id = letter(&store);
        let broker = broker();
        broker.refuse_topic(LETTERS_TOPIC, true).expect("told");
        let running = Running::on(broker, database.store(), &[], ProducerOptions::default());
        until("refused", || {
            let problems = running.refusals.problems();
            problems.len() == 1 && problems[0].starts_with(LETTERS_TOPIC)
        })
        .await;
        database.decide(1..=3, &database.badge_class("one"));
        assert_eq!(issue_all(&store, "{}"), 3);
        until("published", || states(&store) == [(Published, 3)]).await;
        let sent_at = || {
            let read = store.read("test", |tx| dead_letters::get(tx, id));
            read.expect("read").expect("it is kept").0.sent_at
        };
        assert_eq!(sent_at(), None);
        assert_eq!(running.refusals.problems().len(), 1);
        running.broker.refuse_topic(LETTERS_TOPIC, false).expect("told");
        until("sent", || sent_at().is_some()).await;
        let records = tokio::task::block_in_place(|| running.read(LETTERS_TOPIC, 1));
        assert_eq!(records[0].value, broken().value);
        until("not refused any more", || running.refusals.problems().is_empty()).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_too_late_is_sent_again_under_the_same_id() {
    for database in databases() {
        let store = database.store();
        // Long enough that the record is at the broker by then on a busy machine, too.
        let patience = Duration::from_secs(2);
        let answer = 2 * patience;
        let impatient = ProducerOptions {
            delivery_timeout: patience,
            ..ProducerOptions::default()
        };
        let running = Running::on(broker(), database.store(), &[], impatient);
        let issue = |learner| {
            database.decide([learner], &database.badge_class("one"));
            assert_eq!(issue_all(&store, "{}"), 1);
        };
        // It is connected, and knows its producer's number.
        issue(1);
        until("published", || states(&store) == [(Published, 1)]).await;
        running.broker.answer_after(answer).expect("slow");
        issue(2);
        let slow = Instant::now();
        until("given up for the moment", || {
            running.refusals.fails(AWARDED) && states(&store) == [(Issued, 1), (Published, 1)]
        })
        .await;
        assert!(slow.elapsed() < answer, "it was to be given up earlier");
        running.broker.answer_after(Duration::ZERO).expect("fast");
        until("published", || states(&store) == [(Published, 2)]).await;
        // What was given up had been written: one event more often than once.
        let records = tokio::task::block_in_place(|| running.read(AWARDED, 3));
        let ids: BTreeSet<String> = records.iter().map(|record| header(record, "ce_id")).collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(running.metrics.published.with_label_values(&[AWARDED]).get(), 2);
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_last_for_as_long_as_kafka_takes() {
    for database in databases() {
        let store = database.store();
        letter(&store);
        database.decide([1], &database.badge_class("one"));
        assert_eq!(issue_all(&store, "{}"), 1);
        let broker = broker();
        broker.go_down().expect("down");
        let (poll, lease) = (Duration::from_millis(10), TimeDelta::milliseconds(300));
        let running = Running::that_looks(poll, lease, broker, database.store(), &[], ProducerOptions::default());
        // Until when the event and the dead letter are claimed.
        let ends = || -> [Option<NaiveDateTime>; 2] {
            let read = store.read("test", |tx| {
                let event = outbox_rows::table.select(outbox_rows::lease_until).first(tx.conn)?;
                let letter = letter_rows::table.select(letter_rows::lease_until).first(tx.conn)?;
                Ok([event, letter])
            });
            read.expect("read")
        };
        let mut known = None;
        for _ in 0..3 {
            until("claimed, and renewed", || ends().iter().all(|ends| *ends > known)).await;
            known = ends().into_iter().max().expect("two");
        }
        running.broker.come_up().expect("up");
        until("published", || states(&store) == [(Published, 1)]).await;
        until("sent", || ends() == [None, None]).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_back_behind_an_event_stops_nothing() {
    for database in databases() {
        let store = database.store();
        database.decide([1], &database.badge_class("one"));
        assert_eq!(issue_all(&store, "{}"), 1);
        let back = database.another(Arc::new(WrongClock(TimeDelta::days(-3_650_000))), 2);
        let running = Running::on(broker(), back, &[], ProducerOptions::default());
        until("published", || states(&store) == [(Published, 1)]).await;
        until("measured", || running.metrics.award_latency.get_sample_count() == 1).await;
        assert!(running.metrics.award_latency.get_sample_sum().abs() < f64::EPSILON);
        running.stop().await;
    }
}

//! Looking at the cluster.

use std::net::TcpListener;
use std::time::Duration;

use super::harness::{DEADLINE, TOPIC, broker, settings};
use crate::kafka::{KafkaError, Settings, admin};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn a_broker_that_answers_is_described() {
    let broker = broker(1);
    let cluster = admin::reach(&settings(&broker), DEADLINE).await.expect("reached");
    assert_eq!(cluster.brokers, [broker.bootstrap_servers()]);
    assert!(cluster.has(TOPIC));
    assert!(!cluster.has("other"));
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_the_reason() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("an address").to_string();
    drop(free);
    let error = admin::reach(&Settings::new(&address), DEADLINE)
        .await
        .expect_err("nobody listens");
    assert_eq!(error.to_string(), format!("{address}: connection refused"));
    assert!(error.is_retriable());
}

#[tokio::test]
async fn a_broker_that_does_not_answer_ends_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("an address").to_string();
    let error = admin::reach(&Settings::new(&address), Duration::from_millis(500))
        .await
        .expect_err("nobody answers");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn missing_topics_are_named_and_not_made_by_asking() {
    let broker = broker(1);
    let settings = settings(&broker);
    for _ in 0..2 {
        assert_eq!(
            admin::missing_topics(&settings, &names(&["b", TOPIC, "a"]))
                .await
                .expect("reached"),
            ["b", "a"]
        );
    }
    assert_eq!(
        admin::existing_topics(&settings, &names(&["b", TOPIC]))
            .await
            .expect("reached"),
        [TOPIC]
    );
}

#[tokio::test]
async fn a_broker_that_cannot_create_topics_says_so() {
    let broker = broker(1);
    let settings = settings(&broker);
    let none = admin::ensure_topics(&settings, &names(&[TOPIC]), 8).await;
    assert!(none.expect("there is nothing to create").is_empty());
    let wanted = names(&[TOPIC, "new"]);
    let error = admin::create_missing(&settings, &wanted, 8, Duration::from_millis(300))
        .await
        .expect_err("the embedded broker cannot");
    match &error {
        KafkaError::TopicsNotCreated { topics, source } => {
            assert_eq!(topics, &["new"]);
            assert_eq!(source.name(), "OperationTimedOut");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.is_retriable());
}

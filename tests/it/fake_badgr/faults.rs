//! Faults to order.

use std::time::Duration;

use serde_json::json;

use super::{Caller, award_to, password_grant, status_of};
use crate::harness::fake_badgr::{FakeBadgr, Fault, Operation, PASSWORD};

/// What the client sees of one award, and how many assertions there are then.
async fn award_with(fault: Fault) -> (Result<(u16, String), reqwest::Error>, usize) {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    badgr.order(Operation::Award, fault);
    assert_eq!(badgr.faults_left(), 1);
    let request = caller
        .award(&class, &award_to("ada@example.com"))
        .timeout(Duration::from_millis(500));
    let seen = async {
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.text().await?))
    };
    let seen = seen.await;
    assert_eq!(badgr.faults_left(), 0);
    let made = badgr.assertions().len();
    assert_eq!(badgr.requests("POST", "/v2/badgeclasses/").len(), 1);
    assert_eq!(
        status_of(caller.award(&class, &award_to("bob@example.com"))).await,
        201,
        "only one meets the fault"
    );
    (seen, made)
}

#[tokio::test]
async fn faults_before_the_work_leave_nothing_done() {
    for (fault, status) in [
        (Fault::ErrorBefore, 500),
        (Fault::Unauthorized, 401),
        (Fault::NotFound, 404),
        (Fault::RetryAfter(7), 429),
        (Fault::Throttled(8), 429),
        (Fault::BadRequest("{}".to_owned()), 400),
        (Fault::Status(503, "busy".to_owned()), 503),
    ] {
        let (seen, made) = award_with(fault.clone()).await;
        assert_eq!((seen.expect("an answer comes").0, made), (status, 0), "{fault:?}");
    }
    let (seen, made) = award_with(Fault::HangBefore).await;
    assert!(seen.expect_err("no answer comes").is_timeout());
    assert_eq!(made, 0);
    let (seen, made) = award_with(Fault::ResetBefore).await;
    let error = seen.expect_err("no answer comes");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(made, 0);
}

#[tokio::test]
async fn faults_after_the_work_lose_only_the_answer() {
    let (seen, made) = award_with(Fault::ErrorAfter).await;
    assert_eq!((seen.expect("an answer comes").0, made), (500, 1));
    let (seen, made) = award_with(Fault::HangAfter).await;
    assert!(seen.expect_err("no answer comes").is_timeout());
    assert_eq!(made, 1);
    let (seen, made) = award_with(Fault::ResetAfter).await;
    let error = seen.expect_err("no answer comes");
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(made, 1);
    let (seen, made) = award_with(Fault::Truncated).await;
    let error = seen.expect_err("the body is cut");
    assert!(
        !error.is_request() && !error.is_timeout(),
        "the headers came: {error:?}"
    );
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_slow_award_is_made_after_the_client_has_gone() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    badgr.order(Operation::Award, Fault::Slow(Duration::from_millis(400)));
    let request = caller
        .award(&class, &award_to("ada@example.com"))
        .timeout(Duration::from_millis(50));
    assert!(request.send().await.expect_err("no answer in time").is_timeout());
    assert!(badgr.assertions().is_empty());
    crate::harness::process::wait_until("the award is made", Duration::from_secs(5), || {
        !badgr.assertions().is_empty()
    });
}

#[tokio::test]
async fn a_fault_is_for_its_operation_until_it_is_cleared() {
    let badgr = FakeBadgr::start().await;
    let caller = Caller::new(&badgr).await;
    let class = caller.made().await;
    let lookup = format!("/v2/badgeclasses/{class}/assertions");
    for operation in [
        Operation::Token,
        Operation::MakeBadgeClass,
        Operation::ListBadgeClasses,
        Operation::LookUp,
        Operation::Revoke,
        Operation::Other,
    ] {
        badgr.always(operation, Fault::ErrorBefore);
    }
    badgr.order(Operation::LookUp, Fault::NotFound);
    assert_eq!(status_of(caller.award(&class, &award_to("ada@example.com"))).await, 201);
    assert_eq!(status_of(caller.get(&lookup)).await, 404, "an order comes first");
    for _ in 0..2 {
        assert_eq!(status_of(caller.get(&lookup)).await, 500);
    }
    assert_eq!(status_of(caller.get("/v2/issuers/issuer1/badgeclasses")).await, 500);
    assert_eq!(status_of(caller.revoke("x", &json!({}))).await, 500);
    assert_eq!(
        status_of(password_grant(&caller.http, &badgr.url(), PASSWORD)).await,
        500
    );
    badgr.clear_faults();
    assert_eq!(status_of(caller.get(&lookup)).await, 200);
}

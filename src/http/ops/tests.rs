use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::http::StatusCode;

use super::*;
use crate::http::testing::Site;

fn check(name: &'static str, up: Arc<AtomicBool>) -> ReadinessCheck {
    ReadinessCheck {
        name,
        check: Box::new(move || {
            let up = up.load(Ordering::SeqCst);
            Box::pin(async move { if up { Ok(()) } else { Err("Start it.".to_owned()) } })
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_names_the_part_that_is_not_ready() {
    let up = Arc::new(AtomicBool::new(false));
    let checks = vec![
        check("database", Arc::new(AtomicBool::new(true))),
        check("kafka", Arc::clone(&up)),
    ];
    let site = Site::with(checks, false);
    let reply = site.get("/readyz", &[]).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    let expected = serde_json::json!({"ready": false, "checks": {
        "database": {"ok": true, "detail": "ok"}, "kafka": {"ok": false, "detail": "Start it."}}});
    assert_eq!(reply.json(), expected);
    up.store(true, Ordering::SeqCst);
    let still = site.get("/readyz", &[]).await;
    assert_eq!(
        still.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "whoever asks at once gets the same"
    );
    tokio::time::advance(UNREADY_KEPT).await;
    let reply = site.get("/readyz", &[]).await;
    assert_eq!((reply.status, &reply.json()["ready"]), (StatusCode::OK, &true.into()));
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_and_soon_after_get_one_answer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let slow = ReadinessCheck {
        name: "kafka",
        check: Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::time::sleep(CHECK_TIME / 2).await;
                Ok(())
            })
        }),
    };
    let site = Site::with(vec![slow], false);
    let replies = join_all((0..200).map(|_| site.get("/readyz", &[]))).await;
    assert!(replies.iter().all(|reply| reply.status == StatusCode::OK));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    site.get("/readyz", &[]).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    tokio::time::advance(KEPT).await;
    site.get("/readyz", &[]).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_while_asking_leaves_it_to_the_next() {
    let once = Arc::new(AtomicBool::new(false));
    let hangs_once = ReadinessCheck {
        name: "kafka",
        check: Box::new(move || {
            let hangs = !once.swap(true, Ordering::SeqCst);
            Box::pin(async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok(())
            })
        }),
    };
    let site = Site::with(vec![hangs_once], false);
    let left = tokio::time::timeout(CHECK_TIME / 2, site.get("/readyz", &[])).await;
    assert!(left.is_err());
    assert_eq!(site.get("/readyz", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_service_that_stops_is_alive_and_not_ready() {
    let site = Site::new();
    assert_eq!(site.get("/readyz", &[]).await.status, StatusCode::OK);
    site.stop.cancel();
    let reply = site.get("/readyz", &[]).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.json()["checks"]["shutting_down"]["ok"], false);
    assert_eq!(site.get("/livez", &[]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_process_that_hangs_is_not_alive() {
    let hangs = Arc::new(AtomicBool::new(false));
    let said = Arc::clone(&hangs);
    let site = Site::hanging(Box::new(move || {
        said.load(Ordering::SeqCst)
            .then(|| "A consumer hangs: restart it.".to_owned())
    }));
    assert_eq!(site.get("/livez", &[]).await.status, StatusCode::OK);
    hangs.store(true, Ordering::SeqCst);
    let reply = site.get("/livez", &[]).await;
    assert_eq!(reply.problem().0, 503);
    assert_eq!(reply.json()["detail"], "A consumer hangs: restart it.");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_cut_off() {
    let hangs = ReadinessCheck {
        name: "kafka",
        check: Box::new(|| Box::pin(std::future::pending())),
    };
    let (name, outcome) = run(&hangs).await;
    assert_eq!((name, outcome.ok), ("kafka", false));
    assert!(
        outcome.detail.contains("2 s") && outcome.detail.contains("kafka"),
        "{}",
        outcome.detail
    );
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let reply = Site::new().get("/metrics", &[]).await;
    assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    assert!(text.contains("# TYPE accolade_awards gauge"));
    let others: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("accolade_") && !line.starts_with("# HELP accolade_"))
        .filter(|line| !line.starts_with("# TYPE accolade_"))
        .collect();
    assert_eq!(others, [""; 0], "each name begins with the service's");
}

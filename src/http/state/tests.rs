use axum::http::{StatusCode, header};
use tokio::task::JoinHandle;

use crate::http::{problem::Problem, testing::Site};

/// Requests that hold all the room there is, until what comes with them is dropped.
async fn crowd(site: &Site) -> (Vec<std::sync::mpsc::Sender<()>>, Vec<JoinHandle<Result<(), Problem>>>) {
    let (mut held, mut working) = (Vec::new(), Vec::new());
    let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..2 * site.store().pool_size() {
        let (sender, receiver) = std::sync::mpsc::channel();
        held.push(sender);
        let (state, begun) = (site.state.clone(), begun.clone());
        working.push(tokio::spawn(async move {
            let work = move |_: &crate::store::Store| {
                let _ = begun.send(());
                let _ = receiver.recv();
                Ok(())
            };
            state.run(work).await
        }));
        begins.recv().await.expect("it begins");
    }
    (held, working)
}

#[tokio::test]
async fn who_finds_no_room_is_told_to_come_again_and_the_rest_goes_on() {
    let site = Site::new();
    let (held, working) = crowd(&site).await;
    let late = site.get("/badges/x", &[]).await;
    assert_eq!(late.problem().0, 503);
    assert_eq!(late.header(header::RETRY_AFTER), "1");
    assert_eq!(site.get("/livez", &[]).await.status, StatusCode::OK);
    let ping = site.store().run(crate::store::Store::ping).await;
    assert!(ping.is_ok(), "the loops of the service do not share the room: {ping:?}");
    drop(held);
    for work in working {
        work.await.expect("no panic").expect("done");
    }
    assert_eq!(site.get("/badges/x", &[]).await.problem().0, 404);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_keeps_its_room_until_it_is_done() {
    let site = Site::new();
    let (held, working) = crowd(&site).await;
    for work in working {
        work.abort();
        assert!(work.await.is_err(), "aborted");
    }
    assert_eq!(site.get("/badges/x", &[]).await.problem().0, 503);
    drop(held);
    assert_eq!(site.get("/badges/x", &[]).await.problem().0, 404);
}

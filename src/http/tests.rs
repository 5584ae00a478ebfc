use std::time::Duration;

use axum::{
    Router,
    body::Body,
    http::{Method, StatusCode, header},
    middleware,
    routing::{get, post},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower_http::catch_panic::CatchPanicLayer;

use super::{testing::Site, *};

#[tokio::test]
async fn unknown_routes_and_wrong_methods_are_problems() {
    let site = Site::new();
    assert_eq!(site.get("/api/badges/v2/", &[]).await.problem().0, 404);
    let wrong = site.send(Method::POST, "/livez", &[], Body::empty()).await;
    assert_eq!(wrong.problem().0, 405);
    assert_eq!(wrong.header(header::ALLOW), "GET,HEAD");
    let page = site.get("/nowhere", &[("accept", "text/html")]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text().contains("There is nothing here"));
}

#[tokio::test]
async fn errors_of_the_framework_become_problems() {
    let site = Site::new();
    let path = "/api/badges/v1/assertions/user/%ff/";
    assert_eq!(site.get_as("staff", path).await.problem().0, 400);
}

#[tokio::test]
async fn a_panic_is_a_problem_and_tells_nothing() {
    async fn panics() -> &'static str {
        panic!("hunter2")
    }
    let router = Router::new()
        .route("/", get(panics))
        .route("/json", post(async |_: axum::Json<serde_json::Value>| "taken"))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(middleware::from_fn(problem::document_errors));
    let reply = testing::send(router.clone(), Method::GET, "/", &[], Body::empty()).await;
    assert_eq!(reply.problem().0, 500);
    assert!(!reply.text().contains("hunter2"));
    let reply = testing::send(router, Method::POST, "/json", &[], Body::from("{}")).await;
    assert_eq!(reply.problem().0, 415, "{}", reply.text());
}

#[tokio::test]
async fn the_server_answers_until_it_is_stopped() {
    let site = Site::new();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, site.state.clone(), stop.clone()));
    let mut client = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let request = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    client.write_all(request).await.expect("sent");
    let mut answer = [0; 15];
    client.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), server).await;
    ended.expect("in time").expect("no panic");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

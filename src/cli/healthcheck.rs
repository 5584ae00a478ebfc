//! `accolade healthcheck`

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;
use serde_json::Value;

use super::{CliError, error::one_line, output::print};
use crate::config::Settings;

/// Shorter than the time that container tools give.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Ask whether the local service is ready
///
/// Asks /readyz at HTTP_LISTEN. Exit code 0 when the service is ready, else 1, and what is not ready. For containers
/// without curl:
///
/// HEALTHCHECK CMD ["accolade", "healthcheck"]
#[derive(Debug, Args)]
pub(super) struct Arguments {}

pub(super) async fn run(settings: Settings, _: Arguments) -> Result<(), CliError> {
    let url = format!("http://{}/readyz", reachable(settings.http_listen));
    let failed = |error: &reqwest::Error| {
        let source = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
        let cause = source.last().map(ToString::to_string).unwrap_or_default();
        CliError::failed(format!(
            "{url}: {cause}; does the service run, and is HTTP_LISTEN the same?"
        ))
    };
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build();
    let answer = client.map_err(|error| failed(&error))?.get(&url).send().await;
    let answer = answer.map_err(|error| failed(&error))?;
    let status = answer.status();
    let body = answer.text().await.map_err(|error| failed(&error))?;
    if status.is_success() {
        return print("ready");
    }
    Err(CliError::Failed(not_ready(&body).unwrap_or_else(|| {
        vec![format!("{url}: {status}; is it this service that listens there?")]
    })))
}

/// Where a server that listens at this address can be reached from the same machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A line for each part that is not ready, from the body of `/readyz`.
fn not_ready(body: &str) -> Option<Vec<String>> {
    let body: Value = serde_json::from_str(body).ok()?;
    let checks = body.get("checks")?.as_object()?;
    let failed = checks.iter().filter(|(_, check)| check["ok"] != true);
    let line = |(name, check): (&String, &Value)| {
        let detail = check["detail"].as_str().unwrap_or("no detail");
        format!("{name}: not ready: {}", one_line(detail))
    };
    Some(failed.map(line).collect::<Vec<_>>()).filter(|lines| !lines.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_asked_on_the_loopback() {
        let asked = |listen: &str| reachable(listen.parse().expect("an address")).to_string();
        assert_eq!(asked("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(asked("[::]:1"), "[::1]:1");
        assert_eq!(asked("10.0.0.7:8080"), "10.0.0.7:8080");
    }

    #[test]
    fn what_is_not_ready_is_named() {
        let body = r#"{"ready": false, "checks": {"database": {"ok": true, "detail": "ok"},
            "kafka": {"ok": false, "detail": "127.0.0.1:9092:\nconnection refused"}}}"#;
        let lines = vec!["kafka: not ready: 127.0.0.1:9092: connection refused".to_owned()];
        assert_eq!(not_ready(body), Some(lines));
        assert_eq!(not_ready("<html>"), None);
        assert_eq!(not_ready(r#"{"checks": {}}"#), None);
    }
}

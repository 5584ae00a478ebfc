//! Requests over connections that stay open, each as soon as the answer before is there: by `wrk`.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A request of many.
pub struct Request {
    pub method: &'static str,
    pub path: String,
    /// The header of this name; none if it is empty.
    pub authorization: String,
    /// JSON; none if it is empty.
    pub body: String,
}

impl Request {
    /// A GET without a token.
    pub fn get(path: String) -> Self {
        Self {
            method: "GET",
            path,
            authorization: String::new(),
            body: String::new(),
        }
    }
}

/// How they were answered.
pub struct Answers {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// Sends these requests in turns for so long. Each must be answered with success.
pub fn measure(http: &str, requests: &[Request], connections: u64, seconds: u64) -> Result<Answers> {
    let mut file = tempfile::NamedTempFile::new()?;
    for request in requests {
        let Request {
            method,
            path,
            authorization,
            body,
        } = request;
        writeln!(file, "{method}\t{path}\t{authorization}\t{body}")?;
    }
    file.flush()?;
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "10s"])
        .args([
            "--connections",
            &connections.to_string(),
            "--duration",
            &format!("{seconds}s"),
        ])
        .args([
            "--script",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/load.lua"),
            http,
            "--",
        ])
        .arg(file.path())
        .output()
        .context("wrk does not start (apt-get install wrk)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "wrk: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = said.lines().find_map(|line| line.strip_prefix("load: "));
    let numbers: Vec<f64> = line
        .into_iter()
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.parse().ok())
        .collect();
    let [number, us, p50, p99, refused, broken] = numbers[..] else {
        panic!("wrk says something else: {said}");
    };
    assert!(
        number > 0.0 && refused == 0.0 && broken == 0.0,
        "not every request was answered: {said}"
    );
    Ok(Answers {
        per_second: number / us * 1e6,
        p50_ms: p50 / 1e3,
        p99_ms: p99 / 1e3,
    })
}

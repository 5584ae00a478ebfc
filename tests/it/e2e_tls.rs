//! The real servers over TLS: believed by their certificates alone.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use accolade::clock::SystemClock;
use accolade::kafka::{self, admin};
use accolade::store::{self, Store};
use accolade::telemetry::Metrics;

use crate::harness::binary;
use crate::harness::certificates::Certificates;
use crate::harness::events::{Event, Learner, course};
use crate::harness::kafka::RealKafka;
use crate::harness::postgres::Postgres;
use crate::harness::world::Plan;

/// What comes of asking the database.
fn ask(url: &str) -> Result<(), String> {
    let settings = store::Settings {
        url: url.parse().expect("a URL"),
        pool_size: 1,
    };
    let store = Store::open(&settings, Arc::new(SystemClock), Arc::new(Metrics::new()));
    store.ping().map_err(|error| error.to_string())
}

#[test]
fn postgresql_is_believed_by_its_certificate_alone() {
    let certificates = Certificates::new();
    let mut server = Postgres::own();
    let url = server.database();
    let checked = |root: &str| format!("{url}?sslmode=verify-full&sslrootcert={root}");
    let authority = certificates.authority().display().to_string();
    let refused = ask(&checked(&authority)).expect_err("a server without TLS");
    assert!(refused.contains("does not support SSL"), "{refused}");
    for (flaw, certificate) in &certificates.wrong {
        server.certify(certificate);
        let refused = ask(&checked(&authority)).expect_err(flaw);
        // OpenSSL says of some only that the signature does not fit.
        let is_told = ["certificate", "signature"].iter().any(|why| refused.contains(why));
        assert!(is_told, "{flaw}: {refused}");
        ask(&format!("{url}?sslmode=require")).unwrap_or_else(|said| panic!("{flaw}: TLS itself works: {said}"));
    }
    server.certify(&certificates.right);
    ask(&checked(&authority)).expect("the right one");
    let refused = ask(&checked("system")).expect_err("the authorities of this machine do not know it");
    assert!(refused.contains("certificate"), "{refused}");
    let refused = ask(&checked("/nonexistent/ca.pem")).expect_err("no such file");
    assert!(refused.contains("/nonexistent/ca.pem"), "{refused}");
}

#[tokio::test]
async fn kafka_is_believed_by_its_certificate_alone() {
    let certificates = Certificates::new();
    let wrong = certificates.wrong.iter().map(|(_, certificate)| certificate);
    let all: Vec<_> = std::iter::once(&certificates.right).chain(wrong).collect();
    let broker = RealKafka::certified(&all);
    let authority = certificates.authority().display().to_string();
    let reach = async |number: usize, more: &[(&str, &str)]| {
        let mut settings = kafka::Settings::new(broker.secure_bootstrap(number));
        for (name, value) in [("security.protocol", "ssl")].iter().chain(more) {
            settings.extra.insert((*name).to_owned(), (*value).to_owned());
        }
        let reached = admin::reach(&settings, Duration::from_secs(20)).await;
        reached.map(drop).map_err(|error| error.to_string())
    };
    let known = ("ssl.ca.location", authority.as_str());
    reach(0, &[known]).await.expect("the right one");
    reach(0, &[])
        .await
        .expect_err("the authorities of this machine do not know it");
    for (number, (flaw, _)) in (1..).zip(&certificates.wrong) {
        let refused = reach(number, &[known]).await.expect_err(flaw);
        assert!(refused.to_lowercase().contains("certificate"), "{flaw}: {refused}");
    }

    // The program, by its own settings.
    let mut plan = Plan::new();
    plan.kafka(&broker);
    plan.set("KAFKA_BOOTSTRAP_SERVERS", &broker.secure_bootstrap(0));
    plan.set("KAFKA_SECURITY_PROTOCOL", "SSL");
    let accolade = |arguments: &[&str], plan: &Plan| {
        let mut command = Command::new(binary::program());
        let output = command.env_clear().envs(&plan.settings).args(arguments).output();
        let output = output.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let (code, said) = accolade(&["check"], &plan);
    assert!(code == Some(1) && said.to_lowercase().contains("certificate"), "{said}");
    plan.set("KAFKA_SSL_CA_LOCATION", &authority);
    let (code, said) = accolade(&["check"], &plan);
    assert_eq!(code, Some(0), "{said}");
    let event = Event::enrollment_created(&Learner::new(1), &course(1));
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), format!("{}\n", event.json())).expect("the file can be written");
    let (code, said) = accolade(&["publish", &file.path().display().to_string()], &plan);
    assert_eq!(code, Some(0), "{said}");
}

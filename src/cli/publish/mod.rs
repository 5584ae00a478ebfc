//! `accolade publish`

mod line;
mod sending;

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use self::sending::Sending;
use super::{CliError, context};
use crate::{
    config::{Settings, Topics},
    kafka::{Producer, ProducerOptions, admin},
};

const REACH: Duration = Duration::from_secs(10);
const DELIVERY: ProducerOptions = ProducerOptions {
    linger: Duration::from_millis(5),
    delivery_timeout: Duration::from_secs(30),
};

/// Send events to their topics
///
/// One JSON object (a structured CloudEvent) a line, to the topics of TOPICS_ENROLLMENT and TOPICS_CERTIFICATE by
/// `type`, keyed by user id. Says how many were acknowledged. Every line is checked first: when one of a file is wrong,
/// nothing of the file is published; from standard input the right ones are. Sending events again does no harm.
///
/// Examples:
///
/// accolade publish events.jsonl
///
/// generate-events | accolade publish -
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The file to read; - is standard input
    #[arg(default_value = "-")]
    file: PathBuf,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> Result<(), CliError> {
    context::quiet_logs(&settings)?;
    let servers = settings.kafka_bootstrap_servers.as_deref().ok_or_else(|| {
        CliError::usage("KAFKA_BOOTSTRAP_SERVERS: needed; set it to the brokers, or to what `accolade serve` printed")
    })?;
    let mut sending = Sending::default();
    if arguments.file == Path::new("-") {
        let producer = connect(&settings, servers).await?;
        sending.stream(std::io::stdin().lock(), &settings.topics, &producer).await?;
    } else {
        let name = arguments.file.display();
        let open = || File::open(&arguments.file).map_err(|error| CliError::failed(format!("{name}: {error}")));
        check(open()?, &settings.topics).map_err(|wrong| {
            let wrong = wrong.into_iter().map(|line| format!("{name} {line}"));
            let none = format!("{name}: nothing was published; correct these lines");
            CliError::Failed(wrong.chain([none]).collect())
        })?;
        let producer = connect(&settings, servers).await?;
        sending.stream(BufReader::new(open()?), &settings.topics, &producer).await?;
    }
    sending.finish().await
}

/// A producer for brokers that answer, with topics that exist.
async fn connect(settings: &Settings, servers: &str) -> Result<Producer, CliError> {
    let kafka = context::kafka(settings, servers);
    let cluster = admin::reach(&kafka, REACH).await?;
    let Topics { enrollment, certificate, create, partitions, .. } = &settings.topics;
    let topics = [enrollment, certificate].into_iter().filter_map(|topics| topics.first());
    let missing: Vec<String> = topics.filter(|topic| !cluster.has(topic)).cloned().collect();
    if *create {
        admin::ensure_topics(&kafka, &missing, *partitions).await?;
    } else if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(CliError::failed(format!("no such topics: {missing}; create them, or set CREATE_TOPICS=true")));
    }
    Ok(Producer::new(&kafka, DELIVERY)?)
}

/// What is wrong with the lines of a file.
fn check(file: impl Read, topics: &Topics) -> Result<(), Vec<String>> {
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        match line.map_err(|error| error.to_string()).and_then(|line| line::event(&line, topics)) {
            Ok(_) => {}
            Err(problem) => wrong.push(format!("line {number}: {problem}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

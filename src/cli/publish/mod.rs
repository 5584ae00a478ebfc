//! `accolade publish`

pub(super) mod line;
mod sending;

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek},
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
    context::warn(&settings);
    let servers = settings.kafka_bootstrap_servers.as_deref().ok_or_else(|| {
        CliError::usage("KAFKA_BOOTSTRAP_SERVERS: needed; set it to the brokers, or to what `accolade serve` printed")
    })?;
    let mut lines: Box<dyn BufRead> = if arguments.file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(BufReader::new(checked(&arguments.file, &settings.topics)?))
    };
    let producer = connect(&settings, servers).await?;
    let mut sending = Sending::default();
    sending.stream(&mut lines, &settings.topics, &producer).await?;
    sending.finish().await
}

/// A producer for brokers that answer, with topics that exist.
async fn connect(settings: &Settings, servers: &str) -> Result<Producer, CliError> {
    let kafka = context::kafka(settings, servers);
    let cluster = admin::reach(&kafka, REACH).await?;
    let Topics {
        enrollment,
        certificate,
        create,
        partitions,
        ..
    } = &settings.topics;
    let topics = [enrollment, certificate]
        .into_iter()
        .filter_map(|topics| topics.first());
    let missing: Vec<String> = topics.filter(|topic| !cluster.has(topic)).cloned().collect();
    if !missing.is_empty() && *create {
        admin::ensure_topics(&kafka, &missing, *partitions).await?;
    } else if !missing.is_empty() {
        let missing = missing.join(", ");
        return Err(CliError::failed(format!(
            "no such topics: {missing}; create them, or set CREATE_TOPICS=true"
        )));
    }
    Ok(Producer::new(&kafka, DELIVERY)?)
}

/// The file, none of whose lines is wrong. A pipe cannot be read twice, and is not checked.
fn checked(path: &Path, topics: &Topics) -> Result<File, CliError> {
    let name = path.display();
    let failed = |error: io::Error| CliError::failed(format!("{name}: {error}"));
    let mut file = File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Ok(file);
    }
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(&file).split(b'\n')) {
        if let Err(problem) = line::record(number, &line.map_err(failed)?, topics) {
            wrong.push(format!("{name} {problem}"));
        }
    }
    if !wrong.is_empty() {
        wrong.push(format!("{name}: nothing was published; correct these lines"));
        return Err(CliError::Failed(wrong));
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}

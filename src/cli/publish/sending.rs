//! Events on their way to Kafka, and what became of them.

use std::{
    collections::{BTreeMap, VecDeque},
    io::BufRead,
};

use super::line;
use crate::{
    cli::{CliError, output::print},
    config::Topics,
    kafka::{Producer, Receipt},
};

/// Events without an acknowledgement, at most.
const IN_FLIGHT: usize = 5_000;

/// Events on their way, and what became of those before.
#[derive(Default)]
pub(super) struct Sending {
    events: usize,
    acknowledged: usize,
    wrong: Vec<String>,
    /// Lines by why they were not acknowledged.
    lost: BTreeMap<String, Vec<usize>>,
    waiting: VecDeque<(usize, Receipt)>,
}

impl Sending {
    /// Sends the events of these lines, leaving out the wrong ones.
    pub(super) async fn stream(
        &mut self,
        lines: impl BufRead,
        topics: &Topics,
        producer: &Producer,
    ) -> Result<(), CliError> {
        for (number, line) in (1..).zip(lines.split(b'\n')) {
            let line = line.map_err(|error| CliError::failed(format!("line {number}: {error}")))?;
            let record = match line::record(number, &line, topics) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(problem) => {
                    self.wrong.push(format!("{problem}; correct it and publish it again"));
                    continue;
                }
            };
            self.events += 1;
            match producer.enqueue(&record).await {
                Ok(receipt) => self.waiting.push_back((number, receipt)),
                Err(error) => self.lost.entry(error.to_string()).or_default().push(number),
            }
            if self.waiting.len() >= IN_FLIGHT {
                self.settle_first().await;
            }
        }
        Ok(())
    }

    async fn settle_first(&mut self) {
        let Some((number, receipt)) = self.waiting.pop_front() else {
            return;
        };
        match receipt.delivered().await {
            Ok(_) => self.acknowledged += 1,
            Err(error) => self.lost.entry(error.to_string()).or_default().push(number),
        }
    }

    /// Waits for what is on its way and says how many were acknowledged.
    pub(super) async fn finish(mut self) -> Result<(), CliError> {
        while !self.waiting.is_empty() {
            self.settle_first().await;
        }
        print(&format!("{} of {} events acknowledged", self.acknowledged, self.events))?;
        let lost = self
            .lost
            .iter()
            .map(|(why, lines)| format!("{}: {why}; publish them again", ranges(lines)));
        let causes: Vec<String> = self.wrong.iter().cloned().chain(lost).collect();
        if causes.is_empty() {
            Ok(())
        } else {
            Err(CliError::Failed(causes))
        }
    }
}

/// Ascending line numbers in words: `lines 1-3, 7`.
fn ranges(lines: &[usize]) -> String {
    let runs = lines.chunk_by(|a, b| a + 1 == *b);
    let run = |run: &[usize]| match run {
        [first, .., last] => format!("{first}-{last}"),
        run => run.first().map(usize::to_string).unwrap_or_default(),
    };
    format!("lines {}", runs.map(run).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::publish::line::tests::topics,
        kafka::{EmbeddedBroker, ProducerOptions, Settings},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn right_lines_are_acknowledged_and_wrong_ones_named() {
        let topics = topics();
        let names = [&topics.enrollment, &topics.certificate].into_iter().flatten();
        let names: Vec<_> = names.map(|topic| (topic.clone(), 2)).collect();
        let broker = EmbeddedBroker::start(&names).expect("a broker");
        let producer = Producer::new(&Settings::new(broker.bootstrap_servers()), ProducerOptions::default());
        let producer = producer.expect("a producer");
        let event = r#"{"type": "enrollment.created", "data": {"user": {"id": 42}}}"#;
        let lines = format!("{event}\n\n{{\n{event}");

        let mut sending = Sending::default();
        sending
            .stream(lines.as_bytes(), &topics, &producer)
            .await
            .expect("read");
        let error = sending.finish().await.expect_err("a line is wrong").to_string();
        assert!(error.starts_with("line 3: ") && error.lines().count() == 1, "{error}");

        let mut sending = Sending::default();
        sending
            .stream(event.as_bytes(), &topics, &producer)
            .await
            .expect("read");
        sending.settle_first().await;
        assert_eq!((sending.events, sending.acknowledged), (1, 1));
    }

    #[test]
    fn lines_are_told_as_ranges() {
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "lines 1-3, 7, 9-10");
        assert_eq!(ranges(&[4]), "lines 4");
    }
}

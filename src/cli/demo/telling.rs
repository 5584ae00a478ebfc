//! The story on its way from the first event to the last award.

use std::{collections::BTreeSet, time::Duration};

use super::{
    awards::Awards,
    screen::Screen,
    story::{Earned, Story},
};
use crate::{
    cli::CliError,
    kafka::{self, Producer, ProducerOptions},
};

/// The sample's awards are there within seconds, or something is wrong.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two events when a person watches.
const PACE: Duration = Duration::from_millis(100);

/// A story, and who listens to it.
pub(super) struct Telling {
    /// What is told.
    pub(super) story: Story,
    /// Where it is shown.
    pub(super) screen: Screen,
    /// The embedded broker.
    pub(super) servers: String,
    /// The topic of `badge.awarded`.
    pub(super) awarded: String,
    /// End with the last award that is expected.
    pub(super) once: bool,
}

impl Telling {
    /// Publishes the events and prints the awards. Ends with the last expected award if `once`, else only when
    /// something is wrong.
    pub(super) async fn tell(self) -> Result<(), CliError> {
        let mut awards = Awards::watch(&self.servers, &self.awarded)?;
        let mut missing = self.story.expected.clone();
        let telling = async { tokio::try_join!(self.publish(), self.show(&mut awards, &mut missing)).map(drop) };
        match tokio::time::timeout(DEADLINE, telling).await {
            Ok(told) => told?,
            Err(_) => return Err(too_late(&missing)),
        }
        self.screen.end(self.story.expected.len(), self.once)?;
        if self.once {
            return Ok(());
        }
        loop {
            self.screen.award(&awards.next().await?)?;
        }
    }

    async fn publish(&self) -> Result<(), CliError> {
        let producer = Producer::new(&kafka::Settings::new(&self.servers), ProducerOptions::default())?;
        for record in &self.story.records {
            let sent = producer.send(record.clone()).await;
            sent.map_err(|error| CliError::failed(format!("the embedded broker: {error}; try again")))?;
            if self.screen.is_terminal {
                tokio::time::sleep(PACE).await;
            }
        }
        Ok(())
    }

    /// Prints awards until none is missing.
    async fn show(&self, awards: &mut Awards, missing: &mut BTreeSet<Earned>) -> Result<(), CliError> {
        while !missing.is_empty() {
            let award = awards.next().await?;
            self.screen.award(&award)?;
            missing.remove(&award.earned);
        }
        Ok(())
    }
}

fn too_late(missing: &BTreeSet<Earned>) -> CliError {
    let causes = missing.iter().map(|earned| {
        let Earned { username, badge } = earned;
        format!(
            "{username}: {badge}: not awarded within {} s; see more with RUST_LOG=info",
            DEADLINE.as_secs()
        )
    });
    CliError::Failed(causes.collect())
}

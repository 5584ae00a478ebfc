//! `accolade demo`

mod awards;
mod place;
mod samples;
mod screen;
mod story;

use std::{collections::BTreeSet, io, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use self::{
    awards::{Award, Awards},
    place::Place,
    screen::Screen,
    story::{Earned, Story},
};
use super::CliError;
use crate::{
    app::{App, roles::Roles, signals},
    clock::{Clock, SystemClock},
    config::Topics,
    kafka::{self, Producer, ProducerOptions},
    telemetry::init_logs,
};

/// The sample's awards are there within seconds, or something is wrong.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two events when a person watches.
const PACE: Duration = Duration::from_millis(100);

/// See the whole story, with nothing else installed
///
/// Starts the service with a broker, a database and a badge issuer inside, creates badge classes and a configuration,
/// publishes sample events, and prints each award as it happens: the username, what was earned, the link to its page.
/// The pages are served until Ctrl-C, on port 8080, or a free one if that is taken, or at HTTP_LISTEN.
///
/// Examples:
///
/// accolade demo
///
/// accolade demo --once --keep /tmp/badges
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// End when the sample's awards are published
    #[arg(long)]
    once: bool,
    /// Keep the database in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), CliError> {
    let place = Place::make(arguments.keep.as_deref())?;
    let settings = place.settings()?;
    init_logs(settings.log_format, &settings.log_filter)?;
    let topics = settings.topics.clone();
    let app = App::start(settings, Roles::ALL, Arc::new(SystemClock)).await;
    let app = app.map_err(|error| CliError::chain(&error))?;
    let rules = samples::store(app.store())?;
    let story = Story::read(samples::EVENTS, &topics, &rules, SystemClock.now())?;
    let screen = Screen::of_stdout(app.public_url());
    screen.title(story.records.len(), app.bootstrap_servers())?;

    let telling = Telling { story, topics, screen, servers: app.bootstrap_servers().to_owned(), once: arguments.once };
    let (told, outcome) = tokio::sync::oneshot::channel();
    let ending = async move {
        tokio::select! {
            signal = signals::termination() => signal,
            result = telling.tell() => {
                drop(told.send(result));
                Ok::<(), io::Error>(())
            }
        }
    };
    app.run(ending).await.map_err(|error| CliError::chain(&error))?;
    place.farewell()?;
    // After a signal there is no outcome: nobody waited for the end.
    outcome.await.unwrap_or(Ok(()))
}

/// The story on its way to its end.
struct Telling {
    story: Story,
    topics: Topics,
    screen: Screen,
    servers: String,
    once: bool,
}

impl Telling {
    /// Publishes the events and prints the awards. Ends with the last expected award if `once`, else only when
    /// something is wrong.
    async fn tell(self) -> Result<(), CliError> {
        let mut awards = Awards::watch(&self.servers, &self.topics.badge_awarded)?;
        let mut missing = self.story.expected.clone();
        let telling = async {
            let (sent, seen) = tokio::join!(self.publish(), self.show(&mut awards, &mut missing));
            sent.and(seen)
        };
        match tokio::time::timeout(DEADLINE, telling).await {
            Ok(told) => told?,
            Err(_) => return Err(too_late(&missing)),
        }
        self.screen.end(self.story.expected.len(), self.once)?;
        while !self.once {
            self.screen.award(&awards.next().await?)?;
        }
        Ok(())
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
            let award: Award = awards.next().await?;
            self.screen.award(&award)?;
            missing.remove(&award.earned);
        }
        Ok(())
    }
}

fn too_late(missing: &BTreeSet<Earned>) -> CliError {
    let causes = missing.iter().map(|earned| {
        let Earned { username, badge } = earned;
        format!("{username}: {badge}: not awarded within {} s; see more with RUST_LOG=info", DEADLINE.as_secs())
    });
    CliError::Failed(causes.collect())
}

//! `accolade demo`

mod awards;
mod facts;
mod place;
mod samples;
mod screen;
mod story;
mod telling;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;

use self::{place::Place, screen::Screen, story::Story, telling::Telling};
use super::{CliError, wait_for};
use crate::{
    app::{App, roles::Roles, signals},
    clock::{Clock, SystemClock},
    config::Settings,
    telemetry::{LogQueue, init_queued_logs},
};

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

/// Everything is inside the process: it takes moments.
const PREPARATION: Duration = Duration::from_secs(20);

pub(super) fn run(arguments: Arguments) -> Result<(), CliError> {
    let place = Place::make(arguments.keep.as_deref())?;
    let settings = place.settings()?;
    let logs = Arc::new(init_queued_logs(settings.log_format, &settings.log_filter)?);
    let ended = wait_for(show(place, settings, arguments, Arc::clone(&logs)));
    logs.end();
    ended
}

async fn show(place: Place, settings: Settings, arguments: Arguments, logs: Arc<LogQueue>) -> Result<(), CliError> {
    let topics = settings.topics.clone();
    let app = App::start(settings, Roles::ALL, Arc::new(SystemClock)).await;
    let app = app.map_err(|error| CliError::chain(&error))?;
    app.metrics().count_dropped_lines_of(&logs);
    // What fails there is told by what follows.
    drop(tokio::time::timeout(PREPARATION, app.prepared()).await);
    let rules = samples::store(app.store())?;
    let story = Story::read(samples::EVENTS, &topics, &rules, SystemClock.now())?;
    let screen = Screen::of_stdout(app.public_url());
    screen.title(story.records.len(), app.bootstrap_servers())?;

    let telling = Telling {
        story,
        screen,
        servers: app.bootstrap_servers().to_owned(),
        awarded: topics.badge_awarded,
        once: arguments.once,
    };
    let (told, outcome) = tokio::sync::oneshot::channel();
    let ending = async move {
        tokio::select! {
            signal = signals::termination(move || logs.end()) => signal,
            result = telling.tell() => {
                drop(told.send(result));
                Ok::<(), io::Error>(())
            }
        }
    };
    app.run(ending).await.map_err(|error| CliError::chain(&error))?;
    place.farewell()?;
    // After a signal there is no outcome.
    outcome.await.unwrap_or(match arguments.once {
        true => Err(CliError::failed(
            "--once: ended by a signal before all awards were published; run it again",
        )),
        false => Ok(()),
    })
}

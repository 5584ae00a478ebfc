//! `accolade audit-backend`

mod telling;

use std::{sync::Arc, time::Duration};

use clap::Args;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::telling::{Desk, summary};
use super::{
    CliError, backend, context,
    output::{JsonList, print},
};
use crate::{
    config::Settings,
    issue::{
        self, Issuer,
        comparison::{Compared, Finding, Mode},
    },
    telemetry::Metrics,
};

/// Compare the stored badges with what Badgr holds
///
/// Finds a second live assertion of one award, which a request leaves behind that Badgr carried out after nobody waited
/// for it any more, and assertions that were revoked at Badgr itself or are gone there. With --repair the second one is
/// revoked at Badgr, if it is surely ours, and what Badgr no longer holds is marked as revoked and told of by
/// badge.revoked; it is not awarded again by itself. The service does the same once a day and after an outage of Badgr,
/// in its role `award`.
///
/// Exit code 0 when nothing differs, or all that differed was repaired; 1 when anything is left.
///
/// Example: accolade audit-backend --repair
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Repair what is surely wrong; without it nothing is changed
    #[arg(long)]
    repair: bool,
    /// What differs, as a JSON list
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(settings: Settings, arguments: Arguments) -> Result<(), CliError> {
    context::quiet_logs(&settings)?;
    let store = context::migrated_store(&settings)?;
    let Some(backend) = backend::remote(&settings)? else {
        return match arguments.json {
            true => JsonList::default().end(),
            false => print("the badges of the built-in issuer are the stored ones: there is nothing to compare"),
        };
    };
    let name = backend.name();
    if !backend.can_be_compared() {
        return Err(CliError::failed(format!(
            "BADGING_BACKEND: {name} does not say what it holds: only Badgr can be compared"
        )));
    }
    let issuer = Issuer::new(
        store,
        backend,
        issue::Settings {
            concurrency: 1,
            poll: Duration::from_secs(1),
            adopt_existing: settings.adopt_existing_assertions,
            public_url: settings.public_url.clone().unwrap_or_default(),
        },
        Arc::new(Metrics::new()),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    );
    let mode = match arguments.repair {
        true => Mode::ByHand(context::actor()),
        false => Mode::Report,
    };
    let desk = Desk::new(arguments.json);
    let told = |finding: &Finding| desk.tell(finding);
    let compared = issuer.compare(&mode, &CancellationToken::new(), &told).await;
    let compared = compared.map_err(|error| CliError::database(&settings.database_url, &error))?;
    desk.end()?;
    let Some(compared) = compared else {
        return Err(CliError::failed(
            "the service compares just now, and repairs what is wrong; try again later",
        ));
    };
    if !arguments.json {
        print(&summary(&compared, name))?;
    }
    verdict(&compared, arguments.repair)
}

fn verdict(compared: &Compared, repair: bool) -> Result<(), CliError> {
    if !compared.is_whole {
        return Err(CliError::failed(
            "broken off: Badgr keeps failing; see what `accolade check` says of it, and try again",
        ));
    }
    match (compared.left, compared.skipped) {
        (0, 0) => Ok(()),
        (0, skipped) => Err(CliError::failed(format!(
            "{skipped} badge classes could not be compared; see what `accolade check` says of Badgr"
        ))),
        (left, _) if repair => Err(CliError::failed(format!("{left} differences are left"))),
        (left, _) => Err(CliError::failed(format!(
            "{left} differences; `accolade audit-backend --repair` repairs what is surely wrong"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_left_is_a_failure() {
        let whole = Compared {
            is_whole: true,
            repaired: 1,
            ..Compared::default()
        };
        assert_eq!(verdict(&whole, true), Ok(()));
        for wrong in [
            Compared {
                left: 1,
                ..whole.clone()
            },
            Compared {
                skipped: 1,
                ..whole.clone()
            },
            Compared {
                is_whole: false,
                ..whole.clone()
            },
        ] {
            assert!(verdict(&wrong, false).is_err(), "{wrong:?}");
        }
    }
}

//! `accolade revoke`

use std::{thread, time::Duration};

use clap::Args;

use super::{CliError, context, output::print};
use crate::{
    config::Settings,
    domain::limits::{check_name, check_text},
    store::{
        Store, StoreError,
        assertions::{self, Assertion},
        revocations,
    },
};

/// How long the command waits for a service that carries the revocation out.
const WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// Revoke an assertion at the badge backend, then tell of it with badge.revoked
///
/// The running service does it, in its role `award`; the command waits half a minute to see it done. The badge is not
/// awarded again by itself. Exit code 1 when it is not done by then.
///
/// Example: accolade revoke 0d9c7d6c-3f3c-4f0e-9c57-0b1f2f3a4b5c --reason "awarded by mistake"
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The assertion's id, or the address of its page
    #[arg(value_name = "ASSERTION")]
    assertion: String,
    /// Why; it is shown to whoever looks at the badge
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(settings: &Settings, arguments: &Arguments) -> Result<(), CliError> {
    context::quiet_logs(settings)?;
    let reason = arguments.reason.trim();
    if reason.is_empty() {
        return Err(CliError::usage("--reason: must not be empty"));
    }
    check_text(reason).map_err(|problem| CliError::usage(format!("--reason: {problem}")))?;
    let named = arguments.assertion.trim_end_matches('/');
    let id = named.rsplit('/').next().unwrap_or(named);
    check_name(id).map_err(|problem| CliError::usage(format!("ASSERTION: {problem}")))?;
    let store = context::migrated_store(settings)?;
    let failed = |error| CliError::database(&settings.database_url, &error);
    let actor = context::actor();
    let asked = store.transaction("revoke_assertion", |tx| revocations::request(tx, id, reason, &actor));
    let Some(found) = asked.map_err(failed)? else {
        return Err(CliError::failed(format!(
            "{id}: there is no assertion of this id; the last part of a badge's address is one"
        )));
    };
    if let Some((at, reason)) = found.revoked {
        return print(&format!(
            "{id} was revoked already, on {}: {reason}",
            at.format("%Y-%m-%d")
        ));
    }
    let looks = WAIT.as_millis() / LOOK.as_millis();
    let done = see_done(&store, id, &found, looks).map_err(failed)?;
    done.and_then(|line| print(&line))
}

/// Looks so often whether a service has revoked it.
fn see_done(store: &Store, id: &str, found: &Assertion, looks: u128) -> Result<Result<String, CliError>, StoreError> {
    for _ in 0..looks {
        let (revoked, error) = store.read("revoked_assertion", |tx| {
            let revoked = assertions::get(tx, id)?.is_some_and(|assertion| assertion.revoked.is_some());
            Ok((revoked, revocations::last_error(tx, found.learner, found.award)?))
        })?;
        match (revoked, error) {
            (true, _) => return Ok(Ok(format!("{id} is revoked"))),
            (false, Some(error)) => {
                return Ok(Err(CliError::failed(format!(
                    "{id}: not revoked yet: {error}; the service goes on trying"
                ))));
            }
            (false, None) => thread::sleep(LOOK),
        }
    }
    Ok(Err(CliError::failed(format!(
        "{id}: not revoked yet: it is asked for, and no service did it within {} s; start `accolade serve` (role award), \
         or see its log; it does it then, and this command run again says so",
        WAIT.as_secs()
    ))))
}

#[cfg(test)]
mod tests;

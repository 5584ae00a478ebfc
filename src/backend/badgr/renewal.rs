//! Which token to use, and what is done to get another: pure. Time, chance and answers come in, what to do next comes
//! out.
//!
//! Measured at a real Badgr: a refresh token is good for one use, and using it kills the access token that came with it;
//! a password grant leaves other tokens alone. A failed refresh blocks every refresh from the same address for a while,
//! a failed password grant every one of the same user, each time for twice as long.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{backend::BackendError, retry::Backoff, secret::Secret};

/// After a user name or password was refused: so often at most, and a corrected password is not kept waiting for long.
const REFUSED: Backoff = Backoff {
    base: Duration::from_secs(4),
    cap: Duration::from_secs(300),
};
/// A token that the API refuses is replaced so often at most.
const FORCED: TimeDelta = TimeDelta::seconds(30);

/// What a token is asked for with.
#[derive(Debug, Clone)]
pub(crate) enum Grant {
    Password,
    Refresh(Secret),
}

/// What the token endpoint said.
#[derive(Debug, Clone)]
pub(crate) enum Granted {
    Tokens {
        access: Secret,
        refresh: Option<Secret>,
        expires_in: Duration,
    },
    /// The password or the refresh token is not good.
    Refused { detail: String },
    /// Too many attempts.
    Throttled { wait: Duration },
    /// Not reached, or no answer that can be read.
    Failed { detail: String },
}

/// An access token, and what it is replaced with.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Pair {
    access: String,
    refresh: Option<String>,
    /// When it is time for another: at four fifths of its life.
    renew_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

/// What the replicas share, opened.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) pair: Option<Pair>,
    /// How long nobody may ask for tokens; zero when anybody may.
    pub(crate) wait: Duration,
}

/// What one process knows of its tokens.
#[derive(Default)]
pub(crate) struct Held {
    pair: Option<Pair>,
    /// The access token that the API refused last.
    rejected: Option<String>,
    forced_at: Option<DateTime<Utc>>,
    not_before: Option<DateTime<Utc>>,
    failures: u32,
    /// Refreshes are throttled or fail: a password grant is not blocked by that.
    no_refresh: bool,
}

/// A token to call with; every failure is [`BackendError::NotSent`].
pub(crate) type Obtained = Result<Secret, BackendError>;

/// What a renewal does next.
pub(crate) enum Next {
    /// Read what the replicas share.
    Load,
    /// Take the right to ask.
    Lease,
    /// Another replica has the right: wait a moment, and then read what it may have brought.
    WaitAndLoad,
    /// Ask the token endpoint.
    Ask(Grant),
    /// Share these and give the right back. They are good whether or not the others hear of them.
    Save(Pair, Secret),
    /// Give the right back; nobody may ask for so long.
    Release(Duration, Obtained),
    /// It is over.
    End(Obtained),
}

/// One renewal on its way. Of one process only one is on its way at a time.
pub(crate) struct Renewal {
    /// The longest that one waits for another replica.
    patience: Duration,
    /// Whether the API refused the token in hand; known once the shared one was read.
    forced: Option<bool>,
    /// The last question was a refresh.
    refreshing: bool,
}

impl Held {
    /// A token whose time for another has not come.
    pub(crate) fn usable(&self, now: DateTime<Utc>) -> Option<Secret> {
        let pair = self.good()?;
        (now < pair.renew_at).then(|| Secret::new(pair.access.clone()))
    }

    /// A token that should still be taken.
    pub(crate) fn valid(&self, now: DateTime<Utc>) -> Option<Secret> {
        let pair = self.good()?;
        (now < pair.expires_at).then(|| Secret::new(pair.access.clone()))
    }

    /// Notes that the API refused this token: it is not given out again.
    pub(crate) fn reject(&mut self, access: &Secret) {
        if self.pair.as_ref().is_some_and(|pair| pair.access == access.expose()) {
            self.rejected = Some(access.expose().to_owned());
        }
    }

    fn rejects(&self, pair: &Pair) -> bool {
        self.rejected.as_ref() == Some(&pair.access)
    }

    /// The pair in hand, unless the API refused it.
    fn good(&self) -> Option<&Pair> {
        self.pair.as_ref().filter(|pair| !self.rejects(pair))
    }

    fn refresh_token(&self, now: DateTime<Utc>) -> Option<Secret> {
        let pair = self.good().filter(|pair| !self.no_refresh && now < pair.expires_at)?;
        pair.refresh.clone().map(Secret::new)
    }

    /// Takes over the shared pair if it is newer; the token, if it or the one in hand can be used.
    fn take_over(&mut self, kept: Kept, now: DateTime<Utc>) -> Result<Option<Secret>, BackendError> {
        if let Some(pair) = kept.pair {
            let known = self.good();
            let newer = known.is_none_or(|known| pair.renew_at > known.renew_at);
            if newer && !self.rejects(&pair) {
                self.pair = Some(pair);
            }
        }
        if let Some(access) = self.usable(now) {
            return Ok(Some(access));
        }
        if kept.wait.is_zero() {
            return Ok(None);
        }
        self.wait_until(kept.wait, now);
        Err(not_sent("Badgr was asked for tokens too often", Some(kept.wait)))
    }

    fn wait_until(&mut self, wait: Duration, now: DateTime<Utc>) {
        let wait = TimeDelta::from_std(wait).unwrap_or(TimeDelta::days(1));
        self.not_before = Some(now + wait);
    }

    fn failed(&mut self) -> u32 {
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    fn check_wait(&self, now: DateTime<Utc>) -> Result<(), BackendError> {
        let left = self.not_before.and_then(|at| (at - now).to_std().ok());
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Err(not_sent("Badgr is asked for tokens again later", Some(left))),
            None => Ok(()),
        }
    }

    /// Whether the API refused the token in hand; an error when the last one was replaced for that reason just now.
    fn check_forced(&self, now: DateTime<Utc>) -> Result<bool, BackendError> {
        let forced = self.pair.as_ref().is_some_and(|pair| self.rejects(pair));
        let free_at = self.forced_at.map(|at| at + FORCED);
        match free_at.and_then(|at| (at - now).to_std().ok()) {
            Some(left) if forced && !left.is_zero() => {
                Err(not_sent("Badgr does not take the token that it gave", Some(left)))
            }
            _ => Ok(forced),
        }
    }

    fn keep(&mut self, access: &Secret, refresh: Option<&Secret>, expires_in: Duration, now: DateTime<Utc>) -> Pair {
        let life = TimeDelta::from_std(expires_in)
            .unwrap_or(TimeDelta::days(1))
            .max(TimeDelta::seconds(1));
        let pair = Pair {
            access: access.expose().to_owned(),
            refresh: refresh.map(|refresh| refresh.expose().to_owned()),
            renew_at: now + life * 4 / 5,
            expires_at: now + life,
        };
        *self = Self {
            pair: Some(pair.clone()),
            forced_at: self.forced_at,
            ..Self::default()
        };
        pair
    }
}

impl Renewal {
    /// Begins one; `patience` is the longest that it waits for another replica.
    pub(crate) fn begin(patience: Duration, held: &Held, now: DateTime<Utc>) -> (Self, Next) {
        let renewal = Self {
            patience,
            forced: None,
            refreshing: false,
        };
        let next = match held.check_wait(now) {
            Ok(()) => Next::Load,
            Err(error) => Next::End(Err(error)),
        };
        (renewal, next)
    }

    /// After [`Next::Load`].
    pub(crate) fn loaded(&mut self, held: &mut Held, kept: Kept, now: DateTime<Utc>) -> Next {
        match held.take_over(kept, now) {
            Ok(Some(access)) => return Next::End(Ok(access)),
            Err(error) => return Next::End(Err(error)),
            Ok(None) => {}
        }
        if self.forced.is_none() {
            match held.check_forced(now) {
                Ok(forced) => self.forced = Some(forced),
                Err(error) => return Next::End(Err(error)),
            }
        }
        Next::Lease
    }

    /// After [`Next::Lease`]: what is kept, if the right was given. `since` is the time since it was first asked for.
    pub(crate) fn leased(&mut self, held: &mut Held, kept: Option<Kept>, since: Duration, now: DateTime<Utc>) -> Next {
        let Some(kept) = kept else {
            return match since >= self.patience {
                true => Next::End(Err(not_sent("another replica is asking Badgr for a token", None))),
                false => Next::WaitAndLoad,
            };
        };
        let wait = kept.wait;
        match held.take_over(kept, now) {
            Ok(None) => {
                if self.forced == Some(true) {
                    held.forced_at = Some(now);
                }
                let refresh = held.refresh_token(now);
                self.refreshing = refresh.is_some();
                Next::Ask(refresh.map_or(Grant::Password, Grant::Refresh))
            }
            Ok(Some(access)) => Next::Release(wait, Ok(access)),
            Err(error) => Next::Release(wait, Err(error)),
        }
    }

    /// After [`Next::Ask`]. A refused refresh is followed by the password at once; whoever says "later" is obeyed.
    /// `jitter` is drawn evenly from 0 to 1.
    pub(crate) fn granted(&mut self, held: &mut Held, granted: Granted, now: DateTime<Utc>, jitter: f64) -> Next {
        let refreshing = std::mem::take(&mut self.refreshing);
        let later = |held: &mut Held, wait: Duration, detail: &str| {
            held.wait_until(wait, now);
            Next::Release(wait, Err(not_sent(detail, Some(wait))))
        };
        match granted {
            Granted::Tokens {
                access,
                refresh,
                expires_in,
            } => Next::Save(held.keep(&access, refresh.as_ref(), expires_in, now), access),
            Granted::Refused { .. } if refreshing => Next::Ask(Grant::Password),
            Granted::Refused { detail } => {
                let wait = REFUSED.delay(held.failed(), jitter);
                let detail = format!("Badgr refuses BADGR_USERNAME and BADGR_PASSWORD: {detail}");
                later(held, wait, &detail)
            }
            Granted::Throttled { wait } if refreshing => {
                held.no_refresh = true;
                later(held, wait, "Badgr throttles refreshes")
            }
            Granted::Throttled { wait } => later(held, wait.max(Duration::from_secs(1)), "Badgr throttles logins"),
            Granted::Failed { detail } => {
                let wait = Backoff::DEPENDENCY.delay(held.failed(), jitter);
                later(held, wait, &detail)
            }
        }
    }
}

pub(super) fn not_sent(detail: &str, retry_after: Option<Duration>) -> BackendError {
    BackendError::NotSent {
        detail: detail.to_owned(),
        retry_after,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(25);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn tokens(number: u32) -> Granted {
        Granted::Tokens {
            access: Secret::new(format!("a{number}")),
            refresh: Some(Secret::new(format!("r{number}"))),
            expires_in: Duration::from_secs(100),
        }
    }

    /// Goes as far as the question, with an empty cache and a free lease.
    fn asking(held: &mut Held, now: i64) -> (Renewal, Next) {
        let (mut renewal, next) = Renewal::begin(PATIENCE, held, at(now));
        assert!(matches!(next, Next::Load));
        assert!(matches!(renewal.loaded(held, Kept::default(), at(now)), Next::Lease));
        let next = renewal.leased(held, Some(Kept::default()), Duration::ZERO, at(now));
        (renewal, next)
    }

    fn holding(now: i64) -> Held {
        let mut held = Held::default();
        let (mut renewal, next) = asking(&mut held, now);
        assert!(matches!(next, Next::Ask(Grant::Password)));
        assert!(matches!(
            renewal.granted(&mut held, tokens(1), at(now), 0.5),
            Next::Save(..)
        ));
        held
    }

    #[test]
    fn a_token_is_used_until_four_fifths_of_its_life_and_holds_until_its_end() {
        let held = holding(0);
        assert!(held.usable(at(79)).is_some() && held.usable(at(80)).is_none());
        assert!(held.valid(at(99)).is_some() && held.valid(at(100)).is_none());
    }

    #[test]
    fn a_pair_that_holds_is_refreshed_and_one_that_ended_or_was_refused_is_not() {
        let mut held = holding(0);
        assert!(matches!(asking(&mut held, 80).1, Next::Ask(Grant::Refresh(_))));
        assert!(matches!(asking(&mut holding(0), 100).1, Next::Ask(Grant::Password)));
        held.reject(&Secret::new("a1".to_owned()));
        assert!(matches!(asking(&mut held, 80).1, Next::Ask(Grant::Password)));
    }

    #[test]
    fn a_refused_refresh_is_followed_by_the_password_and_a_throttled_one_by_a_pause() {
        let refused = || Granted::Refused { detail: String::new() };
        let mut held = holding(0);
        let (mut renewal, _) = asking(&mut held, 80);
        let next = renewal.granted(&mut held, refused(), at(80), 1.0);
        assert!(matches!(next, Next::Ask(Grant::Password)));
        let next = renewal.granted(&mut held, refused(), at(80), 1.0);
        assert!(matches!(next, Next::Release(wait, Err(_)) if wait == REFUSED.base));
        let (_, next) = Renewal::begin(PATIENCE, &held, at(83));
        assert!(matches!(next, Next::End(Err(_))), "later means later");

        let mut held = holding(0);
        let (mut renewal, _) = asking(&mut held, 80);
        let wait = Duration::from_secs(8);
        let next = renewal.granted(&mut held, Granted::Throttled { wait }, at(80), 1.0);
        assert!(matches!(next, Next::Release(for_all, Err(_)) if for_all == wait));
        assert!(matches!(asking(&mut held, 88).1, Next::Ask(Grant::Password)));
    }

    #[test]
    fn another_replica_is_waited_for_as_long_as_its_right_lasts() {
        let mut held = Held::default();
        let (mut renewal, _) = Renewal::begin(PATIENCE, &held, at(0));
        let waits = |renewal: &mut Renewal, held: &mut Held, since| renewal.leased(held, None, since, at(0));
        let soon = PATIENCE - Duration::from_millis(1);
        assert!(matches!(waits(&mut renewal, &mut held, soon), Next::WaitAndLoad));
        assert!(matches!(waits(&mut renewal, &mut held, PATIENCE), Next::End(Err(_))));
        let pair = holding(0).pair;
        let kept = Kept {
            pair,
            wait: Duration::ZERO,
        };
        assert!(matches!(renewal.loaded(&mut held, kept, at(1)), Next::End(Ok(_))));
    }
}

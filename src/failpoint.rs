//! Places at which a test can make a process fail (RELIABILITY.md §1.5). A release build has none of them: [`hit`] is
//! nothing there.
//!
//! `ACCOLADE_FAILPOINT=NAME:ACTION:FILE` fails once, at the first passing of the place: `exit` ends the process as
//! `kill -9` does, `panic` panics, `error` answers with an error, `wait` waits until the file FILE with `.go` behind
//! its name exists. FILE itself is written when the place is reached.

/// The database (or the backend) failed, a test says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed on purpose at {0}")]
pub struct Injected(pub &'static str);

macro_rules! places {
    ($($name:ident = $text:literal, $meaning:literal;)+) => {
        /// A step after which the process may die.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Place {
            $(#[doc = $meaning] $name,)+
        }

        impl Place {
            /// Every one of them, in the order of an event's way.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its name in `ACCOLADE_FAILPOINT`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

places! {
    Polled = "c1_polled", "Records were taken from Kafka.";
    Begun = "c2_begun", "The batch's transaction is open.";
    Locked = "c3_locked", "Its learners are locked and read.";
    FactsWritten = "c5_facts_written", "Facts and learners are written.";
    Decided = "c6_decided", "Awards are decided.";
    BeforeCommit = "c7_before_commit", "Positions are written, nothing is committed.";
    AfterCommit = "c8_after_commit", "The batch is committed.";
    BeforeOffsets = "c9_before_offsets", "The offsets are about to be committed to Kafka.";
    AfterOffsets = "c10_after_offsets", "The commit of the offsets is on its way.";
    Selected = "i1_selected", "Awards are selected, and locked in the database only.";
    Claimed = "i2_claimed", "The claim is committed.";
    TokenFetched = "i3_token_fetched", "The backend gave a token.";
    BeforeRequest = "i4_before_request", "The backend is about to be asked.";
    Answered = "i6_answered", "The backend has answered, the database does not know.";
    Issued = "i7_issued", "The outcome is committed, with the event in the outbox.";
    LookingUp = "i8_looking_up", "The backend is about to be asked what became of an award.";
    LookedUp = "i9_looked_up", "It has said, the database does not know.";
    RelayClaimed = "r1_relay_claimed", "Events of the outbox are claimed.";
    Sent = "r2_sent", "They are queued for Kafka.";
    Acknowledged = "r3_acknowledged", "Kafka has them, the database does not know.";
    Marked = "r4_marked", "They are marked as published.";
    RevocationClaimed = "v1_revocation_claimed", "A revocation is claimed.";
    RevokedAtBackend = "v2_revoked_at_backend", "The backend has revoked, the database does not know.";
    RevocationKept = "v3_revocation_kept", "The revocation is committed, with its event in the outbox.";
    SliceEvaluated = "b1_slice_evaluated", "A slice of a backfill is evaluated, nothing is committed.";
    SliceKept = "b2_slice_kept", "It is committed.";
}

/// Fails here if a test ordered it.
///
/// # Errors
/// [`Injected`], where the order says `error`.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn hit(_: Place) -> Result<(), Injected> {
    Ok(())
}

#[cfg(debug_assertions)]
pub use ordered::hit;

#[cfg(debug_assertions)]
mod ordered {
    use std::{
        path::PathBuf,
        sync::{
            LazyLock,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use super::{Injected, Place};

    struct Order {
        name: String,
        action: String,
        file: PathBuf,
        met: AtomicBool,
    }

    static ORDER: LazyLock<Option<Order>> = LazyLock::new(|| {
        let text = std::env::var("ACCOLADE_FAILPOINT").ok()?;
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().map(str::to_owned);
        Some(Order {
            name: part()?,
            action: part()?,
            file: part()?.into(),
            met: AtomicBool::new(false),
        })
    });

    /// Fails here if a test ordered it.
    ///
    /// # Errors
    /// [`Injected`], where the order says `error`.
    ///
    /// # Panics
    /// Where the order says `panic`.
    pub fn hit(place: Place) -> Result<(), Injected> {
        let Some(order) = ORDER.as_ref().filter(|order| order.name == place.name()) else {
            return Ok(());
        };
        if order.met.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        std::fs::write(&order.file, place.name()).expect("the order's file can be written");
        match order.action.as_str() {
            "exit" => std::process::abort(),
            "panic" => panic!("a panic was ordered at {}", place.name()),
            "error" => Err(Injected(place.name())),
            "wait" => {
                let go = order.file.with_extension("go");
                while !go.exists() {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(())
            }
            other => panic!("ACCOLADE_FAILPOINT: there is no action {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_place_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Place::ALL.iter().map(|place| place.name()).collect();
        assert_eq!(names.len(), Place::ALL.len());
    }
}

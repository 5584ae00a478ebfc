//! What a backend holds of one badge class, as far as a comparison must remember it. Pure.
//!
//! Of what is stored, and of what was seen live, a hash of eight bytes is kept; whole is only what nobody knows.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use chrono::TimeDelta;

use crate::backend::{Held, Recipient};

/// A second assertion that was made at another time than this from the first is not taken for one of the same award.
const APART: TimeDelta = TimeDelta::days(1);
/// How often an award must have been claimed to be sent before it can have made two.
const SENT_AGAIN: u32 = 2;

/// The live assertions of one badge class.
#[derive(Default)]
pub(super) struct Holdings {
    hash: RandomState,
    /// Ids of all that are stored.
    stored: HashSet<u64>,
    /// Ids of those of them that the backend holds live.
    live: HashSet<u64>,
    /// Live ones that are not stored, by whom they are for.
    unknown: HashMap<u64, Vec<Held>>,
    /// Those of which only a hash of the recipient is said.
    unknown_hashed: Vec<Held>,
}

impl Holdings {
    /// An assertion of this id is stored. To be said of all before the first is [`add`](Self::add)ed.
    pub(super) fn is_stored(&mut self, backend_id: &str) {
        self.stored.insert(self.hash.hash_one(backend_id));
    }

    /// The backend holds this one.
    pub(super) fn add(&mut self, held: Held) {
        let id = self.hash.hash_one(&held.backend_id);
        match &held.recipient {
            _ if held.revoked.is_some() => {}
            _ if self.stored.contains(&id) => drop(self.live.insert(id)),
            Recipient::Hash { .. } => self.unknown_hashed.push(held),
            Recipient::Address(address) => {
                let whose = self.hash.hash_one(address);
                self.unknown.entry(whose).or_default().push(held);
            }
        }
    }

    /// Whether the backend holds this stored one, live.
    pub(super) fn holds(&self, backend_id: &str) -> bool {
        self.live.contains(&self.hash.hash_one(backend_id))
    }

    /// Whether it holds any that is not stored.
    pub(super) fn has_unknown(&self) -> bool {
        !self.unknown.is_empty() || !self.unknown_hashed.is_empty()
    }

    /// Takes those out that are not stored and are for this address.
    pub(super) fn take_unknown_of(&mut self, address: &str) -> Vec<Held> {
        let whose = self.hash.hash_one(address.trim().to_lowercase());
        let mut taken = self.unknown.remove(&whose).unwrap_or_default();
        taken.extend(self.unknown_hashed.extract_if(.., |held| held.recipient.is(address)));
        taken
    }
}

/// Whether the award that made `kept`, and was claimed to be sent so often, surely made `second` too. Badgr takes no key
/// of ours, so that is: sent more than once, from the same account, at about the same time.
pub(super) fn is_of_the_same_award(kept: &Held, attempts: u32, second: &Held) -> bool {
    let same_account = kept.made_by.is_some() && kept.made_by == second.made_by;
    let near = match (kept.made_at, second.made_at) {
        (Some(kept), Some(second)) => (kept - second).abs() <= APART,
        _ => false,
    };
    attempts >= SENT_AGAIN && same_account && near
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};

    use super::*;

    fn at(text: &str) -> Option<DateTime<Utc>> {
        Some(text.parse().expect("a time"))
    }

    fn held(id: &str, identity: &str) -> Held {
        Held {
            backend_id: id.to_owned(),
            assertion_url: format!("https://badgr.example/{id}"),
            recipient: Recipient::parse(identity, "salt"),
            made_by: Some("us".to_owned()),
            made_at: at("2026-11-01T12:00:00Z"),
            revoked: None,
        }
    }

    #[test]
    fn what_is_not_stored_is_found_by_its_recipient() {
        // SHA-256 of "ada@example.comsalt".
        let hashed = "sha256$07bdac5427a74f79b9de75a5d6a9fefb694dcafbe33f4457be762538358f6fe0";
        let mut holdings = Holdings::default();
        holdings.is_stored("a");
        assert!(!holdings.has_unknown());
        let revoked = Held {
            revoked: Some(String::new()),
            ..held("r", "Ada@example.com")
        };
        for one in [
            held("a", "ada@example.com"),
            held("b", "Ada@example.com"),
            held("c", "bob@example.com"),
            held("d", hashed),
            revoked,
        ] {
            holdings.add(one);
        }
        assert!(holdings.holds("a") && !holdings.holds("b") && !holdings.holds("r"));
        let ids = |found: Vec<Held>| found.into_iter().map(|held| held.backend_id).collect::<Vec<_>>();
        assert_eq!(ids(holdings.take_unknown_of(" ADA@example.com")), ["b", "d"]);
        assert_eq!(ids(holdings.take_unknown_of("ada@example.com")), Vec::<String>::new());
        assert!(holdings.has_unknown());
    }

    #[test]
    fn only_what_was_sent_again_from_one_account_at_one_time_is_of_the_same_award() {
        let kept = held("a", "");
        let second = |by: Option<&str>, made_at| Held {
            made_by: by.map(str::to_owned),
            made_at,
            ..held("b", "")
        };
        let soon = at("2026-11-02T11:00:00Z");
        assert!(is_of_the_same_award(&kept, 2, &second(Some("us"), soon)));
        assert!(!is_of_the_same_award(&kept, 1, &second(Some("us"), soon)));
        for other in [
            second(Some("staff"), soon),
            second(None, soon),
            second(Some("us"), None),
            second(Some("us"), at("2026-11-02T12:00:01Z")),
            second(Some("us"), at("2026-10-31T11:59:59Z")),
        ] {
            assert!(!is_of_the_same_award(&kept, 2, &other), "{other:?}");
        }
        let unsaid = second(None, soon);
        assert!(
            !is_of_the_same_award(&unsaid, 2, &unsaid),
            "nobody says who made either"
        );
    }
}

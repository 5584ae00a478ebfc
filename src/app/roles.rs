//! Which loops a process runs.

use std::str::FromStr;

/// The loops of one process; each scales by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Kafka to facts and decisions.
    pub ingest: bool,
    /// Decisions to assertions.
    pub award: bool,
    /// Assertions to `badge.awarded`.
    pub publish: bool,
    /// The API, the pages and the probes.
    pub http: bool,
}

/// What a list of roles is that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no role `{0}`; expected some of: ingest, award, publish, http")]
pub struct UnknownRole(String);

impl Roles {
    /// All of them.
    pub const ALL: Self = Self {
        ingest: true,
        award: true,
        publish: true,
        http: true,
    };
}

impl FromStr for Roles {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let mut roles = Self {
            ingest: false,
            award: false,
            publish: false,
            http: false,
        };
        for name in text.split(',').map(str::trim) {
            match name {
                "ingest" => roles.ingest = true,
                "award" => roles.award = true,
                "publish" => roles.publish = true,
                "http" => roles.http = true,
                _ => return Err(UnknownRole(name.to_owned())),
            }
        }
        Ok(roles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_a_list_and_others_are_named() {
        let some: Roles = "ingest, http".parse().expect("roles");
        assert!(some.ingest && some.http && !some.award && !some.publish);
        assert_eq!("ingest,award,publish,http".parse(), Ok(Roles::ALL));
        for wrong in ["", "ingest,", "admin"] {
            assert!(wrong.parse::<Roles>().is_err(), "{wrong}");
        }
    }
}

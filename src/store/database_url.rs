//! `DATABASE_URL`: where the database is. Its passwords are in no text that is shown.

use std::{fmt, net::IpAddr, str::FromStr};

use url::{Url, form_urlencoded};

/// `DATABASE_URL`: `postgres://…` or `sqlite://PATH`. Its passwords are not printed.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// PostgreSQL.
    Postgres(PostgresUrl),
    /// The path of a SQLite file.
    Sqlite(String),
}

/// A URL that libpq reads as we do.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Url);

/// What a text is that is no database URL. It says nothing of the text: a password may be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDatabaseUrl {
    /// Neither of the two.
    #[error("expected postgres://USER:PASSWORD@HOST/DATABASE or sqlite://PATH")]
    Unknown,
    /// A password or another part holds a character that means something else in a URL.
    #[error(
        "write a %, #, /, ?, @ or control character of a user name, password or database as %25, %23, %2F, %3F, %40 or %XX (not %00)"
    )]
    NotEncoded,
    /// A part of the query is not `NAME=VALUE`.
    #[error("expected NAME=VALUE&NAME=VALUE after the ?, with a %, &, = or # of a value as %25, %26, %3D or %23")]
    Query,
}

/// Parameters of libpq that are secrets.
const SECRETS: [&str; 5] = [
    "password",
    "sslpassword",
    "oauth_client_secret",
    "scram_client_key",
    "scram_server_key",
];

impl DatabaseUrl {
    /// Whether this names a SQLite file.
    pub fn is_sqlite(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }
}

impl FromStr for DatabaseUrl {
    type Err = InvalidDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(rest) = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
        {
            return PostgresUrl::parse(text, rest).map(Self::Postgres);
        }
        match text.strip_prefix("sqlite://") {
            Some(path) if !path.is_empty() => Ok(Self::Sqlite(path.to_owned())),
            _ => Err(InvalidDatabaseUrl::Unknown),
        }
    }
}

impl PostgresUrl {
    /// `rest` is the text without its scheme.
    fn parse(text: &str, rest: &str) -> Result<Self, InvalidDatabaseUrl> {
        if rest.contains(|c: char| c.is_control() || c == '#') || !is_percent_encoded(rest) {
            return Err(InvalidDatabaseUrl::NotEncoded);
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (_, path) = before.split_once('/').unwrap_or((before, ""));
        // libpq looks for the @ of the authority up to the first slash, beyond a question mark.
        let in_authority = query.split('/').next().filter(|_| !before.contains('/'));
        if path.contains('@') || in_authority.is_some_and(|more| more.contains('@')) {
            return Err(InvalidDatabaseUrl::NotEncoded);
        }
        let is_pair = |part: &str| part.matches('=').count() == 1 && !part.starts_with('=');
        if !query.is_empty() && !query.split('&').all(is_pair) {
            return Err(InvalidDatabaseUrl::Query);
        }
        Url::parse(text).map(Self).map_err(|_| InvalidDatabaseUrl::Unknown)
    }

    /// Whether its query has this parameter.
    pub fn says(&self, name: &str) -> bool {
        self.0.query_pairs().any(|(other, _)| other == name)
    }

    /// Whether the server is on this machine: by a socket, or by an address that leads back.
    pub fn is_local(&self) -> bool {
        let named = |name: &str| {
            let mut pairs = self.0.query_pairs();
            pairs.find_map(|(other, value)| (other == name && !value.is_empty()).then(|| value.into_owned()))
        };
        let host = named("hostaddr").or_else(|| named("host"));
        let host = host.unwrap_or_else(|| decoded(self.0.host_str().unwrap_or_default()));
        host.split(',').all(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host.is_empty() || host == "localhost" || host.starts_with('/') || address.is_ok_and(|it| it.is_loopback())
        })
    }

    /// The URL itself, passwords and all, for libpq.
    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What libpq says, without the passwords of this URL, in the form in which they are written and in which they are
    /// meant. One that is the user's or the database's name too is left: those are shown anyway.
    pub(super) fn redacted(&self, said: &str) -> String {
        let mut secrets: Vec<String> = Vec::new();
        let written = self.0.query().unwrap_or_default().split('&');
        let written = written.filter_map(|part| part.split_once('='));
        let credentials = self.0.password().map(|password| ("password", password));
        for (name, value) in written.chain(credentials) {
            if SECRETS.contains(&decoded(name).as_str()) {
                secrets.extend([decoded(value), value.to_owned()]);
            }
        }
        secrets.retain(|secret| !secret.is_empty() && !decoded(self.0.username()).contains(secret));
        secrets.retain(|secret| !decoded(self.0.path()).contains(secret));
        // The longest first: what is left of it would tell of it.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
            .iter()
            .fold(said.to_owned(), |said, secret| said.replace(secret, "***"))
    }
}

/// Whether each percent sign begins the code of a byte that libpq takes.
fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let code = rest.as_bytes().get(..2);
        code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit) && code != b"00")
    })
}

/// A part of a URL as libpq reads it: a plus sign is one.
fn decoded(part: &str) -> String {
    let pair = format!("={}", part.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(pair.as_bytes())
        .map(|(_, value)| value)
        .collect()
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite://{path}"),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        let host = url.host_str().unwrap_or("localhost");
        write!(f, "postgres://{host}:{}{}", url.port().unwrap_or(5432), url.path())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use diesel::r2d2::ManageConnection;

    use super::*;
    use crate::store::Manager;

    #[test]
    fn it_prints_without_its_password() {
        let url: DatabaseUrl = "postgres://ada:s3cret@db.example:6543/badges?sslmode=require"
            .parse()
            .expect("a URL");
        assert_eq!(
            format!("{url:?} {url}"),
            "postgres://db.example:6543/badges postgres://db.example:6543/badges"
        );
        assert!("mysql://x/y".parse::<DatabaseUrl>().is_err());
        assert!("sqlite://".parse::<DatabaseUrl>().is_err());
    }

    #[test]
    fn what_libpq_would_quote_or_read_otherwise_is_refused_without_a_word_of_it() {
        for text in [
            "postgres://ada:s%zzcanary@db/badges",
            "postgres://ada:canary%@db/badges",
            "postgres://ada:canary%4@db/badges",
            "postgres://ada:canary%00@db/badges",
            "postgres://ada:can\nary@db/badges",
            "postgres://ada:canary#1@db/badges",
            "postgres://ada:12#canary@db/badges",
            "postgres://ada:12/canary@db/badges",
            "postgres://ada:12?canary@db/badges",
            "postgres://ada:12?x=canary@db/badges",
            "postgres://ada@db/badges?password=%zzcanary",
            "postgres://ada@db/badges?password=can&ary",
            "postgres://ada@db/badges?password=canary&",
            "postgres://ada@db/badges?password=canary=",
            "postgres://ada@db/badges?canary",
        ] {
            let error = text.parse::<DatabaseUrl>().map(|url| panic!("{text}: {url}"));
            let error = error.expect_err("refused");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("can") && !shown.contains("ary"), "{text}: {shown}");
        }
        for good in [
            "postgres://db",
            "postgres://db/badges?",
            "postgres://ada:p%40ss%23%25%2f%3F@db:5433/badges?sslmode=verify-full&sslrootcert=/etc/ca.pem",
            "postgres://ada:p@ss:w'rd!@db/badges",
            "postgresql://ada@[::1]/badges?options=-c%20search_path%3Dx",
            "postgres:///badges?host=/run/postgresql&user=ada@example.com",
        ] {
            assert!(good.parse::<DatabaseUrl>().is_ok(), "{good}");
        }
    }

    #[test]
    fn a_password_is_in_no_error_of_a_connection() {
        for query in [
            "",
            "?sslmode=canary-p%40ss",
            "?password=canary-word&sslmode=canary-word",
        ] {
            let url = format!("postgres://ada:canary-p%40ss@127.0.0.1:1/badges{query}");
            let manager = Manager::new(url.parse().expect("a URL"));
            let error = manager.connect().err().expect("nobody listens");
            let shown = format!("{error} {error:?} {manager:?}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn a_server_on_this_machine_is_told_from_others() {
        for (url, is_local) in [
            ("postgres:///badges", true),
            ("postgres://localhost/badges", true),
            ("postgres://127.0.0.2:5433/badges", true),
            ("postgres://[::1]/badges", true),
            ("postgres://%2Frun%2Fpostgresql/badges", true),
            ("postgres://db/badges?host=/run/postgresql", true),
            ("postgres://db/badges", false),
            ("postgres://localhost/badges?hostaddr=10.0.0.1", false),
            ("postgres://[2001:db8::1]/badges", false),
            ("postgres:///badges?host=localhost,db", false),
        ] {
            match url.parse().expect("a URL") {
                DatabaseUrl::Postgres(parsed) => assert_eq!(parsed.is_local(), is_local, "{url}"),
                DatabaseUrl::Sqlite(_) => panic!("{url}"),
            }
        }
    }

    #[test]
    fn names_that_are_shown_anyway_stay_readable() {
        let url: DatabaseUrl = "postgres://accolade:accolade@db/badges".parse().expect("a URL");
        let DatabaseUrl::Postgres(url) = url else {
            panic!("PostgreSQL")
        };
        let said = "password authentication failed for user \"accolade\"";
        assert_eq!(url.redacted(said), said);
    }
}

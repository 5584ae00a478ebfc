//! How long PostgreSQL's client library waits for a server that says nothing.

/// A server that falls silent is noticed within a minute, unless the URL says otherwise.
pub(super) fn added_to(url: &str) -> String {
    const LIMITS: [(&str, &str); 5] = [
        ("connect_timeout", "5"),
        ("keepalives_idle", "30"),
        ("keepalives_interval", "10"),
        ("keepalives_count", "3"),
        ("tcp_user_timeout", "30000"),
    ];
    let Ok(mut url) = url::Url::parse(url) else {
        return url.to_owned();
    };
    let named: Vec<String> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    for (name, value) in LIMITS {
        if !named.iter().any(|other| other == name) {
            url.query_pairs_mut().append_pair(name, value);
        }
    }
    url.into()
}

#[cfg(test)]
mod tests {
    use super::added_to;

    #[test]
    fn what_the_url_says_itself_stays() {
        let url = added_to("postgres://u:p%40ss@db:5433/accolade?connect_timeout=60&sslmode=verify-full");
        assert_eq!(
            url,
            "postgres://u:p%40ss@db:5433/accolade?connect_timeout=60&sslmode=verify-full\
             &keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=30000"
        );
        assert!(added_to("postgres://db/accolade").contains("?connect_timeout=5&"));
    }
}

//! The token endpoint: grants, single-use refresh tokens, and the throttle.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::ledger::{Grant, Ledger, new_entity_id};
use super::server::Answer;

/// The key of a caller without a user name: its address, and all callers are on this machine.
const CLIENT_IP: &str = "127.0.0.1";

/// Who may call, and who called too often.
pub struct Tokens {
    expires_in: u64,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    grants: Vec<Grant>,
    failures: HashMap<String, Failures>,
}

struct Failures {
    count: u32,
    blocked_until: Instant,
}

impl Failures {
    /// The whole backoff: 2^n seconds, an hour at most.
    fn backoff(&self) -> u64 {
        1_u64.checked_shl(self.count).unwrap_or(u64::MAX).min(3_600)
    }
}

impl Tokens {
    pub fn new(expires_in: u64, grants: Vec<Grant>) -> Self {
        Self {
            expires_in,
            held: Mutex::new(Held {
                grants,
                failures: HashMap::new(),
            }),
        }
    }

    /// Answers one request for a token, and says what it did.
    pub fn grant(&self, form: &HashMap<String, String>, ledger: &Ledger) -> (Answer, String) {
        let field = |name: &str| form.get(name).map(String::as_str);
        let refresh = match field("grant_type") {
            Some("refresh_token") => match field("refresh_token") {
                Some(token) => Some(token),
                None => return invalid(json!({"error": "invalid_request"})),
            },
            None | Some("password") => None,
            Some(_) => return invalid(json!({"error": "unsupported_grant_type"})),
        };
        if refresh.is_none() && (field("username").is_none() || field("password").is_none()) {
            return invalid(json!({"error": "invalid_request"}));
        }
        let key = field("username").map_or_else(|| CLIENT_IP.to_owned(), str::to_lowercase);

        let mut held = self.held();
        if let Some(failures) = held.failures.get(&key)
            && Instant::now() < failures.blocked_until
        {
            return (Answer::throttled(failures.backoff()), "nothing: throttled".to_owned());
        }
        let good = match refresh {
            Some(token) => held.grants.iter().any(|grant| grant.refresh == token),
            None => {
                field("username").is_some_and(|name| name.eq_ignore_ascii_case(super::USERNAME))
                    && field("password") == Some(super::PASSWORD)
            }
        };
        if !good {
            let failures = held.failures.entry(key).or_insert(Failures {
                count: 0,
                blocked_until: Instant::now(),
            });
            failures.count += 1;
            failures.blocked_until = Instant::now() + Duration::from_secs(failures.backoff());
            return invalid(match refresh {
                Some(_) => json!({"error": "invalid_grant"}),
                None => {
                    json!({"error": "invalid_grant", "error_description": "Invalid credentials given."})
                }
            });
        }
        held.failures.remove(&key);
        if let Some(token) = refresh {
            held.grants.retain(|grant| grant.refresh != token);
        }
        let lifetime = TimeDelta::seconds(i64::try_from(self.expires_in).expect("a lifetime is small"));
        let grant = Grant {
            access: format!("canary-{}{}", new_entity_id(), new_entity_id()),
            refresh: format!("canary-{}{}", new_entity_id(), new_entity_id()),
            expires: Utc::now() + lifetime,
        };
        ledger.add_grant(&grant, refresh);
        let answer = Answer::json(
            200,
            "application/json",
            &json!({
                "access_token": grant.access, "expires_in": self.expires_in, "token_type": "Bearer",
                "scope": "rw:profile rw:issuer rw:backpack", "refresh_token": grant.refresh,
            }),
        );
        held.grants.push(grant);
        (answer, format!("granted {}", refresh.map_or("password", |_| "refresh")))
    }

    /// Whether this `Authorization` header may call. A call in the second half of a token's life
    /// begins its life anew.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
            return false;
        };
        let now = Utc::now();
        let lifetime = TimeDelta::seconds(i64::try_from(self.expires_in).expect("a lifetime is small"));
        let mut held = self.held();
        let Some(grant) = held.grants.iter_mut().find(|g| g.access == token && now < g.expires) else {
            return false;
        };
        if grant.expires - now < lifetime / 2 {
            grant.expires = now + lifetime;
        }
        true
    }

    pub fn expire_all(&self) {
        for grant in &mut self.held().grants {
            grant.expires = Utc::now();
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().expect("no one panics with the tokens in hand")
    }
}

fn invalid(body: serde_json::Value) -> (Answer, String) {
    (Answer::json(400, "application/json", &body), "nothing: 400".to_owned())
}

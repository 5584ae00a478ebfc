//! Issues Open Badges 2.0 itself: an assertion is a row of ours and documents below `PUBLIC_URL`.

pub mod bake;
pub mod documents;

use std::time::Duration;

use uuid::Uuid;

use self::documents::{AssertionParts, IssuerProfile, Urls};
use super::{AwardRequest, BackendError, BadgingBackend, BoxFuture, Issued, MadeBadgeClass, RevokeRequest};
use crate::domain::badge_class::BadgeClass;

/// Who issues, and where the documents are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `PUBLIC_URL`.
    pub public_url: String,
    /// `ISSUER_…`.
    pub issuer: IssuerProfile,
}

/// The built-in issuer. It needs no network and keeps nothing: what it makes counts once the store has it.
pub struct Builtin {
    urls: Urls,
    issuer: IssuerProfile,
}

impl Builtin {
    /// An issuer with these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            urls: Urls::new(&settings.public_url),
            issuer: settings.issuer,
        }
    }

    fn made(&self, badge_class: &BadgeClass) -> MadeBadgeClass {
        MadeBadgeClass {
            backend_id: badge_class.public_id.clone(),
            image_url: Some(self.urls.badge_class_image(&badge_class.public_id)),
        }
    }

    /// The assertion with this id and salt.
    fn issue(&self, request: &AwardRequest, id: Uuid, salt: [u8; 16]) -> Issued {
        let id = id.to_string();
        let salt = documents::hex(&salt);
        let hash = documents::recipient_hash(&request.recipient, &salt);
        let data = documents::assertion(
            &self.urls,
            &AssertionParts {
                id: &id,
                badge_class: &request.badge_class.public_id,
                salt: &salt,
                recipient_hash: &hash,
                evidence_url: request.evidence_url.as_deref(),
                issued_on: request.now,
            },
        );
        Issued {
            assertion_url: self.urls.assertion(&id),
            image_url: self.urls.assertion_image(&id),
            issuer: self.urls.issuer(),
            backend_id: Some(id.clone()),
            public_id: Some(id),
            recipient_hash: Some((salt, hash)),
            data,
        }
    }
}

impl BadgingBackend for Builtin {
    fn name(&self) -> &'static str {
        "builtin"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn needs_image(&self) -> bool {
        false
    }

    fn settle_time(&self) -> Duration {
        Duration::ZERO
    }

    fn make_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
        _image: &'a [u8],
    ) -> BoxFuture<'a, Result<MadeBadgeClass, BackendError>> {
        Box::pin(async { Ok(self.made(badge_class)) })
    }

    fn find_badge_class<'a>(
        &'a self,
        badge_class: &'a BadgeClass,
    ) -> BoxFuture<'a, Result<Option<MadeBadgeClass>, BackendError>> {
        Box::pin(async { Ok(Some(self.made(badge_class))) })
    }

    fn award<'a>(&'a self, request: &'a AwardRequest) -> BoxFuture<'a, Result<Issued, BackendError>> {
        Box::pin(async { Ok(self.issue(request, Uuid::new_v4(), rand::random())) })
    }

    fn award_at_once(&self, request: &AwardRequest) -> Option<Issued> {
        Some(self.issue(request, Uuid::new_v4(), rand::random()))
    }

    /// Nothing that the store does not have was ever issued.
    fn look_up<'a>(&'a self, _request: &'a AwardRequest) -> BoxFuture<'a, Result<Option<Issued>, BackendError>> {
        Box::pin(async { Ok(None) })
    }

    /// The store says that it is revoked, and the documents with it.
    fn revoke<'a>(&'a self, _request: &'a RevokeRequest) -> BoxFuture<'a, Result<(), BackendError>> {
        Box::pin(async { Ok(()) })
    }

    fn reach(&self) -> BoxFuture<'_, Result<String, BackendError>> {
        Box::pin(async {
            Ok(format!(
                "built-in issuer {} at {}",
                self.issuer.name,
                self.urls.issuer()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::testing;

    fn builtin() -> Builtin {
        Builtin::new(Settings {
            public_url: "https://b.example".to_owned(),
            issuer: IssuerProfile {
                name: "Example".to_owned(),
                url: "https://academy.example".to_owned(),
                email: "badges@academy.example".to_owned(),
                description: None,
                has_image: false,
            },
        })
    }

    #[tokio::test]
    async fn an_assertion_has_an_id_nobody_guesses_and_names_nobody() {
        let (builtin, request) = (builtin(), testing::award_request());
        let first = builtin.award(&request).await.expect("issued");
        let second = builtin.award(&request).await.expect("issued");
        assert_ne!(first.public_id, second.public_id);
        assert_ne!(first.recipient_hash, second.recipient_hash);
        let id = first.public_id.expect("an id");
        assert_eq!(Uuid::parse_str(&id).expect("a UUID").get_version_num(), 4);
        assert_eq!(first.assertion_url, format!("https://b.example/ob2/assertions/{id}"));
        assert_eq!(first.image_url, format!("{}/image.png", first.assertion_url));
        assert_eq!(first.data["id"], first.assertion_url);
        assert!(!first.data.to_string().contains(&request.recipient), "{}", first.data);
        let (salt, hash) = first.recipient_hash.expect("a hash");
        assert_eq!(salt.len(), 32);
        assert_eq!(hash, documents::recipient_hash(&request.recipient, &salt));
        assert_eq!(first.data["recipient"]["identity"], hash);
    }
}

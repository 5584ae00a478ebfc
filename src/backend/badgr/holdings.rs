//! What a Badgr server holds: the assertions of a badge class, and single ones.

use reqwest::Method;

use super::{
    Badgr,
    answers::{self, Subject},
};
use crate::backend::{BackendError, Held, HeldPage};

/// Assertions of one page.
const PAGE: &str = "100";
/// These requests in the metrics.
const OPERATION: &str = "compare";

impl Badgr {
    pub(super) async fn page_of_class(&self, badge_class: &str, page: Option<&str>) -> Result<HeldPage, BackendError> {
        let (found, next) = match page {
            Some(next) => self.client.next_page(OPERATION, Subject::BadgeClass, next).await?,
            None => {
                let path = ["v2", "badgeclasses", badge_class, "assertions"];
                // Newest first: what is made meanwhile moves nothing to a page that was read.
                let query = [("num", PAGE), ("include_revoked", "1"), ("include_expired", "1")];
                let request = || self.client.request(Method::GET, &path).query(&query);
                self.client.page(OPERATION, Subject::BadgeClass, "", request).await?
            }
        };
        // A server that ignores the badge class must not make us revoke what is of another.
        let of_class = found
            .iter()
            .filter(|assertion| assertion["badgeclass"].as_str().is_none_or(|id| id == badge_class));
        Ok(HeldPage {
            assertions: of_class.filter_map(answers::held).collect(),
            next: next.map(Into::into),
        })
    }

    pub(super) async fn one(&self, id: &str) -> Result<Option<Held>, BackendError> {
        let path = ["v2", "assertions", id];
        let request = || self.client.request(Method::GET, &path);
        let answer = self.client.call(OPERATION, request).await?;
        if answer.status == 404 && answers::is_of_the_api(&answer) {
            return Ok(None);
        }
        let result = answers::result(&answer, Subject::Assertion, "")?;
        let found = result.first().and_then(answers::held);
        match found.filter(|held| held.backend_id == id) {
            Some(held) => Ok(Some(held)),
            None => Err(BackendError::Unknown {
                detail: "Badgr answers with another assertion than was asked for".to_owned(),
            }),
        }
    }
}

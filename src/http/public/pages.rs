//! The public pages as plain values: fill in a view, call [`Template::render`].
//!
//! The views know nothing of the other rooms: texts, options and flags only. Whatever a learner or an author wrote is
//! escaped by the templates, and a link is only a link when it begins with `http://` or `https://`; another text is
//! shown or left out, never put into a `href`. No view has a field for an e-mail address.
//!
//! Every `…_url` is complete (it begins with `PUBLIC_URL`), because the pages are shared, printed and quoted.

pub use askama::Template;

/// The style sheet of all pages, served as `text/css` at `/static/style.css`.
pub const STYLE: &str = include_str!("../templates/style.css");

/// The icon of all pages, served as `image/svg+xml` at `/static/icon.svg`.
pub const ICON: &str = include_str!("../templates/icon.svg");

/// What surrounds every page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The name in the header: the issuer's.
    pub site_name: String,
    /// `PUBLIC_URL` without a trailing slash; the style sheet and the front page are found below it.
    pub base: String,
}

/// The public page of an award.
#[derive(Debug, Clone, Template)]
#[template(path = "award.html", config = "src/http/askama.toml")]
pub struct AwardPage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The badge class's display name.
    pub badge_name: String,
    /// The badge class's slug; names the downloaded file.
    pub badge_slug: String,
    /// The page of the badge class.
    pub badge_url: String,
    /// The badge class's image, without an assertion inside.
    pub badge_image_url: String,
    /// What the badge stands for.
    pub description: String,
    /// How it is earned: a text, or an `http(s)` URL.
    pub criteria: String,
    /// The learner's username, the only name that is shown.
    pub username: String,
    /// The course's name, for a badge of one course.
    pub course_name: Option<String>,
    /// Who issued it.
    pub issuer_name: String,
    /// The issuer's website.
    pub issuer_url: String,
    /// The day of issue, `2026-11-20`.
    pub issued_date: String,
    /// The day of issue in words, `20 November 2026`.
    pub issued_in_words: String,
    /// The year of issue, `2026`.
    pub issued_year: String,
    /// The month of issue, `1` to `12`.
    pub issued_month: String,
    /// Where the evidence is.
    pub evidence_url: Option<String>,
    /// When and why it was revoked; `None` while it is valid.
    pub revocation: Option<Revocation>,
    /// The assertion's id.
    pub assertion_id: String,
    /// The assertion as JSON.
    pub assertion_url: String,
    /// The image with the assertion inside.
    pub baked_image_url: String,
    /// This page.
    pub page_url: String,
}

/// The end of an award.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The day, `2026-11-22`.
    pub date: String,
    /// The day in words.
    pub date_in_words: String,
    /// Why; may be empty.
    pub reason: String,
}

impl AwardPage {
    fn issuer_link(&self) -> Option<&str> {
        web_link(&self.issuer_url)
    }

    fn criteria_link(&self) -> Option<&str> {
        web_link(&self.criteria)
    }

    fn evidence_link(&self) -> Option<&str> {
        self.evidence_url.as_deref().and_then(web_link)
    }

    fn assertion_link(&self) -> Option<&str> {
        web_link(&self.assertion_url)
    }

    fn image_link(&self) -> Option<&str> {
        web_link(&self.baked_image_url)
    }
}

/// The page of a badge class: its criteria.
#[derive(Debug, Clone, Template)]
#[template(path = "badge.html", config = "src/http/askama.toml")]
pub struct BadgePage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The display name.
    pub name: String,
    /// What the badge stands for.
    pub description: String,
    /// How it is earned: a text, or an `http(s)` URL.
    pub criteria: String,
    /// The course's name, for a badge of one course.
    pub course_name: Option<String>,
    /// The image.
    pub image_url: String,
    /// Who issues it.
    pub issuer_name: String,
    /// The issuer's website.
    pub issuer_url: String,
    /// The badge class as JSON.
    pub json_url: String,
    /// This page.
    pub page_url: String,
}

impl BadgePage {
    fn issuer_link(&self) -> Option<&str> {
        web_link(&self.issuer_url)
    }

    fn criteria_link(&self) -> Option<&str> {
        web_link(&self.criteria)
    }
}

/// The page of the issuer.
#[derive(Debug, Clone, Template)]
#[template(path = "issuer.html", config = "src/http/askama.toml")]
pub struct IssuerPage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The issuer's name.
    pub name: String,
    /// The issuer's website.
    pub url: String,
    /// Who the issuer is.
    pub description: Option<String>,
    /// The issuer's image.
    pub image_url: Option<String>,
    /// The profile as JSON.
    pub json_url: String,
    /// Badge classes to show; may be empty.
    pub badges: Vec<BadgeCard>,
}

impl IssuerPage {
    fn link(&self) -> Option<&str> {
        web_link(&self.url)
    }
}

/// A badge class in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadgeCard {
    /// The display name.
    pub name: String,
    /// The image.
    pub image_url: String,
    /// The badge class's page.
    pub url: String,
}

/// The front page of the service.
#[derive(Debug, Clone, Template)]
#[template(path = "home.html", config = "src/http/askama.toml")]
pub struct HomePage {
    /// What surrounds the page.
    pub frame: Frame,
    /// Whether this is `accolade demo`, which shows its latest awards here; a real service shows nobody's.
    pub is_demo: bool,
    /// Buttons: documentation, health. The first is the prominent one.
    pub links: Vec<Link>,
    /// The latest awards, newest first; shown in the demo only.
    pub recent: Vec<AwardCard>,
}

/// A link with its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The words.
    pub label: String,
    /// Where it leads: a URL of this service.
    pub url: String,
}

/// An award in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwardCard {
    /// The badge class's display name.
    pub badge_name: String,
    /// The badge class's image.
    pub image_url: String,
    /// The learner's username.
    pub username: String,
    /// The day of issue in words.
    pub date_in_words: String,
    /// The award's page.
    pub url: String,
    /// Whether it was revoked.
    pub is_revoked: bool,
}

/// What a browser sees instead of a problem document.
#[derive(Debug, Clone, Template)]
#[template(path = "problem.html", config = "src/http/askama.toml")]
pub struct ProblemPage {
    /// What surrounds the page.
    pub frame: Frame,
    /// The HTTP status.
    pub status: u16,
    /// A short title, `Page not found`.
    pub title: String,
    /// What a person can do about it.
    pub detail: String,
}

impl ProblemPage {
    /// The page for an address that leads nowhere.
    #[must_use]
    pub fn not_found(frame: Frame) -> Self {
        Self {
            frame,
            status: 404,
            title: "There is nothing here".to_owned(),
            detail: "No badge and no page has this address. If you followed a link, it may be incomplete: \
                     the number at its end has 36 characters."
                .to_owned(),
        }
    }
}

/// The text itself if it may become the target of a link.
fn web_link(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_web = ["http://", "https://"].iter().any(|scheme| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    (is_web && !text.contains(char::is_whitespace)).then_some(text)
}

#[cfg(test)]
mod tests;

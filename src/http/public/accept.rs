//! Which form of a document the client wants (RFC 9110, 12.5.1; Open Badges 2.0 for the default).

use axum::http::{HeaderMap, header};

/// The forms of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Representation {
    /// `application/ld+json`: the default.
    LinkedData,
    /// `application/json`: the same text.
    Json,
    /// `text/html`: the page.
    Page,
}

/// The form that these headers like best: of those that they like alike the one that they name more precisely, then the
/// first above. Where none of them is acceptable, the default.
pub(super) fn preferred(headers: &HeaderMap) -> Representation {
    let accept: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    of(&accept.join(","))
}

/// In the order in which they are preferred here, each with the names that it answers to.
const FORMS: [(Representation, &[&str]); 3] = [
    (Representation::LinkedData, &["application/ld+json"]),
    (Representation::Json, &["application/json"]),
    (Representation::Page, &["text/html", "application/xhtml+xml"]),
];

fn of(accept: &str) -> Representation {
    let ranges: Vec<(String, f32)> = accept.split(',').filter_map(range).collect();
    let liking = |name: &str| -> (f32, usize) {
        let precision = |range: &str| match range.split_once('/') {
            // The page is HTML, and XHTML only for who names that.
            Some((_, "*")) if name == "application/xhtml+xml" => 0,
            Some(("*", "*")) => 1,
            Some((kind, "*")) if name.split('/').next() == Some(kind) => 2,
            _ if range == name => 3,
            _ => 0,
        };
        let fitting = ranges.iter().map(|(range, weight)| (*weight, precision(range)));
        // The most precise one counts.
        let fitting = fitting.filter(|(_, precision)| *precision > 0);
        fitting.max_by_key(|(_, precision)| *precision).unwrap_or((0.0, 0))
    };
    let mut best = (Representation::LinkedData, (0.0, 0));
    for (form, names) in FORMS {
        for liking in names.iter().map(|name| liking(name)) {
            if liking.0 > 0.0 && liking > best.1 {
                best = (form, liking);
            }
        }
    }
    best.0
}

/// Media type and weight.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let weight = parts
        .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
        .map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
    Some((name, weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_its_form() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, expected) in [
            ("", Representation::LinkedData),
            ("*/*", Representation::LinkedData),
            ("application/ld+json", Representation::LinkedData),
            ("application/json, application/ld+json", Representation::LinkedData),
            ("application/json, application/ld+json;q=0.5", Representation::Json),
            ("application/ld+json;q=0, */*", Representation::Json),
            ("application/*;q=0.5, text/*", Representation::Page),
            ("text/*", Representation::Page),
            ("application/xhtml+xml", Representation::Page),
            (
                "text/html;q=0, application/json;q=0.5, application/ld+json;q=0.4, */*",
                Representation::Json,
            ),
            ("application/*", Representation::LinkedData),
            ("*/*;q=0", Representation::LinkedData),
            ("application/json, application/ld+json;q=0", Representation::Json),
            ("application/json", Representation::Json),
            ("application/json, text/plain, */*", Representation::Json),
            ("application/json;q=0.5, text/html;q=0.4", Representation::Json),
            ("text/html", Representation::Page),
            (browser, Representation::Page),
            ("text/html, application/ld+json;q=0.9", Representation::Page),
            ("text/html;q=0.1, */*", Representation::LinkedData),
            ("image/png", Representation::LinkedData),
            ("text/html;q=nonsense", Representation::LinkedData),
        ] {
            assert_eq!(of(accept), expected, "{accept}");
        }
    }
}

//! Which form of a document the client wants (RFC 9110, 12.5.1; Open Badges 2.0 for the default).

use axum::http::{HeaderMap, header};

/// The forms of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Representation {
    /// `application/ld+json`: the default.
    LinkedData,
    /// `application/json`: the same text, for who names no other JSON type.
    Json,
    /// `text/html`: the page.
    Page,
}

/// The form that these headers ask for. A page only if it is liked better than every JSON type that is named.
pub(super) fn preferred(headers: &HeaderMap) -> Representation {
    let accept: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    of(&accept.join(","))
}

fn of(accept: &str) -> Representation {
    let ranges: Vec<(String, f32)> = accept.split(',').filter_map(range).collect();
    let best = |wanted: &dyn Fn(&str) -> bool| {
        let weights = ranges
            .iter()
            .filter(|(name, _)| wanted(name))
            .map(|(_, weight)| *weight);
        weights.fold(None, |best: Option<f32>, weight| {
            Some(best.map_or(weight, |best| best.max(weight)))
        })
    };
    let is_json = |name: &str| name == "application/json" || name.ends_with("+json");
    let page = best(&|name| name == "text/html" || name == "application/xhtml+xml");
    let json = best(&is_json);
    let anything = best(&|name| name == "*/*" || name == "application/*");
    let wants_page = match (page, json) {
        (None, _) => false,
        (Some(page), Some(json)) => page > json,
        (Some(page), None) => anything.is_none_or(|anything| page >= anything),
    };
    if wants_page {
        return Representation::Page;
    }
    let mut json_types = ranges
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| is_json(name))
        .peekable();
    if json_types.peek().is_some() && json_types.all(|name| name == "application/json") {
        return Representation::Json;
    }
    Representation::LinkedData
}

/// Media type and weight of what is acceptable at all.
fn range(text: &str) -> Option<(String, f32)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let weight = parts
        .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
        .map_or(1.0, |text| text.trim().parse().unwrap_or(0.0));
    (weight > 0.0).then_some((name, weight))
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
            (
                "application/json, application/ld+json;q=0.5",
                Representation::LinkedData,
            ),
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

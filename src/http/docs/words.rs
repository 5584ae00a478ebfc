//! Texts of the documents as the page shows them.

use serde_json::Value;

/// A text in which some words are code.
pub(super) type Text = Vec<Span>;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) is_code: bool,
}

/// A text whose code stands between grave accents.
pub(super) fn text(text: &str) -> Text {
    let pieces = text.split('`').enumerate();
    let spans = pieces.map(|(number, piece)| Span {
        text: piece.to_owned(),
        is_code: number % 2 == 1,
    });
    spans.filter(|span| !span.text.is_empty()).collect()
}

/// A description, of which there may be none.
pub(super) fn description(value: &Value) -> Text {
    text(value.as_str().unwrap_or_default())
}

/// A description with empty lines between its paragraphs.
pub(super) fn paragraphs(value: &Value) -> Vec<Text> {
    let all = value.as_str().unwrap_or_default().split("\n\n");
    all.map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .map(text)
        .collect()
}

/// JSON as people read it; a text as it is.
pub(super) fn indented(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => format!("{other:#}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn code_stands_between_grave_accents() {
        let spans = text("Of `slug`, or none");
        let told: Vec<(&str, bool)> = spans.iter().map(|span| (&*span.text, span.is_code)).collect();
        assert_eq!(told, [("Of ", false), ("slug", true), (", or none", false)]);
        assert_eq!(paragraphs(&json!("One.\n\nTwo.\n\n")).len(), 2);
        assert_eq!(paragraphs(&Value::Null).len(), 0);
    }
}

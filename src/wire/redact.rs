//! Takes e-mail addresses out of what a backend said: it leaves the service in logs and in `badge.awarded`.

use serde_json::Value;

/// What stands in an address's place.
const PLACEHOLDER: &str = "[e-mail]";

/// A text without e-mail addresses: neither this recipient's nor anything of the form `local@domain`.
pub fn text(text: &str, recipient: &str) -> String {
    without_addresses(&without_recipient(text, recipient.trim()))
}

/// A JSON value without e-mail addresses, in keys and texts, and without Badgr's `plaintextIdentity`.
pub fn json(value: Value, recipient: &str) -> Value {
    match value {
        Value::String(string) => Value::String(text(&string, recipient)),
        Value::Array(items) => items.into_iter().map(|item| json(item, recipient)).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| name != "plaintextIdentity")
            .map(|(name, field)| (text(&name, recipient), json(field, recipient)))
            .collect(),
        other => other,
    }
}

/// An address whose local part is quoted does not look like one; the recipient's is known.
fn without_recipient(text: &str, recipient: &str) -> String {
    if recipient.is_empty() {
        return text.to_owned();
    }
    let (haystack, needle) = (text.to_ascii_lowercase(), recipient.to_ascii_lowercase());
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for (at, found) in haystack.match_indices(&needle) {
        kept.push_str(&text[from..at]);
        kept.push_str(PLACEHOLDER);
        from = at + found.len();
    }
    kept.push_str(&text[from..]);
    kept
}

fn without_addresses(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut word = String::new();
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() || "<>()[]{}\"'`,;:/\\?&=#|".contains(c) {
            push_word(&mut kept, &word);
            word.clear();
            kept.push(c);
        } else {
            word.push(c);
        }
    }
    push_word(&mut kept, &word);
    kept
}

fn push_word(kept: &mut String, word: &str) {
    kept.push_str(if is_address(word) { PLACEHOLDER } else { word });
}

/// Something on both sides of an `@`, which may be percent-encoded.
fn is_address(word: &str) -> bool {
    let parts = word.split_once('@').or_else(|| word.split_once("%40"));
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.trim_matches(['.', '@']).is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_address_stays_in_a_text() {
        let cases = [
            ("ada@example.com is bad", "[e-mail] is bad"),
            ("\"Ada\" <ADA@Example.Com>.", "\"Ada\" <[e-mail]>."),
            (
                "mailto:x@localhost?to=y%40example.org&z",
                "mailto:[e-mail]?to=[e-mail]&z",
            ),
            ("https://social.example/@ada @ a@", "https://social.example/@ada @ a@"),
            ("(\"odd one\"@example.com)", "([e-mail])"),
            ("übung@exämple.de", "[e-mail]"),
        ];
        for (from, to) in cases {
            assert_eq!(text(from, "\"odd one\"@Example.com"), to);
        }
    }

    #[test]
    fn no_address_stays_in_json() {
        let value = json!({"recipient": {"identity": "sha256$ab", "plaintextIdentity": "ada@example.com"},
            "ada@example.com": ["to ada@example.com", 7, null, true]});
        let clean = json!({"recipient": {"identity": "sha256$ab"}, "[e-mail]": ["to [e-mail]", 7, null, true]});
        assert_eq!(super::json(value, "ada@example.com"), clean);
    }
}

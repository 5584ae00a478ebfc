//! Takes e-mail addresses out of what leaves the service: in documents, on pages, in events and in logs.

use serde_json::Value;

/// What stands in an address's place.
const PLACEHOLDER: &str = "[e-mail]";
/// The same in a URL, which takes no brackets there.
const PLACEHOLDER_IN_URL: &str = "%5Be-mail%5D";

/// A text without e-mail addresses: neither this recipient's nor anything of the form `local@domain`.
pub fn text(text: &str, recipient: &str) -> String {
    without_addresses(&without_recipient(text, recipient.trim()))
}

/// A URL without e-mail addresses; `None` where it is no URL any more without them.
pub fn url(url: &str, recipient: &str) -> Option<String> {
    let clean = text(url, recipient);
    if clean == url {
        return Some(clean);
    }
    let clean = clean.replace(PLACEHOLDER, PLACEHOLDER_IN_URL);
    url::Url::parse(&clean).is_ok().then_some(clean)
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

/// Something on both sides of an `@`, which may be percent-encoded; the usage key of a course's block is none.
fn is_address(word: &str) -> bool {
    let parts = word.split_once('@').or_else(|| word.split_once("%40"));
    parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.trim_matches(['.', '@']).is_empty())
        && !is_usage_key(word)
}

/// `ORG+COURSE+RUN+type@TYPE+block@ID`, as Open edX's links to a block of a course hold it.
fn is_usage_key(word: &str) -> bool {
    let word = word.replace("%40", "@").replace("%2B", "+").replace("%2b", "+");
    let parts = word.split_once("+type@").and_then(|(course, rest)| {
        let (kind, block) = rest.split_once("+block@")?;
        Some([course, kind, block])
    });
    parts.is_some_and(|parts| parts.iter().all(|part| !part.contains('@')))
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
    fn no_address_stays_in_a_url() {
        let certificate = "https://lms.example.com/certificates/5f0c?a=1&b=2";
        let block = "https://lms.example.com/jump_to/block-v1:edX+DemoX+2026+type@vertical+block@5f0c";
        let encoded = "https://lms.example.com/jump_to/block-v1%3AedX%2BDemoX%2B2026%2Btype%40vertical%2Bblock%405f0c";
        for kept in [certificate, block, encoded, "https://social.example/@ada"] {
            assert_eq!(url(kept, "ada@example.com").as_deref(), Some(kept));
        }
        for (from, to) in [
            (
                "https://a.example/c?for=Ada@Example.com&n=1",
                Some("https://a.example/c?for=%5Be-mail%5D&n=1"),
            ),
            (
                "https://a.example/ada%40example.com/c",
                Some("https://a.example/%5Be-mail%5D/c"),
            ),
            (
                "https://a.example/x+type@ada@example.com+block@y",
                Some("https://a.example/%5Be-mail%5D"),
            ),
            ("https://ada@example.com/", None),
            ("https://ada:secret@example.com/c", None),
        ] {
            assert_eq!(url(from, "").as_deref(), to, "{from}");
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

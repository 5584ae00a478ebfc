//! Texts cut and cleaned to what Badgr's columns and rules take; what they do not take is a 500 or a 400, for ever.
//!
//! Measured at a real Badgr: a name above 255 characters, a criteria URL above 254 or a four-byte character anywhere is
//! a 500; `![` in a narrative and a URL on a host without a dot are a 400; HTML tags and outer blanks are dropped.

use url::{Host, Url};

/// Characters of a badge class's name.
pub(super) const NAME: usize = 255;
/// Characters of a criteria URL.
pub(super) const CRITERIA_URL: usize = 254;
/// Characters of an evidence URL.
pub(super) const EVIDENCE_URL: usize = 2048;
/// Characters of a description or narrative.
pub(super) const PROSE: usize = 16_384;
/// Characters of a revocation reason.
pub(super) const REASON: usize = 255;

/// A text as Badgr stores it, of at most so many characters. Cleaning it again changes nothing.
pub(super) fn fit(text: &str, most: usize) -> String {
    let mut text: String = text
        .chars()
        .filter(|c| c.len_utf8() < 4 && (!c.is_control() || matches!(c, '\n' | '\r' | '\t')))
        .collect();
    // Dropping a tag can make another, and `![` too.
    loop {
        let plain = without_tags(&text).replace("![", "! [");
        if plain == text {
            break;
        }
        text = plain;
    }
    let cut: String = text.trim().chars().take(most).collect();
    cut.trim_end().to_owned()
}

/// [`fit`], or the first of these that leaves anything.
pub(super) fn first_fit<'a>(texts: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let fitted = texts.into_iter().map(|text| fit(text, most));
    fitted.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// The URL as it may be sent: HTTP, on a host with a dot, in ASCII and not too long. Never cut: half a URL leads nowhere.
pub(super) fn url(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let parsed = Url::parse(text).ok()?;
    let host_is_public = match parsed.host()? {
        Host::Domain(name) => name.trim_matches('.').contains('.') && name.split('.').all(is_label),
        Host::Ipv4(_) => true,
        Host::Ipv6(_) => false,
    };
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && !"<>\"".contains(c));
    let sent = if is_plain { text.to_owned() } else { parsed.to_string() };
    (matches!(parsed.scheme(), "http" | "https") && host_is_public && sent.len() <= most).then_some(sent)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn without_tags(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let (before, tag) = rest.split_at(open);
        kept.push_str(before);
        let begins = tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
        match tag.find('>') {
            Some(close) if begins => rest = &tag[close + 1..],
            _ => {
                kept.push('<');
                rest = &tag[1..];
            }
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cleaned_and_cut() {
        let cases = [
            (" Three courses ", "Three courses"),
            ("Well done 🎉!", "Well done !"),
            ("<b>Bold</b> & a < b", "Bold & a < b"),
            ("<<b>script>x", "x"),
            ("see ![x](y)", "see ! [x](y)"),
            ("!🎉[x]", "! [x]"),
            ("a\0b\u{7}\nc", "ab\nc"),
            ("Übung – 学", "Übung – 学"),
        ];
        for (from, to) in cases {
            assert_eq!(fit(from, NAME), to, "{from:?}");
        }
        assert_eq!(fit(&"é".repeat(300), NAME).chars().count(), 255);
        assert_eq!(first_fit(["🎉", "party"], NAME), "party");
    }

    proptest::proptest! {
        #[test]
        fn a_fitted_text_fits_and_stays(text in ".{0,60}", most in 1usize..40) {
            let fitted = fit(&text, most);
            proptest::prop_assert!(fitted.chars().count() <= most);
            proptest::prop_assert!(!fitted.contains("![") && fitted.chars().all(|c| c.len_utf8() < 4));
            proptest::prop_assert_eq!(fit(&fitted, most), fitted.clone());
        }
    }

    #[test]
    fn only_urls_that_are_taken_are_sent() {
        let long = format!("https://b.example/{}", "x".repeat(300));
        let cases = [
            ("https://lms.example.com/a?b=c", Some("https://lms.example.com/a?b=c")),
            ("http://127.0.0.1:8080/x", Some("http://127.0.0.1:8080/x")),
            ("https://b.example/ü🎉", Some("https://b.example/%C3%BC%F0%9F%8E%89")),
            ("http://accolade:8080/x", None),
            ("http://under_score.example/x", None),
            ("ftp://b.example/x", None),
            ("Pass every course", None),
            (long.as_str(), None),
        ];
        for (from, to) in cases {
            assert_eq!(url(from, CRITERIA_URL).as_deref(), to, "{from}");
        }
    }
}

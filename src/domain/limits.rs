//! How long texts may be, and what they may hold: the same for events, HTTP and files.

/// Characters of a slug, an issuing component, a user name, an idempotency key, and of a course mode that has an image of
/// its own: it is in a path, and a key that PostgreSQL could not index at the length of a text.
pub const MAX_NAME: usize = 255;
/// Characters of a URL.
pub const MAX_URL: usize = 2048;
/// Bytes of any other text.
pub const MAX_TEXT: usize = 64 * 1024;

/// What is wrong with a text. It is refused, never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// It is empty where something must be.
    #[error("must not be empty")]
    Empty,
    /// It has more characters than this.
    #[error("too long: at most {0} characters")]
    TooLong(usize),
    /// It has more bytes than [`MAX_TEXT`].
    #[error("too long: at most 64 KiB")]
    TooLarge,
    /// It holds a NUL character, which a database does not store.
    #[error("must not hold a NUL character")]
    Nul,
    /// It is no URL of the web.
    #[error("expected an http or https URL")]
    NotHttp,
    /// It has characters that a slug does not have.
    #[error("expected lower-case letters, digits, '_' and '-' only")]
    NotASlug,
}

/// Checks a free text.
pub fn check_text(text: &str) -> Result<(), InvalidText> {
    if text.len() > MAX_TEXT {
        return Err(InvalidText::TooLarge);
    }
    no_nul(text)
}

/// Checks a user name or an idempotency key; an empty one passes.
pub fn check_name(text: &str) -> Result<(), InvalidText> {
    within(text, MAX_NAME)?;
    no_nul(text)
}

/// Checks a slug; an empty one fails.
pub fn check_slug(text: &str) -> Result<(), InvalidText> {
    if text.is_empty() {
        return Err(InvalidText::Empty);
    }
    check_component(text)
}

/// Checks an issuing component: a slug, or nothing.
pub fn check_component(text: &str) -> Result<(), InvalidText> {
    within(text, MAX_NAME)?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(InvalidText::NotASlug)
    }
}

/// Checks a URL: `http` or `https`, with a host, without blanks or control characters.
pub fn check_url(text: &str) -> Result<(), InvalidText> {
    within(text, MAX_URL)?;
    no_nul(text)?;
    let after = |scheme: &str| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    };
    let rest = after("https://")
        .or_else(|| after("http://"))
        .ok_or(InvalidText::NotHttp)?;
    let host_is_there = rest
        .chars()
        .next()
        .is_some_and(|c| !matches!(c, '/' | '?' | '#' | ':' | '@'));
    if host_is_there && !rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Ok(())
    } else {
        Err(InvalidText::NotHttp)
    }
}

fn within(text: &str, max: usize) -> Result<(), InvalidText> {
    // No character is shorter than a byte: most texts need not be counted.
    if text.len() > max && text.chars().count() > max {
        return Err(InvalidText::TooLong(max));
    }
    Ok(())
}

fn no_nul(text: &str) -> Result<(), InvalidText> {
    if text.bytes().any(|byte| byte == 0) {
        return Err(InvalidText::Nul);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_has_lower_case_letters_digits_underscores_and_hyphens() {
        assert_eq!(check_slug("enrolled_three-2"), Ok(()));
        assert_eq!(check_slug(&"a".repeat(255)), Ok(()));
        assert_eq!(check_slug(&"a".repeat(256)), Err(InvalidText::TooLong(255)));
        assert_eq!(check_slug(""), Err(InvalidText::Empty));
        assert_eq!(check_component(""), Ok(()));
        for text in ["Three", "a b", "é", "a.b", "a\0"] {
            assert_eq!(check_slug(text), Err(InvalidText::NotASlug), "{text:?}");
        }
    }

    #[test]
    fn a_url_is_one_of_the_web() {
        for url in ["http://a", "HTTPS://lms.example.com/c/1?x=é#y", "http://[::1]:8000/"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "javascript:alert(1)",
            "ftp://a",
            "http://",
            "https:///x",
            "http://a b",
            "//a",
            "httpé://",
        ] {
            assert_eq!(check_url(url), Err(InvalidText::NotHttp), "{url}");
        }
        let long = format!("http://{}", "a".repeat(2042));
        assert_eq!(check_url(&long), Err(InvalidText::TooLong(2048)));
        assert_eq!(check_url(&long[1..]), Err(InvalidText::NotHttp));
    }

    #[test]
    fn lengths_are_characters_but_for_free_texts() {
        assert_eq!(check_name(&"é".repeat(255)), Ok(()));
        assert_eq!(check_name(&"é".repeat(256)), Err(InvalidText::TooLong(255)));
        assert_eq!(check_text(&"é".repeat(32 * 1024)), Ok(()));
        assert_eq!(check_text(&"é".repeat(32 * 1024 + 1)), Err(InvalidText::TooLarge));
        assert_eq!(check_text("a\0"), Err(InvalidText::Nul));
    }
}

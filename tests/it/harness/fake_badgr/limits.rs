//! What Badgr's fields take.

use serde_json::{Value, json};

/// Why a text is not taken.
pub enum Refusal {
    /// A 400 with these messages.
    Invalid(Value),
    /// More than the database's column takes: a 500, for ever.
    Breaks,
}

/// A text as Badgr stores it: without HTML tags, trimmed.
pub fn clean(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        let tag = rest[open + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        match rest[open..].find('>') {
            Some(close) if tag => {
                kept.push_str(&rest[..open]);
                rest = &rest[open + close + 1..];
            }
            _ => {
                kept.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
            }
        }
    }
    kept.push_str(rest);
    kept.trim().to_owned()
}

/// Refuses what a column of so many characters does not take.
pub fn fits(text: &str, column: usize) -> Result<(), Refusal> {
    if text.chars().count() > column || text.chars().any(|c| c.len_utf8() == 4) {
        return Err(Refusal::Breaks);
    }
    Ok(())
}

/// A text that must be there, of at most so many characters by the serializer and by the column.
pub fn text(value: Option<&str>, most: usize, column: usize) -> Result<String, Refusal> {
    let Some(value) = value else {
        return Err(Refusal::Invalid(json!(["This field is required."])));
    };
    let text = clean(value);
    if text.is_empty() {
        return Err(Refusal::Invalid(json!(["This field may not be blank."])));
    }
    if text.chars().count() > most {
        let message = format!("Ensure this field has no more than {most} characters.");
        return Err(Refusal::Invalid(json!([message])));
    }
    fits(&text, column)?;
    Ok(text)
}

/// A URL by Django's rule: http or https, and a host with a dot (or `localhost`) where hosts are checked.
pub fn url(value: &str, check_hosts: bool) -> Result<(), Refusal> {
    let invalid = || Refusal::Invalid(json!(["Enter a valid URL."]));
    let parsed = url::Url::parse(value).map_err(|_| invalid())?;
    let host = parsed.host_str().ok_or_else(invalid)?;
    let known = host == "localhost" || host.trim_matches('.').contains('.') || host.starts_with('[');
    if !matches!(parsed.scheme(), "http" | "https") || value.contains(char::is_whitespace) || (check_hosts && !known) {
        return Err(invalid());
    }
    Ok(())
}

/// An e-mail address by Django's rule, near enough: an ASCII local part, a domain with a dot or `localhost`.
pub fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.rsplit_once('@') else {
        return false;
    };
    let local_is_fine = !local.is_empty()
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+/=?^_`{}|~.-".contains(c));
    let labels: Vec<&str> = domain.split('.').collect();
    let label_is_fine = |label: &&str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    local_is_fine && labels.iter().all(label_is_fine) && (domain == "localhost" || labels.len() > 1)
}

/// The type of an image that Badgr takes: PNG or SVG.
pub fn image_type(bytes: &[u8]) -> Result<&'static str, Refusal> {
    let invalid = |message: &str| Refusal::Invalid(json!([message]));
    if bytes.starts_with(b"\x89PNG") {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
            .read_info()
            .map_err(|_| invalid("Invalid image."))?;
        if u64::from(reader.info().width) * u64::from(reader.info().height) > 89_478_485 {
            return Err(invalid("Invalid image."));
        }
        while reader.next_row().map_err(|_| invalid("Invalid image."))?.is_some() {}
        return Ok("image/png");
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Err(invalid("Invalid PNG"));
    }
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(1_024)]);
    if head.contains("<svg") {
        return Ok("image/svg+xml");
    }
    Err(invalid("Invalid image."))
}

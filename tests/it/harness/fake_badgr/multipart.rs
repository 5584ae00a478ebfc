//! `multipart/form-data`, as far as a badge class needs it.

use std::collections::HashMap;

/// The parts by name, each its bytes. `None` if the body is not of that form.
pub fn parse(content_type: &str, body: &[u8]) -> Option<HashMap<String, Vec<u8>>> {
    let boundary = content_type
        .split("boundary=")
        .nth(1)?
        .split(';')
        .next()?
        .trim_matches('"');
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter has no line break before it; given one, all are alike.
    let body = [b"\r\n", body].concat();
    let mut parts = HashMap::new();
    let mut rest = after(&body, delimiter.as_bytes())?;
    while !rest.starts_with(b"--") {
        let end = find(rest, delimiter.as_bytes())?;
        let part = rest[..end].strip_prefix(b"\r\n")?;
        let split = find(part, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&part[..split]).ok()?;
        let name = head.split("; name=\"").nth(1)?.split('"').next()?;
        parts.insert(name.to_owned(), part[split + 4..].to_vec());
        rest = &rest[end + delimiter.len()..];
    }
    Some(parts)
}

fn after<'a>(bytes: &'a [u8], pattern: &[u8]) -> Option<&'a [u8]> {
    Some(&bytes[find(bytes, pattern)? + pattern.len()..])
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

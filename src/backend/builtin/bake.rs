//! Baking: an assertion inside its PNG, as the Open Badges 2.0 baking specification has it.

/// The keyword of the chunk.
const KEYWORD: &[u8] = b"openbadges";
const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
/// A chunk's length, type and checksum.
const FRAME: usize = 12;

/// What was to be baked into is no PNG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a PNG image")]
pub struct NotPng;

/// The same PNG with this text as its only `openbadges` chunk, right after the header.
pub fn bake(png: &[u8], assertion: &str) -> Result<Vec<u8>, NotPng> {
    let mut rest = png.strip_prefix(SIGNATURE).ok_or(NotPng)?;
    let baked = chunk(b"iTXt", &[KEYWORD, b"\0\0\0\0\0", assertion.as_bytes()].concat());
    let mut out = Vec::with_capacity(png.len() + baked.len());
    out.extend_from_slice(SIGNATURE);
    let mut is_first = true;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or(NotPng)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| NotPng)?;
        let whole = length
            .checked_add(FRAME)
            .and_then(|size| rest.get(..size))
            .ok_or(NotPng)?;
        let kind = after.first_chunk::<4>().ok_or(NotPng)?;
        if is_first && kind != b"IHDR" {
            return Err(NotPng);
        }
        if !is_badge(kind, &whole[8..8 + length]) {
            out.extend_from_slice(whole);
        }
        if is_first {
            out.extend_from_slice(&baked);
            is_first = false;
        }
        rest = &rest[whole.len()..];
        if kind == b"IEND" {
            return Ok(out);
        }
    }
    Err(NotPng)
}

/// An assertion that is already there: in the present form, or in the older one with a URL.
fn is_badge(kind: &[u8; 4], data: &[u8]) -> bool {
    let keyword = data.strip_prefix(KEYWORD);
    matches!(kind, b"iTXt" | b"tEXt" | b"zTXt") && keyword.is_some_and(|rest| rest.first() == Some(&0))
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("an assertion is far below 4 GiB");
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(kind);
    checksum.update(data);
    [
        &length.to_be_bytes(),
        kind.as_slice(),
        data,
        &checksum.finalize().to_be_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
        encoder.set_color(png::ColorType::Rgba);
        encoder
            .add_text_chunk("openbadges".to_owned(), "https://old.example/1".to_owned())
            .expect("Latin-1");
        encoder
            .add_text_chunk("Title".to_owned(), "kept".to_owned())
            .expect("Latin-1");
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&[9; 16]).expect("an image");
        writer.finish().expect("an end");
        bytes
    }

    /// Every text of the image, and its pixels, by a decoder that is not ours.
    fn read(png: &[u8]) -> (Vec<(String, String)>, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a small image")];
        reader.next_frame(&mut pixels).expect("pixels");
        reader.finish().expect("an end");
        let info = reader.info();
        let old = info
            .uncompressed_latin1_text
            .iter()
            .map(|text| (text.keyword.clone(), text.text.clone()));
        let new = info.utf8_text.iter().map(|text| {
            assert!(!text.compressed);
            (text.keyword.clone(), text.get_text().expect("UTF-8"))
        });
        (old.chain(new).collect(), pixels)
    }

    #[test]
    fn a_baked_image_holds_the_assertion_once_and_the_same_pixels() {
        let assertion = r#"{"name": "Übung 学"}"#;
        let once = bake(&image(), "{}").expect("a PNG");
        let twice = bake(&once, assertion).expect("a PNG");
        let (texts, pixels) = read(&twice);
        let text = |keyword: &str, text: &str| (keyword.to_owned(), text.to_owned());
        assert_eq!(texts, [text("Title", "kept"), text("openbadges", assertion)]);
        assert_eq!(pixels, read(&image()).1);
    }

    #[test]
    fn what_is_no_png_is_refused() {
        let png = image();
        assert_eq!(bake(b"GIF89a", "{}"), Err(NotPng));
        for length in 0..png.len() {
            assert_eq!(bake(&png[..length], "{}"), Err(NotPng), "cut at {length}");
        }
    }
}

//! Images of badge classes: what may be one.

use std::io::Cursor;

use png::{Decoder, DecodingError, Limits};

/// An image is smaller than this many bytes, as Open edX and Open Badges servers expect.
pub const MAX_BYTES: usize = 250 * 1024;
/// Pixels of a side, at most.
pub const MAX_SIDE: u32 = 2048;
/// What decoding may allocate: a row of pixels and its neighbours, and the window of the decompression.
const MAX_MEMORY: usize = 8 * 1024 * 1024;

/// Why an image is refused, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It has no bytes.
    #[error("the image is empty; give a square PNG")]
    Empty,
    /// Too many bytes.
    #[error("the image has {bytes} bytes; give a PNG of less than {MAX_BYTES} bytes")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not a PNG.
    #[error("the image is not a PNG; convert it to PNG")]
    NotPng,
    /// More pixels than we take.
    #[error("the image is {width} x {height} pixels; scale it to at most {MAX_SIDE} x {MAX_SIDE}")]
    TooManyPixels {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Width and height differ.
    #[error("the image is {width} x {height} pixels; crop it to a square")]
    NotSquare {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// Something comes after the end of the PNG.
    #[error("the image goes on for {bytes} bytes after its end; export it again")]
    GoesOn {
        /// How many bytes.
        bytes: usize,
    },
    /// A PNG that cannot be decoded to its end.
    #[error("the image is a damaged PNG ({0}); export it again")]
    Damaged(String),
}

/// Checks an image by decoding it whole; dimensions are looked at before any pixel is.
pub fn check_image(bytes: &[u8]) -> Result<(), ImageError> {
    if bytes.is_empty() {
        return Err(ImageError::Empty);
    }
    if bytes.len() >= MAX_BYTES {
        return Err(ImageError::TooLarge { bytes: bytes.len() });
    }
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(ImageError::NotPng);
    }
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_MEMORY });
    // Texts and colour profiles are compressed too, and nobody looks at them.
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let damaged = |error: DecodingError| ImageError::Damaged(error.to_string());
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width, header.height);
    if width > MAX_SIDE || height > MAX_SIDE {
        return Err(ImageError::TooManyPixels { width, height });
    }
    if width != height {
        return Err(ImageError::NotSquare { width, height });
    }
    let mut reader = decoder.read_info().map_err(damaged)?;
    while reader.next_row().map_err(damaged)?.is_some() {}
    reader.finish().map_err(damaged)?;
    match bytes_after_end(bytes) {
        0 => Ok(()),
        bytes => Err(ImageError::GoesOn { bytes }),
    }
}

/// What comes after the chunk `IEND` of a PNG that was decoded: nothing, or a file of another kind.
fn bytes_after_end(png: &[u8]) -> usize {
    const SIGNATURE: usize = 8;
    let mut rest = &png[SIGNATURE..];
    while let Some((length, name)) = rest.first_chunk::<8>().map(|head| head.split_at(4)) {
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        // Length, name and checksum surround the content.
        rest = rest.get(length + 12..).unwrap_or_default();
        if name == b"IEND" {
            return rest.len();
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Grayscale);
        let mut writer = encoder.write_header().expect("a header");
        let pixels = vec![7; usize::try_from(width * height).expect("few pixels")];
        writer.write_image_data(&pixels).expect("pixels");
        writer.finish().expect("an end");
        bytes
    }

    #[test]
    fn a_square_png_passes() {
        assert_eq!(check_image(&png(1, 1)), Ok(()));
        assert_eq!(check_image(&png(2048, 2048)), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let too_large = ImageError::TooLarge { bytes: MAX_BYTES };
        assert_eq!(check_image(&[0; MAX_BYTES]), Err(too_large.clone()));
        assert_eq!(
            too_large.to_string(),
            "the image has 256000 bytes; give a PNG of less than 256000 bytes"
        );
        assert_eq!(check_image(b""), Err(ImageError::Empty));
        assert_eq!(check_image(b"\xff\xd8\xff\xe0JFIF"), Err(ImageError::NotPng));
        let (width, height) = (3, 2);
        assert_eq!(check_image(&png(3, 2)), Err(ImageError::NotSquare { width, height }));
        let (width, height) = (2049, 2049);
        assert_eq!(
            check_image(&png(2049, 2049)),
            Err(ImageError::TooManyPixels { width, height })
        );
    }

    #[test]
    fn every_damage_is_seen() {
        let whole = png(16, 16);
        for length in 8..whole.len() {
            let damaged = check_image(&whole[..length]);
            assert!(
                matches!(damaged, Err(ImageError::Damaged(_))),
                "{length} bytes: {damaged:?}"
            );
        }
        let mut flipped = whole.clone();
        flipped[whole.len() - 20] ^= 0xff;
        assert!(matches!(check_image(&flipped), Err(ImageError::Damaged(_))));
    }

    /// A PNG with this header, whose pixels are those of another.
    fn claiming(png: &[u8], width: u32, height: u32, interlaced: bool) -> Vec<u8> {
        let mut claiming = png.to_vec();
        claiming[16..20].copy_from_slice(&width.to_be_bytes());
        claiming[20..24].copy_from_slice(&height.to_be_bytes());
        claiming[28] = u8::from(interlaced);
        let checksum = crc32fast::hash(&claiming[12..29]);
        claiming[29..33].copy_from_slice(&checksum.to_be_bytes());
        claiming
    }

    /// The parts of a PNG: each chunk's type and content.
    fn chunks(png: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
        let (mut rest, mut chunks) = (&png[8..], Vec::new());
        while !rest.is_empty() {
            let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
            let name = rest[4..8].try_into().expect("four bytes");
            chunks.push((name, rest[8..8 + length].to_vec()));
            rest = &rest[12 + length..];
        }
        chunks
    }

    fn with_chunk(png: &[u8], name: [u8; 4], content: &[u8]) -> Vec<u8> {
        let named = [&name[..], content].concat();
        let length = u32::try_from(content.len()).expect("a short chunk");
        let checksum = crc32fast::hash(&named);
        let chunk = [&length.to_be_bytes()[..], &named, &checksum.to_be_bytes()].concat();
        [&png[..33], &chunk, &png[33..]].concat()
    }

    #[test]
    fn what_inflates_takes_neither_long_nor_memory() {
        let large = png(8192, 8192);
        let (_, pixels) = chunks(&large)
            .into_iter()
            .find(|(name, _)| name == b"IDAT")
            .expect("pixels");
        assert!(pixels.len() < 200 * 1024, "64 MiB in {} bytes", pixels.len());
        let text = [&b"Comment\0\0"[..], &pixels].concat();
        let international = [&b"Comment\0\x01\0\0\0"[..], &pixels].concat();
        let mut deep = Vec::new();
        let mut encoder = png::Encoder::new(&mut deep, 2048, 2048);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Sixteen);
        let mut writer = encoder.write_header().expect("a header");
        writer.write_image_data(&vec![0; 2048 * 2048 * 8]).expect("pixels");
        writer.finish().expect("an end");
        for (what, bomb) in [
            ("pixels that nobody asked for", claiming(&large, 1, 1, false)),
            ("as many, interlaced", claiming(&large, 2048, 2048, true)),
            ("a text", with_chunk(&png(1, 1), *b"zTXt", &text)),
            (
                "an international text",
                with_chunk(&png(1, 1), *b"iTXt", &international),
            ),
            ("a colour profile", with_chunk(&png(1, 1), *b"iCCP", &text)),
            ("the largest there may be", deep),
        ] {
            assert!(bomb.len() < MAX_BYTES, "{what}: {} bytes", bomb.len());
            let begun = std::time::Instant::now();
            // Refused or not: it does no harm.
            drop(check_image(&bomb));
            assert!(begun.elapsed().as_secs() < 5, "{what}: {:?}", begun.elapsed());
        }
    }

    #[test]
    fn an_image_ends_where_its_file_does() {
        let script = [&png(4, 4)[..], b"<script>alert(1)</script>"].concat();
        assert_eq!(check_image(&script), Err(ImageError::GoesOn { bytes: 25 }));
        let twice = [png(4, 4), png(4, 4)].concat();
        let bytes = twice.len() / 2;
        assert_eq!(check_image(&twice), Err(ImageError::GoesOn { bytes }));
        assert_eq!(check_image(&with_chunk(&png(4, 4), *b"tEXt", b"Comment\0IEND")), Ok(()));
    }

    #[test]
    fn claimed_dimensions_are_looked_at_before_any_memory_is_taken() {
        let mut bomb = png(1, 1);
        bomb[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        let checksum = crc32fast::hash(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&checksum.to_be_bytes());
        let (width, height) = (0x7fff_ffff, 0x7fff_ffff);
        assert_eq!(check_image(&bomb), Err(ImageError::TooManyPixels { width, height }));
    }
}

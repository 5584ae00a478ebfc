//! PNG images, good and bad.

/// The size in bytes from which an image is too large for a badge class.
pub const LIMIT: usize = 250 * 1_024;

/// A square image of one colour, which follows from the seed.
pub fn square(side: u32, seed: u8) -> Vec<u8> {
    rectangle(side, side, seed)
}

/// An image of one colour of any shape.
pub fn rectangle(width: u32, height: u32, seed: u8) -> Vec<u8> {
    let pixel = [
        seed.wrapping_mul(67).wrapping_add(40),
        seed.wrapping_mul(29),
        255 - seed,
        255,
    ];
    encode(width, height, &pixel.repeat((width * height) as usize))
}

/// A square image that is right but for its size: more bytes than [`LIMIT`].
pub fn too_large() -> Vec<u8> {
    let side = 300;
    let mut state = 0x9e37_79b9_u32;
    let noise: Vec<u8> = (0..side * side * 4)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        })
        .collect();
    encode(side, side, &noise)
}

/// An image with a good beginning whose pixels do not decode.
pub fn corrupted() -> Vec<u8> {
    let mut bytes = square(64, 1);
    let data = bytes
        .windows(4)
        .position(|chunk| chunk == b"IDAT")
        .expect("an image has pixels");
    for byte in &mut bytes[data + 6..data + 14] {
        *byte ^= 0xff;
    }
    bytes
}

/// An image as a data URI, as JSON bodies carry it.
pub fn data_uri(png: &[u8]) -> String {
    use base64::Engine;
    format!(
        "data:image/png;base64,{}",
        base64::engine::general_purpose::STANDARD.encode(png)
    )
}

fn encode(width: u32, height: u32, rgba: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header can be written to memory");
    writer
        .write_image_data(rgba)
        .expect("the pixels are of the header's size");
    writer.finish().expect("an image can be ended in memory");
    bytes
}

//! Paints a picture from a seed: a mirrored pattern in two colours, as a PNG without compression.

use super::seed::Seed;

/// The width and height of a picture if the request sets none, in pixels.
pub(super) const SIDE: u32 = 256;
/// The longest side; a larger one is cut to this.
pub(super) const SIDE_MAX: u32 = 1024;

/// The number of fields on each side of the pattern.
const FIELDS: u32 = 8;
const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
/// One byte per pixel: an index into the palette.
const FORMAT: [u8; 5] = [8, 3, 0, 0, 0];
/// The longest stored block of a zlib stream.
const BLOCK_BYTES_MAX: usize = 65_535;

/// The picture of `seed` as a PNG, `width` × `height` pixels.
pub(super) fn png(width: u32, height: u32, seed: Seed) -> Vec<u8> {
    let (mut palette, pattern) = (seed.with(1), seed.with(2));
    let palette: Vec<u8> = (0..6).map(|_| palette.below(256) as u8).collect();
    let mut rows = Vec::with_capacity((width as usize + 1) * height as usize);
    for y in 0..height {
        // Each row begins with its filter: none.
        rows.push(0);
        rows.extend((0..width).map(|x| field(pattern, x * FIELDS / width, y * FIELDS / height)));
    }
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &FORMAT].concat();
    let parts = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib(&rows)), (b"IEND", Vec::new())];
    let mut png = SIGNATURE.to_vec();
    for (name, content) in parts {
        let named = [&name[..], &content].concat();
        png.extend((content.len() as u32).to_be_bytes());
        png.extend(&named);
        png.extend(crc32(&named).to_be_bytes());
    }
    png
}

/// The colour of one field of the pattern, whose right half mirrors the left.
fn field(pattern: Seed, x: u32, y: u32) -> u8 {
    let x = x.min(FIELDS - 1 - x);
    (pattern.with(u64::from(y * FIELDS + x)).next() & 1) as u8
}

/// A zlib stream of stored blocks.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = bytes.chunks(BLOCK_BYTES_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    stream.extend(adler32(bytes).to_be_bytes());
    stream
}

fn adler32(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    (high << 16) | low
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_standards() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }

    #[test]
    fn a_picture_follows_from_its_seed_and_has_the_size_that_was_asked_for() {
        let picture = png(300, 250, Seed::new(1));
        assert_eq!(&picture[..8], SIGNATURE);
        assert_eq!(picture[16..24], [300_u32.to_be_bytes(), 250_u32.to_be_bytes()].concat());
        assert_eq!(picture, png(300, 250, Seed::new(1)));
        assert_ne!(picture, png(300, 250, Seed::new(2)));
        // Over one stored block, and whole: the palette, every row with its filter, and five bytes a block.
        assert!(picture.len() > 301 * 250 && picture.len() < 301 * 250 + 200);
    }
}

//! A PNG of one colour, written by hand: a header, one row after the other without compression, and the end.

/// Its width and height.
const SIDE: u8 = 8;

/// The image of that colour.
pub(super) fn of(colour: [u8; 3]) -> Vec<u8> {
    let side = u32::from(SIDE).to_be_bytes();
    // Eight bits a channel, three channels, no interlacing.
    let header = [&side[..], &side[..], &[8, 2, 0, 0, 0][..]].concat();
    // Each row begins with its filter: none.
    let row: Vec<u8> =
        std::iter::once(0).chain(colour.into_iter().cycle().take(usize::from(SIDE) * 3)).collect();
    let rows = row.repeat(SIDE.into());
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", &header), (b"IDAT", &stored(&rows)), (b"IEND", &Vec::new())] {
        let tagged = [&kind[..], data.as_slice()].concat();
        png.extend((data.len() as u32).to_be_bytes());
        png.extend(&tagged);
        png.extend(crc(&tagged).to_be_bytes());
    }
    png
}

/// The zlib form of `data` as one stored block; it is far below the 64 KiB that one can hold.
fn stored(data: &[u8]) -> Vec<u8> {
    let length = data.len() as u16;
    let head = [&[0x78, 0x01, 0x01][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat();
    [&head[..], data, &adler(data).to_be_bytes()].concat()
}

fn adler(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    (b << 16) | a
}

fn crc(data: &[u8]) -> u32 {
    !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_the_standards() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
        assert_eq!(adler(b"Wikipedia"), 0x11E6_0398);
        assert_eq!(crc(b"IEND"), 0xAE42_6082);
    }

    #[test]
    fn it_begins_and_ends_as_every_png() {
        let png = of([1, 2, 3]);
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"));
        assert!(png.ends_with(b"IEND\xae\x42\x60\x82"));
    }
}

//! Counts what an HTTP/2 client sends besides its requests: pings, settings, resets. The library answers each before it
//! reads the next, so they take no memory, but it takes any number of them.
//!
//! The library bounds the rest by itself: reset streams, heads that do not end, bodies of empty frames.

use tokio::time::Instant;

use crate::flood::Flood;

/// The first bytes of every HTTP/2 connection.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of the head of a frame, in bytes.
const HEAD_BYTES: usize = 9;
/// The types of frames that carry requests and make room for answers; no client needs many of the others.
const CARRIERS: [u8; 4] = [DATA, HEADERS, WINDOW_UPDATE, CONTINUATION];
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// The frames of one connection, as its bytes come in; none if it speaks another protocol.
#[derive(Debug)]
pub(crate) struct Frames {
    at: Place,
    flood: Flood,
}

/// The position in the bytes.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// This many bytes of the preface have come.
    Preface(usize),
    /// This many bytes of a frame's head have come.
    Head([u8; HEAD_BYTES], usize),
    /// This many bytes of a frame are still to come.
    Payload(usize),
    /// This is not HTTP/2.
    Elsewhere,
}

impl Frames {
    /// A new connection.
    pub(crate) const fn begin(now: Instant) -> Self {
        Self { at: Place::Preface(0), flood: Flood::new(now) }
    }

    /// Reads the next bytes; returns whether the connection floods.
    pub(crate) fn read(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.at {
                Place::Elsewhere => return false,
                Place::Payload(left) => {
                    let passed = left.min(bytes.len());
                    bytes = &bytes[passed..];
                    self.at = payload(left - passed);
                    continue;
                }
                Place::Preface(have) if byte != PREFACE[have] => self.at = Place::Elsewhere,
                Place::Preface(have) if have + 1 < PREFACE.len() => self.at = Place::Preface(have + 1),
                Place::Preface(_) => self.at = payload(0),
                Place::Head(mut head, have) => {
                    head[have] = byte;
                    self.at = Place::Head(head, have + 1);
                    if have + 1 == HEAD_BYTES {
                        let [high, middle, low, kind, ..] = head;
                        self.at = payload(u32::from_be_bytes([0, high, middle, low]) as usize);
                        if !CARRIERS.contains(&kind) && self.flood.rises(now) {
                            return true;
                        }
                    }
                }
            }
            bytes = rest;
        }
        false
    }
}

/// This many bytes of a frame are still to come; if none, the next one begins.
const fn payload(left: usize) -> Place {
    if left == 0 { Place::Head([0; HEAD_BYTES], 0) } else { Place::Payload(left) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    /// After how many of `pieces` it is a flood.
    fn flood_after(pieces: &[&[u8]]) -> Option<usize> {
        let (now, mut frames) = (Instant::now(), Frames::begin(Instant::now()));
        pieces.iter().position(|piece| frames.read(piece, now))
    }

    #[test]
    fn pings_are_counted_and_requests_are_not() {
        let (ping, data) = (frame(PING, &[7; 8]), frame(DATA, &[PING; 20]));
        let body = data.repeat(100_000);
        assert_eq!(flood_after(&[PREFACE, &body]), None);
        let pings: Vec<&[u8]> = [&PREFACE[..]].into_iter().chain([&ping[..]; 1_001]).collect();
        assert_eq!(flood_after(&pings), Some(1_001));
        let http1 = ping.repeat(2_000);
        assert_eq!(flood_after(&[b"GET / HTTP/1.1\r\n", &http1]), None);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_same_is_counted(
            lengths in proptest::collection::vec((0..40_usize, 0..12_u8), 1_100..1_300), cut in 1..50_usize,
        ) {
            let of = |(length, kind): &(usize, u8)| frame(*kind, &vec![PING; *length]);
            let all = [&PREFACE[..], &lengths.iter().flat_map(of).collect::<Vec<_>>()].concat();
            let counted = lengths.iter().filter(|(_, kind)| !CARRIERS.contains(kind)).count();
            let pieces: Vec<_> = all.chunks(cut).collect();
            prop_assert_eq!(flood_after(&pieces).is_some(), counted > 1_000);
        }
    }
}

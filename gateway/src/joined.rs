//! Joins consecutive pieces of a chat answer into one frame, for a reader that is behind: fewer frames, the same text.
//! A piece that stays alone keeps the bytes in which it came.

use schemas::{ChatDelta, Error, Event, EventBody, event::EventKind};

use crate::frame::Frame;

/// The most bytes joined into one frame: a slow reader's memory is bounded in frames, so a frame stays small.
const JOINED_BYTES_MAX: usize = 16 << 10;

/// Consecutive pieces.
#[derive(Debug)]
pub(crate) struct Joined {
    first: Frame,
    /// The last `seq` covered.
    last_seq: u64,
    bytes: usize,
    /// All pieces in one event, once there are two.
    whole: Option<Event>,
}

impl Joined {
    /// Begins with `frame`; gives it back if it is not a piece of a chat answer.
    pub(crate) fn begin(frame: Frame) -> Result<Self, Frame> {
        if frame.head.event != EventKind::ChatDelta {
            return Err(frame);
        }
        Ok(Self { last_seq: frame.head.seq, bytes: frame.payload.len(), whole: None, first: frame })
    }

    /// Takes the next piece; `false` if it cannot be joined to these.
    pub(crate) fn add(&mut self, next: &Frame) -> bool {
        let (head, last) = (next.head, self.first.head);
        let follows = head.event == EventKind::ChatDelta
            && head.attempt == last.attempt
            && head.seq == self.last_seq + 1
            && next.format == self.first.format
            && self.bytes + next.payload.len() <= JOINED_BYTES_MAX;
        follows && self.append(next).unwrap_or(false)
    }

    /// Whether it holds more than one piece.
    pub(crate) const fn is_several(&self) -> bool {
        self.whole.is_some()
    }

    /// The frame that holds all pieces.
    pub(crate) fn into_frame(self) -> Frame {
        let Some(event) = self.whole else { return self.first };
        // It was decoded from a frame of the same format, so it encodes; if it did not, the reader would see a gap.
        Frame::of(&event, self.first.format).unwrap_or(self.first)
    }

    fn append(&mut self, next: &Frame) -> Result<bool, Error> {
        let EventBody::ChatDelta(piece) = next.event()?.body else { return Ok(false) };
        let mut whole = match self.whole.take() {
            Some(whole) => whole,
            None => self.first.event()?,
        };
        let EventBody::ChatDelta(delta) = &mut whole.body else { return Ok(false) };
        let joins = is_open(delta) && delta.takes(&piece);
        if joins {
            delta.first_seq.get_or_insert(self.first.head.seq);
            delta.append(piece);
            whole.seq = next.head.seq;
            self.last_seq = next.head.seq;
            self.bytes += next.payload.len();
        }
        // A piece that stays alone keeps its bytes.
        self.whole = Some(whole).filter(|whole| whole.seq > self.first.head.seq);
        Ok(joins)
    }
}

/// Whether `delta` is not the last piece of its answer.
const fn is_open(delta: &ChatDelta) -> bool {
    delta.finish_reason.is_none()
}

#[cfg(test)]
mod tests {
    use schemas::{Format, RequestId, chat::FinishReason};

    use super::*;

    fn frame(seq: u64, delta: ChatDelta) -> Frame {
        let event =
            Event { id: RequestId::new("r").unwrap(), attempt: 1, seq, body: EventBody::ChatDelta(delta) };
        Frame::of(&event, Format::MessagePack).unwrap()
    }

    fn delta(frame: &Frame) -> ChatDelta {
        let EventBody::ChatDelta(delta) = frame.event().unwrap().body else { panic!("not a delta") };
        delta
    }

    #[test]
    fn what_follows_is_one_frame_that_says_what_it_covers() {
        let mut joined = Joined::begin(frame(3, ChatDelta::text("Hel"))).unwrap();
        assert!(joined.add(&frame(4, ChatDelta::text("lo"))));
        let end = ChatDelta { finish_reason: Some(FinishReason::Stop), ..ChatDelta::text("!") };
        assert!(joined.add(&frame(5, end)));
        assert!(!joined.add(&frame(6, ChatDelta::text("more"))), "nothing follows the end of an answer");
        let joined = joined.into_frame();
        let delta = delta(&joined);
        assert_eq!((joined.head.seq, delta.first_seq, delta.delta.as_str()), (5, Some(3), "Hello!"));
        assert_eq!(delta.finish_reason, Some(FinishReason::Stop));
    }

    #[test]
    fn what_does_not_follow_is_not_joined_and_a_lone_piece_keeps_its_bytes() {
        let alone = frame(3, ChatDelta::text("Hel"));
        let mut joined = Joined::begin(alone.clone()).unwrap();
        let mut newer = frame(4, ChatDelta::text("lo"));
        newer.head.attempt = 2;
        assert!(!joined.add(&newer), "of another attempt");
        assert!(!joined.add(&frame(5, ChatDelta::text("lo"))), "one is missing");
        assert!(
            !joined.add(&frame(4, ChatDelta { choice: 1, ..ChatDelta::text("lo") })),
            "of another answer"
        );
        assert!(!joined.add(&frame(4, ChatDelta::text("x".repeat(JOINED_BYTES_MAX)))), "too large");
        assert_eq!(joined.into_frame(), alone);
        let body = EventBody::Restarted { reason: String::new() };
        let other = Event { id: RequestId::new("r").unwrap(), attempt: 1, seq: 0, body };
        assert!(Joined::begin(Frame::of(&other, Format::Json).unwrap()).is_err());
    }
}

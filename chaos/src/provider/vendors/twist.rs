//! What goes wrong only with media and long work, and the grammar that says so in the `x-sim-media` header.
//!
//! ```text
//! twists = twist { "," twist }
//! twist  = "polls=" COUNT        the work is done after COUNT polls of its state (2)
//!        | "poll-fails=" COUNT   the first COUNT polls are answered with 503
//!        | "state=" WORD         the state is told as this word, for ever
//!        | "failed"              the work fails
//!        | "withheld"            what was made is withheld by moderation
//!        | "expired" | "moved" | "huge" | "page" | "empty"   what comes instead of the files
//!        | "hook=" HOOK          what becomes of the webhook, if one was asked for
//!        | "elsewhere"           files, and what is shown of work, are at another host, which takes no key
//!        | "stream=" STREAM      what becomes of the stream that shows an answer while it is made
//! STREAM = "whole" | "torn" | "gone" | "none"     (torn: it ends in the middle; gone: 404; none: no such stream)
//! HOOK   = "once" | "twice" | "lost" | "forged"   (forged: by others first, and then the true one)
//! ```

/// How many polls of its state the work takes.
const POLLS: u32 = 2;

/// The most polls that work may be told to take.
const POLLS_MAX: u32 = 100_000;

/// What goes wrong with one call.
#[derive(Clone, Debug)]
pub(in crate::provider) struct Twist {
    pub(super) polls: u32,
    pub(super) poll_fails: u32,
    pub(super) state: Option<String>,
    pub(super) failed: bool,
    pub(super) withheld: bool,
    /// What comes instead of the files.
    pub(super) files: &'static str,
    pub(super) elsewhere: bool,
    pub(super) hook: Fate,
    pub(super) stream: &'static str,
}

/// What becomes of a webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::provider) enum Fate {
    #[default]
    Once,
    Twice,
    Lost,
    Forged,
}

impl Default for Twist {
    fn default() -> Self {
        Self {
            polls: POLLS,
            poll_fails: 0,
            state: None,
            failed: false,
            withheld: false,
            files: "whole",
            elsewhere: false,
            hook: Fate::Once,
            stream: "whole",
        }
    }
}

impl Twist {
    /// Reads the header.
    ///
    /// # Errors
    /// The word that is not in the grammar.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut twist = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let count = |value: &str| value.parse().ok().filter(|count| *count <= POLLS_MAX);
            match word.split_once('=') {
                Some(("polls", value)) => twist.polls = count(value).ok_or(word)?,
                Some(("poll-fails", value)) => twist.poll_fails = count(value).ok_or(word)?,
                Some(("hook", "once")) => twist.hook = Fate::Once,
                Some(("hook", "twice")) => twist.hook = Fate::Twice,
                Some(("hook", "lost")) => twist.hook = Fate::Lost,
                Some(("hook", "forged")) => twist.hook = Fate::Forged,
                Some(("stream", "whole")) => twist.stream = "whole",
                Some(("stream", "torn")) => twist.stream = "torn",
                Some(("stream", "gone")) => twist.stream = "gone",
                Some(("stream", "none")) => twist.stream = "none",
                Some(("state", value)) => twist.state = Some(value.to_owned()),
                None => match word {
                    "failed" => twist.failed = true,
                    "withheld" => twist.withheld = true,
                    "elsewhere" => twist.elsewhere = true,
                    "expired" => twist.files = "expired",
                    "moved" => twist.files = "moved",
                    "huge" => twist.files = "huge",
                    "page" => twist.files = "page",
                    "empty" => twist.files = "empty",
                    _ => return Err(word.to_owned()),
                },
                Some(_) => return Err(word.to_owned()),
            }
        }
        Ok(twist)
    }
}

/// Long work under way.
#[derive(Clone, Debug, Default)]
pub(in crate::provider) struct Job {
    pub(super) twist: Twist,
    /// How often its state was polled.
    pub(super) asked: u32,
    pub(super) cancelled: bool,
    /// Its end was told, which ends it however often it was polled.
    pub(super) ended: bool,
    /// What the call asked for.
    pub(super) payload: serde_json::Value,
    /// The model.
    pub(super) model: String,
}

/// The state of long work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not begun.
    Waiting,
    Working,
    Done,
    Failed,
    Cancelled,
    /// The word that it was told to say.
    Strange(String),
    /// The poll cannot be answered now.
    Unavailable,
}

impl Job {
    /// Its state, without a poll.
    pub(super) fn state(&self) -> State {
        match (&self.twist.state, self.cancelled) {
            (_, true) => State::Cancelled,
            (Some(word), _) => State::Strange(word.clone()),
            _ if self.ended => self.end(),
            _ if self.asked < self.twist.polls && self.asked == 0 => State::Waiting,
            _ if self.asked < self.twist.polls => State::Working,
            _ => self.end(),
        }
    }

    /// How it ends.
    pub(super) const fn end(&self) -> State {
        if self.twist.failed { State::Failed } else { State::Done }
    }

    /// Its state after one more poll.
    pub(super) fn ask(&mut self) -> State {
        if self.twist.poll_fails > 0 {
            self.twist.poll_fails -= 1;
            return State::Unavailable;
        }
        self.asked += 1;
        self.state()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_goes_through_its_states() {
        let twist = Twist::read("polls=2, poll-fails=1").unwrap();
        let mut job = Job { twist, ..Job::default() };
        assert_eq!(job.state(), State::Waiting);
        let states: Vec<_> = (0..3).map(|_| job.ask()).collect();
        assert_eq!(states, [State::Unavailable, State::Working, State::Done]);
        job.twist = Twist::read("state=dreaming").unwrap();
        assert_eq!(job.ask(), State::Strange("dreaming".into()));
        let twist = Twist::read("polls=2,hook=lost").unwrap();
        let mut job = Job { ended: true, twist, ..Job::default() };
        assert_eq!((job.ask(), job.twist.hook), (State::Done, Fate::Lost), "told, and never asked after");
        assert_eq!(Twist::read("polls=2,oops").unwrap_err(), "oops");
    }
}

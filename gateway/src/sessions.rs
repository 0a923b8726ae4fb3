//! Tracks who has joined which session. Tells each member once of every request that is heard in its session; the
//! member reads the request itself. Never waits for a member.
//!
//! A member that falls behind loses its channel, which tells it that it may have missed a request.

use std::collections::{BTreeSet, HashSet};

use broker::Message;
use dashmap::DashMap;
use schemas::{EventHead, RequestId, Subjects, Tenant};
use tokio::sync::mpsc;

/// The header of every event of a request that names a session.
pub(crate) const SESSION: &str = "Dynode-Session";
/// How many unfinished requests, as far as is known, one member has been told of. Beyond that, all are forgotten and
/// told again.
const TOLD_MAX: usize = 4_096;
/// How many requests may wait for one member.
const NEWS_MAX: usize = 4_096;

/// The members of every joined session, by the prefix of its tenant's event subjects and its name.
#[derive(Debug, Default)]
pub(crate) struct Sessions(DashMap<String, Vec<Member>>);

#[derive(Debug)]
struct Member {
    news: mpsc::Sender<RequestId>,
    told: HashSet<RequestId>,
}

impl Member {
    /// `false` if the member is lost.
    fn hear(&mut self, id: &RequestId, ends: bool) -> bool {
        if self.told.contains(id) {
            if ends {
                self.told.remove(id);
            }
            return !self.news.is_closed();
        }
        if !ends {
            if self.told.len() >= TOLD_MAX {
                self.told.clear();
            }
            self.told.insert(id.clone());
        }
        self.news.try_send(id.clone()).is_ok()
    }
}

/// The key of a session, unique over all tenants.
pub(crate) fn key(subjects: &Subjects, tenant: &Tenant, session: &RequestId) -> String {
    // A session is named like a request: this is the subject that its events would have.
    subjects.event(tenant, session)
}

impl Sessions {
    /// From now on, yields the requests of which something is heard. The channel ends if some may have been missed.
    pub(crate) fn join(&self, key: &str) -> mpsc::Receiver<RequestId> {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        self.0.entry(key.to_owned()).or_default().push(Member { news, told: HashSet::new() });
        receiver
    }

    /// Forgets members of a session that are gone.
    pub(crate) fn prune(&self, key: &str) {
        self.0.remove_if_mut(key, |_, members| {
            members.retain(|member| !member.news.is_closed());
            members.is_empty()
        });
    }

    /// Tells the members of an event's session, if it has one, of its request.
    pub(crate) fn hear(&self, message: &Message) {
        let Some(session) = message.headers.get(SESSION) else { return };
        let Some((prefix, id)) = message.subject.rsplit_once('.') else { return };
        let key = format!("{prefix}.{session}");
        let Some(mut members) = self.0.get_mut(&key) else { return };
        let (Ok(id), Ok(head)) = (RequestId::new(id), message.format().decode::<EventHead>(&message.payload))
        else {
            return;
        };
        let before = members.len();
        members.retain_mut(|member| member.hear(&id, head.event.is_terminal()));
        let changed = members.len() != before;
        drop(members);
        if changed {
            self.prune(&key);
        }
    }

    /// Events may have been lost: every member loses its channel.
    pub(crate) fn cut_all(&self) {
        // In the order of their keys, so that members always wake in the same order.
        let keys: BTreeSet<_> = self.0.iter().map(|session| session.key().clone()).collect();
        for key in keys {
            self.0.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use schemas::{Event, EventBody, Format, Usage};

    use super::*;

    fn event(tenant: &str, id: &str, session: Option<&str>, body: EventBody) -> Message {
        let event = Event { id: RequestId::new(id).unwrap(), attempt: 1, seq: 0, body };
        let subject = format!("dynode.evt.{tenant}.{id}");
        let mut message = Message::new(subject, Format::Json, Format::Json.encode(&event).unwrap());
        if let Some(session) = session {
            message.headers.set(SESSION, session);
        }
        message
    }

    fn running() -> EventBody {
        EventBody::Running { provider: "p".into(), model: "m".into() }
    }

    fn heard(news: &mut mpsc::Receiver<RequestId>) -> Vec<String> {
        std::iter::from_fn(|| news.try_recv().ok()).map(|id| id.as_str().to_owned()).collect()
    }

    #[test]
    fn a_member_is_told_once_of_each_request_of_its_session_and_tenant() {
        let sessions = Sessions::default();
        let mut news = sessions.join("dynode.evt.t.s");
        for _ in 0..3 {
            sessions.hear(&event("t", "a", Some("s"), running()));
        }
        sessions.hear(&event("t", "b", Some("other"), running()));
        sessions.hear(&event("t", "c", None, running()));
        sessions.hear(&event("stranger", "d", Some("s"), running()));
        sessions.hear(&event("t", "e", Some("s"), EventBody::Cancelled { usage: Usage::default() }));
        assert_eq!(heard(&mut news), ["a", "e"], "also one of which only the end is heard");
        sessions.hear(&event("t", "a", Some("s"), EventBody::Cancelled { usage: Usage::default() }));
        assert!(heard(&mut news).is_empty());
    }

    #[test]
    fn members_that_are_gone_are_forgotten_and_one_that_is_behind_learns_it() {
        let sessions = Sessions::default();
        drop(sessions.join("dynode.evt.t.s"));
        sessions.prune("dynode.evt.t.s");
        assert!(sessions.0.is_empty());
        let mut slow = sessions.join("dynode.evt.t.s");
        for number in 0..=NEWS_MAX {
            sessions.hear(&event("t", &format!("r{number}"), Some("s"), running()));
        }
        assert_eq!(heard(&mut slow).len(), NEWS_MAX);
        assert_eq!(slow.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        assert!(sessions.0.is_empty());
    }
}

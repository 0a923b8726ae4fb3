//! Carries out what frames ask for: begins, resumes and cancels requests, joins and leaves sessions, answers questions.

use std::future::Future;

use schemas::{Error, ErrorCode, Request, RequestId, SocketControl, fingerprint, socket::Resume};
use tokio::task::Id;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    client::{Client, DOOR},
    credit::Credit,
    incoming::Incoming,
    membership::Membership,
    outgoing::Gone,
    question::{self, Asked},
    request::{self, Outlet},
    session::{Open, Session},
    stream::Ended,
};
use crate::{
    app::overloaded,
    door::{self, Entry},
    record::Key,
};

impl Session {
    /// Does what a frame asks for, or refuses it.
    pub(super) async fn act(&mut self, incoming: Incoming, client: Client, bytes: usize) -> Result<(), Gone> {
        let control = match incoming {
            Incoming::Submit(request, credit) => return self.submit(*request, credit, client, bytes).await,
            Incoming::Control(control) => control,
        };
        match control {
            SocketControl::Resume(resume) => self.resume(resume, client).await,
            SocketControl::Cancel(of) => request::cancel(&client, of.id).await,
            SocketControl::Credit(grant) => {
                // A grant for a request that has ended meanwhile, or has no limit, is ignored.
                if let Some(credit) = self.open.get(&grant.id).and_then(|open| open.credit.as_ref()) {
                    credit.grant(grant.bytes.get());
                }
                Ok(())
            }
            SocketControl::Join(of) => self.join(of.session, client).await,
            SocketControl::Leave(of) => self.leave(of.session, client).await,
            SocketControl::Status(of) => self.ask(Some(of.id.clone()), Asked::Status(of), client).await,
            SocketControl::Health(asked) => question::answer(client, Asked::Health(asked)).await,
            SocketControl::Pools(asked) => question::answer(client, Asked::Pools(asked)).await,
            SocketControl::Models(asked) => question::answer(client, Asked::Models(asked)).await,
            SocketControl::Estimate(asked) => question::answer(client, Asked::Estimate(asked)).await,
        }
    }

    async fn submit(
        &mut self,
        request: Request,
        credit: Option<u64>,
        client: Client,
        bytes: usize,
    ) -> Result<(), Gone> {
        let id = request.id.clone().unwrap_or_else(|| self.app.fresh_id());
        let fingerprint = fingerprint::of(&request);
        if let Some(open) = self.open.get(&id).filter(|open| !open.ended.is_said()) {
            if open.fingerprint.as_ref().is_some_and(|have| *have == fingerprint) {
                // It is attached already; nothing would be new.
                return Ok(());
            }
            let error =
                Error::new(ErrorCode::Conflict, format!("the id `{id}` is open on this socket; use another"));
            return client.refuse(Some(id.as_str()), &error).await;
        }
        if let Some(error) = self.full() {
            return client.refuse(Some(id.as_str()), &error).await;
        }
        let mut share = self.app.room.share();
        if !share.grow(bytes) {
            let error = self.app.spread(self.app.crowded(door::NO_ROOM));
            return client.refuse(Some(id.as_str()), &error).await;
        }
        // A refusal must name the id that the sender gave.
        let entry = Entry { fresh: id.clone(), caller: self.caller.clone() };
        let span = tracing::debug_span!("request", door = DOOR, %id);
        let open = |outlet| request::run(entry, (request, share), outlet).instrument(span);
        self.spawn(id, Some(fingerprint), credit, client, open);
        Ok(())
    }

    async fn resume(&mut self, resume: Resume, client: Client) -> Result<(), Gone> {
        let Resume { id, attempt, after, credit } = resume;
        let key = Key::new(&self.app, &self.caller, id.clone());
        // Before the other reader goes, so that the request always has one.
        let reader = self.app.lingers.join(&key);
        if let Some(open) = self.open.remove(&id) {
            open.task.abort();
        } else if let Some(error) = self.full() {
            return client.refuse(Some(id.as_str()), &error).await;
        }
        self.spawn(id, None, credit, client, |outlet| {
            request::resume((key, reader), (attempt, after), outlet)
        });
        Ok(())
    }

    async fn join(&mut self, session: RequestId, client: Client) -> Result<(), Gone> {
        if self.joined.contains_key(&session) {
            return Membership { client, session }.say("joined", None).await;
        }
        let most = self.app.config.socket_sessions_max;
        if self.joined.len() >= most {
            let why = format!(
                "cannot join `{session}`: this socket has joined {most} sessions, its limit; leave one first"
            );
            let error = Error { param: Some("session".into()), ..overloaded(&why) };
            return client.refuse(None, &self.app.spread(error)).await;
        }
        let leaving = CancellationToken::new();
        self.members.spawn(Membership { client, session: session.clone() }.attend(leaving.clone()));
        self.joined.insert(session, leaving);
        Ok(())
    }

    /// Returns when nothing more of the session comes.
    async fn leave(&mut self, session: RequestId, client: Client) -> Result<(), Gone> {
        let Some(leaving) = self.joined.remove(&session) else {
            return Membership { client, session }.say("left", None).await;
        };
        leaving.cancel();
        while self.members.len() > self.joined.len() {
            self.members.join_next().await;
        }
        Ok(())
    }

    /// Answers a question that waits for the broker; like a request, it counts towards the limit.
    async fn ask(&mut self, id: Option<RequestId>, asked: Asked, client: Client) -> Result<(), Gone> {
        if let Some(error) = self.full() {
            return client.refuse(id.as_ref().map(RequestId::as_str), &error).await;
        }
        self.tasks.spawn(question::answer(client, asked));
        Ok(())
    }

    fn full(&self) -> Option<Error> {
        let most = self.app.config.socket_requests_max;
        (self.tasks.len() >= most).then(|| {
            self.app.spread(overloaded(&format!("{most} requests are open on this socket, its limit")))
        })
    }

    fn spawn<Run: Future<Output = Result<(), Gone>> + Send + 'static>(
        &mut self,
        id: RequestId,
        fingerprint: Option<String>,
        credit: Option<u64>,
        client: Client,
        run: impl FnOnce(Outlet) -> Run,
    ) {
        let (ended, credit) = (Ended::default(), credit.map(Credit::new));
        let outlet = Outlet { client, ended: ended.clone(), credit: credit.clone() };
        let task = self.tasks.spawn(run(outlet));
        self.open.insert(id, Open { task, fingerprint, ended, credit });
    }

    /// A task has ended: its request is no longer open.
    pub(super) fn forget(&mut self, task: Id) {
        self.open.retain(|_, open| open.task.id() != task);
    }
}

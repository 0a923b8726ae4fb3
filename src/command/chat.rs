//! `dynode chat`: a conversation in the terminal. Each turn is a request over the WebSocket, and survives a lost
//! connection; Ctrl-C cancels the current answer, or leaves if there is none.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    thread,
    time::Duration,
};

use broker::Seams;
use schemas::{Action, Request, RequestId};
use serde_json::{Value, json};
use tokio::{runtime, sync::mpsc};

use super::{
    api,
    exchange::{End, Screen, Server, Session, Style},
};
use crate::{cli::ChatArgs, command, exit, signal::Signals};

/// The deadline of each answer.
const DEADLINE: Duration = Duration::from_secs(600);
/// How much longer the client waits: the server itself reports that a deadline has passed.
const GRACE: Duration = Duration::from_secs(10);
/// The prompt for the next turn.
const PROMPT: &str = "> ";

/// Chats until standard input ends.
pub(crate) fn run(args: &ChatArgs) -> anyhow::Result<ExitCode> {
    let server = match Server::new(&args.server.url, api::headers(&args.server)?) {
        Ok(server) => server,
        Err(why) => {
            command::complain(&format!("--url: {why}"));
            return Ok(exit::USAGE.into());
        }
    };
    let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
    let chat = Chat {
        conversation: Conversation::new(args),
        server,
        lines: lines()?,
        interactive,
        chatty: args.verbose || io::stderr().is_terminal(),
    };
    let end = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async { Box::pin(chat.run(&mut Signals::listen()?, io::stdout, io::stderr)).await })?;
    Ok(match end {
        End::Succeeded => ExitCode::SUCCESS,
        End::Failed => exit::FAILED.into(),
        End::Unreachable => exit::UNAVAILABLE.into(),
        End::Interrupted | End::Left => exit::INTERRUPTED.into(),
    })
}

/// The lines of standard input. Nobody joins the thread that reads them: it may block on a keyboard for ever.
fn lines() -> io::Result<mpsc::Receiver<io::Result<String>>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::Builder::new().name("stdin".into()).spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// The conversation so far.
#[derive(Debug)]
struct Conversation {
    model: String,
    session: RequestId,
    messages: Vec<Value>,
}

impl Conversation {
    fn new(args: &ChatArgs) -> Self {
        let session = args.session.clone().unwrap_or_else(|| Seams::system().request_id());
        let system = args.system.iter().map(|text| json!({"role": "system", "content": text}));
        Self { model: args.model.clone(), session, messages: system.collect() }
    }

    /// The request for the next answer, with the whole conversation.
    fn request(&self) -> Request {
        let payload = json!({"model": self.model, "messages": self.messages, "stream": true});
        Request {
            id: Some(Seams::system().request_id()),
            session: Some(self.session.clone()),
            deadline_ms: u64::try_from(DEADLINE.as_millis()).ok(),
            ..Request::new(Action::ChatCompletion, payload)
        }
    }

    fn ask(&mut self, text: &str) {
        self.messages.push(json!({"role": "user", "content": text}));
    }

    /// Adds the answer, even a partial one; takes the question back if there is none.
    fn answered(&mut self, text: String) {
        match text.is_empty() {
            true => drop(self.messages.pop()),
            false => self.messages.push(json!({"role": "assistant", "content": text})),
        }
    }
}

#[derive(Debug)]
struct Chat {
    conversation: Conversation,
    server: Server,
    lines: mpsc::Receiver<io::Result<String>>,
    /// A person is at the terminal: prompt for each turn, and go on after a failed one.
    interactive: bool,
    chatty: bool,
}

impl Chat {
    /// Runs turn by turn; answers go to `out` and everything else to `notes`.
    async fn run<Out: Write, Notes: Write>(
        mut self,
        signals: &mut Signals,
        out: impl Fn() -> Out,
        notes: impl Fn() -> Notes,
    ) -> anyhow::Result<End> {
        if self.interactive {
            let Conversation { model, session, .. } = &self.conversation;
            let how = "Ctrl-C cancels an answer, Ctrl-D leaves";
            writeln!(notes(), "dynode: talking with {model} in session {session}; {how}")?;
        }
        loop {
            if self.interactive {
                write!(notes(), "{PROMPT}")?;
                notes().flush()?;
            }
            let line = tokio::select! {
                line = self.lines.recv() => line.transpose()?,
                _ = signals.next() => {
                    writeln!(notes())?;
                    return Ok(End::Left);
                }
            };
            let Some(line) = line else { return Ok(End::Succeeded) };
            if line.trim().is_empty() {
                continue;
            }
            self.conversation.ask(line.trim());
            let screen = Screen::new(Style::Stream, self.chatty, out(), notes());
            let session = Session::new(&self.server, self.conversation.request(), screen, signals);
            let (end, text) = session.run(DEADLINE + GRACE).await?;
            self.conversation.answered(if end == End::Failed { String::new() } else { text });
            match end {
                End::Succeeded | End::Interrupted => {}
                End::Failed if self.interactive => {}
                End::Failed | End::Unreachable | End::Left => return Ok(end),
            }
        }
    }
}

#[cfg(test)]
mod tests;

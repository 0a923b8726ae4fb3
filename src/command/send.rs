//! `dynode send`: sends a request over the WebSocket, shows the answer as it arrives, and survives a lost connection.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use broker::Seams;
use schemas::{Error, Request};
use tokio::runtime;

use super::{
    api,
    exchange::{End, Screen, Server, Session, Style},
    question,
};
use crate::{cli::SendArgs, command, exit, signal::Signals};

/// How much longer than the deadline the client waits: the server itself reports that a deadline has passed.
const GRACE: Duration = Duration::from_secs(10);

/// Sends the request of `args` and shows its answer.
pub(crate) fn run(args: &SendArgs) -> anyhow::Result<ExitCode> {
    let request = match request(args)? {
        Ok(request) => request,
        Err(error) => {
            command::complain(&error.message);
            return Ok(exit::USAGE.into());
        }
    };
    let server = match Server::new(&args.server.url, api::headers(&args.server)?) {
        Ok(server) => server,
        Err(why) => {
            command::complain(&format!("--url: {why}"));
            return Ok(exit::USAGE.into());
        }
    };
    let chatty = args.verbose || io::stderr().is_terminal();
    let screen = Screen::new(style(args), chatty, io::stdout(), io::stderr());
    let patience = Duration::from_secs(args.deadline) + GRACE;
    let end = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut signals = Signals::listen()?;
        Box::pin(Session::new(&server, request, screen, &mut signals).run(patience)).await
    })?;
    Ok(match end.0 {
        End::Succeeded => ExitCode::SUCCESS,
        End::Failed => exit::FAILED.into(),
        End::Unreachable => exit::UNAVAILABLE.into(),
        End::Interrupted | End::Left => exit::INTERRUPTED.into(),
    })
}

/// The request from `args` and standard input; the inner error is the user's mistake.
fn request(args: &SendArgs) -> io::Result<Result<Request, Error>> {
    let (question, stream) = (&args.question, !args.no_stream);
    let Some(payload) = question::payload(question, stream, io::stdin(), io::stdin().is_terminal())? else {
        return Ok(Err(question::nothing("send")));
    };
    let id = args.id.clone().unwrap_or_else(|| Seams::system().request_id());
    Ok(payload.and_then(|payload| {
        let deadline_ms = Some(args.deadline.saturating_mul(1_000));
        let request = Request { id: Some(id), deadline_ms, ..Request::new(question.action, payload) };
        request.check()?;
        Ok(request)
    }))
}

const fn style(args: &SendArgs) -> Style {
    match (args.json, args.no_stream) {
        (true, _) => Style::Raw,
        (false, true) => Style::Whole,
        (false, false) => Style::Stream,
    }
}

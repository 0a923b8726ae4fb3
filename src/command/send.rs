//! `dynode send`: sends a request over the WebSocket, shows its answer as it comes, and outlives a lost connection.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use broker::Seams;
use schemas::{Error, Request};
use tokio::runtime;

use crate::{
    cli::SendArgs,
    command::{self, api, question},
    exit,
    signal::Signals,
};

mod screen;
mod session;

use screen::{Screen, Style};
use session::{End, Session};

/// How much longer than the deadline is waited: the server itself says when a deadline has passed.
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
    let url = match socket_url(&args.server.url) {
        Ok(url) => url,
        Err(why) => {
            command::complain(&format!("--url: {why}"));
            return Ok(exit::USAGE.into());
        }
    };
    let headers = api::headers(&args.server)?;
    let chatty = args.verbose || io::stderr().is_terminal();
    let screen = Screen::new(Style::of(args), chatty, io::stdout(), io::stderr());
    let patience = Duration::from_secs(args.deadline) + GRACE;
    let end = runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let session = Session::new((url, headers), request, screen, Signals::listen()?);
        Box::pin(session.run(patience)).await
    })?;
    Ok(match end {
        End::Succeeded => ExitCode::SUCCESS,
        End::Failed => exit::FAILED.into(),
        End::Unreachable => exit::UNAVAILABLE.into(),
        End::Interrupted => exit::INTERRUPTED.into(),
    })
}

/// The request that `args` and standard input describe; the inner error is the user's.
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

/// The WebSocket of the server at `url`.
fn socket_url(url: &str) -> Result<String, &'static str> {
    let url = url.trim_end_matches('/');
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("ws://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(format!("ws://{}/ws", rest.trim_end_matches("/ws"))),
        _ => Err("expected a URL such as http://127.0.0.1:8321 (this command speaks no TLS)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_stands_beside_the_api() {
        assert_eq!(socket_url("http://h:1").unwrap(), "ws://h:1/ws");
        assert_eq!(socket_url("http://h:1/base/").unwrap(), "ws://h:1/base/ws");
        assert_eq!(socket_url("ws://h:1/ws").unwrap(), "ws://h:1/ws");
        for wrong in ["https://h", "h:1", "http://"] {
            assert!(socket_url(wrong).is_err(), "{wrong}");
        }
    }
}

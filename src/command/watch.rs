//! `dynode watch`: shows the events of a running server as they happen, over server-sent events.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::StreamExt;
use jiff::Zoned;
use reqwest::{Certificate, Client, Response};
use schemas::{Event, EventBody, Output};
use serde_json::Value;
use sse_stream::SseByteStream;
use tokio::{runtime, time};

use crate::{
    cli::{ServerArgs, WatchArgs},
    command::{self, api},
    exit,
};

/// The path of the events.
const PATH: &str = "/v1/events";
/// The connect timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The server sends keep-alives more often than this; after so much silence it is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The pause before reconnecting. Events during it are not shown.
const RECONNECT: Duration = Duration::from_secs(1);
/// The longest text of an event on its line.
const TEXT_CHARACTERS_MAX: usize = 72;

/// Shows events until stopped.
pub(crate) fn run(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(watch(args))
}

async fn watch(args: &WatchArgs) -> anyhow::Result<ExitCode> {
    let url = format!("{}{PATH}", args.server.url.trim_end_matches('/'));
    let client = client(&args.server)?;
    let mut connected = false;
    loop {
        match client.get(&url).send().await {
            Ok(response) if response.status().is_client_error() => {
                let status = response.status();
                let why = response.bytes().await.ok().and_then(|body| api::reason(&body));
                bail!("cannot watch: {}", why.unwrap_or_else(|| format!("{url} answered {status}")));
            }
            Ok(response) if response.status().is_success() => {
                connected = true;
                show(response, args.json).await?;
                command::complain("the connection was lost; reconnecting");
            }
            Err(error) if error.is_builder() => return Err(error).context("cannot watch"),
            Err(error) if !connected => {
                command::complain(&format!("cannot reach {url}: {:#}", anyhow::Error::from(error)));
                return Ok(exit::UNAVAILABLE.into());
            }
            Ok(response) if !connected => {
                command::complain(&format!("cannot watch: {url} answered {}", response.status()));
                return Ok(exit::UNAVAILABLE.into());
            }
            // The server is restarting: the loss of the connection was already reported.
            Ok(_) | Err(_) => {}
        }
        time::sleep(RECONNECT).await;
    }
}

/// Brings its own root certificates: on a machine without any, no client can be made, not even for plain HTTP.
pub(super) fn client(server: &ServerArgs) -> anyhow::Result<Client> {
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(|der| Certificate::from_der(der));
    Client::builder()
        .tls_certs_merge(roots.collect::<Result<Vec<_>, _>>()?)
        .default_headers(api::headers(server)?)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_MAX)
        .build()
        .context("the HTTP client cannot be set up")
}

/// Shows the events of one connection until it ends for whatever reason.
async fn show(response: Response, raw: bool) -> io::Result<()> {
    let mut events = SseByteStream::new(response.bytes_stream());
    let mut out = io::stdout();
    while let Some(Ok(event)) = events.next().await {
        let Some(data) = event.data else { continue };
        if raw {
            writeln!(out, "{data}")?;
        } else {
            writeln!(out, "{} {}", Zoned::now().strftime("%H:%M:%S%.3f"), line(&data))?;
        }
        out.flush()?;
    }
    Ok(())
}

/// One event as a line: its id, its name, and a short summary. Control characters are escaped, since the text is
/// untrusted.
fn line(data: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(data) else { return format!("{data:?}") };
    let text = |key| value.get(key).and_then(Value::as_str).unwrap_or("-");
    let (id, name) = (text("id"), text("event"));
    let about = serde_json::from_value::<Event>(value.clone())
        .map_or_else(|_| String::new(), |event| about(&event.body));
    format!("{} {:<13} {}", id.escape_debug(), name.escape_debug().to_string(), about).trim_end().to_owned()
}

fn about(event: &EventBody) -> String {
    match event {
        EventBody::Queued { position: Some(position), .. } => format!("{position} before it"),
        EventBody::Running { provider, model } => format!("{provider}/{model}").escape_debug().to_string(),
        EventBody::ChatDelta(delta) if !delta.delta.is_empty() => quote(&delta.delta),
        EventBody::Progress { fraction: Some(fraction), .. } => format!("{:.0} %", fraction * 100.0),
        EventBody::Restarted { reason } => quote(reason),
        EventBody::Gap { from, to } => format!("events {from} to {to} were lost"),
        EventBody::Complete(done) | EventBody::ChatComplete(done) => {
            let tokens = format!("{} tokens in, {} out", done.usage.input_tokens, done.usage.output_tokens);
            match &done.output {
                Output::Chat(chat) => format!("{tokens}, {}", quote(&chat.text)),
                _ => tokens,
            }
        }
        EventBody::Fail { error } => format!("{}: {}", error.code, quote(&error.message)),
        _ => String::new(),
    }
}

fn quote(text: &str) -> String {
    let short: String = text.chars().take(TEXT_CHARACTERS_MAX).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{short:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let delta = r#"{"id":"r","attempt":1,"seq":2,"event":"chat.delta","delta":"two\nlines\u001b[2J"}"#;
        assert_eq!(line(delta), r#"r chat.delta    "two\nlines\u{1b}[2J""#);
        let fail = r#"{"id":"r","attempt":1,"seq":2,"event":"fail",
            "error":{"code":"stalled","message":"no progress","retryable":true}}"#;
        assert_eq!(line(fail), r#"r fail          stalled: "no progress""#);
    }

    #[test]
    fn an_event_of_a_later_version_is_named() {
        assert_eq!(line(r#"{"id":"r","attempt":1,"seq":2,"event":"someday"}"#), "r someday");
        assert_eq!(line("no json"), "\"no json\"");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(quote(&"x".repeat(100)).chars().count(), TEXT_CHARACTERS_MAX + 3);
    }
}

//! Each shipped provider file against its simulated vendor, over real sockets: what succeeds, what is refused, what breaks.

#![expect(clippy::unwrap_used, reason = "a test ends where something does not hold, its helpers too")]

mod images;
mod replicate;
mod search;
mod speech;
mod video;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use adapters::{Adapter, Call, Error, Finished, Progress, ProviderConfig, Registry};
use chaos::{
    Journal,
    provider::{self, Config, Provider},
};
use futures_util::StreamExt;
use schemas::{Action, ErrorCode, MediaOutput, Output};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

/// Longer than any check takes on a busy machine; only a check that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A simulated vendor, and a provider file that leads to it.
struct Vendor {
    address: SocketAddr,
    calls: Journal<provider::Call>,
    name: &'static str,
    path: &'static str,
    _serving: JoinSet<()>,
}

/// All that a call brought.
#[derive(Debug)]
struct Brought {
    pieces: Vec<Progress>,
    end: Result<Finished, Error>,
}

impl Vendor {
    /// Starts the vendor of the file `name`, whose API begins at `path`.
    async fn start(name: &'static str, path: &'static str) -> Self {
        adapters::http::install_crypto();
        let config = Config { api_key: Some("k-canary-0123".into()), ..Config::default() };
        let provider = Provider::bind(config).await.unwrap();
        let (address, calls) = (provider.local_addr(), provider.calls());
        let mut serving = JoinSet::new();
        serving.spawn(async move { provider.serve(std::future::pending()).await.unwrap() });
        Self { address, calls, name, path, _serving: serving }
    }

    /// A provider by the file `file`, whose calls say by `x-sim` and `x-sim-media` what they are to meet.
    fn adapter(&self, file: &str, sim: &str, media: &str, more: Value) -> Arc<dyn Adapter> {
        let mut table = json!({"kind": "dynamic", "file": file, "api_key": "k-canary-0123",
            "base_url": format!("http://{}{}", self.address, self.path),
            "headers": {"x-sim": sim, "x-sim-media": media}});
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let config: ProviderConfig = serde_json::from_value(table).unwrap();
        Registry::build(&BTreeMap::from([("p".to_owned(), config)])).unwrap().adapter("p").unwrap()
    }

    /// Calls the shipped file.
    async fn call(&self, action: Action, model: &str, payload: Value, sim: &str, media: &str) -> Brought {
        let adapter = self.adapter(self.name, sim, media, json!({}));
        brought(&*adapter, call(action, model, payload, PATIENCE)).await
    }

    /// Calls the shipped file with `edits` made: a slower vendor's file in a hurry, a limit lowered.
    async fn call_edited(&self, edits: &[(&str, &str)], call: Call, sim: &str, media: &str) -> Brought {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edited.toml");
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/providers");
        let mut text = std::fs::read_to_string(format!("{root}/{}.toml", self.name)).unwrap();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).unwrap();
        let adapter = self.adapter(path.to_str().unwrap(), sim, media, json!({}));
        brought(&*adapter, call).await
    }

    /// The paths of the calls that arrived.
    fn paths(&self) -> Vec<String> {
        self.calls.snapshot().entries.iter().map(|call| call.path.clone()).collect()
    }
}

fn call(action: Action, model: &str, payload: Value, patience: Duration) -> Call {
    Call {
        action,
        model: model.to_owned(),
        payload,
        deadline: Instant::now() + patience,
        idempotency_key: "acme.req-1".into(),
        key: 0,
        traceparent: None,
        webhook: None,
    }
}

async fn brought(adapter: &dyn Adapter, call: Call) -> Brought {
    let mut progress = match adapter.call(call).await {
        Ok(progress) => progress,
        Err(error) => return Brought { pieces: Vec::new(), end: Err(error) },
    };
    let mut pieces = Vec::new();
    while let Some(item) = progress.next().await {
        match item {
            Ok(Progress::Finished(finished)) => {
                assert!(progress.next().await.is_none(), "nothing follows the end");
                return Brought { pieces, end: Ok(*finished) };
            }
            Ok(piece) => pieces.push(piece),
            Err(error) => return Brought { pieces, end: Err(error) },
        }
    }
    panic!("no end: {pieces:?}");
}

impl Brought {
    /// The files: what they are, and their bytes. Each began with what it is, and had one end.
    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        let mut open = false;
        for piece in &self.pieces {
            let Progress::File(piece) = piece else { continue };
            if !open {
                assert_eq!(piece.file as usize, files.len(), "{self:?}");
                files.push((piece.media_type.clone().unwrap(), Vec::new()));
            }
            files[piece.file as usize].1.extend_from_slice(&piece.bytes);
            open = !piece.is_last;
        }
        assert!(!open, "a file has no end: {self:?}");
        files
    }

    fn moved(&self) -> Vec<&str> {
        let told = self.pieces.iter().filter_map(|piece| match piece {
            Progress::Moved { message, .. } => message.as_deref(),
            _ => None,
        });
        told.collect()
    }

    fn finished(&self) -> &Finished {
        self.end.as_ref().unwrap_or_else(|error| panic!("{error} {:?}", error.source))
    }

    fn details(&self) -> &Value {
        match &self.finished().output {
            Output::Media(MediaOutput { assets, details }) if assets.is_empty() => details,
            other => panic!("{other:?}"),
        }
    }

    /// Its error, which says nothing of the key.
    fn error(&self) -> &Error {
        let error = self.end.as_ref().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        error
    }

    /// That it ended as this error says: its code, its remedy, a part of its words or of those behind them.
    fn failed(&self, code: ErrorCode, remedy: adapters::Remedy, words: &str) {
        let error = self.error();
        assert_eq!((error.code, error.remedy), (code, remedy), "{error}");
        // What it says of a fault of its own is for the log.
        let told = format!("{}: {}", error.message, error.causes().unwrap_or_default());
        assert!(told.contains(words), "{told} does not say `{words}`");
    }
}

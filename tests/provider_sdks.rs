//! The official SDKs of providers, against the simulators that stand for those providers in all other tests: what the SDK
//! takes for the real thing may be built upon.

use std::{net::SocketAddr, process::Stdio};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::support::{program, python, within};

/// `dynode chaos provider`, on a free port; ends with the test.
struct Simulator {
    _child: Child,
    _dir: TempDir,
    address: SocketAddr,
}

impl Simulator {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program(dir.path());
        command.args(["chaos", "provider", "--listen", "127.0.0.1:0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within("its first line", lines.next_line()).await.unwrap().expect("a line");
        let url = line.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        let address = url.and_then(|url| url.split('/').next()).unwrap_or_else(|| panic!("{line}"));
        Self { address: address.parse().unwrap(), _child: child, _dir: dir }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

#[tokio::test]
async fn the_anthropic_sdk_takes_the_simulator_for_anthropic() {
    let simulator = Simulator::start().await;
    python("anthropic_sdk.py", &[&simulator.url()]).await;
}

#[tokio::test]
async fn the_gemini_sdk_takes_the_simulator_for_gemini() {
    let simulator = Simulator::start().await;
    python("gemini_sdk.py", &[&simulator.url()]).await;
}

#[tokio::test]
async fn the_ollama_client_takes_the_simulator_for_ollama() {
    let simulator = Simulator::start().await;
    python("ollama_sdk.py", &[&simulator.url()]).await;
}

#[tokio::test]
async fn the_openai_sdk_takes_images_and_speech_of_the_simulator() {
    let simulator = Simulator::start().await;
    python("openai_media_sdk.py", &[&simulator.url()]).await;
}

#[tokio::test]
async fn the_openai_sdk_takes_chats_and_embeddings_of_the_simulator() {
    let simulator = Simulator::start().await;
    python("openai_simulated_chat_sdk.py", &[&simulator.url()]).await;
}

#[tokio::test]
async fn the_openai_sdk_takes_responses_of_the_simulator() {
    let simulator = Simulator::start().await;
    python("openai_simulated_responses_sdk.py", &[&simulator.url()]).await;
}

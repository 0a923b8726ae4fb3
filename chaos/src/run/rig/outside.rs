//! What stands outside of the engine: the provider it calls and the receiver of its callbacks, both writing history.

use std::{io, net::SocketAddr};

use tokio_util::task::AbortOnDropHandle;

use super::Canaries;
use crate::{
    provider::{self, Provider},
    receiver::{self, Receiver},
    scribe::Scribe,
};

/// How the provider answers when nothing is wrong: a short thought, then a token each 20 ms.
const PACE: &str = "first=60ms,gap=20ms,tokens=60";

/// Provider and receiver, served.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Where the provider listens.
    pub(crate) provider_at: SocketAddr,
    /// Where the receiver listens.
    pub(crate) receiver_at: SocketAddr,
    provider: provider::Dial,
    receiver: receiver::Dial,
    // Their death is a harness that answers nothing: the run shows it.
    _served: [AbortOnDropHandle<()>; 2],
}

impl Outside {
    /// Starts both: with the planted secrets where the engine is told them, the provider where an engine that is given
    /// looks for it.
    pub(super) async fn start(
        canaries: Option<&Canaries>,
        provider_at: Option<SocketAddr>,
        scribe: &Scribe,
    ) -> io::Result<Self> {
        let usual = provider::Config::default();
        let provider = Provider::bind(provider::Config {
            listen: provider_at.unwrap_or(usual.listen),
            behaviour: pace("")?,
            api_key: canaries.map(|canaries| canaries.provider_key.clone().into()),
            history: Some(scribe.clone()),
            ..usual
        })
        .await?;
        let secret = canaries.map(|canaries| canaries.callback_secret().expose().parse()).transpose();
        let config = receiver::Config {
            secret: secret.map_err(io::Error::other)?,
            history: Some(scribe.clone()),
            ..receiver::Config::default()
        };
        let receiver = Receiver::bind(config).await?;
        Ok(Self {
            provider_at: provider.local_addr(),
            receiver_at: receiver.local_addr(),
            provider: provider.dial(),
            receiver: receiver.dial(),
            _served: [
                AbortOnDropHandle::new(tokio::spawn(async move {
                    if let Err(error) = provider.serve(std::future::pending()).await {
                        tracing::error!(%error, "the simulated provider has died");
                    }
                })),
                AbortOnDropHandle::new(tokio::spawn(async move {
                    if let Err(error) = receiver.serve(std::future::pending()).await {
                        tracing::error!(%error, "the callback receiver has died");
                    }
                })),
            ],
        })
    }

    /// Lays `words` over the pace of the provider; none takes them away.
    pub(crate) fn provider_does(&self, words: &str) -> io::Result<()> {
        self.provider.set(pace(words)?);
        Ok(())
    }

    /// How many calls of the provider a fault has hit so far.
    pub(crate) fn provider_struck(&self) -> u64 {
        self.provider.struck()
    }

    /// How the receiver replies from now on.
    pub(crate) fn receiver_does(&self, words: &str) -> io::Result<()> {
        self.receiver.set(words.parse().map_err(io::Error::other)?);
        Ok(())
    }

    /// How many callbacks were not taken at once so far.
    pub(crate) fn receiver_struck(&self) -> u64 {
        self.receiver.struck()
    }
}

fn pace(words: &str) -> io::Result<provider::Behaviour> {
    let usual: provider::Behaviour = PACE.parse().map_err(io::Error::other)?;
    usual.with(words).map_err(io::Error::other)
}

//! What surrounds the engine: the provider it calls and the receiver of its callbacks; both write history.

use std::{io, net::SocketAddr};

use tokio_util::task::AbortOnDropHandle;

use super::Canaries;
use crate::{
    provider::{self, Provider},
    receiver::{self, Receiver},
    scribe::Scribe,
};

/// How the provider answers without faults: a short pause, then a token every 20 ms.
const PACE: &str = "first=60ms,gap=20ms,tokens=60";

/// The running provider and receiver.
#[derive(Debug)]
pub(crate) struct Outside {
    /// The address of the provider.
    pub(crate) provider_at: SocketAddr,
    /// The address of the receiver.
    pub(crate) receiver_at: SocketAddr,
    provider: provider::Dial,
    receiver: receiver::Dial,
    // If they die, the harness answers nothing, which the run shows.
    _served: [AbortOnDropHandle<()>; 2],
}

impl Outside {
    /// Starts both: with the planted secrets if the engine gets them, and the provider where a given engine expects it.
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

    /// Adds the faults in `words` to the provider's pace; an empty text removes them.
    pub(crate) fn provider_does(&self, words: &str) -> io::Result<()> {
        self.provider.set(pace(words)?);
        Ok(())
    }

    /// How many provider calls a fault has hit so far.
    pub(crate) fn provider_struck(&self) -> u64 {
        self.provider.struck()
    }

    /// Sets how the receiver replies from now on.
    pub(crate) fn receiver_does(&self, words: &str) -> io::Result<()> {
        self.receiver.set(words.parse().map_err(io::Error::other)?);
        Ok(())
    }

    /// How many callbacks the receiver has refused or delayed so far.
    pub(crate) fn receiver_struck(&self) -> u64 {
        self.receiver.struck()
    }
}

fn pace(words: &str) -> io::Result<provider::Behaviour> {
    let usual: provider::Behaviour = PACE.parse().map_err(io::Error::other)?;
    usual.with(words).map_err(io::Error::other)
}

//! What every test here stands on: the program as a process, the brokers under it, clients that are not ours.

use std::{future::Future, time::Duration};

use broker::testing;

mod chain;
mod clients;
mod dynode;
mod http;
mod process;

pub(crate) use chain::Chain;
pub(crate) use clients::{module, node, python};
pub(crate) use dynode::{Dynode, Launch, program};
pub(crate) use http::{Events, client};
pub(crate) use process::{Ended, interrupt, run};

/// Far longer than anything here takes on a busy machine: what is waited for beyond it does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the program under test is told to use.
#[derive(Debug, Clone)]
pub(crate) enum Broker {
    /// In the process.
    Memory,
    /// A `nats-server` that the program starts.
    Managed,
    /// A server that runs already.
    Servers(String),
}

impl Broker {
    /// The flags that say so.
    pub(crate) fn flags(&self) -> Vec<String> {
        match self {
            Self::Memory => vec!["--broker".into(), "memory".into()],
            Self::Managed => {
                let server = testing::binary().display().to_string();
                vec!["--broker".into(), "managed".into(), "--nats-server".into(), server]
            }
            Self::Servers(url) => vec!["--broker".into(), url.clone()],
        }
    }
}

/// Runs the functions named, each of which takes a [`Broker`], as tests on the memory broker and on a managed one.
macro_rules! on_each_broker {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::support::Broker::Memory).await;
            })+
        }
        mod managed {
            $(#[tokio::test]
            async fn $test() {
                super::$test($crate::support::Broker::Managed).await;
            })+
        }
    };
}

/// Waits for what must come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not in {PATIENCE:?}"))
}

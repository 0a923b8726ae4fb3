//! What all scenarios of a run share: the options, the provider, and how to get an engine or its substitute.

use std::{io, net::SocketAddr};

use rustix::process::Pid;

use super::{
    Options, System, bare, engine_dir,
    figure::Side,
    measure::{Meter, Role, this},
    rig::{self, Engine, Process},
    scenario::Work,
};

/// What lasts for the whole run.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) options: &'a Options,
    /// How many connections are possible.
    pub(super) connections_max: u64,
    /// The simulated provider, if it is needed.
    provider: Option<(Process, SocketAddr)>,
}

/// The engine of one scenario.
#[derive(Debug)]
pub(super) enum Subject {
    /// Our own, with the bare pipeline beside it if the floor is measured.
    Own(Box<Engine>, Option<Box<Process>>),
    /// A given one.
    Given,
}

impl<'a> Stage<'a> {
    /// Starts what lasts for the whole run.
    pub(super) async fn set(options: &'a Options, connections_max: u64) -> io::Result<Self> {
        let place = match &options.system {
            System::Own(_) => Some(None),
            System::Given(target) => target.provider.map(Some),
        };
        let provider = match place {
            Some(at) => Some(rig::provider(&options.dynode, &options.dir, at).await?),
            None => None,
        };
        Ok(Self { options, connections_max, provider })
    }

    /// The address of the simulated provider, if there is one.
    pub(super) fn provider_at(&self) -> Option<SocketAddr> {
        self.provider.as_ref().map(|(_, at)| *at)
    }

    /// Starts an engine for `scenario`.
    pub(super) async fn engine(&self, scenario: &str) -> io::Result<Subject> {
        let System::Own(carrier) = &self.options.system else { return Ok(Subject::Given) };
        let dir = engine_dir(&self.options.dir, scenario);
        let provider = self.provider_at().ok_or_else(|| io::Error::other("there is no provider"))?;
        let engine = Engine::start(&self.options.dynode, &dir, carrier, provider).await?;
        let bare = match &engine.bus {
            Some(url) if self.options.floor => {
                Some(Box::new(rig::bare(&self.options.dynode, &dir, url).await?))
            }
            _ => None,
        };
        Ok(Subject::Own(Box::new(engine), bare))
    }

    /// The model that a request names.
    pub(super) fn model(&self, work: Work) -> String {
        match &self.options.system {
            System::Given(target) => target.model.clone().unwrap_or_else(|| work.model()),
            System::Own(_) => work.model(),
        }
    }

    /// Meters the processes that work while a side is measured.
    pub(super) fn meter(&self, subject: &Subject, side: Side) -> Meter {
        let mut roots = vec![(Role::Load, Some(this()))];
        roots.push((Role::Provider, self.provider.as_ref().and_then(|(process, _)| process.pid())));
        match subject {
            // The engine is idle then.
            _ if side == Side::Direct => {}
            Subject::Own(engine, bare) if side == Side::Floor => {
                roots.push((Role::Engine, bare.as_ref().and_then(|bare| bare.pid())));
                roots.push((Role::Broker, engine.broker()));
            }
            Subject::Own(engine, _) => roots.push((Role::Engine, engine.pid())),
            Subject::Given => roots.push((Role::Engine, self.given_pid())),
        }
        Meter(roots.into_iter().filter_map(|(role, pid)| Some((role, pid?))).collect())
    }

    fn given_pid(&self) -> Option<Pid> {
        match &self.options.system {
            System::Given(target) => target.pid.and_then(|pid| Pid::from_raw(pid.cast_signed())),
            System::Own(_) => None,
        }
    }
}

impl Subject {
    /// Ends what we started.
    pub(super) async fn stop(self) {
        let Self::Own(engine, bare) = self else { return };
        if let Some(mut bare) = bare {
            bare.stop().await;
        }
        if let Some(url) = engine.bus_of_others()
            && let Err(error) = bare::clean(url).await
        {
            tracing::warn!(%error, "streams BARE_* are left at {url}: delete them");
        }
        engine.stop().await;
    }
}

//! Breaks things: carries out the steps of a scenario at their times, undoes them, and counts what really struck.

use std::{io, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    load::Tally,
    rig::{Rig, service::Service, workers::computed},
    scenario::{Fault, Scenario, Victim},
};
use crate::{
    history::{self, Fact},
    scribe::Scribe,
};

/// The nemesis's name in the history.
const NAME: &str = "nemesis";
/// The pause of a storm after a failed restart.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long finding a spinning thread may take.
const SPINNER_FOUND_MAX: Duration = Duration::from_secs(4);
/// A process spins if it computes for more than this share of the window.
const SPIN_WINDOW: Duration = Duration::from_millis(400);
const SPIN_SHARE: f64 = 0.75;

/// The nemesis of one scenario.
#[derive(Debug)]
pub(super) struct Nemesis<'a> {
    rig: &'a Rig,
    scribe: &'a Scribe,
    tally: &'a Tally,
    /// The faults in progress.
    open: Vec<Open>,
}

/// A fault in progress.
#[derive(Debug)]
struct Open {
    fault: Fault,
    until: Instant,
    /// The counter of its kind when it started.
    struck_before: u64,
    /// How often the nemesis itself struck.
    struck: u64,
    /// The affected worker.
    worker: Option<(String, Pid)>,
}

impl<'a> Nemesis<'a> {
    pub(super) const fn new(rig: &'a Rig, scribe: &'a Scribe, tally: &'a Tally) -> Self {
        Self { rig, scribe, tally, open: Vec::new() }
    }

    /// Carries out the steps; returns when all are undone.
    pub(super) async fn strike(&mut self, scenario: &Scenario) -> io::Result<()> {
        let began = Instant::now();
        for step in scenario.steps {
            let at = began + Duration::from_millis(step.at_ms);
            self.heal_until(at).await?;
            sleep_until(at).await;
            let until = at + Duration::from_millis(step.lasts_ms);
            self.inject(step.fault, until).await?;
        }
        let last = self.open.iter().map(|open| open.until).max().unwrap_or(began);
        self.heal_until(last).await
    }

    /// Undoes the faults that end by `time`, each at its own end.
    async fn heal_until(&mut self, time: Instant) -> io::Result<()> {
        loop {
            let due = self.open.iter().enumerate().filter(|(_, open)| open.until <= time);
            let Some((index, _)) = due.min_by_key(|(_, open)| open.until) else { return Ok(()) };
            let open = self.open.swap_remove(index);
            sleep_until(open.until).await;
            self.heal(open).await?;
        }
    }

    async fn inject(&mut self, fault: Fault, until: Instant) -> io::Result<()> {
        let (name, target) = (fault.name().to_owned(), fault.target().to_owned());
        self.scribe.write(NAME, Fact::Injected { fault: name, target });
        let mut open = Open { fault, until, struck_before: self.counter(fault), struck: 0, worker: None };
        match fault {
            Fault::Kill(Victim::Worker) => open.struck = u64::from(self.worker(Signal::KILL)?.is_some()),
            Fault::Freeze(Victim::Worker) => {
                open.worker = self.worker(Signal::STOP)?;
                open.struck = u64::from(open.worker.is_some());
            }
            Fault::Terminate(Victim::Worker) => open.struck = u64::from(self.worker(Signal::TERM)?.is_some()),
            Fault::Kill(victim) => open.struck = self.down(victim, Signal::KILL).await?,
            Fault::Terminate(victim) => open.struck = self.down(victim, Signal::TERM).await?,
            Fault::Freeze(victim) => {
                let service = self.service(victim)?;
                if let Some(pid) = service.pid() {
                    self.write_signal(service.role().to_owned(), pid, Signal::STOP);
                }
                service.signal(Signal::STOP)?;
                open.struck = 1;
            }
            Fault::Storm(victim, pause_ms) => {
                open.struck = self.storm(victim, Duration::from_millis(pause_ms), until).await?;
            }
            Fault::Link(link, words) => self.rig.links.set(link, words)?,
            Fault::Provider(words) => self.rig.outside.provider_does(words)?,
            Fault::Receiver(words) => self.rig.outside.receiver_does(words)?,
            Fault::DiskFull => {
                self.rig.owned()?.fill_disk()?;
                open.struck = 1;
            }
            Fault::Clock(seconds) => {
                self.rig.owned()?.shift_clock(seconds)?;
                self.scribe.write(NAME, Fact::Jumped { by_ms: seconds * 1_000 });
                open.struck = 1;
            }
            Fault::Spin => open.struck = self.find_spinner().await?,
            // These faults are part of the load.
            Fault::Flood(_) | Fault::Readers => {}
        }
        self.open.push(open);
        Ok(())
    }

    async fn heal(&self, open: Open) -> io::Result<()> {
        match open.fault {
            Fault::Freeze(Victim::Worker) => {
                if let Some((role, pid)) = &open.worker
                    && kill_process(*pid, Signal::CONT).is_ok()
                {
                    // The signal fails if the engine has ended the worker meanwhile, as it should.
                    self.write_signal(role.clone(), *pid, Signal::CONT);
                }
            }
            Fault::Freeze(victim) => {
                let service = self.service(victim)?;
                // The signal fails if the process has ended meanwhile, and then it was restarted.
                if let (Some(pid), Ok(())) = (service.pid(), service.signal(Signal::CONT)) {
                    self.write_signal(service.role().to_owned(), pid, Signal::CONT);
                }
            }
            Fault::Kill(Victim::Worker)
            | Fault::Terminate(Victim::Worker)
            | Fault::Storm(Victim::Worker, _) => {}
            Fault::Kill(victim) | Fault::Terminate(victim) | Fault::Storm(victim, _) => {
                self.service(victim)?.up().await?;
            }
            Fault::Link(link, _) => self.rig.links.set(link, "none")?,
            Fault::Provider(_) => self.rig.outside.provider_does("")?,
            Fault::Receiver(_) => self.rig.outside.receiver_does("")?,
            Fault::DiskFull => self.rig.owned()?.free_disk().await?,
            Fault::Clock(seconds) => {
                self.rig.owned()?.shift_clock(0)?;
                self.scribe.write(NAME, Fact::Jumped { by_ms: -seconds * 1_000 });
            }
            Fault::Spin | Fault::Flood(_) | Fault::Readers => {}
        }
        let (fault, target) = (open.fault.name().to_owned(), open.fault.target().to_owned());
        let times = open.struck + self.counter(open.fault).saturating_sub(open.struck_before);
        self.scribe.write(NAME, Fact::Fired { fault: fault.clone(), times });
        self.scribe.write(NAME, Fact::Healed { fault, target });
        Ok(())
    }

    /// How often faults of this kind have struck so far, if something else counts them.
    fn counter(&self, fault: Fault) -> u64 {
        match fault {
            Fault::Link(link, _) => self.rig.links.struck(link),
            Fault::Provider(_) => self.rig.outside.provider_struck(),
            Fault::Receiver(_) => self.rig.outside.receiver_struck(),
            Fault::Readers => self.tally.bad_readers.get(),
            Fault::Flood(_) => self.tally.sent.get(),
            _ => 0,
        }
    }

    /// Signals one worker: the first by process id, usually the oldest.
    fn worker(&self, signal: Signal) -> io::Result<Option<(String, Pid)>> {
        let own = self.rig.owned()?;
        own.look();
        let Some(worker) = own.workers.lock().live().first().cloned() else { return Ok(None) };
        let (role, pid) = (format!("worker-{}", worker.slot), worker.pid);
        self.write_signal(role.clone(), pid, signal);
        Ok(kill_process(pid, signal).ok().map(|()| (role, pid)))
    }

    /// Finds the worker whose thread spins, by its CPU time; a request in the load makes it spin.
    async fn find_spinner(&self) -> io::Result<u64> {
        let own = self.rig.owned()?;
        let deadline = Instant::now() + SPINNER_FOUND_MAX;
        while Instant::now() < deadline {
            own.look();
            let workers = own.workers.lock().live().to_vec();
            let before: Vec<_> = workers.iter().map(|worker| computed(worker.pid)).collect();
            sleep(SPIN_WINDOW).await;
            for (worker, before) in workers.iter().zip(before) {
                let spent = computed(worker.pid).zip(before).map(|(now, before)| now.saturating_sub(before));
                if spent.is_some_and(|spent| spent > SPIN_WINDOW.mul_f64(SPIN_SHARE)) {
                    let pid = worker.pid.as_raw_nonzero().get().cast_unsigned();
                    let (role, signal) = (format!("worker-{}", worker.slot), history::Signal::Spin);
                    self.scribe.write(NAME, Fact::Signalled { role, pid, signal });
                    return Ok(1);
                }
            }
        }
        Ok(0)
    }

    async fn down(&self, victim: Victim, signal: Signal) -> io::Result<u64> {
        let service = self.service(victim)?;
        if let Some(pid) = service.pid() {
            self.write_signal(service.role().to_owned(), pid, signal);
        }
        Ok(u64::from(service.down(signal).await.is_some()))
    }

    /// Kills the victim whenever it is up, until the end of the step.
    async fn storm(&self, victim: Victim, pause: Duration, until: Instant) -> io::Result<u64> {
        let mut kills = 0;
        while Instant::now() + pause < until {
            sleep(pause).await;
            kills += match victim {
                Victim::Worker => u64::from(self.worker(Signal::KILL)?.is_some()),
                victim => self.down(victim, Signal::KILL).await?,
            };
            if victim != Victim::Worker && self.service(victim)?.up().await.is_err() {
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(kills)
    }

    fn service(&self, victim: Victim) -> io::Result<&Service> {
        let own = self.rig.owned()?;
        Ok(match victim {
            Victim::Broker => &own.broker,
            Victim::Gateway | Victim::Worker => &own.gateways[0],
        })
    }

    fn write_signal(&self, role: String, pid: Pid, signal: Signal) {
        let signal = match signal {
            Signal::TERM => history::Signal::Drain,
            Signal::STOP => history::Signal::Stop,
            Signal::CONT => history::Signal::Continue,
            _ => history::Signal::Kill,
        };
        let pid = pid.as_raw_nonzero().get().cast_unsigned();
        self.scribe.write(NAME, Fact::Signalled { role, pid, signal });
    }
}

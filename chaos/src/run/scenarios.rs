//! All scenarios, in one table. Each file beside this one holds those of one part of the system, all in one grammar.

mod brokers;
mod callbacks;
mod clients;
mod gateways;
mod providers;
mod workers;

use super::scenario::Scenario;

/// All scenarios, in the order in which they run.
pub const ALL: &[&Scenario] = &[
    &workers::KILLED,
    &workers::STOPPED,
    &workers::ZOMBIE,
    &workers::SPINNING,
    &workers::STORM,
    &gateways::KILLED,
    &gateways::TERMINATED,
    &gateways::CLOCK,
    &brokers::KILLED,
    &brokers::RESTARTED,
    &brokers::STOPPED,
    &brokers::LINK_STALLED,
    &brokers::LINK_LOST,
    &brokers::STORE_FULL,
    &brokers::DISK_FULL,
    &providers::BROWN_OUT,
    &providers::LIMITED,
    &providers::LIMITED_SILENTLY,
    &providers::STALLED,
    &providers::NONSENSE,
    &providers::RESET,
    &clients::SLOW,
    &clients::VANISHING,
    &clients::FLOOD,
    &callbacks::DOWN,
    &callbacks::GONE,
];

/// The scenario of that name.
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().copied().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests;

//! `dynode nats-auth`: prints accounts and users for a NATS server. The engine and each tenant have their own account.
//! The subjects that cross accounts are listed one by one, so that no tenant reaches another, whatever its services
//! ask of the server.
//!
//! The output holds public keys only. The secrets, one seed per user, go into files that only their owner can read.

mod print;
mod roles;
mod seeds;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use broker::Topology;
use schemas::Tenant;

use crate::{cli::NatsAuthArgs, command, exit};
use print::Printed;
use roles::Role;
use seeds::Seeds;

/// Creates the missing seeds, and prints the configuration.
pub(crate) fn run(args: &NatsAuthArgs) -> anyhow::Result<ExitCode> {
    match configuration(args) {
        Ok(text) => {
            write!(io::stdout(), "{text}")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(fault) => {
            command::complain(&fault.to_string());
            Ok(exit::FAILED.into())
        }
    }
}

fn configuration(args: &NatsAuthArgs) -> Result<String, seeds::Fault> {
    let seeds = Seeds::open(&args.seeds)?;
    let topology = Topology::new(args.prefix.clone());
    let users = Role::ALL.into_iter().map(|role| seeds.public_key(role.name()).map(|key| (role, key)));
    let users = users.collect::<Result<Vec<_>, _>>()?;
    let mut tenants: Vec<&Tenant> = args.tenants.iter().collect();
    tenants.sort_unstable();
    tenants.dedup();
    let tenants = tenants.into_iter().map(|tenant| {
        let key = seeds.public_key(&format!("tenant-{tenant}"));
        key.map(|key| (tenant, key))
    });
    let tenants = tenants.collect::<Result<Vec<_>, _>>()?;
    Ok(Printed { topology: &topology, users: &users, tenants: &tenants, seeds: &args.seeds }.to_string())
}

#[cfg(test)]
mod tests;

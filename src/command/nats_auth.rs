//! `dynode nats-auth`: prints accounts and users for a NATS server. The engine has an account of its own, and so has each
//! tenant: what passes between them is listed, subject by subject, so that no tenant reaches another, whatever its
//! services ask of the server.
//!
//! What is printed holds public keys alone. The secrets, one seed for each user, go into files that only their owner reads.

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

/// Makes what secrets are missing, and prints.
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

//! Formats the accounts as nats-server configuration.

use std::{fmt, path::Path};

use broker::Topology;
use schemas::Tenant;

use super::roles::{Permissions, Role};

/// What to print.
pub(super) struct Printed<'a> {
    pub(super) topology: &'a Topology,
    /// The users of the engine's account, and their public keys.
    pub(super) users: &'a [(Role, String)],
    /// The tenants, each with the public key of its user.
    pub(super) tenants: &'a [(&'a Tenant, String)],
    /// Where the seeds are.
    pub(super) seeds: &'a Path,
}

/// A subject shared by the engine and one tenant.
struct Passage {
    kind: &'static str,
    subject: String,
    what: &'static str,
}

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Made by `dynode nats-auth`: include it in the configuration of a nats-server with JetStream."
        )?;
        writeln!(f, "# It holds public keys alone; the seeds are in {}.", self.seeds.display())?;
        writeln!(f, "accounts {{")?;
        self.engine(f)?;
        for (tenant, key) in self.tenants {
            self.tenant(f, tenant, key)?;
        }
        writeln!(f, "}}")
    }
}

impl Printed<'_> {
    fn engine(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  \"{}\": {{", self.account(None))?;
        writeln!(f, "    jetstream: enabled")?;
        writeln!(f, "    users: [")?;
        for (role, key) in self.users {
            let Permissions { publish, subscribe } = role.permissions(self.topology, key);
            writeln!(f, "      # {}.nk, for {}", role.name(), role.purpose())?;
            writeln!(f, "      {{ nkey: \"{key}\", permissions: {{")?;
            for (what, subjects) in [("publish", publish), ("subscribe", subscribe)] {
                writeln!(f, "        {what}: {{ allow: [")?;
                for subject in subjects {
                    writeln!(f, "          \"{subject}\"")?;
                }
                writeln!(f, "        ] }}")?;
            }
            writeln!(f, "      }} }}")?;
        }
        writeln!(f, "    ]")?;
        writeln!(f, "    exports: [")?;
        for (tenant, _) in self.tenants {
            let account = self.account(Some(tenant));
            for Passage { kind, subject, .. } in self.passages(tenant) {
                writeln!(f, "      {{ {kind}: \"{subject}\", accounts: [\"{account}\"] }}")?;
            }
        }
        let all: Vec<_> =
            self.tenants.iter().map(|(tenant, _)| format!("\"{}\"", self.account(Some(tenant)))).collect();
        writeln!(f, "      {{ stream: \"{}\", accounts: [{}] }}", self.signals(), all.join(", "))?;
        writeln!(f, "    ]")?;
        writeln!(f, "  }}")
    }

    fn tenant(&self, f: &mut fmt::Formatter<'_>, tenant: &Tenant, key: &str) -> fmt::Result {
        let engine = self.account(None);
        writeln!(f, "  # tenant-{tenant}.nk, for the services of `{tenant}`.")?;
        writeln!(f, "  \"{}\": {{", self.account(Some(tenant)))?;
        writeln!(f, "    users: [ {{ nkey: \"{key}\" }} ]")?;
        writeln!(f, "    imports: [")?;
        for Passage { kind, subject, what } in self.passages(tenant) {
            writeln!(f, "      # {what}")?;
            writeln!(f, "      {{ {kind}: {{ account: \"{engine}\", subject: \"{subject}\" }} }}")?;
        }
        writeln!(f, "      # When to wait.")?;
        writeln!(f, "      {{ stream: {{ account: \"{engine}\", subject: \"{}\" }} }}", self.signals())?;
        writeln!(f, "    ]")?;
        writeln!(f, "  }}")
    }

    /// A tenant may send, cancel, receive events and look up outcomes. It may not create consumers: a consumer could
    /// deliver to any subject of the engine.
    fn passages(&self, tenant: &Tenant) -> [Passage; 6] {
        let Topology { subjects, events, outcomes, .. } = self.topology;
        let prefix = subjects.prefix();
        let of = |kind| format!("{prefix}.{kind}.{tenant}.>");
        let last = |stream, kind| format!("$JS.API.DIRECT.GET.{stream}.{}", of(kind));
        let passage = |kind, subject, what| Passage { kind, subject, what };
        [
            passage("service", of("req"), "Requests in."),
            passage("service", of("ctl"), "Cancels."),
            passage("stream", of("evt"), "What happens."),
            passage("stream", of("res"), "How it ends."),
            passage("service", last(outcomes, "res"), "How a request has ended, for whoever comes later."),
            passage("service", last(events, "evt"), "The last of what has happened to a request."),
        ]
    }

    fn signals(&self) -> String {
        self.topology.subjects.all("sig")
    }

    /// The name of the account of a tenant, or of the engine.
    fn account(&self, tenant: Option<&Tenant>) -> String {
        let engine = self.topology.subjects.prefix().to_uppercase();
        tenant.map_or_else(|| engine.clone(), |tenant| format!("{engine}-{tenant}"))
    }
}

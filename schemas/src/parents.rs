//! What tenants belong to: an organisation, an instance within it, a project within that. Limits and sums use these.

use std::fmt;

/// The parents of a tenant; or, as a selection, all tenants that have these parents.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parents {
    /// The organisation.
    pub organisation: Option<String>,
    /// The instance within it.
    pub instance: Option<String>,
    /// The project within that.
    pub project: Option<String>,
}

impl Parents {
    /// Whether it selects a tenant with the parents `of`: one that has all parents named here, and perhaps others.
    pub fn include(&self, of: &Self) -> bool {
        self.named().zip(of.named()).all(|((_, ours), (_, its))| ours.is_none() || ours == its)
    }

    /// Each parent with its kind, the largest first.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let Self { organisation, instance, project } = self;
        let all = [("organisation", organisation), ("instance", instance), ("project", project)];
        all.into_iter().map(|(what, name)| (what, name.as_deref()))
    }
}

impl fmt::Display for Parents {
    /// As in a sentence: "the organisation `Acme`, instance `production`".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named().filter_map(|(what, name)| Some(format!("{what} `{}`", name?)));
        write!(f, "the {}", named.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parents(names: [&str; 3]) -> Parents {
        let [organisation, instance, project] = names.map(|name| (!name.is_empty()).then(|| name.to_owned()));
        Parents { organisation, instance, project }
    }

    #[test]
    fn what_is_not_named_may_be_anything() {
        let tenant = parents(["Acme", "production", "search"]);
        for (names, is_one) in [
            (["Acme", "", ""], true),
            (["Acme", "production", "search"], true),
            (["Acme", "", "search"], true),
            (["Acme", "staging", ""], false),
            (["Globex", "", ""], false),
        ] {
            assert_eq!(parents(names).include(&tenant), is_one, "{names:?}");
        }
        assert!(!tenant.include(&parents(["Acme", "", ""])));
        assert_eq!(parents(["Acme", "", "search"]).to_string(), "the organisation `Acme`, project `search`");
    }
}

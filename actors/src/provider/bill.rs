//! Adds up the usage and cost of the calls of one attempt. Pure.

use adapters::Price;
use schemas::Usage;

/// The usage and cost of the calls so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bill {
    usage: Usage,
    /// In US dollars; `None` if no call had a price.
    cost_usd: Option<f64>,
}

impl Bill {
    /// Adds one more call; returns what it cost, if its price is known.
    pub(super) fn add(&mut self, usage: &Usage, price: Option<&Price>) -> Option<f64> {
        self.usage = self.usage.plus(usage);
        let cost = price.map(|price| price.of(usage));
        if let Some(cost) = cost {
            *self.cost_usd.get_or_insert_default() += cost;
        }
        cost
    }

    /// The usage of all calls.
    pub(super) const fn usage(&self) -> Usage {
        self.usage
    }

    /// The cost of all calls whose price is known.
    pub(super) const fn cost_usd(&self) -> Option<f64> {
        self.cost_usd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_counts_and_those_without_a_price_cost_nothing() {
        let price: Price = serde_json::from_str(r#"{"input": 1, "output": 2}"#).unwrap();
        let used = |estimated| Usage {
            input_tokens: 1_000_000,
            output_tokens: 500_000,
            estimated,
            ..Usage::default()
        };
        let mut bill = Bill::default();
        assert_eq!(bill.add(&used(false), None), None);
        assert_eq!(bill.cost_usd(), None);
        assert_eq!(bill.add(&used(true), Some(&price)), Some(2.0));
        assert_eq!(bill.add(&used(false), Some(&price)), Some(2.0));
        assert_eq!((bill.cost_usd(), bill.usage().input_tokens), (Some(4.0), 3_000_000));
        assert!(bill.usage().estimated, "what is estimated in part is an estimate");
    }
}

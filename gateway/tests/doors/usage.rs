//! `/v1/usage`.

use broker::{AssetLimits, Broker, Limits, Message, Publication, Topology, memory::Memory};
use jiff::{SignedDuration, Timestamp};
use schemas::{Action, Format, LedgerEntry, LedgerLine, RequestId, Status, Subjects, Tenant, Usage};
use serde_json::{Value, json};

use crate::rig::Rig;

impl Rig {
    /// Writes an entry as the engine does: a request of `tenant` that ended so many hours ago, by these models.
    pub(crate) async fn used(&self, tenant: &str, id: &str, hours: i64, models: &[(&str, Option<f64>)]) {
        let line = |(model, cost_usd): &(&str, Option<f64>)| LedgerLine {
            provider: "sim".into(),
            model: (*model).into(),
            usage: Usage { input_tokens: 10, output_tokens: 2, ..Usage::default() },
            cost_usd: *cost_usd,
        };
        let entry = LedgerEntry {
            v: 1,
            id: RequestId::new(id).unwrap(),
            tenant: Tenant::new(tenant).unwrap(),
            session: None,
            key: None,
            action: Action::ChatCompletion,
            status: Status::Succeeded,
            at: Timestamp::now() - SignedDuration::from_hours(hours),
            lines: models.iter().map(line).collect(),
        };
        let subject = self.topology.subjects.ledger(&entry.tenant);
        self.publish_entry(&subject, &Format::MessagePack.encode(&entry).unwrap()).await;
    }

    async fn publish_entry(&self, subject: &str, body: &[u8]) {
        let message = Message::new(subject, Format::MessagePack, body.to_vec().into());
        self.broker.publish(Publication { message, id: None }).await.unwrap();
    }

    async fn usage(&self, query: &str) -> Value {
        let reply = self.get(&format!("/v1/usage{query}")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }
}

#[tokio::test]
async fn what_was_used_is_summed_by_what_is_asked() {
    let rig = Rig::start().await;
    rig.used("default", "a", 0, &[("small", None), ("large", Some(0.5))]).await;
    rig.used("default", "b", 0, &[("large", Some(0.25))]).await;
    rig.used("other", "c", 0, &[("large", Some(100.0))]).await;
    rig.publish_entry("dynode.use.default", b"\xc1").await;

    let all = rig.usage("").await;
    let total = &all["total"];
    assert_eq!(all["object"], "list");
    assert_eq!(
        (&total["requests"], &total["calls"], &total["cost_usd"]),
        (&json!(2), &json!(3), &json!(0.75))
    );
    assert_eq!(all["data"], json!([total]), "one row that is told apart by nothing");

    let by_model = rig.usage("?by=model,tenant").await;
    assert_eq!((&by_model["by"], &by_model["total"]), (&json!(["tenant", "model"]), total));
    let rows: Vec<_> = by_model["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (row["tenant"].as_str(), row["model"].as_str(), row["cost_usd"].as_f64(), &row["unpriced_calls"])
        })
        .collect();
    let own = Some("default");
    let expected = [(own, Some("large"), Some(0.75), &json!(0)), (own, Some("small"), Some(0.0), &json!(1))];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn only_the_time_that_is_asked_for_is_summed() {
    let rig = Rig::start().await;
    for (id, hours) in [("old", 48), ("older", 72), ("new", 2)] {
        rig.used("default", id, hours, &[("large", Some(1.0))]).await;
    }
    let requests = async |query| rig.usage(query).await["total"]["requests"].as_u64().unwrap();
    assert_eq!(requests("").await, 1, "a day where nothing is said");
    assert_eq!(requests("?since=60h").await, 2);
    assert_eq!(requests("?since=7d&until=24h").await, 2);
    assert_eq!(requests("?since=1h").await, 0);
    assert_eq!(requests("?since=1970-01-01T00:00:00Z").await, 3);
    assert_eq!(rig.usage("?since=7d&by=hour").await["data"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_wrong_question_is_told_by_its_parameter() {
    let rig = Rig::start().await;
    let rows =
        [("by=colour", "by"), ("since=soon", "since"), ("until=x", "until"), ("since=1h&until=2h", "until")];
    for (query, param) in rows {
        let reply = rig.get(&format!("/v1/usage?{query}")).await;
        assert_eq!((reply.status.as_u16(), &reply.json()["error"]["param"]), (400, &json!(param)), "{query}");
    }
}

#[tokio::test]
async fn a_server_without_a_ledger_says_so() {
    let broker = Memory::default();
    let topology = Topology::new(Subjects::default()).without_ledger();
    broker.ensure(&topology.streams(&Limits::default())).await.unwrap();
    let rig = Rig::of(topology, broker, AssetLimits::default(), json!({})).await;
    let reply = rig.get("/v1/usage").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("ledger.keep_days"), "{}", reply.text());
}

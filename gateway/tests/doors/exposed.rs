//! Where other machines can connect, and who may come in there.

use broker::{Topology, memory::Memory};
use gateway::Access;
use schemas::Subjects;
use serde_json::json;

use crate::{
    keys::{broker, code, forbidden, unauthorized},
    rig::Rig,
};

#[tokio::test]
async fn other_machines_need_keys_unless_everybody_is_let_in() {
    let start = async |broker: &Memory, access, exposed: &str| {
        let everywhere = json!({exposed: "0.0.0.0:0"});
        let topology = Topology::new(Subjects::default());
        Rig::opened(topology, broker.clone(), broker::AssetLimits::default(), access, everywhere).await
    };
    let empty = broker().await;
    for exposed in ["listen", "manage_listen"] {
        let Err(refused) = start(&empty, Access::default(), exposed).await else {
            panic!("{exposed}: it starts")
        };
        assert!(refused.to_string().contains("dynode key create"), "{refused}");
    }
    let open = start(&empty, Access { without_keys: true, ..Access::default() }, "listen").await.unwrap();
    assert_eq!(open.get("/v1/models").await.status, 200);
    let first = open.post_by("", "/v1/keys", &json!({})).await;
    assert_eq!(code(&first), forbidden(), "whoever is the first would have it");

    let local = Rig::on(empty.clone(), json!({})).await;
    let (root, _) = local.make("", json!({})).await;
    let keyed = start(&empty, Access::default(), "listen").await.unwrap();
    assert_eq!(keyed.get_by(&root, "/v1/models").await.status, 200);
    assert_eq!(code(&keyed.get_by("", "/v1/models").await), unauthorized());
    open.until_status("", 401).await;
}

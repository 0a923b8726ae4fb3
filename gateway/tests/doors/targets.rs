//! The targets of callbacks, as operators see and change them.

use serde_json::{Value, json};

use crate::rig::Rig;

const CALLBACKS: &str = "/v1/callbacks";

/// The URLs that are listed for `key`, each with its tenant.
async fn listed(rig: &Rig, key: &str) -> Vec<(String, String)> {
    let told = rig.get_by(key, CALLBACKS).await.json();
    let text = |target: &Value, field: &str| target[field].as_str().unwrap().to_owned();
    let targets = told["targets"].as_array().unwrap().iter();
    let mut targets: Vec<_> = targets.map(|target| (text(target, "tenant"), text(target, "url"))).collect();
    targets.sort();
    targets
}

#[tokio::test]
async fn a_tenant_sees_and_changes_its_own_targets_and_a_superadmin_those_of_all() {
    let rig = Rig::start().await;
    let (root, _) = rig.make("", json!({})).await;
    let mut keys = Vec::new();
    for tenant in ["a", "b"] {
        keys.push(rig.make(&root, json!({"tenant": tenant, "role": "admin"})).await.0);
    }
    let (user, _) = rig.make(&root, json!({"tenant": "a"})).await;
    let disable =
        async |key: &str, url: &str| rig.post_by(key, "/v1/callbacks/disable", &json!({ "url": url })).await;
    assert_eq!(disable(&user, "https://x/hook").await.status, 403);
    assert_eq!(disable(&keys[0], "file:///etc/passwd").await.status, 400);
    let mut ids = Vec::new();
    for (key, url) in
        [(&keys[0], "https://x/hook?key=1"), (&keys[1], "https://x/hook"), (&keys[1], "https://y/")]
    {
        let told = disable(key, url).await.json();
        assert_eq!(
            (&told["failures"], &told["why"]),
            (&json!(0), &json!("an operator disabled it")),
            "{told}"
        );
        assert_eq!(disable(key, url).await.json(), told, "it is so already");
        ids.push(told["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[0], ids[1], "it is one target, of two tenants");
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(tenant, url)| ((*tenant).to_owned(), (*url).to_owned())).collect()
    };
    assert_eq!(listed(&rig, &keys[0]).await, pairs(&[("a", "https://x/hook")]));
    let all = [("a", "https://x/hook"), ("b", "https://x/hook"), ("b", "https://y/")];
    assert_eq!(listed(&rig, &root).await, pairs(&all));
    let enable = async |key: &str, id: &str| {
        rig.post_by(key, &format!("{CALLBACKS}/{id}/enable"), &json!({})).await.status.as_u16()
    };
    assert_eq!(enable(&keys[0], &ids[2]).await, 404, "another tenant's");
    assert_eq!(enable(&keys[0], "../x").await, 404);
    assert_eq!(enable(&keys[0], &ids[0]).await, 200);
    assert_eq!(listed(&rig, &root).await, pairs(&all[1..]));
    assert_eq!(enable(&root, &ids[1]).await, 200);
    assert_eq!(listed(&rig, &root).await, pairs(&all[2..]));
}

//! The callback receiver: what it keeps, how it replies, what it says of signatures.

use std::net::SocketAddr;

use chaos::Journal;
use chaos::receiver::{Config, Delivery, Receiver, SignatureCheck};
use hmac::{Hmac, KeyInit, Mac};
use tokio::task::JoinSet;

use crate::client::post;

struct Hook {
    address: SocketAddr,
    deliveries: Journal<Delivery>,
    _serving: JoinSet<()>,
}

impl Hook {
    async fn with(config: Config) -> Self {
        let receiver = Receiver::bind(config).await.unwrap();
        let (address, deliveries) = (receiver.local_addr(), receiver.deliveries());
        let mut serving = JoinSet::new();
        serving.spawn(async move { receiver.serve(std::future::pending()).await.unwrap() });
        Self { address, deliveries, _serving: serving }
    }

    async fn statuses(&self, target: &str, message: &str, attempts: usize) -> Vec<u16> {
        let mut statuses = Vec::new();
        for _ in 0..attempts {
            let got = post(self.address, target, &[("webhook-id", message)], "{}").await;
            statuses.push(got.status.as_u16());
        }
        statuses
    }
}

#[tokio::test]
async fn a_callback_is_kept_byte_for_byte_and_without_credentials() {
    let hook = Hook::with(Config::default()).await;
    let headers = [("webhook-id", "msg_1"), ("authorization", "Bearer secret"), ("x-two", "a")];
    let got = post(hook.address, "/any/path", &headers, &b"\xff\x00 raw"[..]).await;
    assert_eq!(got.status, 200);
    let kept = hook.deliveries.snapshot().entries.remove(0);
    assert_eq!((kept.target.as_str(), kept.body.as_ref()), ("/any/path", &b"\xff\x00 raw"[..]));
    assert_eq!((kept.message.as_deref(), kept.attempt, kept.status), (Some("msg_1"), 1, 200));
    assert_eq!(kept.headers["x-two"], "a");
    assert!(!format!("{kept:?}").contains("secret"));
    assert_eq!(kept.signature, SignatureCheck::NotChecked);
    let view = crate::client::get(hook.address, "/_sim/deliveries").await.json();
    assert_eq!(view["entries"][0]["body"], "base64:/wAgcmF3");
}

#[tokio::test]
async fn the_url_says_how_attempts_are_replied_to() {
    let hook = Hook::with(Config::default()).await;
    assert_eq!(hook.statuses("/hook?fail-first=2&status=503", "msg_1", 4).await, [503, 503, 200, 200]);
    assert_eq!(hook.statuses("/hook?fail-first=1", "msg_2", 2).await, [500, 200]);
    assert_eq!(hook.statuses("/gone?status=410", "msg_3", 2).await, [410, 410]);
    let got = post(hook.address, "/busy?status=429&retry-after=3&delay=1ms", &[], "{}").await;
    assert_eq!((got.status.as_u16(), got.header("retry-after")), (429, "3"));
    let got = post(hook.address, "/hook?fail_first=2", &[], "{}").await;
    assert_eq!(got.status, 400);
    assert!(got.text().contains("fail_first=2"), "{}", got.text());
    let attempts: Vec<u32> = hook.deliveries.snapshot().entries.iter().map(|kept| kept.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 1, 2, 1, 2, 1]);
}

#[tokio::test]
async fn a_signature_is_checked_over_the_bytes_that_came() {
    let secret = Some("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap());
    let hook = Hook::with(Config { secret, ..Config::default() }).await;
    let now = jiff::Timestamp::now().as_second().to_string();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[0; 32]).unwrap();
    mac.update(format!("msg_1.{now}.{{\"a\": 1}}").as_bytes());
    let signature =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac.finalize().into_bytes());
    let signature = format!("v1,{signature}");
    let headers = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", now.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    post(hook.address, "/hook", &headers, "{\"a\": 1}").await;
    post(hook.address, "/hook", &headers, "{\"a\": 2}").await;
    post(hook.address, "/hook", &[], "{}").await;
    let checks: Vec<_> = hook.deliveries.snapshot().entries.into_iter().map(|kept| kept.signature).collect();
    assert_eq!(checks[0], SignatureCheck::Valid);
    assert!(matches!(&checks[1], SignatureCheck::Invalid(why) if why.contains("no `v1`")), "{checks:?}");
    assert!(matches!(&checks[2], SignatureCheck::Invalid(why) if why.contains("webhook-id")), "{checks:?}");
}

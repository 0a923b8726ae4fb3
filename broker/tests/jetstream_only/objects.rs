//! Objects as other clients of NATS see them.

use std::sync::Arc;

use broker::{Objects, ObjectsSpec, Seams, objects::PIECE_BYTES};
use tokio::io::AsyncReadExt;

use super::*;

#[tokio::test]
async fn an_object_is_read_by_a_client_of_nats() {
    let server = Server::start().await;
    let broker: Arc<dyn Broker> = Arc::new(connect(&server).await);
    let spec =
        ObjectsSpec { name: "THINGS".to_owned(), age_max: None, bytes_max: None, storage: Storage::File };
    let objects = Objects::open(broker, spec, Seams::system()).await.unwrap();
    let content: Vec<u8> = (0..2 * PIECE_BYTES + 9).map(|place| (place / 5) as u8).collect();
    let mut writer = objects.write();
    writer.write(&content).await.unwrap();
    writer.seal().await.unwrap().keep("a/b", "note".to_owned()).await.unwrap();

    let client = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let store = client.get_object_store("THINGS").await.unwrap();
    let info = store.info("a/b").await.unwrap();
    assert_eq!((info.size, info.chunks), (content.len(), 3));
    // Its reader checks the digest at the end.
    let mut read = Vec::new();
    within("all of it", store.get("a/b").await.unwrap().read_to_end(&mut read)).await.unwrap();
    assert!(read == content);
}

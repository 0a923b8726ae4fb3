//! Objects: whole or not there, read from any place, bounded, forgotten in time.

use std::{sync::Arc, time::Duration};

use broker::{
    Broker, Error, ErrorKind, ObjectInfo, Objects, ObjectsSpec, Seams, Storage, objects::PIECE_BYTES,
};
use futures_util::TryStreamExt;

use crate::support::{World, kind, until};

fn spec() -> ObjectsSpec {
    ObjectsSpec { name: "THINGS".to_owned(), age_max: None, bytes_max: None, storage: Storage::File }
}

async fn open(world: &World, spec: ObjectsSpec) -> Objects {
    Objects::open(Arc::clone(&world.broker), spec, Seams::system()).await.unwrap()
}

/// Bytes of which no two pieces are alike.
fn content(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 7 + place / PIECE_BYTES) as u8).collect()
}

async fn put(objects: &Objects, key: &str, content: &[u8]) -> Result<ObjectInfo, Error> {
    let mut writer = objects.write();
    for part in content.chunks(50_000) {
        writer.write(part).await?;
    }
    writer.seal().await?.keep(key, format!("note of {key}")).await.map(|(info, _)| info)
}

async fn read(objects: &Objects, info: &ObjectInfo, from: u64) -> Result<Vec<u8>, Error> {
    let parts: Vec<_> = objects.read(info, from..u64::MAX).try_collect().await?;
    Ok(parts.concat())
}

async fn held(broker: &dyn Broker) -> u64 {
    broker.subjects("OBJ_THINGS", ">").await.unwrap().iter().map(|(_, messages)| messages).sum()
}

pub(crate) async fn an_object_comes_back_as_it_was_written(world: &mut World) {
    let objects = open(world, spec()).await;
    assert!(objects.info("a/b c").await.unwrap().is_none());
    for length in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 5] {
        let content = content(length);
        put(&objects, "a/b c", &content).await.unwrap();
        let info = objects.info("a/b c").await.unwrap().unwrap();
        assert_eq!((info.key(), info.bytes(), info.note()), ("a/b c", length as u64, "note of a/b c"));
        assert!(read(&objects, &info, 0).await.unwrap() == content, "{length} bytes");
    }
}

pub(crate) async fn an_object_is_read_from_any_place(world: &mut World) {
    let objects = open(world, spec()).await;
    // Others write meanwhile, so that the pieces do not follow each other in the stream.
    let content = content(19 * PIECE_BYTES + 100);
    let (mut one, mut other) = (objects.write(), objects.write());
    for part in content.chunks(PIECE_BYTES) {
        one.write(part).await.unwrap();
        other.write(b"x".repeat(PIECE_BYTES).as_slice()).await.unwrap();
    }
    let (info, replaced) = one.seal().await.unwrap().keep("long", String::new()).await.unwrap();
    assert!(!replaced);
    let places =
        [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 8 * PIECE_BYTES, 17 * PIECE_BYTES + 3, content.len() - 1];
    for from in places {
        assert!(read(&objects, &info, from as u64).await.unwrap() == content[from..], "from {from}");
    }
    let part: Vec<_> = objects.read(&info, 5..PIECE_BYTES as u64 + 9).try_collect().await.unwrap();
    assert!(part.concat() == content[5..PIECE_BYTES + 9]);
    for beyond in [content.len() as u64, u64::MAX] {
        assert!(read(&objects, &info, beyond).await.unwrap().is_empty());
    }
}

pub(crate) async fn what_is_not_finished_is_never_seen_and_leaves_nothing(world: &mut World) {
    let objects = open(world, spec()).await;
    let mut writer = objects.write();
    writer.write(&content(2 * PIECE_BYTES)).await.unwrap();
    assert_eq!(held(&*world.broker).await, 2);
    drop(writer);
    until(async || held(&*world.broker).await == 0).await;
    let mut sealed = objects.write();
    sealed.write(&content(10)).await.unwrap();
    drop(sealed.seal().await.unwrap());
    until(async || held(&*world.broker).await == 0).await;
}

pub(crate) async fn a_later_object_takes_the_place_of_an_earlier(world: &mut World) {
    let objects = open(world, spec()).await;
    let earlier = put(&objects, "key", &content(2 * PIECE_BYTES)).await.unwrap();
    put(&objects, "key", b"short").await.unwrap();
    let info = objects.info("key").await.unwrap().unwrap();
    assert_eq!(read(&objects, &info, 0).await.unwrap(), b"short");
    assert_eq!(held(&*world.broker).await, 2, "one piece and its description");
    assert_eq!(kind(read(&objects, &earlier, 0).await), ErrorKind::NotFound);
}

pub(crate) async fn a_deleted_object_is_gone(world: &mut World) {
    let objects = open(world, spec()).await;
    let earlier = put(&objects, "key", b"earlier").await.unwrap();
    let info = put(&objects, "key", &content(2 * PIECE_BYTES)).await.unwrap();
    objects.delete(&earlier).await.unwrap();
    assert!(read(&objects, &info, 0).await.is_ok(), "what has taken its place stays");
    let other = put(&objects, "other", b"stays").await.unwrap();
    objects.delete(&info).await.unwrap();
    assert!(objects.info("key").await.unwrap().is_none());
    assert_eq!(held(&*world.broker).await, 2);
    assert_eq!(read(&objects, &other, 0).await.unwrap(), b"stays");
    objects.delete(&info).await.unwrap();
}

pub(crate) async fn a_full_store_refuses_and_forgets_nothing(world: &mut World) {
    let objects = open(world, ObjectsSpec { bytes_max: Some(4 * PIECE_BYTES as u64), ..spec() }).await;
    let kept = put(&objects, "kept", &content(2 * PIECE_BYTES)).await.unwrap();
    assert_eq!(kind(put(&objects, "more", &content(3 * PIECE_BYTES)).await), ErrorKind::Full);
    assert!(objects.info("more").await.unwrap().is_none());
    assert!(read(&objects, &kept, 0).await.unwrap() == content(2 * PIECE_BYTES));
    // What the refused one had written makes room again.
    until(async || put(&objects, "small", &content(PIECE_BYTES)).await.is_ok()).await;
}

pub(crate) async fn an_object_ages_out(world: &mut World) {
    let objects = open(world, ObjectsSpec { age_max: Some(Duration::from_secs(1)), ..spec() }).await;
    let info = put(&objects, "key", b"short").await.unwrap();
    until(async || objects.info("key").await.unwrap().is_none()).await;
    assert_eq!(kind(read(&objects, &info, 0).await), ErrorKind::NotFound);
}

pub(crate) async fn objects_outlive_a_restart(world: &mut World) {
    let objects = open(world, spec()).await;
    let content = content(3 * PIECE_BYTES);
    put(&objects, "key", &content).await.unwrap();
    world.restart().await;
    let info = objects.info("key").await.unwrap().unwrap();
    assert!(read(&objects, &info, 5).await.unwrap() == content[5..]);
}

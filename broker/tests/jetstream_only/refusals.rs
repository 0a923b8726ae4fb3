//! Servers and streams that cannot keep the contract's promises are refused, with the mend; and no secret is told.

use async_nats::jetstream::{self, stream};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::*;

async fn raw(server: &Server) -> jetstream::Context {
    jetstream::new(async_nats::connect(server.url()).await.unwrap())
}

fn names_all(error: &Error, words: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
}

#[tokio::test]
async fn a_server_without_jetstream_is_refused_with_the_mend() {
    let server = Server::with_config("jetstream: disabled").await;
    let error = JetStream::connect(Config::new(server.url())).await.unwrap_err();
    names_all(&error, &["no JetStream", "store_dir"]);
}

/// Says that it is an old server, and answers pings.
async fn old_server() -> (String, tokio_util::task::AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let info =
            b"INFO {\"server_id\":\"x\",\"version\":\"2.9.10\",\"headers\":true,\"max_payload\":1048576}\r\n";
        socket.write_all(info).await.unwrap();
        let mut lines = BufReader::new(&mut socket);
        let mut line = String::new();
        while lines.read_line(&mut line).await.unwrap() > 0 {
            if line.starts_with("PING") {
                lines.get_mut().write_all(b"PONG\r\n").await.unwrap();
            }
            line.clear();
        }
    });
    (url, tokio_util::task::AbortOnDropHandle::new(task))
}

#[tokio::test]
async fn an_old_server_is_refused_with_the_mend() {
    let (url, _server) = old_server().await;
    let error = within("the refusal", JetStream::connect(Config::new(url))).await.unwrap_err();
    names_all(&error, &["2.9.10", "2.11 or newer", "update it"]);
}

#[tokio::test]
async fn a_stream_that_discards_old_work_is_refused_with_the_mend() {
    let server = Server::start().await;
    let config = stream::Config {
        name: "JOBS".to_owned(),
        subjects: vec!["jobs.>".to_owned()],
        retention: stream::RetentionPolicy::WorkQueue,
        discard: stream::DiscardPolicy::Old,
        ..stream::Config::default()
    };
    raw(&server).await.create_stream(config).await.unwrap();
    let error = connect(&server).await.ensure(&[queue("JOBS")]).await.unwrap_err();
    names_all(&error, &["JOBS", "discard", "Old", "New", "nats stream edit JOBS --discard=new"]);
}

#[tokio::test]
async fn a_stream_with_a_short_memory_for_ids_is_refused_with_the_mend() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[StreamSpec { duplicate_window: Duration::from_secs(5), ..queue("JOBS") }]).await.unwrap();
    let error = broker.ensure(&[queue("JOBS")]).await.unwrap_err();
    names_all(&error, &["JOBS", "duplicate_window", "5s", "60s", "--dupe-window"]);
}

#[tokio::test]
async fn a_stream_in_which_the_first_does_not_win_is_refused_with_the_mend() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    let outcomes = StreamSpec { retention: Retention::Limits, ..queue("RES") };
    broker.ensure(std::slice::from_ref(&outcomes)).await.unwrap();
    let error = broker.ensure(&[StreamSpec { first_wins: true, ..outcomes }]).await.unwrap_err();
    names_all(&error, &["RES", "max_msgs_per_subject", "-1", "1 is needed"]);
}

#[tokio::test]
async fn a_stream_of_another_kind_or_in_memory_is_refused() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[StreamSpec { storage: Storage::Memory, ..queue("JOBS") }]).await.unwrap();
    names_all(&broker.ensure(&[queue("JOBS")]).await.unwrap_err(), &["JOBS", "storage", "Memory", "File"]);
    let limits = StreamSpec { storage: Storage::Memory, retention: Retention::Limits, ..queue("JOBS") };
    names_all(&broker.ensure(&[limits]).await.unwrap_err(), &["JOBS", "retention", "WorkQueue", "Limits"]);
}

#[tokio::test]
async fn limits_of_an_existing_stream_are_brought_to_ours() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    broker.ensure(&[StreamSpec { messages_max: Some(2), ..queue("JOBS") }]).await.unwrap();
    for number in 0..2 {
        broker.publish(numbered("jobs.a", number)).await.unwrap();
    }
    let full = broker.publish(numbered("jobs.a", 2)).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full);
    broker.ensure(&[StreamSpec { messages_max: Some(3), ..queue("JOBS") }]).await.unwrap();
    broker.publish(numbered("jobs.a", 2)).await.unwrap();
}

#[tokio::test]
async fn the_whole_topology_is_made_and_made_again() {
    let server = Server::start().await;
    let broker = connect(&server).await;
    let topology = broker::Topology::new(schemas::Subjects::default());
    let streams = topology.streams(&broker::Limits::default());
    broker.ensure(&streams).await.unwrap();
    broker.ensure(&streams).await.unwrap();
}

#[tokio::test]
async fn where_room_is_short_each_stream_gets_its_share() {
    const MIB: u64 = 1 << 20;
    let server = Server::with_store_max(700 * MIB).await;
    let topology = broker::Topology::new(schemas::Subjects::default());
    let mut streams = topology.streams(&broker::Limits::default());
    streams.push(topology.assets(&broker::AssetLimits::default()).as_stream());
    let client = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    connect(&server).await.ensure(&streams).await.unwrap();
    let mut sizes = Vec::new();
    for stream in ["DYNODE_REQ", "DYNODE_WORK", "DYNODE_RES", "OBJ_DYNODE_ASSETS"] {
        sizes.push(client.get_stream(stream).await.unwrap().cached_info().config.max_bytes);
    }
    assert_eq!(sizes, [64 << 20; 4]);
    // The second process finds what the first has made, and has room for one that is new.
    streams.push(queue("LATER"));
    connect(&server).await.ensure(&streams).await.unwrap();
    for stream in ["DYNODE_REQ", "DYNODE_RES", "OBJ_DYNODE_ASSETS"] {
        let bytes = client.get_stream(stream).await.unwrap().cached_info().config.max_bytes;
        assert!(bytes >= 64 << 20, "{stream} was cut to {bytes}");
    }
    let tiny = Server::with_store_max(16 * MIB).await;
    let refused = connect(&tiny).await.ensure(&streams).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Full);
    assert!(refused.to_string().contains("more JetStream storage"), "{refused}");
}

#[tokio::test]
async fn credentials_are_used_and_never_told() {
    let server = Server::with_config(
        "authorization { users: [ { user: ann, password: s3cret, permissions: { \
         publish: { deny: \"secret.>\" } } } ] }",
    )
    .await;
    let url = |password: &str| server.url().replace("nats://", &format!("nats://ann:{password}@"));
    let wrong = JetStream::connect(Config::new(url("wr0ng"))).await.unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Denied);
    assert!(!format!("{wrong} {wrong:?}").contains("wr0ng"));

    let config = Config::new(url("s3cret"));
    assert!(!format!("{config:?}").contains("s3cret"));
    let broker = JetStream::connect(config).await.unwrap();
    assert!(!format!("{broker:?} {:?}", broker.describe()).contains("s3cret"));
    let denied = broker.publish(numbered("secret.a", 1)).await.unwrap_err();
    assert_eq!(denied.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn an_absent_server_is_told_in_time() {
    let mut server = Server::start().await;
    server.kill().await;
    let config = Config { connect_timeout: Duration::from_millis(300), ..Config::new(server.url()) };
    let error = within("the error", JetStream::connect(config)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disconnected);
    assert!(error.to_string().contains(&server.url()), "{error}");
}

#[tokio::test]
async fn the_description_says_what_is_there() {
    let server = Server::start().await;
    let description = connect(&server).await.describe();
    assert!(description.name.starts_with("nats-server 2."), "{description:?}");
    assert!(description.name.ends_with(&format!("at {}", server.url())), "{description:?}");
    assert!(description.survives.contains("power failure"), "{description:?}");
    assert_eq!(description.message_bytes_max, 8 << 20);
}

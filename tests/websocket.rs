//! The WebSocket, by a client that is not ours.

use std::fs;

use crate::support::{Broker, Launch, python};

on_each_broker!(a_chat_client_streams_over_one_socket);

async fn a_chat_client_streams_over_one_socket(broker: Broker) {
    let launch = Launch::on(&broker).variable("DYNODE_GATEWAY__FRAME_BYTES_MAX", "65536");
    // Nothing is lost here: whoever resumes what never was need not wait for it.
    let dynode = launch.variable("DYNODE_GATEWAY__RESUME_WAIT_MS", "50").start().await;
    let schemas = dynode.dir().join("schemas.json");
    fs::write(&schemas, dynode.run(&["schema"]).await.succeeded()).unwrap();
    python("websocket.py", &[&dynode.ws_url(), schemas.to_str().unwrap()]).await;
}

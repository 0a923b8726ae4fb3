//! Services on the bus: subjects, and no other door.

use broker::testing::Server;

use crate::support::{Broker, Dynode, python};

#[tokio::test]
async fn a_service_needs_a_nats_client_and_nothing_else() {
    let server = Server::start().await;
    let _dynode = Dynode::start(&Broker::Servers(server.url())).await;
    python("bus.py", &[&server.url()]).await;
}

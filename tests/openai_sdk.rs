//! The official OpenAI SDKs, which change their base URL and nothing else.

use crate::support::{Broker, Dynode, node, python};

on_each_broker!(the_python_sdk_works, the_node_sdk_works);

async fn the_python_sdk_works(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    python("openai_sdk.py", &[&dynode.url()]).await;
}

async fn the_node_sdk_works(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    node("openai_sdk.mjs", &[&dynode.url()]).await;
}

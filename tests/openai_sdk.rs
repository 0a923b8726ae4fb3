//! The official OpenAI SDKs, which change their base URL and nothing else, and others that speak the same API.

use crate::support::{Broker, Dynode, bash, node, python};

on_each_broker!(
    the_python_sdk_works,
    the_node_sdk_works,
    the_python_sdk_has_its_responses,
    the_node_sdk_has_its_responses,
    litellm_works,
    curl_works
);

async fn the_python_sdk_works(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    python("openai_sdk.py", &[&dynode.url()]).await;
}

async fn the_node_sdk_works(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    node("openai_sdk.mjs", &[&dynode.url()]).await;
}

async fn the_python_sdk_has_its_responses(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    python("openai_responses_sdk.py", &[&dynode.url()]).await;
}

async fn the_node_sdk_has_its_responses(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    node("openai_responses_sdk.mjs", &[&dynode.url()]).await;
}

async fn litellm_works(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    python("litellm_sdk.py", &[&dynode.url()]).await;
}

async fn curl_works(broker: Broker) {
    let dynode = Dynode::start(&broker).await;
    bash("curl.sh", &[&dynode.url()]).await;
}

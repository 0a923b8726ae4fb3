//! Subjects, tenants and ids: read as what they were made of, or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{RequestId, Subjects, Tenant};

fuzz_target!(|text: &str| {
    let subjects = Subjects::default();
    if let Ok((tenant, action)) = subjects.parse_request(text) {
        assert_eq!(subjects.request(&tenant, action), text);
    }
    if let Some((tenant, id)) = subjects.parse_request_key("res", text) {
        assert_eq!(subjects.outcome(&tenant, &id), text);
    }
    if let Some((stage, tenant, id)) = subjects.parse_dead(text) {
        assert_eq!(subjects.dead(stage, tenant, id), text);
    }
    let _ = subjects.request_tenant(text);
    if let (Ok(tenant), Ok(id)) = (Tenant::new(text), RequestId::new(text)) {
        let subject = subjects.outcome(&tenant, &id);
        assert_eq!(subjects.parse_request_key("res", &subject), Some((tenant, id)));
    }
});

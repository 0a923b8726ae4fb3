//! The texts that say what goes wrong: refused, or read and written back as the same.

#![no_main]

use chaos::{provider::Behaviour, proxy::Faults, receiver::Replies};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(behaviour) = text.parse::<Behaviour>() {
        assert_eq!(behaviour.to_string().parse::<Behaviour>(), Ok(behaviour));
    }
    if let Ok(faults) = text.parse::<Faults>() {
        assert_eq!(faults.to_string().parse::<Faults>(), Ok(faults));
    }
    let _ = Behaviour::default().of_model(text);
    if let Ok(replies) = text.parse::<Replies>() {
        assert!((200..=599).contains(&replies.status_for(1)));
    }
});

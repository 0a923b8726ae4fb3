//! Messages in JSON and MessagePack: read or refused, and what was read is written back alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::{Backpressure, CallbackJob, DeadLetter, Event, Format, Heartbeat, Outcome, Request, Work};
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|body: &[u8]| {
    for format in [Format::Json, Format::MessagePack] {
        check::<Request>(format, body);
        check::<Event>(format, body);
        check::<Outcome>(format, body);
        check::<Work>(format, body);
        check::<CallbackJob>(format, body);
        check::<DeadLetter>(format, body);
        check::<Heartbeat>(format, body);
        check::<Backpressure>(format, body);
        if let Ok(request) = format.decode::<Request>(body)
            && request.check().is_ok()
        {
            // What may enter can be read wherever it goes on to.
            for format in [Format::Json, Format::MessagePack] {
                let sent = format.encode(&request).expect("encoded");
                format.decode::<Request>(&sent).expect("read again").check().expect("still in order");
            }
        }
    }
});

fn check<T: Serialize + DeserializeOwned>(format: Format, body: &[u8]) {
    let Ok(read) = format.decode::<T>(body) else { return };
    // Compared as bytes: a message may hold numbers that equal nothing.
    let written = Format::MessagePack.encode(&read).expect("encoded");
    let again = Format::MessagePack.decode::<T>(&written).expect("read again");
    assert_eq!(Format::MessagePack.encode(&again).expect("encoded"), written);
}

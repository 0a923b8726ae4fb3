//! Signatures made by the reference library (PyPI `standardwebhooks`), which hold, and every way they may not.

use axum::http::{HeaderName, HeaderValue};

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const SECONDS: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn headers(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .into_iter()
        .collect()
}

fn verify_at(now: i64, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    SECRET.parse::<Secret>().unwrap().verify(headers, body, Timestamp::from_second(now).unwrap())
}

fn verify(id: &str, timestamp: &str, signature: &str, body: &[u8]) -> Result<(), Refusal> {
    verify_at(SECONDS, &headers(id, timestamp, signature), body)
}

#[test]
fn a_signature_of_the_reference_library_holds() {
    assert_eq!(verify(ID, &SECONDS.to_string(), SIGNATURE, BODY), Ok(()));
    let zeros: Secret = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap();
    let other = headers("msg_1", &SECONDS.to_string(), "v1,RMsZwI/nSRzjdUSKNMQgIZMaQGrYjaf8E2fHsWeGLwU=");
    assert_eq!(zeros.verify(&other, "grüße".as_bytes(), Timestamp::from_second(SECONDS).unwrap()), Ok(()));
}

#[test]
fn one_good_signature_in_the_list_is_enough() {
    let list = format!("v1a,b3RoZXI= v1,AAAA v1,!!! nonsense {SIGNATURE}");
    assert_eq!(verify(ID, &SECONDS.to_string(), &list, BODY), Ok(()));
}

#[test]
fn a_change_of_any_signed_part_is_found() {
    let seconds = SECONDS.to_string();
    let later = (SECONDS + 1).to_string();
    assert_eq!(verify("msg_other", &seconds, SIGNATURE, BODY), Err(Refusal::NoMatch));
    assert_eq!(verify(ID, &later, SIGNATURE, BODY), Err(Refusal::NoMatch));
    assert_eq!(verify(ID, &seconds, SIGNATURE, br#"{"test":2432232314}"#), Err(Refusal::NoMatch));
    assert_eq!(verify(ID, &seconds, &SIGNATURE.replace("v1,", "v2,"), BODY), Err(Refusal::NoMatch));
    assert_eq!(verify(ID, &seconds, "", BODY), Err(Refusal::NoMatch));
}

#[test]
fn a_timestamp_may_be_five_minutes_off_and_no_more() {
    let headers = headers(ID, &SECONDS.to_string(), SIGNATURE);
    assert_eq!(verify_at(SECONDS + 300, &headers, BODY), Ok(()));
    assert_eq!(verify_at(SECONDS - 300, &headers, BODY), Ok(()));
    assert_eq!(verify_at(SECONDS + 301, &headers, BODY), Err(Refusal::TooFar(301)));
    assert_eq!(verify_at(SECONDS - 301, &headers, BODY), Err(Refusal::TooFar(-301)));
}

#[test]
fn a_missing_or_senseless_header_is_named() {
    let mut missing = headers(ID, "x", SIGNATURE);
    assert_eq!(verify_at(SECONDS, &missing, BODY), Err(Refusal::Timestamp));
    missing.remove("webhook-id");
    assert_eq!(verify_at(SECONDS, &missing, BODY), Err(Refusal::Header("webhook-id")));
    let extreme = headers(ID, &i64::MIN.to_string(), SIGNATURE);
    assert!(matches!(verify_at(SECONDS, &extreme, BODY), Err(Refusal::TooFar(_))));
}

#[test]
fn a_secret_is_read_by_its_form_and_never_shown() {
    for text in ["", "whsec_", "whsec_***", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
        assert!(text.parse::<Secret>().is_err(), "{text}");
    }
    let shown = format!("{:?}", SECRET.parse::<Secret>().unwrap());
    assert!(!shown.contains("MfKQ"), "{shown}");
}

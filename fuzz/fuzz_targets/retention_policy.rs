//! Retention policies: any bytes as the payload of a frame and of a state record. What is taken for a policy is one,
//! comes back from its own bytes, and finds a class for every series.
#![no_main]

use std::sync::Arc;

use edgetimedb::engine::{RetentionPolicy, decode_policy_record};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = decode_policy_record(input);
    let Ok(policy) = RetentionPolicy::decode(input) else {
        return;
    };
    let again = RetentionPolicy::decode(&policy.encode());
    assert_eq!(again.as_ref(), Ok(&policy));
    let tags: Vec<(Arc<str>, Arc<str>)> = vec![("a".into(), "b".into())];
    assert!(policy.class_of("db", "m", &tags) < policy.classes.len());
});

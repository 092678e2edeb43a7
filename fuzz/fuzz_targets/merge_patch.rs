//! Merge patches: a patch of two documents makes the second of the first, as another implementation applies it. Documents
//! come from the same generator as those of `wire`, or are the input itself.

#![no_main]

mod document;

use document::Document;
use fanwire::protocol::merge_patch::diff;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: (Document, Document, Vec<u8>)| {
    let (one, other, bytes) = input;
    let texts = [one.0.as_bytes(), other.0.as_bytes(), &bytes];
    for base in texts {
        for new in texts {
            let Some(patch) = diff(base, new, usize::MAX) else { continue };
            // A number or a nesting that this reader refuses says nothing about the patch.
            let read = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
            let (Some(base), Some(new)) = (read(base), read(new)) else { continue };
            let patch = read(&patch).expect("a patch of documents that can be read can be read");
            assert_eq!(apply(base, patch), new);
        }
    }
});

/// RFC 7396 section 2.
fn apply(base: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let mut members = base.as_object().cloned().unwrap_or_default();
    for (name, value) in patch {
        let old = members.remove(&name).unwrap_or_default();
        if !value.is_null() {
            members.insert(name, apply(old, value));
        }
    }
    Value::Object(members)
}

//! The forms of a message that are not plain, which most messages do not need. Each is built once.

use std::sync::OnceLock;

use crate::protocol::form::Form;

/// A list of forms in the order in which they were first needed.
#[derive(Debug, Default)]
pub(super) struct OtherForms(OnceLock<Box<OtherForm>>);

#[derive(Debug)]
struct OtherForm {
    form: Form,
    /// None: the form is the same as without compression.
    bytes: Option<Box<[u8]>>,
    next: OtherForms,
}

impl OtherForms {
    /// Returns a form. It is built, and added at the end, if it is not there.
    pub(super) fn get(&self, form: Form, build: impl Fn() -> Option<Box<[u8]>>) -> Option<&[u8]> {
        let mut place = self;
        loop {
            let other = place.0.get_or_init(|| Box::new(OtherForm { form, bytes: build(), next: Self::default() }));
            if other.form == form {
                return other.bytes.as_deref();
            }
            place = &other.next;
        }
    }

    /// Returns the bytes of all forms.
    pub(super) fn size(&self) -> usize {
        let (mut place, mut size) = (self, 0);
        while let Some(other) = place.0.get() {
            size += other.bytes.as_ref().map_or(0, |bytes| bytes.len());
            place = &other.next;
        }
        size
    }
}

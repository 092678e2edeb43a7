//! A message that may be sent as a delta: a merge patch to the value before of its key. The patch is made once, when a
//! connection first needs it, and shared.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::message::charge::Charge;
use crate::message::{Message, Metadata, OVERHEAD};
use crate::protocol::merge_patch;

/// Counts of the deltas of an engine: each once, however many connections got it.
#[derive(Debug, Default)]
pub struct DeltaCounts {
    messages: AtomicU64,
    bytes_before: AtomicU64,
    bytes_after: AtomicU64,
    not_smaller: AtomicU64,
}

impl DeltaCounts {
    /// Returns the values of which a delta was made, their bytes, the bytes of the deltas, and the values that have none.
    pub fn read(&self) -> [u64; 4] {
        [&self.messages, &self.bytes_before, &self.bytes_after, &self.not_smaller].map(|count| count.load(Relaxed))
    }

    fn count(&self, whole: usize, patch: Option<&[u8]>) {
        let Some(patch) = patch else {
            self.not_smaller.fetch_add(1, Relaxed);
            return;
        };
        self.messages.fetch_add(1, Relaxed);
        self.bytes_before.fetch_add(whole as u64, Relaxed);
        self.bytes_after.fetch_add(patch.len() as u64, Relaxed);
    }
}

/// What a message is a delta to.
#[derive(Debug)]
pub(super) struct Delta {
    /// The message with the whole value.
    pub(super) whole: Arc<Message>,
    /// The number of the message with the value before.
    pub(super) base_seq: u64,
    /// That message, until the patch is made.
    base: Mutex<Option<Arc<Message>>>,
    /// The patch; none if it would not be clearly smaller than the value, or there is none.
    patch: OnceLock<Option<Box<[u8]>>>,
    counts: Arc<DeltaCounts>,
}

impl Delta {
    fn new(whole: &Arc<Message>, base: &Arc<Message>, counts: &Arc<DeltaCounts>) -> Self {
        let (whole, base_seq, counts) = (Arc::clone(whole), base.seq(), Arc::clone(counts));
        Self { whole, base_seq, base: Mutex::new(Some(Arc::clone(base))), patch: OnceLock::new(), counts }
    }

    pub(super) fn patch(&self, charge: &Charge) -> Option<&[u8]> {
        let made = self.patch.get_or_init(|| {
            let base = self.base.lock().unwrap_or_else(PoisonError::into_inner).take()?;
            let patch = patch(base.payload(), self.whole.payload());
            self.counts.count(self.whole.payload().len(), patch.as_deref());
            charge.add(patch.as_ref().map_or(0, |patch| patch.len()));
            patch
        });
        made.as_deref()
    }

    pub(super) fn size(&self) -> usize {
        self.patch.get().and_then(Option::as_ref).map_or(0, |patch| patch.len())
    }
}

fn patch(base: &[u8], new: &[u8]) -> Option<Box<[u8]>> {
    if base.len().max(new.len()) > VALUE_MAX {
        return None;
    }
    let most = (new.len() - new.len() / 4).checked_sub(BASE)?;
    merge_patch::diff(base, new, most).map(Vec::into_boxed_slice)
}

impl Message {
    /// Creates a message with the value of `whole`, which is sent as a delta to the value of `base` to those who take
    /// deltas, if the delta is clearly smaller. Both values are JSON.
    pub fn delta(whole: &Arc<Message>, base: &Arc<Message>, counts: &Arc<DeltaCounts>) -> Self {
        let Self { role, kind, header, published_us, share, .. } = **whole;
        let (forms, others, readable, joined) = Default::default();
        let (metadata, charge) = (whole.metadata.clone(), whole.charge.another(OVERHEAD));
        let delta = Some(Box::new(Delta::new(whole, base, counts)));
        Self { forms, others, joined, delta, readable, role, kind, header, metadata, published_us, share, charge }
    }

    /// Returns the message with the same value that is never a delta.
    #[inline]
    pub fn whole(self: &Arc<Self>) -> &Arc<Self> {
        self.delta.as_ref().map_or(self, |delta| &delta.whole)
    }

    /// Returns the number of the message to whose value it is a delta; none if it is only sent whole.
    pub fn base(&self) -> Option<u64> {
        self.delta.as_ref().map(|delta| delta.base_seq)
    }

    /// Returns the number of the message before it in its room, or before the first that it consists of.
    pub fn first_prev(&self) -> u64 {
        let first = self.joined.as_ref().and_then(|joined| joined.parts.first());
        let Metadata { prev, seq, .. } = first.map_or(&self.metadata, |first| &first.metadata);
        prev.unwrap_or(seq.saturating_sub(1))
    }

    /// Whether it, or a message that it consists of, is sent as a delta.
    pub(super) fn has_patch(&self) -> bool {
        match (&self.joined, &self.delta) {
            (Some(joined), _) => joined.has_deltas,
            (None, Some(delta)) => delta.patch(&self.charge).is_some(),
            (None, None) => false,
        }
    }
}

/// The largest value that is compared with another, because the thread that writes does it, and reads each level of a value
/// again.
const VALUE_MAX: usize = 64 << 10;

/// The bytes of the field `base` in an envelope, about. A patch with it must save a quarter of the value: otherwise the
/// work of applying it is not worth the bytes.
const BASE: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::message::{Delivery, Role, RoomId};
    use crate::protocol::codec::Codec;
    use crate::protocol::compression::Compression;
    use crate::protocol::envelope::Kind;
    use crate::protocol::form::{Deflate, Form};
    use crate::protocol::framing::Framing;
    use crate::wire::deflate::inflate;
    use crate::wire::frame::payload;

    const ROOM: RoomId = 1;

    struct Made {
        budget: Arc<Budget>,
        counts: Arc<DeltaCounts>,
        compression: Arc<Compression>,
    }

    impl Made {
        fn new() -> Self {
            let compression = Arc::new(Compression::default());
            compression.set(6, 0).unwrap();
            Self { budget: Arc::new(Budget::new(usize::MAX)), counts: Arc::default(), compression }
        }

        fn value(&self, seq: u64, text: &str) -> Arc<Message> {
            let names = [Some("r".into()), Some("k".into())];
            let [room_name, key_name] = names;
            let place = Metadata::place(ROOM, seq, Delivery::Latest);
            let compression = Some(Arc::clone(&self.compression));
            let metadata = Metadata { room_name, key_name, key: Some(3), compression, ..place };
            Arc::new(Message::new(Role::Data, Kind::Json, text.as_bytes(), metadata, 0, &self.budget))
        }

        fn delta(&self, base: &str, new: &str) -> (Arc<Message>, Arc<Message>) {
            let (base, whole) = (self.value(7, base), self.value(9, new));
            (Arc::new(Message::delta(&whole, &base, &self.counts)), whole)
        }
    }

    fn forms() -> impl Iterator<Item = Form> {
        let codecs = [Codec::Raw, Codec::Json, Codec::Msgpack];
        let framings = [Framing::WebSocket, Framing::EventStream];
        let plain = codecs.into_iter().flat_map(move |codec| framings.map(|framing| Form::plain(codec, framing)));
        let deflated =
            plain.flat_map(|form| [Deflate::None, Deflate::Window15].map(|deflate| Form { deflate, ..form }));
        deflated.flat_map(|form| [false, true].map(|is_batched| Form { is_batched, ..form }))
    }

    fn quote(n: u64) -> String {
        format!(r#"{{"still":"{}","n":{n}}}"#, "x".repeat(200))
    }

    #[test]
    fn each_form_is_a_delta_only_where_deltas_are_agreed_to() {
        for form in forms() {
            let made = Made::new();
            let (delta, whole) = made.delta(&quote(1), &quote(2));
            let taking = Form { has_deltas: true, ..form };
            // The compressed form first: it must not need another one that is being made.
            let sent = delta.frame(taking).to_vec();
            assert_eq!(delta.frame(form), whole.frame(form), "{form:?}");
            assert_eq!(whole.frame(taking), whole.frame(form), "{form:?}");
            assert_eq!(delta.cost(taking), whole.cost(form), "{form:?}");
            assert_eq!(sent == whole.frame(form), form.codec == Codec::Raw, "{form:?}");
            if form == Form::JSON {
                let text = str::from_utf8(payload(&sent)).unwrap();
                assert!(text.ends_with(r#""key":"k","seq":9,"base":7,"payload":{"n":2}}"#), "{text}");
            }
            if form.framing == Framing::WebSocket && form.deflate != Deflate::None && form.codec != Codec::Raw {
                let plain = delta.frame(Form { deflate: Deflate::None, ..taking });
                let is_smaller = sent.len() < plain.len();
                let content = payload(&sent);
                let inflated =
                    if is_smaller { inflate(content, 1 << 20, <[u8]>::to_vec).unwrap() } else { content.into() };
                assert_eq!(inflated, payload(plain), "{form:?}");
            }
            drop((delta, whole));
            assert_eq!(made.budget.used(), 0, "{form:?}");
        }
    }

    #[test]
    fn joined_messages_have_the_deltas_of_their_parts() {
        for form in forms().map(|form| Form { has_deltas: true, ..form }) {
            let made = Made::new();
            let (delta, _) = made.delta(&quote(1), &quote(2));
            let parts = vec![made.value(8, "{}"), Arc::clone(&delta)];
            let joined = Message::join(parts.clone(), &made.budget).unwrap();
            let sent = joined.frame(form).to_vec();
            assert_eq!(joined.cost(form), joined.cost(Form { has_deltas: false, ..form }));
            if !form.is_batched || form.codec == Codec::Raw {
                let frames: Vec<_> = parts.iter().map(|part| part.frame(form)).collect();
                assert_eq!(sent, frames.concat(), "{form:?}");
            } else {
                let whole = joined.frame(Form { has_deltas: false, ..form });
                assert!(sent.len() < whole.len(), "{form:?}");
            }
            drop((delta, parts, joined));
            assert_eq!(made.budget.used(), 0, "{form:?}");
        }
    }

    #[test]
    fn what_is_not_clearly_smaller_or_too_large_is_whole() {
        let made = Made::new();
        let large = |n| format!(r#"{{"still":"{}","n":{n}}}"#, "x".repeat(VALUE_MAX));
        let values = [
            (r#"{"a":1}"#.into(), r#"{"a":2}"#.into()),
            (quote(1), r#"{"still":1}"#.into()),
            (quote(1), quote(2).replace('x', "y")),
            (quote(1), quote(2).replace('2', "null")),
            (large(1), large(2)),
            ("{".into(), quote(2)),
            (quote(1), "{".into()),
        ];
        for (base, new) in &values {
            let (delta, whole) = made.delta(base, new);
            for form in forms() {
                assert_eq!(delta.frame(Form { has_deltas: true, ..form }), whole.frame(form), "{base} {new}");
            }
        }
        assert_eq!(made.counts.read(), [0, 0, 0, values.len() as u64]);
        let (delta, _) = made.delta(&quote(1), &quote(2));
        for _ in 0..2 {
            delta.frame(Form { has_deltas: true, ..Form::JSON });
        }
        assert_eq!(made.counts.read(), [1, quote(2).len() as u64, 7, values.len() as u64]);
    }
}

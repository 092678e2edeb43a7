//! The bytes of a message as its reader counts them.

use crate::message::Message;
use crate::protocol::form::Form;

impl Message {
    /// Returns the bytes that a peer who reports counts for it, or fewer: those of the envelope, without the frame and
    /// what joins it with others. A compressed one counts with more bytes at the peer.
    pub fn counted(&self, form: Form) -> usize {
        let bytes = form.framing.inner_len(self.frame(form));
        let is_array = form.is_batched && self.joined.is_some();
        // The brackets and commas of an array; the header of MessagePack's is smaller.
        if is_array { bytes.saturating_sub(self.count() + 1) } else { bytes }
    }
}

//! Slow readers: connections for which something waits that cannot leave. A shard lists its own; the engine joins the
//! lists. Plain values.

use crate::slots::ConnId;

/// The connections of one shard, or of all, for which something waits that cannot leave.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SlowReaders {
    /// How many there are.
    pub count: usize,
    /// Those for which most bytes wait, most first.
    pub most: Vec<SlowReader>,
}

/// One of them. The fields stand in the order by which they are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlowReader {
    /// Bytes that wait, overhead included.
    pub bytes: usize,
    /// The connection.
    pub conn: ConnId,
    /// Messages that wait.
    pub messages: usize,
    /// The age of the oldest of them in microseconds.
    pub age_us: u64,
    /// What they wait for.
    pub waits_for: WaitsFor,
    /// Messages that were sent to it so far.
    pub sent: u64,
    /// Messages that were dropped for it so far.
    pub dropped: u64,
}

/// What the messages of a slow reader wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitsFor {
    /// The client: it has lost its link, and may come back.
    Client,
    /// The socket: the kernel takes no more.
    Socket,
    /// A window: the client's application has not taken what was sent.
    Window,
}

impl WaitsFor {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Socket => "socket",
            Self::Window => "window",
        }
    }
}

impl SlowReaders {
    /// Adds those of another shard, and keeps the `most` with most bytes.
    pub fn join(&mut self, other: Self, most: usize) {
        self.count += other.count;
        self.most.extend(other.most);
        self.most.sort_unstable_by(|a, b| b.cmp(a));
        self.most.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(id: u64, bytes: usize) -> SlowReader {
        let conn = ConnId::from_u64(id);
        SlowReader { bytes, conn, messages: 1, age_us: 0, waits_for: WaitsFor::Socket, sent: 0, dropped: 0 }
    }

    #[test]
    fn joined_lists_keep_those_with_most_bytes() {
        let mut all = SlowReaders { count: 7, most: vec![reader(1, 50), reader(2, 10)] };
        all.join(SlowReaders { count: 1, most: vec![reader(3, 20)] }, 2);
        assert_eq!(all, SlowReaders { count: 8, most: vec![reader(1, 50), reader(3, 20)] });
    }
}

//! What a joined message consists of.

use std::sync::{Arc, OnceLock};

use crate::protocol::form::Form;
use crate::stats::rules::Share;
use crate::stats::trace::Trace;

/// Several messages in their order.
#[derive(Debug)]
pub(super) struct Parts<M> {
    pub(super) parts: Box<[Arc<M>]>,
    /// What they cost together in each plain form, without overhead.
    pub(super) costs: [OnceLock<usize>; Form::PLAIN],
    /// What they count for in the statistics: most often one rule. Summed once, and not for each receiver.
    pub(super) shares: Box<[Share]>,
    /// Those of its messages; most often none.
    pub(super) traces: Box<[Arc<Trace>]>,
    /// Whether some of them may be sent as a delta.
    pub(super) has_deltas: bool,
}

impl<M> Parts<M> {
    pub(super) fn new(parts: Vec<Arc<M>>, counted: impl Fn(&M) -> (Share, Option<Arc<Trace>>, bool)) -> Self {
        let (mut shares, mut traces): (Vec<Share>, Vec<_>) = (Vec::new(), Vec::new());
        let mut has_deltas = false;
        for (part, trace, is_delta) in parts.iter().map(|part| counted(part)) {
            traces.extend(trace);
            has_deltas |= is_delta;
            match shares.iter_mut().find(|share| share.rule == part.rule) {
                Some(share) => {
                    share.count += part.count;
                    share.bytes += part.bytes;
                    share.published_us = share.published_us.min(part.published_us);
                }
                None => shares.push(part),
            }
        }
        Self {
            parts: parts.into(),
            costs: Default::default(),
            shares: shares.into(),
            traces: traces.into(),
            has_deltas,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::rules::RuleId;

    #[test]
    fn the_shares_of_joined_messages_are_summed_by_rule() {
        let share = |place, bytes, published_us| Share { rule: RuleId::nth(place), count: 1, bytes, published_us };
        let parts = vec![Arc::new(share(0, 5, 9)), Arc::new(share(1, 7, 8)), Arc::new(share(0, 6, 4))];
        let sums = Parts::new(parts, |&part| (part, None, false)).shares;
        assert_eq!(*sums, [Share { count: 2, ..share(0, 11, 4) }, share(1, 7, 8)]);
    }
}

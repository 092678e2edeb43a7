//! The sets of which the indexes consist.

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

/// A set that is read as fast as a list, about 26 bytes for each connection.
pub(super) type FxSet<T> = IndexSet<T, FxBuildHasher>;

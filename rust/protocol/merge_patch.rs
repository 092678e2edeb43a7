//! Merge patches (RFC 7396): what has changed from one JSON object to the next. Pure. It compares and copies the text of
//! values, so that each number stays as its publisher has written it.

use std::borrow::Cow;
use std::fmt;

use rustc_hash::FxHashMap;
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Returns the patch that makes the document `new` of the document `base`, if it has at most `most` bytes. None if there
/// is no such patch: a document is no object, a member that is new or has changed is null or an object with a null in it
/// (a null removes a member), or a name occurs twice in one object.
pub fn diff(base: &[u8], new: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut patch = Vec::new();
    write_patch(object(base)?, object(new)?, most, DEPTH_MAX, &mut patch)?;
    Some(patch)
}

fn write_patch(
    base: ObjectMembers<'_>,
    new: ObjectMembers<'_>,
    most: usize,
    depth: usize,
    patch: &mut Vec<u8>,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let mut before = FxHashMap::with_capacity_and_hasher(base.len(), Default::default());
    for (name, value) in &base {
        if before.insert(&**name, (value.get(), false)).is_some() {
            return None;
        }
    }
    patch.push(b'{');
    let mut is_first = true;
    for (name, value) in &new {
        let value = value.get();
        let old = match before.get_mut(&**name) {
            // The name occurs twice.
            Some((_, true)) => return None,
            Some((old, is_found)) => {
                *is_found = true;
                Some(*old)
            }
            None => {
                before.insert(name, (value, true));
                None
            }
        };
        if old == Some(value) {
            continue;
        }
        let old = old.filter(|old| is_object(old) && is_object(value));
        if old.is_none() && has_null(value, depth)? {
            return None;
        }
        begin_member(name, &mut is_first, patch);
        match old {
            Some(old) => write_patch(object(old.as_bytes())?, object(value.as_bytes())?, most, depth, patch)?,
            None => patch.extend_from_slice(value.as_bytes()),
        }
        if patch.len() > most {
            return None;
        }
    }
    for (name, _) in base.iter().filter(|(name, _)| before.get(&**name).is_some_and(|&(_, is_found)| !is_found)) {
        begin_member(name, &mut is_first, patch);
        patch.extend_from_slice(b"null");
    }
    patch.push(b'}');
    (patch.len() <= most).then_some(())
}

fn begin_member(name: &str, is_first: &mut bool, patch: &mut Vec<u8>) {
    if !std::mem::take(is_first) {
        patch.push(b',');
    }
    // Writing to a vector cannot fail.
    let _ = serde_json::to_writer(&mut *patch, name);
    patch.push(b':');
}

/// Whether a value is null, or an object with a null that a patch would take for the removal of a member. None if it is too
/// deep to be looked through, or names a member twice.
fn has_null(value: &str, depth: usize) -> Option<bool> {
    if value == "null" {
        return Some(true);
    }
    if !is_object(value) {
        return Some(false);
    }
    let depth = depth.checked_sub(1)?;
    let members = object(value.as_bytes())?;
    let mut names = FxHashMap::with_capacity_and_hasher(members.len(), Default::default());
    for (name, value) in &members {
        if names.insert(&**name, ()).is_some() || has_null(value.get(), depth)? {
            return Some(true);
        }
    }
    Some(false)
}

fn is_object(value: &str) -> bool {
    value.starts_with('{')
}

/// The members of an object: their names, and the text of their values.
type ObjectMembers<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

fn object(json: &[u8]) -> Option<ObjectMembers<'_>> {
    let mut reader = serde_json::Deserializer::from_slice(json);
    let members = reader.deserialize_map(ReadMembers).ok()?;
    reader.end().ok()?;
    Some(members)
}

struct ReadMembers;

impl<'a> Visitor<'a> for ReadMembers {
    type Value = ObjectMembers<'a>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(Name(name)) = map.next_key()? {
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// A name, borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The levels of objects that are compared. Whatever is deeper is rarely in a value that changes often.
const DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests;

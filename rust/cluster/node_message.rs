//! A message between nodes: a message for a room, and the node that it comes from. Pure.
//!
//! The layout is that of `python/fanwire/cluster/node_message.py`; a test compares both.

use std::str;
use std::sync::Arc;

use crate::engine::forgetting;
use crate::engine::message_builder::Draft;
use crate::error::Error;
use crate::interest::Audience;
use crate::message::{Delivery, Message, Role};
use crate::protocol::envelope::Kind;

/// A decoded message of another node.
#[derive(Debug, Clone)]
pub struct NodeMessage<'a> {
    /// When it was published, in milliseconds since 1970.
    pub ts_ms: u64,
    /// The id of the node that sent it.
    pub origin: u64,
    /// Its number among the messages of that node to the room, from 1.
    pub number: u64,
    /// The message; none if it only says how many messages there were.
    pub draft: Option<Draft<'a>>,
    /// Whom the message is for; the draft does not have it.
    pub audience: Option<Arc<Audience>>,
    /// When its key was forgotten, in microseconds since 1970; none if it is a value or an ordinary message.
    pub forgotten_us: Option<u64>,
}

impl<'a> NodeMessage<'a> {
    /// Decodes bytes from another node.
    pub fn unpack(data: &'a [u8]) -> Result<Self, Error> {
        Self::parse(data).ok_or_else(|| {
            let (len, head) = (data.len(), &data[..data.len().min(4)]);
            Error::Invalid(format!(
                "{len} bytes beginning with {head:02x?} are no node message of version {VERSION} or {WITH_AUDIENCE}"
            ))
        })
    }

    fn parse(data: &'a [u8]) -> Option<Self> {
        let (&[version, kind, delivery, has_key], rest) = data.split_first_chunk()?;
        let (ts_ms, rest) = number(rest)?;
        let (origin, rest) = number(rest)?;
        let (number, rest) = number(rest)?;
        let (size, rest) = rest.split_first_chunk()?;
        let (key, payload) = rest.split_at_checked(u16::from_be_bytes(*size).into())?;
        let (audience, payload) = match version {
            VERSION => (None, payload),
            WITH_AUDIENCE => {
                let (size, payload) = payload.split_first_chunk()?;
                let (json, payload) = payload.split_at_checked(usize::try_from(u32::from_be_bytes(*size)).ok()?)?;
                (Some(Audience::parse(json).ok()?), payload)
            }
            _ => return None,
        };
        let key = if has_key == 0 { None } else { Some(str::from_utf8(key).ok()?) };
        let delivery = match delivery {
            0 => None,
            1 => Some(Delivery::Reliable),
            2 => Some(Delivery::Latest),
            3 => Some(Delivery::DropOldest),
            4 => Some(Delivery::DropNewest),
            _ => return None,
        };
        let kind = match kind {
            0 => Kind::Binary,
            1 => Kind::Text,
            2 => Kind::Json,
            3 => return Some(Self { ts_ms, origin, number, draft: None, audience: None, forgotten_us: None }),
            4 => {
                let (us, _) = self::number(payload)?;
                let (draft, forgotten_us) = (Some(forgetting(key?)), Some(us));
                return Some(Self { ts_ms, origin, number, draft, audience: None, forgotten_us });
            }
            _ => return None,
        };
        if kind != Kind::Binary {
            str::from_utf8(payload).ok()?;
        }
        let draft = Draft { kind, payload, role: Role::Data, id: None, ack: false, key, delivery, audience: None };
        Some(Self { ts_ms, origin, number, draft: Some(draft), audience, forgotten_us: None })
    }
}

/// Encodes a kept message with the room's own delivery class, or a forgotten key; none if the key is longer than 65,535
/// bytes.
pub fn pack(message: &Message) -> Option<Vec<u8>> {
    let metadata = message.metadata();
    let key = metadata.key_name.as_deref();
    let size = u16::try_from(key.map_or(0, str::len)).ok()?;
    let kind = match message.kind() {
        _ if !message.is_data() => 4,
        Kind::Binary => 0,
        Kind::Text => 1,
        Kind::Json => 2,
    };
    let audience = message.audience().filter(|_| message.is_data()).map(|audience| audience.json());
    let version = if audience.is_some() { WITH_AUDIENCE } else { VERSION };
    let mut data = vec![version, kind, 0, key.is_some().into()];
    for number in [metadata.ts_ms, 0, 0] {
        data.extend(number.to_be_bytes());
    }
    data.extend(size.to_be_bytes());
    data.extend(key.unwrap_or_default().as_bytes());
    if let Some(json) = audience {
        data.extend(u32::try_from(json.len()).ok()?.to_be_bytes());
        data.extend(json);
    }
    if message.is_data() {
        data.extend(message.payload());
    } else {
        data.extend(metadata.ts_ms.saturating_mul(1000).to_be_bytes());
    }
    Some(data)
}

fn number(data: &[u8]) -> Option<(u64, &[u8])> {
    let (bytes, rest) = data.split_first_chunk()?;
    Some((u64::from_be_bytes(*bytes), rest))
}

const VERSION: u8 = 1;

/// The version of messages with an audience. Nodes that do not know it must not deliver them to everybody.
const WITH_AUDIENCE: u8 = 2;

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::message::Metadata;
    use proptest::prelude::*;

    /// A text message with a key, in `drop-oldest`: the third message of node 2.
    fn packed() -> Vec<u8> {
        let mut data = vec![1, 1, 3, 1];
        for number in [1_u64, 2, 3] {
            data.extend(number.to_be_bytes());
        }
        data.extend([0, 1, b'k']);
        data.extend("ä".bytes());
        data
    }

    #[test]
    fn a_whole_message() {
        let data = packed();
        let NodeMessage { ts_ms, origin, number, draft, audience, forgotten_us } = NodeMessage::unpack(&data).unwrap();
        assert!(audience.is_none());
        assert_eq!(forgotten_us, None);
        let draft = draft.unwrap();
        assert_eq!((ts_ms, origin, number), (1, 2, 3));
        assert_eq!((draft.kind, draft.payload, draft.key), (Kind::Text, "ä".as_bytes(), Some("k")));
        assert_eq!(draft.delivery, Some(Delivery::DropOldest));
    }

    #[test]
    fn a_kept_message_comes_back() {
        let metadata = Metadata { key_name: Some("k".into()), ts_ms: 7, ..Metadata::place(1, 2, Delivery::Latest) };
        let budget = Arc::new(Budget::new(usize::MAX));
        let data = pack(&Message::new(Role::Data, Kind::Json, b"[1]", metadata, 0, &budget)).unwrap();
        let message = NodeMessage::unpack(&data).unwrap();
        let draft = message.draft.unwrap();
        assert_eq!((message.ts_ms, draft.kind, draft.payload), (7, Kind::Json, &b"[1]"[..]));
        assert_eq!((draft.key, draft.delivery), (Some("k"), None));
    }

    #[test]
    fn a_message_with_an_audience_comes_back_and_is_of_a_version_of_its_own() {
        let json = br#"{"tags":{"symbol":"EURUSD"},"where":{"cell":{"in":[1,2]}}}"#;
        let audience = Some(Audience::parse(json).unwrap());
        let metadata = Metadata { ts_ms: 7, audience: audience.clone(), ..Metadata::place(1, 2, Delivery::Reliable) };
        let budget = Arc::new(Budget::new(usize::MAX));
        let data = pack(&Message::new(Role::Data, Kind::Json, b"[1]", metadata, 0, &budget)).unwrap();
        assert_eq!(data[0], WITH_AUDIENCE);
        let message = NodeMessage::unpack(&data).unwrap();
        assert_eq!((message.draft.unwrap().payload, message.audience), (&b"[1]"[..], audience));
        for len in 0..HEAD + 4 + json.len() {
            assert!(NodeMessage::unpack(&data[..len]).is_err(), "{len}");
        }
        let mut wrong = data.clone();
        wrong[HEAD + 4] = b'[';
        assert!(NodeMessage::unpack(&wrong).is_err());
    }

    #[test]
    fn a_kept_forgetting_comes_back() {
        let about = Metadata { key_name: Some("k".into()), ts_ms: 7, ..Metadata::place(1, 2, Delivery::Latest) };
        let budget = Arc::new(Budget::new(usize::MAX));
        let data = pack(&Message::new(Role::Event("forgotten"), Kind::Json, b"", about, 0, &budget)).unwrap();
        let message = NodeMessage::unpack(&data).unwrap();
        assert_eq!((message.ts_ms, message.forgotten_us, message.draft.unwrap().key), (7, Some(7000), Some("k")));
    }

    #[test]
    fn a_key_that_was_forgotten() {
        let mut data = [&[1, 4, 0, 1], &packed()[4..31]].concat();
        assert!(NodeMessage::unpack(&data).is_err());
        data.extend(5_u64.to_be_bytes());
        let message = NodeMessage::unpack(&data).unwrap();
        assert_eq!((message.origin, message.number, message.forgotten_us), (2, 3, Some(5)));
        assert_eq!(message.draft.unwrap().key, Some("k"));
        data[3] = 0;
        assert!(NodeMessage::unpack(&data).is_err());
    }

    #[test]
    fn a_count_without_a_message() {
        let data = [&[1, 3, 0, 0], &packed()[4..28], &[0, 0]].concat();
        let message = NodeMessage::unpack(&data).unwrap();
        assert!(message.draft.is_none());
        assert_eq!((message.origin, message.number), (2, 3));
    }

    #[test]
    fn everything_else_is_refused() {
        let data = packed();
        for len in 0..HEAD + 1 {
            assert!(NodeMessage::unpack(&data[..len]).is_err(), "{len}");
        }
        for (place, byte) in [(0, 3), (1, 5), (2, 5), (HEAD - 1, 200), (HEAD, 0xff), (HEAD + 2, b' ')] {
            let mut other = data.clone();
            other[place] = byte;
            assert!(NodeMessage::unpack(&other).is_err(), "{place}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(data: Vec<u8>, head in 0..4_u8) {
            // Nearly all random bytes fail at the version, so these have a right one.
            let _ = NodeMessage::unpack(&data);
            let _ = NodeMessage::unpack(&[&[VERSION, head, 0, 1], &data[..]].concat());
            let _ = NodeMessage::unpack(&[&[WITH_AUDIENCE, head, 0, 1], &data[..]].concat());
        }
    }

    const HEAD: usize = 30;
}

//! Decodes frames by RFC 6455 section 5.2, with nothing of the crate's own.

/// One whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its first byte: the opcode, the FIN bit, and the bit of what is compressed.
    pub first: u8,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Takes the first frame off `bytes`; none if it is incomplete. Panics at what a server must not send.
pub fn take<'a>(bytes: &mut &'a [u8]) -> Option<Frame<'a>> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert!(matches!(first, 0x81 | 0x82 | 0xC1 | 0xC2 | 0x88..=0x8A), "first byte {first:#x}");
    assert!(second < 0x80, "a server's frame is not masked");
    let (head, len) = match second {
        126 => {
            let len = usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap()));
            assert!(len > 125, "{len} in three bytes");
            (4, len)
        }
        127 => {
            let len = usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap())).unwrap();
            assert!(len > 0xFFFF, "{len} in nine bytes");
            (10, len)
        }
        len => (2, usize::from(len)),
    };
    assert!(first & 8 == 0 || len <= 125, "a control frame of {len} bytes");
    let payload = bytes.get(head..head + len)?;
    *bytes = &bytes[head + len..];
    Some(Frame { first, payload })
}

/// The only frame in `bytes`.
#[allow(dead_code, reason = "not every target has whole frames")]
pub fn only(mut bytes: &[u8]) -> Frame<'_> {
    let frame = take(&mut bytes).expect("a whole frame");
    assert!(bytes.is_empty(), "{} bytes after the frame", bytes.len());
    frame
}

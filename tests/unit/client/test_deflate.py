"""Compressed messages, against zlib used in the obvious way, and the examples of RFC 7692 section 7.2.3."""

from __future__ import annotations

import random
import zlib

import pytest
from helpers.deflating import inflated, squeezed
from hypothesis import given
from hypothesis import strategies as st

from fanwire.client.assembly import BINARY, CONTINUATION, TEXT, MessageAssembly, Violation
from fanwire.client.deflate import MAX_STREAMS, MIN_BYTES, Deflate, DeflateTerms

LIMIT = 1 << 16
messages = st.one_of(st.binary(max_size=2000), st.text(max_size=500).map(str.encode), st.just(b"ab" * 1000))


def peer(bits: int = 15) -> zlib._Compress:
    return zlib.compressobj(wbits=-bits)


@pytest.mark.parametrize("payload", [
    pytest.param("f2 48 cd c9 c9 07 00", id="one block"),
    pytest.param("00 05 00 fa ff 48 65 6c 6c 6f 00", id="a block without compression"),
    pytest.param("f3 48 cd c9 c9 07 00 00", id="a block with BFINAL"),
    pytest.param("f3 48 cd c9 c9 07 00", id="a block with BFINAL and nothing more"),
    pytest.param("f2 48 05 00 00 00 ff ff ca c9 c9 07 00", id="two blocks"),
])  # fmt: skip
@pytest.mark.parametrize("keeps_context", [False, True])
def test_the_examples_of_the_rfc(payload: str, keeps_context: bool) -> None:
    deflate = Deflate(DeflateTerms(keeps_context=keeps_context))
    for _ in range(2):
        assert deflate.inflate(bytes.fromhex(payload), 5) == b"Hello"


def test_the_example_with_context_needs_the_context() -> None:
    first, second = bytes.fromhex("f2 48 cd c9 c9 07 00"), bytes.fromhex("f2 00 11 00 00")
    keeping = Deflate(DeflateTerms(keeps_context=True))
    assert [keeping.inflate(payload, 5) for payload in (first, second)] == [b"Hello", b"Hello"]
    forgetting = Deflate(DeflateTerms())
    assert forgetting.inflate(first, 5) == b"Hello"
    with pytest.raises(Violation) as violation:
        forgetting.inflate(second, 5)
    assert violation.value.code == 1007


@given(st.lists(messages, max_size=5), st.booleans(), st.integers(9, 15))
def test_what_a_server_compresses_is_inflated(data: list[bytes], keeps_context: bool, bits: int) -> None:
    deflate = Deflate(DeflateTerms(server_bits=bits, keeps_context=keeps_context))
    compressor = peer(bits)
    for message in data:
        payload = squeezed(message, compressor if keeps_context else peer(bits))
        assert deflate.inflate(payload, LIMIT) == message


@given(messages, st.integers(8, 15))
def test_what_the_client_compresses_is_smaller_and_means_the_same(message: bytes, bits: int) -> None:
    payload = Deflate(DeflateTerms(client_bits=bits)).deflate(message)
    if payload is None:
        alone = squeezed(message, peer(max(bits, 9)))
        assert len(message) <= MIN_BYTES or bits == 8 or len(alone) >= len(message)
    else:
        assert len(payload) < len(message)
        assert inflated(payload, bits) == message


def test_only_messages_that_become_smaller_are_compressed() -> None:
    deflate = Deflate(DeflateTerms())
    assert deflate.deflate(b"a" * MIN_BYTES) is None
    assert deflate.deflate(b"a" * (MIN_BYTES + 1)) is not None
    assert deflate.deflate(random.Random(1).randbytes(1000)) is None


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_the_limit_is_that_of_the_inflated_message(size: int) -> None:
    for deflate in (Deflate(DeflateTerms()), Deflate(DeflateTerms(keeps_context=True))):
        assert deflate.inflate(squeezed(bytes(size)), size) == bytes(size)
        with pytest.raises(Violation) as violation:
            deflate.inflate(squeezed(bytes(size + 1)), size)
        assert violation.value.code == 1009


def test_the_limit_counts_all_streams_of_a_message() -> None:
    one = zlib.compressobj(wbits=-15)
    stream = one.compress(bytes(60)) + one.flush()
    assert Deflate(DeflateTerms()).inflate(2 * stream, 120) == bytes(120)
    with pytest.raises(Violation) as violation:
        Deflate(DeflateTerms()).inflate(2 * stream, 119)
    assert violation.value.code == 1009


@pytest.mark.parametrize("payload", [
    pytest.param("07", id="a block of a type that does not exist"),
    pytest.param("00 05 00 00 00 78", id="a stored block whose lengths differ"),
    pytest.param("f2 48 cd", id="half of a message"),
    pytest.param("00 20 00 df ff 78", id="a stored block that is not complete"),
    pytest.param("f2 48 cd c9 c9 07 00 00 00 ff ff", id="the end was sent as well"),
    pytest.param("f3 48 cd c9 c9 07 00 07", id="a last block, and noise"),
    pytest.param("f3 48 cd c9 c9 07 00 f2 00 11 00 00", id="a second stream that refers to the first"),
])  # fmt: skip
def test_what_is_no_whole_message(payload: str) -> None:
    deflate = Deflate(DeflateTerms())
    with pytest.raises(Violation) as violation:
        deflate.inflate(bytes.fromhex(payload), 1000)
    assert violation.value.code == 1007
    # Nothing is left of it for the next message.
    assert deflate.inflate(bytes.fromhex("f2 48 cd c9 c9 07 00"), 5) == b"Hello"


def test_streams_are_bounded() -> None:
    empty = b"\x03\x00"
    assert Deflate(DeflateTerms()).inflate(empty * MAX_STREAMS, 10) == b""
    with pytest.raises(Violation) as violation:
        Deflate(DeflateTerms()).inflate(empty * (MAX_STREAMS + 1), 10)
    assert violation.value.code == 1007


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_violation(payload: bytes) -> None:
    for keeps_context in (False, True):
        deflate = Deflate(DeflateTerms(server_bits=9, keeps_context=keeps_context))
        try:
            size = len(deflate.inflate(payload, 1000))
        except Violation as violation:
            code = violation.code
            assert code in (1007, 1009)
        else:
            assert size <= 1000


# In a connection's frames.


def assembly(max_message: int = LIMIT) -> MessageAssembly:
    return MessageAssembly(max_message, inflate=Deflate(DeflateTerms()).inflate)


@given(st.text(max_size=200), st.integers(0, 300))
def test_fragments_are_inflated_together(text: str, place: int) -> None:
    payload = squeezed(text.encode())
    for opcode, expected in ((TEXT, text), (BINARY, text.encode())):
        frames = assembly()
        assert frames.add(opcode, False, payload[:place], True) is None
        assert frames.add(CONTINUATION, True, payload[place:]) == expected
        assert frames.add(opcode, True, payload, True) == expected
        assert frames.add(opcode, True, text.encode()) == expected


def test_a_compressed_text_must_be_utf8() -> None:
    frames = assembly()
    with pytest.raises(Violation) as violation:
        frames.add(TEXT, True, squeezed(b"\xff"), True)
    assert violation.value.code == 1007
    frames = assembly()
    frames.add(TEXT, False, squeezed(b"\xff"), True)
    with pytest.raises(Violation) as violation:
        frames.add(CONTINUATION, True, b"")
    assert violation.value.code == 1007


def test_the_bit_is_for_the_first_frame_of_a_message_only() -> None:
    frames = assembly()
    frames.add(BINARY, False, b"", True)
    with pytest.raises(Violation) as violation:
        frames.add(CONTINUATION, True, b"", True)
    assert violation.value.code == 1002


def test_the_bit_is_refused_without_agreement() -> None:
    with pytest.raises(Violation) as violation:
        MessageAssembly(LIMIT).add(BINARY, True, squeezed(b"x"), True)
    assert violation.value.code == 1002


def test_both_sizes_of_a_message_are_bounded() -> None:
    for payload in (squeezed(bytes(101)), b"\x00\x00\x00\xff\xff" * 21):
        frames = assembly(100)
        with pytest.raises(Violation) as violation:
            frames.add(BINARY, True, payload, True)
        assert violation.value.code == 1009

"""Frames of the control socket."""

import pytest

from forkcluster.errors import PeerError
from forkcluster.wire.control import HEAD, MAGIC, MOST_REQUEST, VERSION, Decoder, encode

BODY = {"command": "status", "word": "é\ud800"[:1], "number": 3}


def test_a_frame_survives_being_cut_anywhere():
    """Byte by byte is the same as at once."""
    decoder = Decoder(MOST_REQUEST)
    found = [decoder.feed(bytes([byte])) for byte in encode(BODY)]
    assert [BODY] == [each for each in found if each is not None]
    assert BODY == Decoder(MOST_REQUEST).feed(encode(BODY))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not our protocol"),
        (b"x", "not our protocol"),
        (HEAD.pack(MAGIC, VERSION + 1, 2) + b"{}", f"version {VERSION + 1}"),
        (HEAD.pack(MAGIC, VERSION, 1 << 30), "1073741824 bytes announced"),
        (HEAD.pack(MAGIC, VERSION, 2) + b"[]", "not a JSON object"),
        (HEAD.pack(MAGIC, VERSION, 2) + b"{x", "not JSON"),
        (HEAD.pack(MAGIC, VERSION, 2) + b"\xff\xfe", "not JSON"),
        (HEAD.pack(MAGIC, VERSION, 60000) + b"[" * 60000, "not JSON"),
        (encode({}) + b"{", "more than one"),
    ],
)
def test_what_is_no_frame_is_refused_with_a_reason(data, words):
    """Garbage, another version, too much, and what is no JSON object."""
    with pytest.raises(PeerError, match=words):
        Decoder(MOST_REQUEST).feed(data)

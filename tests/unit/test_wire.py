"""Messages and channels between processes."""

import os
import socket

import pytest

from forkcluster import _process
from forkcluster.wire.channel import Sent, channel_pair, close_all
from forkcluster.wire.messages import HEAD, MAGIC, PAYLOAD, VERSION, Kind, Message, MessageError, pack, unpack


@pytest.fixture
def ends():
    """The two ends of a channel, closed at the end."""
    pair = channel_pair()
    yield pair
    for end in pair:
        end.close()


def test_kinds_are_those_of_the_c_header():
    """Both twins name the same kinds with the same numbers."""
    constants = _process.wire_constants()
    in_c = {
        name.removeprefix("KIND_"): value for name, value in constants.items() if name.startswith("KIND_")
    }
    assert in_c == {kind.name: kind.value for kind in Kind}


def test_head_has_the_layout_of_the_c_struct():
    """Every field lies where C expects it."""
    constants = _process.wire_constants()
    offsets = {name: value for name, value in constants.items() if name.startswith("offset_")}
    assert constants["head_size"] == HEAD.size
    assert (MAGIC, VERSION, PAYLOAD) == tuple(
        constants[f"WIRE_{name}"] for name in ("MAGIC", "VERSION", "PAYLOAD")
    )
    record = pack(Message(Kind.RETIRE, seat=0x11111111, epoch=0x22222222, arg=0x44, deadline_ns=0x33))
    expected = {
        "offset_magic": MAGIC,
        "offset_version": VERSION,
        "offset_kind": Kind.RETIRE,
        "offset_seat": 0x11111111,
        "offset_epoch": 0x22222222,
        "offset_deadline_ns": 0x33,
        "offset_arg": 0x44,
    }
    sizes = {"offset_version": 2, "offset_kind": 2, "offset_deadline_ns": 8, "offset_arg": 8}
    found = {
        name: int.from_bytes(record[at : at + sizes.get(name, 4)], "little") for name, at in offsets.items()
    }
    assert expected == found


def test_message_survives_the_wire():
    """What was packed is unpacked."""
    message = Message(Kind.FORKED, "größe", seat=3, epoch=9, arg=77, deadline_ns=123456789012)
    assert message == unpack(pack(message))


def test_long_text_is_cut_in_the_middle():
    """A traceback's first and last lines are the ones that tell."""
    text = unpack(pack(Message(Kind.FAILED, "first " + "x" * 200_000 + " last"))).text
    assert ("first ", " last") == (text[:6], text[-5:])
    assert len(text) <= PAYLOAD


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"short",
        HEAD.pack(1, VERSION, 1, 0, 0, 0, 0),
        HEAD.pack(MAGIC, 9, 1, 0, 0, 0, 0),
        HEAD.pack(MAGIC, VERSION, 999, 0, 0, 0, 0),
    ],
    ids=["empty", "short", "magic", "version", "kind"],
)
def test_foreign_record_is_refused(record):
    """Nothing is guessed about a record that is not ours."""
    with pytest.raises(MessageError):
        unpack(record)


def test_descriptors_arrive_close_on_exec_and_in_order(ends):
    """A worker's descriptors must not leak into programs the app starts."""
    ours, theirs = ends
    files = [os.memfd_create(str(number)) for number in range(3)]
    ours.send(Message(Kind.FORK), files)
    _, received = theirs.receive()
    assert [os.fstat(file).st_ino for file in files] == [os.fstat(file).st_ino for file in received]
    assert [False] * 3 == [os.get_inheritable(file) for file in received]
    close_all(files + received)


def test_full_queue_is_reported_and_does_not_block(ends):
    """A child that never reads must not stop the master."""
    ours, _ = ends
    results = []
    while not results or results[-1] is Sent.OK:
        results.append(ours.send(Message(Kind.NUDGE, "x" * 1000)))
    assert Sent.FULL is results[-1]


def test_sending_to_a_closed_end_is_reported(ends):
    """A dead peer is an answer, not an exception."""
    ours, theirs = ends
    theirs.close()
    assert Sent.CLOSED is ours.send(Message(Kind.NUDGE))


def test_end_of_file_comes_after_what_was_queued(ends):
    """The last words of a dying process are heard."""
    ours, theirs = ends
    ours.send(Message(Kind.FAILED, "last words"))
    ours.close()
    assert "last words" == theirs.receive()[0].text
    assert theirs.receive() is None


def test_nothing_to_receive_does_not_block(ends):
    """Reading without a message waiting raises at once."""
    with pytest.raises(BlockingIOError):
        ends[0].receive()


def test_descriptors_of_a_foreign_record_are_closed():
    """A malformed message leaks nothing into its receiver."""
    from forkcluster.wire.channel import Channel

    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(right)
    before = set(os.listdir("/proc/self/fd"))
    socket.send_fds(left, [b"garbage"], [0, 1, 2])
    with pytest.raises(MessageError):
        channel.receive()
    assert before == set(os.listdir("/proc/self/fd"))
    channel.close()
    left.close()

"""forkcluster._fdpass over real socket pairs: what is sent arrives, what is refused leaks nothing."""

import array
import errno
import fcntl
import os
import resource
import socket
import struct

import pytest

from forkcluster._fdpass import (
    MOST,
    MOST_BYTES,
    MOST_UNREAD,
    Connection,
    receive_connections,
    send_connections,
)


@pytest.fixture
def channel():
    """A sending and a receiving end; the test fails if it leaves a descriptor open that was not before."""
    before = open_descriptors()
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        yield sender, receiver
    assert before == open_descriptors()


@pytest.fixture
def stream():
    """A connection to hand over, and the client at its other end."""
    client, server = socket.socketpair()
    with client, server:
        yield client, server


def open_descriptors():
    listed = os.listdir("/proc/self/fd")  # among them the one that lists, which is closed by now
    return {name for name in listed if os.path.lexists(f"/proc/self/fd/{name}")}


def close_all(connections):
    for connection in connections:
        os.close(connection.fd)


def fields(connection):
    names = ("listener", "hops", "served", "deadline_ns", "accepted_ns", "address", "unread")
    return {name: getattr(connection, name) for name in names}


def test_a_connection_arrives_with_all_its_fields_and_is_the_same_socket(channel, stream):
    """What the receiver gets can answer the client, and every field is as it was sent."""
    sender, receiver = channel
    client, server = stream
    sent = Connection(
        server.fileno(),
        listener=65535,
        hops=2,
        served=2**32 - 1,
        deadline_ns=2**64 - 1,
        accepted_ns=123456789012345,
        address=struct.pack("=H6x", socket.AF_INET) + b"\0" * 8,
        unread=b"GET / HTTP/1.1\r\nHo\0",
    )
    assert send_connections(sender, [sent])
    (got,) = receive_connections(receiver)
    assert fields(sent) == fields(got)
    server.close()
    with socket.socket(fileno=got.fd) as taken:
        taken.sendall(b"answer")
        assert client.recv(100) == b"answer"


def test_defaults_are_a_fresh_connection():
    """A record made from a descriptor alone says nothing about it."""
    expected = {
        "listener": 0,
        "hops": 0,
        "served": 0,
        "deadline_ns": 0,
        "accepted_ns": 0,
        "address": b"",
        "unread": b"",
    }
    assert expected == fields(Connection(7))


def test_sixteen_connections_travel_in_one_message_in_order(channel):
    """The most one message may carry arrives whole, each with its own unread bytes, on its own socket."""
    sender, receiver = channel
    pairs = [socket.socketpair() for _ in range(MOST)]
    batch = [Connection(pair[1].fileno(), served=i, unread=b"x" * (i * 100)) for i, pair in enumerate(pairs)]
    assert send_connections(sender, batch)
    got = receive_connections(receiver)
    assert [fields(c) for c in batch] == [fields(c) for c in got]
    for i, connection in enumerate(got):
        os.write(connection.fd, b"%d" % i)
    assert [b"%d" % i for i in range(MOST)] == [pair[0].recv(10) for pair in pairs]
    close_all(got)
    for pair in pairs:
        pair[0].close()
        pair[1].close()


def test_received_descriptors_are_close_on_exec(channel, stream):
    """A command started by the receiver must not inherit a client."""
    sender, receiver = channel
    send_connections(sender, [Connection(stream[1].fileno())])
    got = receive_connections(receiver)
    assert fcntl.FD_CLOEXEC == fcntl.fcntl(got[0].fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    close_all(got)


def test_messages_keep_their_bounds(channel, stream):
    """Two messages are received one at a time, never joined."""
    sender, receiver = channel
    one = Connection(stream[1].fileno(), unread=b"one")
    two = Connection(stream[1].fileno(), unread=b"two")
    send_connections(sender, [one, one])
    send_connections(sender, [two])
    first, second = receive_connections(receiver), receive_connections(receiver)
    assert [b"one", b"one"] == [c.unread for c in first]
    assert [b"two"] == [c.unread for c in second]
    close_all(first + second)


def test_nothing_there_raises_blocking_io_error(channel):
    """Receiving never blocks, whatever mode the descriptor is in."""
    with pytest.raises(BlockingIOError):
        receive_connections(channel[1])


def test_end_of_file_is_none(channel):
    """When the sender is gone and all is read there is nothing more to come."""
    sender, receiver = channel
    sender.close()
    assert receive_connections(receiver) is None


@pytest.mark.parametrize("count", [0, MOST + 1])
def test_a_batch_of_a_wrong_size_is_refused(channel, stream, count):
    """None is not a message and seventeen do not fit one."""
    with pytest.raises(ValueError, match="1 to 16"):
        send_connections(channel[0], [Connection(stream[1].fileno())] * count)


def test_the_largest_batch_that_fits_arrives_and_one_byte_more_is_refused(channel, stream):
    """The limit of a message is on records and unread bytes together."""
    sender, receiver = channel
    fd = stream[1].fileno()
    full = [Connection(fd, unread=b"u" * MOST_UNREAD) for _ in range(7)]
    low, high = 0, MOST_UNREAD
    assert send_connections(sender, [*full, Connection(fd)])
    close_all(receive_connections(receiver))
    while high - low > 1:  # find the border
        middle = (low + high) // 2
        try:
            assert send_connections(sender, [*full, Connection(fd, unread=b"u" * middle)])
        except ValueError:
            high = middle
        else:
            got = receive_connections(receiver)
            assert [MOST_UNREAD] * 7 + [middle] == [len(c.unread) for c in got]
            close_all(got)
            low = middle
    assert 7 * MOST_UNREAD + low < MOST_BYTES < 7 * MOST_UNREAD + low + 4096
    with pytest.raises(ValueError, match="do not fit one message"):
        send_connections(sender, [*full, Connection(fd, unread=b"u" * high)])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listener", 65536),
        ("listener", -1),
        ("hops", 3),
        ("served", 2**32),
        ("deadline_ns", 2**64),
        ("accepted_ns", -1),
        ("address", b"a" * 129),
        ("unread", b"u" * (MOST_UNREAD + 1)),
    ],
)
def test_a_field_over_its_limit_is_refused_by_name(name, value):
    """A record that could not travel cannot be made."""
    with pytest.raises(ValueError, match=name):
        Connection(1, **{name: value})


def test_a_record_cannot_be_changed():
    """Only whoever holds the connection may say what it is, by a new record."""
    with pytest.raises(AttributeError):
        Connection(1).fd = 2


def test_only_connections_are_sent(channel):
    """A descriptor by itself is a mistake that is named."""
    with pytest.raises(TypeError, match="Connection"):
        send_connections(channel[0], [1])


def test_a_closed_descriptor_is_an_os_error(channel, stream):
    """The system's refusal reaches the caller as it is."""
    fd = os.dup(stream[1].fileno())
    os.close(fd)
    with pytest.raises(OSError) as caught:
        send_connections(channel[0], [Connection(fd)])
    assert errno.EBADF == caught.value.errno


def test_leaving_shuts_senders_out_and_keeps_what_was_queued(channel, stream):
    """After SHUT_RD on the receiving end senders get EPIPE, what was queued is read, then end of file."""
    sender, receiver = channel
    for i in range(3):
        assert send_connections(sender, [Connection(stream[1].fileno(), served=i)])
    receiver.shutdown(socket.SHUT_RD)
    with pytest.raises(BrokenPipeError):
        send_connections(sender, [Connection(stream[1].fileno())])
    got = [receive_connections(receiver) for _ in range(3)]
    assert [0, 1, 2] == [batch[0].served for batch in got]
    assert receive_connections(receiver) is None
    for batch in got:
        close_all(batch)


def test_a_receiver_that_died_is_a_broken_pipe(channel, stream):
    """Sending to a closed end is told apart from other errors, with and without messages left in it."""
    sender, receiver = channel
    assert send_connections(sender, [Connection(stream[1].fileno())])
    receiver.close()
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            send_connections(sender, [Connection(stream[1].fileno())])


def test_a_full_queue_keeps_the_connection(channel, stream):
    """False means not sent: the queue takes again after it was read, and no message is lost or doubled."""
    sender, receiver = channel
    sent = 0
    while send_connections(sender, [Connection(stream[1].fileno(), served=sent)]):
        sent += 1
    assert sent > 16
    close_all(receive_connections(receiver))
    assert send_connections(sender, [Connection(stream[1].fileno(), served=sent)])
    for i in range(1, sent + 1):
        (got,) = receive_connections(receiver)
        assert i == got.served
        os.close(got.fd)
    with pytest.raises(BlockingIOError):
        receive_connections(receiver)


def test_a_full_descriptor_table_is_reported_and_leaks_nothing(channel, stream):
    """With room for two of four descriptors the message is lost, says so, and the two are closed again."""
    sender, receiver = channel
    assert send_connections(sender, [Connection(stream[1].fileno())] * 4)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = open_descriptors()
    fillers = [os.dup(0)]
    while fillers[-1] < 200:  # no holes below the limit
        fillers.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[-1] + 3, hard))
    try:
        with pytest.raises(OSError, match="no room") as caught:
            receive_connections(receiver)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in fillers:
            os.close(fd)
    assert errno.EMFILE == caught.value.errno
    assert before == open_descriptors()
    stream[1].close()
    assert stream[0].recv(1) == b""  # not even the kernel holds a copy


def raw_message(sender, data, fds):
    sender.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])


def genuine_bytes(fd, **given):
    """The bytes of a real message about one connection."""
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with sender, receiver:
        send_connections(sender, [Connection(fd, **given)])
        data, ancillary, _, _ = receiver.recvmsg(MOST_BYTES, socket.CMSG_SPACE(4))
    os.close(array.array("i", ancillary[0][2])[0])
    return data


def test_the_bytes_of_a_message_with_its_descriptor_are_what_makes_it(channel, stream):
    """The malformed messages of the next test differ from this accepted one in one thing each."""
    sender, receiver = channel
    fd = stream[1].fileno()
    raw_message(sender, genuine_bytes(fd, unread=b"hello"), [fd])
    got = receive_connections(receiver)
    assert [b"hello"] == [c.unread for c in got]
    close_all(got)


@pytest.mark.parametrize(
    ("fault", "n_fds"),
    [
        (lambda data: data, 0),  # no descriptor
        (lambda data: data, 2),  # one too many
        (lambda data: b"", 1),  # empty
        (lambda data: data[:4], 1),  # a part of the head
        (lambda data: data[:20], 1),  # a part of a record
        (lambda data: data[:-1], 1),  # unread bytes missing
        (lambda data: data + b"x", 1),  # bytes nobody owns
        (lambda data: b"\x02\0\0\0" + data[4:], 1),  # another version
        (lambda data: data[:4] + b"\x02\0\0\0" + data[8:], 1),  # count and descriptors differ
        (lambda data: data[:4] + b"\xff\xff\xff\xff" + data[8:], 1),
        (lambda data: data[:8] + b"\xff" * (len(data) - 8), 1),  # every field over its limit
        (lambda data: data + b"x" * MOST_BYTES, 1),  # longer than a message can be
        (lambda data: os.urandom(len(data)), 3),
    ],
)
def test_a_malformed_message_is_refused_and_its_descriptors_closed(channel, stream, fault, n_fds):
    """Nothing of a message that is not ours is believed, and nothing of it stays open."""
    sender, receiver = channel
    fd = stream[1].fileno()
    before = open_descriptors()
    raw_message(sender, fault(genuine_bytes(fd, unread=b"hello")), [fd] * n_fds)
    with pytest.raises(OSError) as caught:
        receive_connections(receiver)
    assert errno.EBADMSG == caught.value.errno
    assert before == open_descriptors()
    send_connections(sender, [Connection(fd)])  # the channel itself is as good as before
    close_all(receive_connections(receiver))


def test_more_descriptors_than_a_message_may_have_are_all_closed(channel, stream):
    """A seventeenth descriptor makes the message truncated; the sixteen that came are closed."""
    sender, receiver = channel
    before = open_descriptors()
    raw_message(sender, b"x" * 100, [stream[1].fileno()] * (MOST + 1))
    with pytest.raises(OSError) as caught:
        receive_connections(receiver)
    assert errno.EMFILE == caught.value.errno
    assert before == open_descriptors()


def test_a_thousand_hand_overs_leave_nothing_behind(channel, stream):
    """No descriptor is left open by sending and receiving, also when the sender closes its copy at once."""
    sender, receiver = channel
    before = open_descriptors()
    for i in range(1000):
        fd = os.dup(stream[1].fileno())
        assert send_connections(sender, [Connection(fd, unread=b"GET", served=i)])
        os.close(fd)
        close_all(receive_connections(receiver))
    assert before == open_descriptors()

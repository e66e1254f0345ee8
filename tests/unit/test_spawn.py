"""A program executed with exactly what it is given."""

import os
import signal

import pytest

from forkcluster import _process

SHOW = b'echo "$LISTEN_PID $$ $PWD $(umask)"; ls /proc/self/fd | tr "\\n" " "; printf "$A"'


def run(script=SHOW, directory=b"/tmp", descriptors=(), **settings):
    """Run a shell script; give its pid, what it printed and its wait status."""
    reader, writer = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    try:
        words = [b"sh", b"-c", script]
        environment = [b"A=one", b"PATH=/usr/bin:/bin"]
        streams = [null, writer, null, *descriptors]
        pid = _process.spawn(b"/bin/sh", words, environment, directory, streams, **settings)
    finally:
        os.close(writer)
        os.close(null)
    with os.fdopen(reader) as file:
        text = file.read()
    return pid, text, os.waitpid(pid, 0)[1]


def test_descriptors_are_put_in_their_places_and_all_others_closed():
    """The one that `ls` opens itself is the fifth."""
    extra = os.pipe()
    try:
        os.set_inheritable(extra[0], True)
        pid, text, status = run(descriptors=[extra[1]], umask=0o27, listen_pid=True)
    finally:
        os.close(extra[0])
        os.close(extra[1])
    first, second = text.split("\n", 1)
    assert (f"{pid} {pid} /tmp 0027", "0 1 2 3 4 one", 0) == (first, second, status)


def test_a_descriptor_may_be_missing():
    """Its place stays closed: here the one behind the standard streams."""
    _, text, status = run(descriptors=[-1])
    assert ("0 1 2 3 one", 0) == (text.split("\n", 1)[1], status)  # 3 is what `ls` has opened


def test_it_may_stay_in_our_session():
    """A terminal's signals reach it then."""
    _, text, _ = run(b"read -r a b c d e sid rest < /proc/$$/stat; echo $sid", session=False)
    assert os.getsid(0) == int(text)


def test_it_leads_a_session_of_its_own_with_the_defaults_of_signals():
    """Python ignores PIPE; a program must not."""
    script = b"read -r a b c d e sid rest < /proc/$$/stat; echo $$ $sid; exec grep -E 'SigBlk|SigIgn' "
    pid, text, _ = run(script + b"/proc/self/status")
    words = text.split()
    assert [str(pid), str(pid)] == words[:2]
    assert [0, 0] == [int(word, 16) & 0x7FFFFFFF for word in (words[3], words[5])]


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((b"/no/such", b"/tmp", [0]), FileNotFoundError, "executing /no/such: No such file"),
        ((b"/etc", b"/tmp", [0]), PermissionError, "executing /etc: Permission denied"),
        ((b"/bin/sh", b"/no/such", [0]), FileNotFoundError, "changing to its directory /no/such"),
        ((b"/bin/sh", b"/tmp", [9999]), OSError, "handing over its descriptors: Bad file"),
        ((b"/bin/sh", b"/tmp", [0] * 200), OSError, "handing over its descriptors"),
    ],
)
def test_what_could_not_be_done_is_said_and_nothing_is_left(arguments, error, text):
    """No child, no descriptor."""
    program, directory, descriptors = arguments
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(error, match=text):
        _process.spawn(program, [b"sh"], [], directory, descriptors)
    assert before == len(os.listdir("/proc/self/fd"))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_it_becomes_the_user_for_good():
    """Groups too."""
    _, text, _ = run(b"id -u; id -g; id -G", identity=(65534, 65534, [65534]))
    assert "65534\n65534\n65534\n" == text


@pytest.mark.parametrize("wrong", [[1], ["x"], [b"a", 3]])
def test_arguments_that_are_no_bytes_are_refused(wrong):
    """Before anything is started."""
    with pytest.raises(TypeError):
        _process.spawn(b"/bin/sh", wrong, [], b"/", [0])
    with pytest.raises(TypeError):
        _process.spawn(b"/bin/sh", [b"sh"], [], b"/", ["x"])


def test_it_is_told_when_its_parent_dies():
    """The signal is that of the app, not always KILL."""
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        script = b'trap "echo told; exit" USR1; echo here; while true; do sleep 0.05; done'
        _process.spawn(
            b"/bin/sh", [b"sh", b"-c", script], [], b"/", [0, writer, 2], death_signal=signal.SIGUSR1
        )
        signal.pause()
    os.close(writer)
    with os.fdopen(reader) as file:
        assert "here\n" == file.readline()
        os.kill(parent, signal.SIGKILL)
        os.waitpid(parent, 0)
        assert "told\n" == file.readline()

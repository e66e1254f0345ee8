"""The C module about processes, in real child processes."""

import os
import signal
import subprocess
import sys

import pytest


def run(code, **environment):
    """Run a program; give what it printed, its error output included."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        env={**os.environ, **environment},
    )
    return done.stdout + done.stderr


def test_worker_of_a_double_fork_belongs_to_the_subreaper():
    """The worker's parent is the master, not the mold that forked it."""
    code = """
import os, time
from forkcluster import _process
_process.set_child_subreaper()
master = os.getpid()
mold = os.fork()
if mold == 0:
    role, pid = _process.double_fork()
    if role == _process.ROLE_WORKER:
        until = time.monotonic() + 10
        while os.getppid() != master and time.monotonic() < until: pass  # first the process in the middle
        os._exit(11 if os.getppid() == master else 12)
    os._exit(0)
statuses = sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2))
print(statuses)
"""
    assert "[0, 11]\n" == run(code)


def test_term_at_birth_is_honoured():
    """A TERM that comes before the worker's first line of Python makes leave_fd readable."""
    code = """
import os, select, signal
from forkcluster import _process
_process.set_child_subreaper()
_process.quiet_signals([signal.SIGTERM])
def after():
    if os.getpid() != mold:
        os.kill(os.getpid(), signal.SIGTERM)
mold = os.getpid()
os.register_at_fork(after_in_child=after)
role, pid = _process.double_fork()
if role == _process.ROLE_WORKER:
    ready, _, _ = select.select([_process.leave_fd()], [], [], 5)
    os._exit(21 if ready else 22)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert "21\n" == run(code)


def test_signals_for_the_group_do_nothing_in_a_worker():
    """Ctrl-C and hang-up reach every process of a terminal; a worker obeys its channel."""
    code = """
import os, signal
from forkcluster import _process
_process.set_child_subreaper()
role, pid = _process.double_fork()
if role == _process.ROLE_WORKER:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        os.kill(os.getpid(), number)
    os._exit(31)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert "31\n" == run(code)


def test_signal_mask_and_dispositions_do_not_leak_into_programs():
    """A program the worker's app starts must die of TERM: mask empty, nothing ignored."""
    code = """
import os, signal
from forkcluster import _process
_process.set_child_subreaper()
_process.quiet_signals([signal.SIGTERM, signal.SIGINT])
role, pid = _process.double_fork()
if role == _process.ROLE_WORKER:
    os.execv("/bin/sh", ["sh", "-c", "kill -TERM $$; exit 5"])
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert f"{-signal.SIGTERM}\n" == run(code)


def test_double_fork_without_room_for_a_process_is_an_error():
    """EAGAIN of fork(2) is told, and the mold lives on."""
    if os.getuid() == 0:
        pytest.skip("RLIMIT_NPROC does not bind root")
    code = """
import resource
from forkcluster import _process
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    _process.double_fork()
except OSError as error:
    print(type(error).__name__)
"""
    assert "BlockingIOError\n" == run(code)


def test_double_fork_leaves_no_descriptor_and_no_zombie_in_the_mold():
    """A mold forks thousands of times."""
    code = """
import os, resource
from forkcluster import _process
before = len(os.listdir("/proc/self/fd"))
for _ in range(20):
    role, pid = _process.double_fork()
    if role == _process.ROLE_WORKER:
        os._exit(0)
print(len(os.listdir("/proc/self/fd")) - before)
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child")
"""
    assert "0\nno child\n" == run(code)


def test_who_gives_way_weighs_less_and_asks_for_a_long_slice():
    """Ten steps nicer; and where the kernel tells a process's slice, longer than another's."""
    code = """
import os
from forkcluster import _process
def slices():
    try:
        with open("/proc/self/sched") as file:
            return [float(line.split()[2]) for line in file if line.startswith("se.slice")]
    except OSError:
        return []
before, nice = slices(), os.nice(0)
_process.give_way()
print(min(19, nice + 10) == os.nice(0), all(new > old for old, new in zip(before, slices())))
"""
    assert "True True\n" == run(code)


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="malloc is the sanitizer's own")
def test_filled_holes_leave_nothing_to_be_used_but_what_is_behind_them():
    """A forked process would copy the page of each hole it used."""
    code = """
from forkcluster import _process
blocks = [bytes(600) for _ in range(500)]  # larger than what Python does not leave to malloc
behind = max(map(id, blocks))
del blocks[::2]
print(id(bytes(600)) > behind)
_process.fill_holes()
print(id(bytes(600)) > behind)
"""
    assert "False\nTrue\n" == run(code, PYTHONMALLOC="default")


# Where Python has immortal objects, and we know its marks of them.
immortals = pytest.mark.skipif(not (3, 12) <= sys.version_info < (3, 14), reason="no immortal objects")


@immortals
def test_definitions_are_not_counted_any_more_and_what_holds_something_is():
    """Functions, classes, names and constants stay for good; whatever may have an end still has it."""
    code = """
import collections, fractions, sys, types, weakref
from forkcluster import _process

class Kept:
    size = 10.5
    def method(self, text="a constant", *, flag=b"bytes"):
        return (1234567, "in a tuple", (2345678, b"nested"))
    @property
    def value(self): return self

def closure(held):
    def inner(): return held
    return inner

class Resource: pass
resource, values, mapping, pair = Resource(), [1], {"a": 1}, (Resource(), "text")
bound, append = Kept().method, [].append
function, code = Kept.method, Kept.method.__code__
consts = code.co_consts
lasting = [Kept, function, code, consts, consts[1], consts[1][2], code.co_linetable, code.co_filename,
           Kept.size, Kept.__mro__, vars(Kept)["value"], function.__defaults__,
           function.__kwdefaults__["flag"], closure(3).__code__, types, fractions.Fraction,
           collections.deque.append, sys.exit,
           function.__qualname__]
counted = [resource, values, mapping, pair, bound, append, pair[0]]
print(_process.immortalize() > 10_000)

def steady(each):
    before = sys.getrefcount(each)
    more = [each] * 1000
    return sys.getrefcount(each) == before
print([each for each in lasting if not steady(each)])
print([each for each in counted if steady(each)])
ended = [weakref.ref(each, lambda reference: print("ended")) for each in (resource, pair[0])]
del resource, counted, pair
"""
    assert "True\n[]\n[]\nended\nended\n" == run(code)


@immortals
@pytest.mark.parametrize("known", [1, 10], ids=["with an empty place", "about to be resized"])
def test_a_tuple_that_another_thread_is_making_is_left_alone(known):
    """The collector lists it long before it is whole: what an import has begun in a thread goes on."""
    code = f"""
import threading
from forkcluster import _process
asked, told = threading.Event(), threading.Event()
def words():
    yield from ["word"] * {known}
    asked.set()
    told.wait()
    yield "last"
thread = threading.Thread(target=lambda: print(len(tuple(words()))))
thread.start()
asked.wait()
print(_process.immortalize() > 1000, flush=True)
told.set()
thread.join()
"""
    assert run(code) == f"True\n{known + 1}\n"


@immortals
def test_an_interpreter_with_immortal_definitions_ends_as_usual():
    """Exit handlers run, instances of modules end, files are flushed; also in a forked process."""
    code = """
import asyncio, atexit, collections, email.message, json, logging, os, sys, unittest
from forkcluster import _process
class Noisy:
    def __del__(self): print("gone", flush=True)
_process.immortalize()
noisy = Noisy()
atexit.register(print, "exit")
print("forked", flush=True)
pid = os.fork()
if pid: os.waitpid(pid, 0)
print(json.dumps({"a": collections.Counter("aab")}), sys.intern("n" + "ew"))
"""
    end = '{"a": {"a": 2, "b": 1}} new\nexit\ngone\n'
    assert "forked\n" + end * 2 == run(code)


@immortals
def test_forked_processes_share_the_pages_of_immortal_definitions():
    """A reference to everything is taken in the child: it copies the pages of what is counted."""
    code = """
import asyncio, email.message, gc, http.server, json, logging, os, sys, types, unittest
from forkcluster import _process
if sys.argv[1:] == ["immortal"]: _process.immortalize()
found = [each for each in gc.get_objects() if type(each) is types.FunctionType]
found += [each.__code__ for each in found]
gc.freeze()
def private():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))
if os.fork() == 0:
    before = private()
    found * 2
    print(private() - before, flush=True)
    os._exit(0)
os.wait()
"""
    counted, shared = (
        int(subprocess.run([sys.executable, "-c", code, how], capture_output=True, timeout=30).stdout)
        for how in ("counted", "immortal")
    )
    assert shared < counted / 4


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="has immortal objects")
def test_nothing_is_immortal_where_python_has_no_such_objects():
    """Nothing changes there."""
    assert "0\n" == run("from forkcluster import _process; print(_process.immortalize())")

"""The start screen: facts in, text out."""

import json
import re

from forkcluster.master.screen import Facts, render, render_json

FACTS = Facts(
    version="0.1.0",
    name="shop",
    target="shop.wsgi:application",
    interface="WSGI",
    interface_reason="a function of (environ, start_response)",
    urls=("http://127.0.0.1:8000", "unix:/run/shop.sock"),
    workers=4,
    workers_words="4 of 64 CPUs, cgroup quota",
    threads=8,
    preload="loaded once, workers forked from it",
    python="3.13.0",
    pid=77,
    seconds=0.31,
)

PLAIN = """\
● shop is up in 0.3 s · forkcluster 0.1.0

  listening http://127.0.0.1:8000
            unix:/run/shop.sock
  serving   shop.wsgi:application (WSGI, a function of (environ, start_response))
  workers   4 (4 of 64 CPUs, cgroup quota), 8 threads each
  preload   loaded once, workers forked from it
  python    3.13.0
  pid       77
  reload    kill -HUP 77
  stop      Ctrl-C, or kill 77

"""


def test_the_screen_is_as_it_is():
    """Every line, in order, without a colour."""
    assert PLAIN == render(FACTS, colour=False)


def test_colours_change_nothing_but_colours():
    """With the escape sequences taken out, it is the same screen."""
    coloured = render(FACTS, colour=True)
    assert (True, PLAIN) == ("\x1b[" in coloured, re.sub(r"\x1b\[\d+m", "", coloured))


def test_for_machines_it_is_one_line():
    """--log-format json: the same facts as one object."""
    text = render_json(FACTS)
    value = json.loads(text)
    assert (1, "ready", 77, 4) == (text.count("\n"), value["event"], value["pid"], value["workers"])

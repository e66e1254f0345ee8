"""The dashboard in a real browser: what a person sees of a real app, on a desk and on a phone."""

import http.client
import json
import os
import signal

import pytest
from browser import PROGRAM, Browser
from harness import Server

from forkcluster.manager.control import ask

in_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here")

ROWS = "document.querySelectorAll('#workers tr:not(.oldest)').length"
PIDS = "[...document.querySelectorAll('#workers td:nth-child(4)')].map(cell => cell.textContent)"


def text(name):
    return f"document.getElementById('{name}')?.textContent"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    server = Server(
        tmp_path_factory.mktemp("app"),
        workers=2,
        arguments=("--admin", "127.0.0.1:0", "--out-file", "out.log"),
    )
    server.write_app("one")
    with (server.directory / "app.py").open("a") as file:
        file.write("print('<b>loaded</b>')\n")
    yield server.boot()
    server.clean_up()
    print(server.output)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


def url(server):
    return ask(server.control, "status")["admin"]


def test_page_may_load_nothing_from_elsewhere(app):
    """The page comes with a policy that names only itself, and all its files are there."""
    line = http.client.HTTPConnection(url(app).removeprefix("http://"))
    for path in ("/", "/main.js", "/charts.js", "/format.js", "/style.css", "/icon.svg"):
        line.request("GET", path)
        answer = line.getresponse()
        content = answer.read()
        assert 200 == answer.status
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert b"//" not in content.replace(b"http://www.w3.org/2000/svg", b"").replace(b"// ", b"")
    line.close()


def test_live_stream_says_hello_and_then_samples(app):
    """The first event is hello with the buckets' bounds; samples count what was asked in between."""
    line = http.client.HTTPConnection(url(app).removeprefix("http://"), timeout=20)
    line.request("GET", "/live")
    answer = line.getresponse()
    assert "text/event-stream" == answer.headers["Content-Type"]
    assert b"event: hello\n" == answer.readline()
    hello = json.loads(answer.readline().removeprefix(b"data: "))
    assert ("app", False, 81) == (hello["app"], hello["actions"], len(hello["bounds"]))
    asked = answered = 0
    while answered < 5:
        said = answer.readline()
        if asked < 5 and said == b"event: sample\n":
            asked += app.get()[0] == 200
        if said.startswith(b'data: {"time"') and b'"seconds"' in said:
            answered += sum(json.loads(said.removeprefix(b"data: "))["requests"])
    line.close()
    assert (5, 5) == (asked, answered)


@in_browser
def test_page_shows_workers_and_the_requests_they_answer(app, browser):
    """The page says which workers there are, and counts what they do, with no complaint from the browser."""
    browser.open(url(app))
    browser.until(f"{text('state')} === '2 of 2 workers ready'")
    browser.until(f"{ROWS} === 2")
    for _ in range(50):
        app.get()
    browser.until(f"parseFloat({text('rate')}) > 0")
    browser.until(f"{text('p99')} .endsWith('s')")
    assert not browser.value("document.getElementById('actions').checkVisibility()")
    assert [] == browser.complaints


@in_browser
def test_page_tells_a_death_and_what_came_after(app, browser):
    """A killed worker is an event on the page, and its successor a row of the table, by itself."""
    browser.open(url(app))
    browser.until(f"{ROWS} === 2")
    pid = min(app.worker_pids())
    os.kill(pid, signal.SIGKILL)
    browser.until(f"{text('events')}.includes('worker died')")
    browser.until(f"{ROWS} === 2 && !{PIDS}.includes('{pid}')")
    browser.until(f"{text('state')} === '2 of 2 workers ready'")


@in_browser
def test_page_fits_a_phone_and_is_dark_where_the_reader_is(app, browser):
    """On a phone nothing is wider than the screen, and the ground follows the reader's setting."""
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.open(url(app), width=390, height=844, dark=True)
    browser.until(f"{ROWS} === 2")
    assert browser.value("document.documentElement.scrollWidth") <= 390
    dark = browser.value(ground)
    browser.open(url(app))
    browser.until(f"{ROWS} === 2")
    assert dark != browser.value(ground)

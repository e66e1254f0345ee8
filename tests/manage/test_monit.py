"""monit on a screen of its own: what it shows from the first moment, and what its keys do."""

import asyncio
import time

import pytest
from harness import PATIENCE

pytest.importorskip("textual", reason="textual is an extra")

from forkcluster.cli.monit.screen import Monit
from forkcluster.manager.register import Register

PRINTS = """
print("loaded", flush=True)

def application(environ, start_response):
    print(environ["PATH_INFO"], flush=True)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one"]
"""


def output(screen):
    """What stands in the output pane."""
    return "\n".join(line.text for line in screen.query_one("#output-lines").lines)


def on_screen(shell, play, size=(160, 45)):
    """Play with monit on a screen of that size, as the person of the shell."""

    async def run():
        register = Register(str(shell.home))
        screen = Monit(register, register.apps)
        async with screen.run_test(size=size) as pilot:
            await play(screen, pilot)

    asyncio.run(run())


async def until(pilot, condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}"
        await pilot.pause(0.05)
    return value


def cells(screen, table="#apps"):
    """The cells of a table as text, row by row."""
    widget = screen.query_one(table)
    return [[str(cell) for cell in widget.get_row_at(index)] for index in range(widget.row_count)]


def titles(screen):
    return [column.label.plain for column in screen.query_one("#apps").ordered_columns]


@pytest.mark.parametrize(("width", "kept", "left_out"), [(160, "req/s", ""), (80, "memory", "namespace")])
def test_the_first_picture_is_whole_and_fits(shell, width, kept, left_out):
    """Apps and workers stand there at once; a narrow terminal leaves out what matters least."""
    shell.start("app:application", "-i", "2")

    async def play(screen, _pilot):
        assert "app" in cells(screen)[0]
        assert ["0", "1"] == sorted(row[0] for row in cells(screen, "#workers-table"))
        assert kept in titles(screen)
        assert not left_out or left_out not in titles(screen)
        assert screen.query_one("#apps").virtual_size.width <= width

    on_screen(shell, play, (width, 24))


def test_keys_act_on_the_chosen_app_after_a_yes(shell):
    """r asks and reloads; plus makes a worker more; n changes nothing; s stops, and the row says so."""
    shell.start()

    async def play(screen, pilot):
        await pilot.press("r", "n")
        await pilot.press("r", "y")
        await until(pilot, lambda: shell.list()["app"]["generation"] == 2, "the reload")
        await pilot.press("plus", "y")
        await until(pilot, lambda: shell.list()["app"]["instances"] == 2, "a second worker")
        await pilot.press("s", "y")
        await until(pilot, lambda: "stopped" in cells(screen)[0], "the stop")

    on_screen(shell, play)
    assert {"app": "stopped"} == shell.states()


def test_what_the_app_has_printed_is_there_at_once_and_goes_on(shell):
    """The output pane has the last lines from the first moment; a line that comes is added."""
    shell.write("app.py", PRINTS)
    shell.start()
    shell.get()

    async def play(screen, pilot):
        await pilot.press("o")
        await until(pilot, lambda: "loaded" in output(screen), "the last lines")
        shell.get(path="/later")
        await until(pilot, lambda: "/later" in output(screen), "a new line")

    on_screen(shell, play)


def test_a_failed_reload_is_told_with_its_traceback(shell):
    """The broken release's error is a notification; the old one goes on."""
    shell.start()
    shell.write("app.py", "raise RuntimeError('no such release')\n")

    async def play(screen, pilot):
        await pilot.press("r", "y")
        said = await until(pilot, lambda: [each.message for each in screen._notifications], "a word on it")
        assert "no such release" in said[0]
        await until(pilot, lambda: "ready" in cells(screen)[0], "the old release in service")

    on_screen(shell, play)


def test_without_a_terminal_it_says_what_to_use_instead(shell):
    """Piped, it ends with a usage error that names list."""
    done = shell.run("monit", code=2)
    assert "forkcluster list" in done.err

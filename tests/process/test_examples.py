"""The examples are served by the real command, as their docstrings say."""

import json
import urllib.request
from pathlib import Path

import pytest
from harness import PATIENCE

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def ask(server):
    """Serve an example on two workers; give a function that asks it and returns the body as text."""

    def serve(target):
        made = server(target=target, workers=2, arguments=("--chdir", str(EXAMPLES))).boot()

        def get(path, data=None):
            request = urllib.request.Request(f"http://{made.address[0]}:{made.address[1]}{path}", data)
            request.add_header("Content-Type", "application/json")
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.read().decode()

        return made, get

    return serve


def test_the_plain_example_answers_from_one_of_its_workers(ask):
    """It says hello with the process id of a worker, and the path that was asked for."""
    made, get = ask("hello:application")
    workers = made.worker_pids()
    words = get("/there").split()
    assert ["Hello", "from", "worker", "process"] == words[:4]
    assert int(words[4].rstrip(":")) in workers
    assert ["GET", "/there"] == words[5:]


def test_the_flask_example_greets_echoes_and_streams(ask):
    """Flask's page, its JSON and its streamed body pass through whole."""
    made, get = ask("hello_flask:app")
    assert "Hello, forks!\n" == get("/?name=forks")
    echoed = json.loads(get("/echo", b'{"a": [1, 2]}'))
    assert {"a": [1, 2]} == echoed["received"]
    assert echoed["pid"] in made.worker_pids()
    assert "".join(f"{number}\n" for number in range(1, 11)) == get("/count")

"""Applications of the frameworks, on both loops, with one worker and two, and clients that people use."""

import json
import os
import shutil
import subprocess

import httpx
import pytest
from harness import until
from live import LOOPS, finish, make
from websockets.sync.client import connect
from wire import Wire

NUMBERS = "".join(f"{number}\n" for number in range(1000))


@pytest.fixture(scope="module", params=[(loop, workers) for loop in LOOPS for workers in (1, 2)], ids=str)
def serve(request, tmp_path_factory):
    """Start an application once for each loop and number of workers."""
    loop, workers = request.param
    made = {}

    def start(name):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = make(folder, "--factory", target=f"web:{name}_app", loop=loop, workers=workers)
            made[name].workers = workers
        return made[name]

    yield start
    for each in made.values():
        finish(each)


@pytest.fixture
def client(request, serve):
    """An httpx client of the application that the test's mark names."""
    server = serve(request.node.get_closest_marker("site").args[0])
    with httpx.Client(base_url="http://{}:{}".format(*server.address), timeout=20, trust_env=False) as made:
        made.server = server
        yield made


def site(name):
    return pytest.mark.site(name)


@site("fastapi")
def test_fastapi_json(client):
    """JSON, with the state of the lifespan."""
    answer = client.get("/json").json()
    assert (True, "127.0.0.1") == (answer["started"], answer["client"])


@site("fastapi")
def test_fastapi_workers(client):
    """It is a worker that answers."""
    assert client.get("/json").json()["pid"] in client.server.wait_for_workers(client.server.workers)


@site("fastapi")
def test_fastapi_validation(client):
    """A body, and one that does not fit."""
    assert {"name": "TEA", "price": 5.0} == client.post("/items", json={"name": "tea", "price": 2.5}).json()
    answer = client.post("/items", json={"name": "tea", "price": "much"})
    assert (422, ["body", "price"]) == (answer.status_code, answer.json()["detail"][0]["loc"])


@site("fastapi")
def test_fastapi_in_a_thread(client):
    """A view that is no coroutine function."""
    assert {"thread": True} == client.get("/thread").json()


@site("fastapi")
def test_fastapi_dependency(client):
    """A dependency with yield is opened before and closed after."""
    if client.server.workers == 1:
        assert "session" == client.get("/session").json()
        log = client.get("/log").json()
        assert ["opened", "used", "closed"] == [
            entry for entry in log if entry in {"opened", "used", "closed"}
        ][-3:]


@site("fastapi")
def test_fastapi_background_task(client):
    """A background task runs after the answer."""
    if client.server.workers == 1:
        assert "ok" == client.get("/background").json()
        until(lambda: "background" in client.get("/log").json(), "the background task")


@site("fastapi")
def test_fastapi_upload(client):
    """A multipart upload of 3 MB."""
    content = bytes(range(256)) * 12_000
    answer = client.post("/upload", files={"file": ("a.bin", content)}).json()
    assert {"name": "a.bin", "size": len(content), "sum": sum(content[::1001])} == answer


@site("fastapi")
def test_fastapi_download(client):
    """A file, whole, in part (RFC 9110 section 14) and by HEAD."""
    content = (client.server.directory / "big.bin").read_bytes()
    assert content == client.get("/download/big.bin").content
    part = client.get("/download/big.bin", headers={"Range": "bytes=10-19"})
    assert (206, content[10:20]) == (part.status_code, part.content)


@site("fastapi")
def test_fastapi_events(client):
    """Server-sent events."""
    with client.stream("GET", "/events") as answer:
        assert [f"data: {number}" for number in range(5)] == [line for line in answer.iter_lines() if line]


@site("fastapi")
def test_fastapi_stream_that_is_left(client):
    """An endless stream ends when the client leaves."""
    if client.server.workers == 1:
        before = client.get("/log").json().count("stream closed")
        with Wire(client.server.address) as wire:
            wire.send(b"GET /forever HTTP/1.1\r\nHost: a\r\n\r\n")
            wire.head()
            wire.chunk()
        until(lambda: client.get("/log").json().count("stream closed") == before + 1, "the end of the stream")


@site("fastapi")
def test_fastapi_error(client):
    """A fault of a view."""
    assert 500 == client.get("/error").status_code
    client.server.wait_for("a fault of the view") if client.server.workers == 1 else None


@site("fastapi")
def test_fastapi_websocket(client):
    """A WebSocket echo."""
    host, port = client.server.address
    with connect(f"ws://{host}:{port}/ws", proxy=None) as socket:
        for text in ("one", "zwei", "trois €"):
            socket.send(text)
            assert f"echo {text}" == socket.recv(timeout=10)


@site("fastapi")
def test_fastapi_openapi(client):
    """The page of the documentation."""
    assert "/items" in client.get("/openapi.json").json()["paths"]


@site("starlette")
def test_starlette(client):
    """JSON through the middleware that streams what it wraps."""
    answer = client.get("/json")
    assert ("/json", "1") == (answer.json()["path"], answer.headers["x-stamp"])


@site("starlette")
def test_starlette_form(client):
    """A form with a file."""
    answer = client.post("/form", data={"name": "n"}, files={"file": b"x" * 100_000}).json()
    assert {"name": "n", "size": 100_000} == answer


@site("starlette")
def test_starlette_raw_body(client):
    """A chunked body, read as a stream."""
    assert "1000000" == client.post("/raw", content=(b"x" * 10_000 for _ in range(100))).text


@site("starlette")
def test_starlette_stream(client):
    """A stream, compressed on its way."""
    answer = client.get("/stream")
    assert (NUMBERS, "gzip") == (answer.text, answer.headers["content-encoding"])


@site("starlette")
def test_starlette_files(client):
    """Files, and static ones that have not changed."""
    content = (client.server.directory / "big.bin").read_bytes()
    assert content == client.get("/download").content
    answer = client.get("/static/small.txt")
    assert b"0123456789" == answer.content
    again = client.get("/static/small.txt", headers={"If-None-Match": answer.headers["etag"]})
    assert (304, b"") == (again.status_code, again.content)
    assert 404 == client.get("/static/none").status_code


@site("starlette")
def test_starlette_error(client):
    """A fault of a view."""
    assert 500 == client.get("/error").status_code


@site("litestar")
def test_litestar(client):
    """JSON both ways, a thread, a stream, a fault."""
    assert client.get("/json").json()["pid"] in client.server.worker_pids()
    assert {"thread": True} == client.get("/thread").json()
    assert {"got": {"a": [1, 2]}} == client.post("/items", json={"a": [1, 2]}).json()
    assert NUMBERS == client.get("/stream").text
    assert 500 == client.get("/error").status_code
    assert 404 == client.get("/none").status_code


@site("django")
def test_django(client):
    """Views of both kinds, a stream, a file, a fault."""
    assert "/json" == client.get("/json").json()["path"]
    assert {"thread": True} == client.get("/thread").json()
    assert NUMBERS == client.get("/stream").text
    assert 500 == client.get("/error").status_code
    assert 404 == client.get("/none").status_code


@site("django")
def test_django_upload_and_download(client):
    """A multipart upload of 3 MB, and a file."""
    answer = client.post("/upload", files={"file": ("a.bin", b"x" * 3_000_000)}).json()
    assert {"name": "a.bin", "size": 3_000_000} == answer


@site("fastapi")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(client):
    """curl: a chunked upload with Expect: 100-continue, and keep-alive over several answers."""
    url = str(client.base_url)
    expect = [
        "-H",
        "Transfer-Encoding: chunked",
        "-H",
        "Expect: 100-continue",
        "-H",
        "Content-Type: application/json",
    ]
    said = curl(*expect, "-d", '{"name": "tea", "price": 1}', f"{url}/items").stdout
    assert {"name": "TEA", "price": 2.0} == json.loads(said)
    assert b"Re-using existing connection" in curl("-v", f"{url}/json", f"{url}/json").stderr


def curl(*arguments):
    """Run curl; without what is preloaded into us, which it may not bear."""
    plain = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = ["curl", "-sS", "--noproxy", "*", *arguments]
    return subprocess.run(command, capture_output=True, check=True, env=plain, timeout=20)

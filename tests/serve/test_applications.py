"""Applications as people have them, unmodified, served by two workers and driven by ordinary clients."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import APPS, Server
from starter import Starter

requests = pytest.importorskip("requests")
Session = requests.Session


@pytest.fixture
def session() -> Iterator[Session]:
    """A client with cookies and kept connections."""
    with requests.Session() as made:
        made.trust_env = False
        yield made


def chunks(data: bytes) -> Iterator[bytes]:
    """Give the data in pieces: requests then sends a chunked body."""
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]


# -- Flask --------------------------------


@pytest.fixture(scope="module")
def flask(started: Starter) -> Server:
    """The Flask application."""
    pytest.importorskip("flask")
    return started("flask_app:app", "-i0")


def test_flask_routes(flask: Server, session: Session) -> None:
    """A route with a variable, outside ASCII; one that does not exist."""
    assert "hello wörld" == session.get(flask.url("/hello/wörld")).text
    assert 404 == session.get(flask.url("/nothing")).status_code


@pytest.mark.parametrize("chunked", [False, True])
def test_flask_takes_json(flask: Server, session: Session, chunked: bool) -> None:
    """A JSON body with a length, and in chunks."""
    value = {"a": [1, 2, {"ä": None}], "long": "x" * 300_000}
    data = json.dumps(value).encode()
    sent = session.post(
        flask.url("/json"),
        data=chunks(data) if chunked else data,
        headers={"Content-Type": "application/json"},
    )
    assert {"got": value} == sent.json()


def test_flask_takes_forms(flask: Server, session: Session) -> None:
    """Repeated and non-ASCII values."""
    assert {"a": ["1", "2"], "ü": ["ö"]} == session.post(
        flask.url("/form"), data={"a": ["1", "2"], "ü": "ö"}
    ).json()


def test_flask_takes_uploads(flask: Server, session: Session) -> None:
    """A multipart upload beyond --body-buffer."""
    data = os.urandom(3_000_000)
    answer = session.post(flask.url("/upload"), files={"file": ("a b.bin", data)}, data={"note": "n"})
    assert {"name": "a b.bin", "sha": hashlib.sha256(data).hexdigest(), "note": "n"} == answer.json()


def test_flask_streams(flask: Server, session: Session) -> None:
    """A generator with the request's context."""
    expected = [f"/stream {number}" for number in range(1000)]
    assert expected == session.get(flask.url("/stream")).text.splitlines()


def test_flask_sends_files(flask: Server, session: Session) -> None:
    """From disk whole, in part and not at all (ETag); from memory."""
    source = (APPS / "flask_app.py").read_bytes()
    whole = session.get(flask.url("/file"))
    assert source == whole.content
    part = session.get(flask.url("/file"), headers={"Range": "bytes=10-19"})
    assert (206, source[10:20]) == (part.status_code, part.content)
    assert (
        304 == session.get(flask.url("/file"), headers={"If-None-Match": whole.headers["ETag"]}).status_code
    )
    assert b"memory" * 1000 == session.get(flask.url("/memory")).content


def test_flask_keeps_sessions(flask: Server, session: Session) -> None:
    """Signed cookies, whichever worker answers."""
    assert ["1", "2", "3", "4"] == [session.get(flask.url("/count")).text for _ in range(4)]


def test_flask_redirects_to_itself(flask: Server, session: Session) -> None:
    """url_for(_external=True) is made of Host."""
    assert flask.url("/hello/there") == session.get(flask.url("/away")).url


def test_flask_handles_errors(flask: Server, session: Session) -> None:
    """An exception in a view is Flask's 500; an error handler's answer is its own."""
    assert 500 == session.get(flask.url("/fails")).status_code
    answer = session.get(flask.url("/teapot"))
    assert (418, "short and stout") == (answer.status_code, answer.text)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_uploads_with_expect(flask: Server, tmp_path: Path) -> None:
    """curl waits for 100 Continue before a large body."""
    data = os.urandom(2_000_000)
    (tmp_path / "data").write_bytes(data)
    ran = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-H", "Expect: 100-continue",
         "-F", f"file=@{tmp_path}/data", "-F", "note=n", flask.url("/upload")],
        capture_output=True, timeout=20, check=True,
        env={key: value for key, value in os.environ.items() if key != "LD_PRELOAD"},
    )  # fmt: skip
    assert hashlib.sha256(data).hexdigest() == json.loads(ran.stdout)["sha"]


def test_http_client_keeps_its_connection(flask: Server) -> None:
    """The standard library's client over one connection."""
    connection = http.client.HTTPConnection(*flask.address, timeout=10)
    try:
        for name in ("one", "two", "three"):
            connection.request("GET", f"/hello/{name}")
            assert f"hello {name}".encode() == connection.getresponse().read()
        assert connection.sock is not None
    finally:
        connection.close()


# -- Django --------------------------------


@pytest.fixture(scope="module")
def django(started: Starter, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """The Django project with a fresh database and an administrator."""
    pytest.importorskip("django")
    data = tmp_path_factory.mktemp("site")
    site = {
        "SITE_DATA": str(data),
        "DJANGO_SETTINGS_MODULE": "django_site.settings",
        "DJANGO_SUPERUSER_PASSWORD": "secret",
    }
    prepare = (
        "import django; django.setup(); from django.core.management import call_command as c; "
        "c('migrate', verbosity=0); c('createsuperuser', interactive=False, username='admin', email='a@b.de')"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", prepare],
        env={**os.environ, **site, "PYTHONPATH": str(APPS)},
        check=True,
    )
    return started("django_site.wsgi:application", "-i0", env=site)


def log_in(server: Server, session: Session) -> None:
    """Log in to the admin as a browser does."""
    page = session.get(server.url("/admin/login/"))
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert page.status_code == 200 and token
    answer = session.post(
        server.url("/admin/login/?next=/admin/"),
        data={"csrfmiddlewaretoken": token[1], "username": "admin", "password": "secret", "next": "/admin/"},
        headers={"Referer": server.url("/admin/login/")},
    )
    assert (200, server.url("/admin/")) == (answer.status_code, answer.url)


def test_django_refuses_a_form_without_token(django: Server, session: Session) -> None:
    """CSRF protection stands."""
    assert (
        403
        == session.post(
            django.url("/admin/login/"), data={"username": "admin", "password": "secret"}
        ).status_code
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_django_admin_takes_an_upload(django: Server, session: Session, chunked: bool) -> None:
    """Log in, upload 20 MB in the admin, download it again: the same bytes."""
    log_in(django, session)
    token = re.search(
        r'name="csrfmiddlewaretoken" value="(\w+)"',
        session.get(django.url("/admin/shelf/document/add/")).text,
    )
    assert token
    data = os.urandom(20_000_000)
    form = requests.Request(
        "POST",
        django.url("/admin/shelf/document/add/"),
        data={"csrfmiddlewaretoken": token[1], "title": f"chunked {chunked}", "_continue": "1"},
        files={"file": ("big.bin", data)},
    )
    prepared = session.prepare_request(form)
    if chunked:
        assert isinstance(prepared.body, bytes)
        del prepared.headers["Content-Length"]
        prepared.headers["Transfer-Encoding"] = "chunked"
        prepared.body = chunks(prepared.body)
    answer = session.send(prepared)
    number = re.search(r"/document/(\d+)/change/", answer.url)
    assert answer.status_code == 200 and number, answer.text[-2000:]
    assert data == session.get(django.url(f"/document/{number[1]}/")).content


def test_django_keeps_sessions_in_its_database(django: Server, session: Session) -> None:
    """Both workers see one database."""
    assert [str(number) for number in range(1, 7)] == [
        session.get(django.url("/count/")).text for _ in range(6)
    ]


def test_django_streams(django: Server, session: Session) -> None:
    """StreamingHttpResponse."""
    assert 1000 == len(session.get(django.url("/stream/")).text.splitlines())


# -- httpbin --------------------------------


@pytest.fixture(scope="module")
def httpbin(started: Starter) -> Server:
    """httpbin as it comes from PyPI."""
    pytest.importorskip("httpbin")
    return started("httpbin:app", "-i0")


def test_httpbin_sees_the_request(httpbin: Server, session: Session) -> None:
    """Arguments, headers, address and URL."""
    seen = session.get(httpbin.url("/get?a=1&a=2&b=ü"), headers={"X-Custom": "yes"}).json()
    assert ({"a": ["1", "2"], "b": "ü"}, "yes", "127.0.0.1") == (
        seen["args"],
        seen["headers"]["X-Custom"],
        seen["origin"],
    )
    assert seen["url"].startswith(httpbin.url("/get?"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True])
def test_httpbin_sees_the_body(httpbin: Server, session: Session, method: str, chunked: bool) -> None:
    """Bodies of every method, in chunks, too."""
    data = b"body " * 50_000
    seen = session.request(
        method, httpbin.url(f"/{method.lower()}"), data=chunks(data) if chunked else data
    ).json()
    assert data.decode() == seen["data"]


@pytest.mark.parametrize("status", [200, 204, 304, 400, 404, 418, 500, 503])
def test_httpbin_answers_every_status(httpbin: Server, session: Session, status: int) -> None:
    """... and the connection goes on."""
    assert status == session.get(httpbin.url(f"/status/{status}")).status_code
    assert 200 == session.get(httpbin.url("/get")).status_code


def test_httpbin_encodes(httpbin: Server, session: Session) -> None:
    """gzip, deflate."""
    assert session.get(httpbin.url("/gzip")).json()["gzipped"]
    assert session.get(httpbin.url("/deflate")).json()["deflated"]


def test_httpbin_streams(httpbin: Server, session: Session) -> None:
    """Lines, and bytes in chunks of a seed."""
    assert 20 == len(session.get(httpbin.url("/stream/20")).text.splitlines())
    same = [session.get(httpbin.url("/stream-bytes/100000?seed=1&chunk_size=777")).content for _ in range(2)]
    assert (100_000, True) == (len(same[0]), same[0] == same[1])


def test_httpbin_gives_bytes_and_ranges(httpbin: Server, session: Session) -> None:
    """A body of a length, a part of one."""
    assert 50_000 == len(session.get(httpbin.url("/bytes/50000")).content)
    part = session.get(httpbin.url("/range/1000"), headers={"Range": "bytes=100-199"})
    assert (206, 100) == (part.status_code, len(part.content))


def test_httpbin_redirects_and_sets_cookies(httpbin: Server, session: Session) -> None:
    """Relative and absolute redirects are followed home; cookies come back."""
    assert httpbin.url("/get") == session.get(httpbin.url("/absolute-redirect/3")).url
    assert httpbin.url("/get") == session.get(httpbin.url("/relative-redirect/3")).url
    assert {"cookies": {"a": "1", "b": "2"}} == session.get(httpbin.url("/cookies/set?a=1&b=2")).json()


def test_httpbin_authenticates(httpbin: Server, session: Session) -> None:
    """Basic, and the challenge."""
    assert 401 == session.get(httpbin.url("/basic-auth/me/pw")).status_code
    assert session.get(httpbin.url("/basic-auth/me/pw"), auth=("me", "pw")).json()["authenticated"]


def test_httpbin_answers_head(httpbin: Server, session: Session) -> None:
    """HEAD: the head of the GET."""
    answer = session.head(httpbin.url("/bytes/1000"))
    assert (200, "1000", b"") == (answer.status_code, answer.headers["Content-Length"], answer.content)


# -- Bottle, Radicale --------------------------------


@pytest.fixture(scope="module")
def bottle(started: Starter) -> Server:
    """The Bottle application."""
    pytest.importorskip("bottle")
    return started("bottle_app:app", "-i0")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_bottle_reads_bodies(bottle: Server, session: Session, size: int, chunked: bool) -> None:
    """Bottle reads CONTENT_LENGTH bytes; a chunked body comes decoded and with a length."""
    data = os.urandom(size)
    answer = session.post(bottle.url("/body"), data=chunks(data) if chunked else data)
    assert hashlib.sha256(data).hexdigest() == answer.text


def test_bottle_reads_json_and_forms(bottle: Server, session: Session) -> None:
    """The usual content types."""
    assert {"a": "ü"} == session.post(bottle.url("/json"), json={"a": "ü"}).json()
    assert "Jürgen" == session.post(bottle.url("/form"), data={"name": "Jürgen"}).text


@pytest.fixture(scope="module")
def radicale(started: Starter, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A calendar server."""
    pytest.importorskip("radicale")
    folder = tmp_path_factory.mktemp("radicale")
    (folder / "config").write_text(
        f"[auth]\ntype = none\n[rights]\ntype = owner_only\n[storage]\nfilesystem_folder = {folder}/data\n"
    )
    return started("radicale:application", "-i0", env={"RADICALE_CONFIG": str(folder / "config")})


@pytest.mark.parametrize("chunked", [False, True])
def test_radicale_keeps_a_calendar(radicale: Server, session: Session, chunked: bool) -> None:
    """macOS and others upload entries in chunks (MKCALENDAR, PUT, REPORT, PROPFIND, DELETE)."""
    entry = (
        b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:event-1\r\n"
        b"DTSTAMP:20260101T000000Z\r\nDTSTART:20260102T100000Z\r\nSUMMARY:Meeting\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    home = radicale.url(f"/me{chunked}/calendar/")
    session.headers["Authorization"] = "Basic " + b64encode(f"me{chunked}:x".encode()).decode()
    assert 201 == session.request("MKCALENDAR", home).status_code
    put = session.put(
        home + "event-1.ics",
        data=chunks(entry) if chunked else entry,
        headers={"Content-Type": "text/calendar"},
    )
    assert 201 == put.status_code, put.text
    assert b"SUMMARY:Meeting" in session.get(home + "event-1.ics").content
    found = session.request("PROPFIND", home, headers={"Depth": "1"}, data=chunks(b"") if chunked else b"")
    assert (207, True) == (found.status_code, "event-1.ics" in found.text)
    assert 200 == session.delete(home + "event-1.ics").status_code

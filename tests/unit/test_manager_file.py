"""A file as the manager sees it: which apps, asked for how, in which order; the sample; what apps print."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkcluster.errors import ConfigurationError, UsageError
from forkcluster.manager import ecosystem, relay, sample
from forkcluster.options.cpus import Cpus
from forkcluster.options.read import read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = """
[[apps]]
name = "web"
target = "app:application"
depends_on = { worker = "started", db = "ready" }
instances = 0

[[apps]]
name = "worker"
target = "app:application"
name_prefix = "the-"
env = { A = "1" }
env_qa = { A = "2" }

[[apps]]
name = "db"
target = "app:application"
autostart = false
"""


@pytest.fixture
def path(tmp_path):
    """The path of a file with three apps."""
    (tmp_path / "app.py").write_text("")
    (tmp_path / "forkcluster.toml").write_text(TEXT)
    return f"{tmp_path}/forkcluster.toml"


def load(path, **how):
    """The apps of the file at `path`."""
    return ecosystem.load(ecosystem.from_file(path, {}), {}, **how)


def test_each_app_is_asked_for_by_file_name_and_environment(path):
    """The request alone is enough to read it again, wherever that is done."""
    found = load(path, env_name="qa")
    assert ["web", "the-worker", "db"] == [app.name for app in found.apps]
    request = found.apps[1].request
    assert {"config": (path,), "app": ("worker",), "env_name": ("qa",)} == request.flags
    assert {"A": "2"} == dict(read(request, {}).options.env)


def test_dependencies_are_by_registered_name(path):
    """A prefix changes them, too."""
    assert {"web": {"the-worker": "started", "db": "ready"}, "the-worker": {}, "db": {}} == dict(
        load(path).depends
    )


def test_instances_become_a_number(path):
    """Of the CPUs that may be used."""
    web = load(path).apps[0]
    assert 3 == web.wanted(Cpus(3, 8, "")).workers


def test_only_takes_the_apps_that_are_named(path):
    """By either name, commas or several; autostart does not keep them out."""
    assert ["web", "the-worker"] == [app.name for app in load(path).started().apps]
    found = load(path, only=["db,worker"])
    assert (["the-worker", "db"], True) == ([app.name for app in found.started().apps], found.partial)
    assert {"the-worker": {}, "db": {}} == dict(found.depends)
    with pytest.raises(UsageError, match="--only wob") as caught:
        load(path, only=["wob"])
    assert "did you mean web" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no apps"),
        ("[[apps]]\nname='a'\ntarget='app'\ndepends_on=['b']\n", "a depends on b, which is no app of it"),
        (
            "[[apps]]\nname='a'\ntarget='app'\nname_prefix='b'\n[[apps]]\nname='ba'\ntarget='app'\n",
            "a and ba would both be called ba",
        ),
        (
            "[[apps]]\nname='a'\ntarget='app'\n[[apps]]\nname='b'\ntarget='app'\nbacklog='x'\n",
            "line 7: backlog",
        ),
    ],
)
def test_one_wrong_app_is_the_whole_files_fault(path, text, words):
    """Before anything is done."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    with pytest.raises(ConfigurationError) as caught:
        load(path)
    assert words in str(caught.value)


def test_a_directorys_file_is_found_by_its_name(tmp_path):
    """Ours before PM2's."""
    with pytest.raises(UsageError, match="no file was named"):
        ecosystem.find(str(tmp_path))
    for name in ("ecosystem.json", "forkcluster.json"):
        (tmp_path / name).write_text("[]")
        assert f"{tmp_path}/{name}" == ecosystem.find(str(tmp_path))


def test_the_sample_is_a_good_file_and_is_never_written_over(tmp_path):
    """As it is, and with every comment taken away."""
    (tmp_path / "app.py").write_text("")
    path = sample.create(str(tmp_path))
    assert [("app", "2")] == [
        (app.reading.options.target, app.reading.options.instances) for app in load(path).apps
    ]
    text = (tmp_path / sample.NAME).read_text()
    loose = "\n".join(
        line.removeprefix("# ") if "=" in line or "# [" in line else line for line in text.split("\n")
    )
    assert tomllib.loads(loose)["deploy"]["production"]["ref"] == "origin/main"
    with pytest.raises(UsageError, match="is there already"):
        sample.create(str(tmp_path))


@given(st.lists(st.binary(max_size=200)))
def test_lines_are_passed_on_whole(chunks):
    """However they come; nothing is lost and nothing is added but a last end of line."""
    written = []
    lines = relay.Lines(lambda line: b"> " + line, written.append)
    for chunk in chunks:
        lines.feed(chunk)
    lines.end()
    text = b"".join(chunks)
    expected = text.removesuffix(b"\n").split(b"\n") if text else []
    assert b"".join(b"> " + line + b"\n" for line in expected) == b"".join(written)


def test_a_line_without_an_end_is_cut():
    """Memory is bounded."""
    written = []
    relay.Lines(lambda line: line, written.append).feed(b"x" * (relay.MOST * 2 + 5))
    assert [relay.MOST, relay.MOST] == [len(line) for line in b"".join(written).split()]


def test_names_are_put_before_lines_equally_wide():
    """In colour on a terminal."""
    assert b"a    | x" == relay.prefixed(["a", "long"], "a", colour=False)(b"x")
    assert b"\x1b[33mlong\x1b[0m | x" == relay.prefixed(["a", "long"], "long", colour=True)(b"x")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"hello \xff", {"app": "a", "stream": "err", "message": "hello \ufffd"}),
        (b'{"level": "info"}', {"app": "a", "level": "info"}),
        (b"{broken", {"app": "a", "stream": "err", "message": "{broken"}),
        (b'{"app": "other"}', {"app": "other"}),
    ],
)
def test_lines_become_json(line, expected):
    """An object of the app's own keeps its fields."""
    assert expected == json.loads(relay.as_json("a", "err")(line))

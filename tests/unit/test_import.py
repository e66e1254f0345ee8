"""PM2's and gunicorn's files become ours, and what could not be carried is told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkcluster.manager import from_gunicorn, from_pm2
from forkcluster.options import ecosystem, entry, pm2
from forkcluster.options.formats import toml, write
from forkcluster.options.formats.document import Document
from forkcluster.options.formats.python import Evaluated

NAMES = st.text(min_size=1, max_size=8)
SCALARS = (
    st.text(max_size=8) | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
TABLES = st.recursive(
    st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3), max_size=4),
    lambda inner: st.dictionaries(NAMES, inner | SCALARS, max_size=3),
    max_leaves=6,
)


@given(TABLES)
def test_what_is_written_as_toml_is_read_back(values):
    """Keys and texts with every character, numbers, lists, tables in tables."""
    assert {"app": values} == toml.parse(write.tables("[app]", values))[0]
    assert values == toml.parse(f"x = {write.value(values)}")[0]["x"]


PM2 = {
    "apps": [
        {
            "name": "api",
            "script": "shop.wsgi:application",
            "cwd": "/srv/shop",
            "instances": "max",
            "exec_mode": "cluster",
            "kill_timeout": 3000,
            "max_memory_restart": "300M",
            "vizion": False,
            "env": {"A": 1, "LIST": [1]},
            "env_staging": {"A": 2},
            "max_memory_restrat": 1,
        },
        {"name": "old", "script": "server.js", "exec_mode": "cluster"},
    ],
    "deploy": {"production": {"host": ["a", "b"], "ref": "origin/main", "env": {"X": "1"}}},
    "static": [],
}


def pm2_import(data):
    """Import a PM2 document."""
    return from_pm2.carry(ecosystem.understand(Document("eco.json", "json", json.loads(json.dumps(data)))))


def test_a_pm2_file_becomes_ours():
    """Our names, durations with their unit, variables as text, the deploy block as it was."""
    value, _ = toml.parse(pm2_import(PM2).toml())
    api = value["apps"][0]
    expected = {"name": "api", "script": "shop.wsgi:application", "chdir": "/srv/shop", "instances": "max"}
    assert expected.items() <= api.items()
    assert ("3000ms", "300M", {"A": 1, "LIST": "[1]"}, {"A": 2}) == (
        api["drain_timeout"],
        api["max_memory"],
        api["env"],
        api["env_staging"],
    )
    assert ["name", "script"] == list(api)[:2]
    assert PM2["deploy"] == value["deploy"]


def test_what_an_import_leaves_out_is_told():
    """In the file's head, with app, key and reason."""
    text = pm2_import(PM2).toml()
    for line in (
        "static is ignored",
        "api: vizion: for Node, or PM2's own service",
        "api: max_memory_restrat: no key of ours; did you mean max_memory_restart",
        "old: exec_mode cluster: only Python applications are served",
    ):
        assert line in text.partition("[[apps]]")[0]


def test_an_imported_file_means_what_the_old_one_meant():
    """Both are read to the same options."""
    old = ecosystem.understand(
        Document("eco.json", "json", {"apps": [{**PM2["apps"][0], "max_memory_restrat": None}]})
    )
    data, lines = toml.parse(from_pm2.carry(old).toml())
    new = ecosystem.understand(Document("eco.toml", "toml", data, lines))
    before, after = (entry.describe(each, each.entries[0], "staging") for each in (old, new))
    assert before.values == after.values


GUNICORN = {
    "bind": ["0.0.0.0:8000", "unix:/run/shop.sock"],
    "workers": 4,
    "threads": 8,
    "worker_class": "gthread",
    "timeout": 30,
    "graceful_timeout": 20,
    "keepalive": 5,
    "raw_env": ["A=1", "B=x=y"],
    "preload_app": True,
    "loglevel": "critical",
    "errorlog": "-",
    "umask": 0o27,
    "pythonpath": "/a,/b",
    "forwarded_allow_ips": "10.0.0.1",
    "certfile": "x.pem",
    "wsgi_app": "shop.wsgi:application",
    "helper": [1, 2],
}


def test_a_gunicorn_configuration_becomes_ours():
    """Settings under our names; a module's own names are its own."""
    found = from_gunicorn.carry(
        "gunicorn.conf.py", Evaluated(GUNICORN, {"post_fork": "function", "x": "Path"})
    )
    app = toml.parse(found.toml())[0]["apps"][0]
    expected = {
        "name": "shop",
        "target": "shop.wsgi:application",
        "bind": ["0.0.0.0:8000", "unix:/run/shop.sock"],
        "instances": 4,
        "request_timeout": 30,
        "drain_timeout": 20,
        "keep_alive": 5,
        "env": {"A": "1", "B": "x=y"},
        "preload": "always",
        "log_level": "error",
        "umask": "027",
        "pythonpath": ["/a", "/b"],
        "forwarded_allow_ips": "10.0.0.1",
        "threads": 8,
    }
    assert expected == app
    described = entry.describe(ecosystem.understand(Document("f", "toml", {"apps": [app]})), _entry(app))
    assert described.values.keys() >= {"bind", "instances", "umask"}
    assert ["certfile", "post_fork"] == sorted({line.split(":")[0] for line in found.lost})


def _entry(app):
    return ecosystem.Entry(app["name"], app, ("apps", 0))


@pytest.mark.parametrize(
    ("settings", "threads"),
    [
        ({"workers": 2}, 1),
        ({"worker_class": "sync"}, 1),
        ({"worker_class": "gthread"}, 1),
        ({"threads": 4}, 4),
        ({"threads": 4, "worker_class": "sync"}, 4),
        ({"worker_class": "sync", "threads": 4}, 4),
        ({"worker_class": "uvicorn.workers.UvicornWorker"}, None),
        ({"worker_class": "gevent"}, None),
    ],
)
def test_an_imported_app_has_the_threads_that_gunicorn_gave_it(settings, threads):
    """One by default; sync with more than one is gthread, in whatever order the lines are."""
    (app,) = from_gunicorn.carry("g.conf.py", Evaluated(settings, {})).apps
    assert threads == app.get("threads")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"worker_class": "gevent"}, "gevent applications cannot be served"),
        ({"worker_class": "uvicorn.workers.UvicornWorker", "timeout": 30}, "the event loop's silence"),
        ({}, "it stood on gunicorn's command line"),
        ({"daemon": True}, "forkcluster start"),
    ],
)
def test_what_gunicorn_does_otherwise_is_told(settings, words):
    """With the reason."""
    lost = from_gunicorn.carry("g.conf.py", Evaluated(settings, {})).lost
    assert [line for line in lost if words in line]


def test_every_pm2_key_has_a_fate():
    """A key of PM2's schema is an option, is converted, or is named as ignored."""
    for key in pm2.NODE_ONLY:
        assert key in pm2_import([{"name": "a", "script": "x", key: True}]).toml()

"""Files with several apps: what is one, what its keys mean, whose variables win, what is refused."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forkcluster.errors import ConfigurationError
from forkcluster.options import ecosystem, entry, file, mode, pm2
from forkcluster.options.formats.document import Document
from forkcluster.options.read import read
from forkcluster.options.table import BY_KEY, BY_NAME


@pytest.fixture
def place(tmp_path):
    """A directory with an app.py, and a way to read an app of a file in it."""
    (tmp_path / "app.py").write_text("")

    class Place:
        path = tmp_path

        @staticmethod
        def write(text, name="forkcluster.toml"):
            text = text if isinstance(text, str) else json.dumps(text, indent=1)
            (tmp_path / name).write_text(text)
            return str(tmp_path / name)

        @staticmethod
        def read(name="forkcluster.toml", app=None, env_name=None, environment=None):
            request = file.reference(f"{tmp_path}/{name}", app, env_name)
            return read(request, environment or {})

        @staticmethod
        def options(apps, name="forkcluster.json", **asked):
            Place.write(apps, name)
            return Place.read(name, **asked).options

    return Place


TWO = """
[[apps]]
name = "api"
target = "app:application"
instances = 2
bind = 8001
env = { A = "base", B = "base" }
env_staging = { A = "staging" }

[[apps]]
name = "web"
target = "app:other"
depends_on = ["api"]

[deploy.production]
host = "example.org"
env = { C = "deployed" }
"""


def test_an_app_of_several_is_read_like_the_one_app_of_a_file(place):
    """The same options, under the same names."""
    place.write(TWO)
    options = place.read(app="api").options
    assert ("api", "2", ("8001",), (("A", "base"), ("B", "base"))) == (
        options.name,
        options.instances,
        options.bind,
        options.env,
    )


def test_without_a_name_the_file_must_have_one_app(place):
    """The error names them and the ways to go on."""
    place.write(TWO)
    with pytest.raises(ConfigurationError, match="it has several apps: api, web") as caught:
        place.read()
    assert "forkcluster start FILE" in caught.value.remedy
    assert "api" == place.options([{"name": "api", "target": "app:x"}]).name


def test_an_app_that_is_not_there_is_refused_with_what_is_near(place):
    """did you mean."""
    place.write(TWO)
    with pytest.raises(ConfigurationError, match="it has no app wob") as caught:
        place.read(app="wob")
    assert "did you mean web?" == caught.value.remedy


def test_variables_of_the_named_environment_win(place):
    """The caller's < deploy < env_file < env < env_NAME; only what is named is taken."""
    place.write("A=file\nD=file\nC=file\n", "x.env")
    place.write(TWO.replace("bind = 8001", 'env_file = "x.env"\nenv_production = { B = "production" }'))
    assert {"C": "file", "A": "base", "D": "file", "B": "production"} == dict(
        place.read(app="api", env_name="production").options.env
    )
    assert {"A": "staging", "B": "base"}.items() <= dict(
        place.read(app="api", env_name="staging").options.env
    ).items()


def test_an_unknown_environment_is_refused_with_those_that_exist(place):
    """PM2 goes on without it."""
    place.write(TWO)
    with pytest.raises(ConfigurationError, match="no app has a table env_stagging") as caught:
        place.read(app="api", env_name="stagging")
    assert "did you mean staging?" == caught.value.remedy
    with pytest.raises(ConfigurationError) as caught:
        place.read(app="api", env_name="x")
    assert "there is staging, production" == caught.value.remedy


def test_variables_of_the_terminal_do_not_reach_an_app_of_several(place):
    """FORKCLUSTER_BIND would mean all apps alike: it is noted, and the file holds."""
    place.write(TWO)
    reading = place.read(app="api", environment={"FORKCLUSTER_BIND": "9000", "FORKCLUSTER_HOME": "/x"})
    assert (("8001",), 1) == (reading.options.bind, len(reading.notes))
    assert "FORKCLUSTER_BIND is ignored" in reading.notes[0]


def test_paths_start_beside_the_file(place):
    """Wherever the command was typed."""
    (place.path / "sub").mkdir()
    request = file.reference(f"{place.path}/sub/f.toml", "x", None)
    place.write('[[apps]]\nname = "x"\ntarget = "app"\nlog_file = "a.log"\n', "sub/f.toml")
    assert f"{place.path}/sub/a.log" == read(request, {}).options.log_file


# -- shapes


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"apps": [{"name": "a", "script": "x.sh"}, {"script": "b.py"}]}, ["a", "b"]),
        ({"apps": {"name": "a", "script": "x"}, "deploy": {}}, ["a"]),
        ({"pm2": [{"script": "./bin/worker.sh"}]}, ["worker"]),
        ([{"script": "celery -A shop worker"}], ["celery"]),
        ({"script": "shop.wsgi:application", "instances": 2}, ["shop"]),
        ({"cmd": "a"}, ["a"]),
        ({"app": {"name": "x"}}, ["x"]),
        ({"apps": []}, []),
        ({}, []),
    ],
)
def test_every_shape_of_pm2s_files_is_understood(data, names):
    """apps, pm2, a list, one app; a name is taken from the script."""
    found = ecosystem.understand(Document("f.json", "json", data))
    assert names == [each.name for each in found.entries]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[[apps]]\nname='a'\ntarget='a'\n[[apps]]\nname='a'\n",
            "line 4: a second app a, after the one in line 1",
        ),
        ("[[apps]]\nbind = 1\n", "line 1: an app without a name and without a target"),
        ("[[apps]]\nname = 1\n", "line 2: name is 1: expected a name"),
        ("apps = [1]\n", "line 1: expected an app's table, not 1"),
        ("apps = 1\n", "line 1: apps must be a list of apps"),
        ("[[apps]]\nname='a'\n[app]\n", "line 3: both app and apps"),
        ("[[app]]\nname='a'\n", "line 1: app must be a table"),
        ("[deploy]\nx = 1\n[[apps]]\n", "line 1: deploy must hold tables"),
        ("[[appz]]\n", "line 1: unknown table or key appz"),
        ("bind = 1\n[[apps]]\n", "line 1: bind stands outside a table"),
    ],
)
def test_a_wrong_shape_is_refused_with_its_line(place, text, words):
    """File, line, reason."""
    with pytest.raises(ConfigurationError) as caught:
        ecosystem.understand(place_document(place, text))
    assert words in str(caught.value)


def place_document(place, text):
    """The document of a TOML text."""
    from forkcluster.options.formats import read as formats

    return formats.read(place.write(text), {})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            "max_memory_restrat = '1G'",
            "line 4: unknown key max_memory_restrat\n  did you mean max_memory_restart",
        ),
        ("env = { A = ['secret'] }", "line 4: env is a dict: A is a list: expected text or a number"),
        ("env_x = 1", "line 4: env_x is 1: expected a table of variables"),
        ("depends_on = [1]", "line 4: depends_on is [1]: expected a list of names"),
        ("depends_on = { a = 'soon' }", "a condition is ready or started"),
        ("autostart = 'no'", "line 4: autostart is 'no': expected true or false"),
        ("port = 'x'", "line 4: port is 'x': expected a port"),
        ("shutdown_with_message = true", "line 4: shutdown_with_message is True: programs are asked to stop"),
        ("kill_timeout = 1\ndrain_timeout = 2", "line 5: drain_timeout and kill_timeout are the same"),
        ("cwd = 'nowhere'", "no such directory"),
        ("instances = []", "line 4: instances is []: expected a number of workers"),
    ],
)
def test_a_wrong_key_is_refused_with_its_line_and_remedy(place, keys, words):
    """The same as for the `[app]` table; no variable's value is told."""
    place.write(f'[[apps]]\nname = "a"\ntarget = "app"\n{keys}\n')
    with pytest.raises(ConfigurationError) as caught:
        place.read(app="a")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_fault_in_json_names_its_line_too(place):
    """Not only in TOML."""
    with pytest.raises(ConfigurationError, match=r"forkcluster\.json, line 5: unknown key instancez"):
        place.options({"apps": [{"script": "app:x", "instancez": 1}]})


# -- PM2's ways


def test_plain_numbers_are_milliseconds_where_pm2_reads_the_file(place):
    """JSON and YAML: PM2's keys in milliseconds, ours in seconds; TOML and Python: seconds."""
    app = {"name": "a", "target": "app", "kill_timeout": 1600, "header_timeout": 7, "listen_timeout": "5s"}
    for name in ("f.json", "f.yaml"):
        options = place.options([app], name)
        assert (1.6, 7.0, 5.0) == (options.drain_timeout, options.header_timeout, options.boot_timeout)
    place.write('[[apps]]\nname = "a"\ntarget = "app"\nkill_timeout = 16\nmin_uptime = "250ms"\n')
    options = place.read().options
    assert (16.0, 0.25) == (options.drain_timeout, options.min_uptime)
    assert 1600.0 == place.options(f"apps = [{app!r}]", "f.config.py").drain_timeout


@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("backlog=print", "backlog is a function: expected a whole number"),
        ("env={'A': object()}", "env is a dict: A is a object: expected text or a number"),
        ("env=print", "env is a function: expected KEY=VALUE texts or a table"),
    ],
)
def test_a_value_of_a_python_file_that_cannot_be_read_is_named(place, app, message):
    """The key, and what stands there."""
    with pytest.raises(ConfigurationError, match=message):
        place.options(f"apps = [dict(name='a', target='app', {app})]", "f.config.py")


def test_no_key_of_ours_is_foreign():
    """What is told of other servers' keys is about keys that we have not."""
    assert set() == entry.FOREIGN.keys() & (BY_KEY.keys() | entry.MANAGER_KEYS.keys())


def test_keys_for_node_alone_are_ignored_with_a_notice(place):
    """Named, with the line."""
    place.write([{"name": "a", "target": "app", "vizion": False, "pmx": True}], "f.json")
    notes = place.read("f.json").notes
    assert 1 == len(notes)
    assert "line 5: vizion, pmx are ignored" in notes[0]


def test_variables_may_be_numbers_objects_and_null(place):
    """As PM2 sets them: numbers as text, objects as JSON, null not at all."""
    env = {"N": 1, "T": True, "O": {"a": [1]}, "Z": None}
    options = place.options([{"name": "a", "target": "app", "env": env}])
    assert {"N": "1", "T": "true", "O": '{"a":[1]}'} == dict(options.env)


def test_a_port_is_a_variable_and_an_address(place):
    """Weaker than the variable itself and than bind."""
    app = {"name": "a", "target": "app", "port": 3000}
    options = place.options([app])
    assert (("3000",), {"PORT": "3000"}) == (options.bind, dict(options.env))
    options = place.options([{**app, "bind": "unix:x", "env": {"PORT": 1}}])
    assert (("unix:x",), {"PORT": "1"}) == (options.bind, dict(options.env))


def test_a_name_is_put_together(place):
    """name_prefix, and the environment's name if asked for."""
    app = {"name": "a", "name_prefix": "my-", "append_env_to_name": True, "target": "app", "env_qa": {}}
    assert ("my-a", "my-a-qa") == (
        place.options([app]).name,
        place.options([app], app="a", env_name="qa").name,
    )


def test_watch_may_name_paths(place):
    """true, a path or a list of paths."""
    for name in ("src", "conf"):
        (place.path / name).mkdir()
    options = place.options([{"name": "a", "target": "app", "watch": ["src", "conf"]}])
    assert (True, ("src", "conf")) == (options.watch, options.watch_path)


@pytest.mark.parametrize(
    ("key", "text", "asked", "expected"),
    [
        ("target", "shop.wsgi:application", None, "cluster"),
        ("target", "shop", None, "cluster"),
        ("target", "shop/app.py", None, "cluster"),
        ("target", "celery -A shop worker", None, "fork"),
        ("script", "shop.wsgi:application", None, "cluster"),
        ("script", "app.py:application", None, "cluster"),
        ("script", "app.py", None, "fork"),
        ("script", "app.py", "cluster", "cluster"),
        ("script", "gunicorn", None, "fork"),
        ("exec", "./run.sh", None, "fork"),
        ("cmd", "python -m http.server 8000", None, "fork"),
        ("target", "app:application", "fork", "fork"),
        ("script", "run.sh", "cluster", ValueError),
        ("script", "server.js", "cluster", ValueError),
        ("cmd", "celery -A shop worker", "cluster", ValueError),
    ],
)
def test_an_application_is_served_and_a_program_is_run(key, text, asked, expected):
    """By what stands there and under which key."""
    if expected is ValueError:
        with pytest.raises(ValueError, match="only a Python application"):
            mode.decide(key, text, asked)
    else:
        assert expected == mode.decide(key, text, asked)


# -- whatever stands in it

KEYS = sorted(
    {*BY_KEY, *BY_NAME, *entry.MANAGER_KEYS, *pm2.CONVERSIONS, *pm2.NODE_ONLY, "env_x", "nonsense", ""}
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-5, 99999)
    | st.floats()
    | st.sampled_from(["", "app", "a b", "x:y", "0"])
)
VALUE = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", ""]), inner),
    max_leaves=4,
)
APP = st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=8)
ROOT = (
    VALUE
    | APP
    | st.fixed_dictionaries(
        {}, optional={"apps": st.lists(APP | VALUE, max_size=3) | APP, "app": APP, "deploy": VALUE}
    )
)


@settings(max_examples=400)
@given(ROOT, st.sampled_from(["toml", "json", "yaml", "python"]), st.sampled_from([None, "x"]))
def test_no_document_leads_to_anything_but_apps_or_an_error_of_the_configuration(data, format_, env_name):
    """Whatever stands under whatever key."""
    try:
        found = ecosystem.understand(Document("f", format_, data))
        for each in found.entries:
            described = entry.describe(found, each, env_name)
            assert described.values.keys() <= {option.name for option in BY_KEY.values()}
            for name, value in described.values.items():
                from_toml_or_refuse(BY_NAME[name], value)
    except ConfigurationError as error:
        assert "f" in str(error)


def from_toml_or_refuse(option, value):
    """A value is taken or refused with ValueError, nothing else."""
    try:
        option.kind.from_toml(value)
    except ValueError:
        return


@pytest.mark.parametrize("mode", ["auto", "fork"])
def test_an_app_that_names_nothing_to_run_is_refused_by_its_name(place, mode):
    """The file and the app are named, and what to add."""
    (place.path / "app.py").unlink()
    path = place.write({"apps": [{"name": "lone", "exec_mode": mode}]}, "forkcluster.json")
    with pytest.raises(ConfigurationError) as caught:
        place.read("forkcluster.json", app="lone")
    assert f"reading the configuration {path}: app lone: " in caught.value.message
    assert "add target" in caught.value.remedy

"""Four sources, one result: what is strongest, what is refused, and what is said about it."""

import json
import subprocess
import sys

import pytest

from forkcluster.errors import ConfigurationError, UsageError
from forkcluster.options.frozen import Launch, Request
from forkcluster.options.read import read
from forkcluster.wire.program import command


@pytest.fixture
def place(tmp_path):
    """A directory with an app.py, and a way to read the options there."""
    (tmp_path / "app.py").write_text("")

    class Place:
        path = tmp_path

        @staticmethod
        def write(text, name="forkcluster.toml"):
            (tmp_path / name).write_text(text)

        @staticmethod
        def read(flags=None, environment=None):
            texts = {name: (text,) if isinstance(text, str) else text for name, text in (flags or {}).items()}
            return read(Request(texts, str(tmp_path)), environment or {})

    return Place


def origin(reading, name):
    """Where that option's value came from."""
    return next(setting.origin for setting in reading.settings if setting.option.name == name)


def test_sources_are_asked_in_order_of_strength(place):
    """Flags beat variables, variables beat the file, the file beats defaults; each value knows its origin."""
    place.write("[app]\nbacklog = 3\nmax_surge = 3\n\n  observe = 3\n")
    reading = place.read({"backlog": "1"}, {"FORKCLUSTER_BACKLOG": "2", "FORKCLUSTER_MAX_SURGE": "2"})
    options = reading.options
    assert (1, 2, 3.0, 75.0) == (options.backlog, options.max_surge, options.observe, options.keep_alive)
    origins = [origin(reading, name) for name in ("backlog", "max_surge", "observe", "keep_alive")]
    file = f"{place.path}/forkcluster.toml, line 5"
    assert ["--backlog", "FORKCLUSTER_MAX_SURGE", file, "default"] == origins


def test_a_stronger_list_replaces_a_weaker_one(place):
    """Lists of different sources are not mixed."""
    place.write('[app]\nbind = [8000, "unix:a"]\n')
    assert ("9000",) == place.read({"bind": "9000"}).options.bind
    assert ("8000", "unix:a") == place.read().options.bind


def test_a_flag_without_a_text_asks_for_the_default(place):
    """Whatever the weaker sources say."""
    place.write('[app]\nout_file = "a.log"\nbacklog = 3\n')
    options = place.read({"out_file": (), "backlog": ()}, {"FORKCLUSTER_BACKLOG": "2"}).options
    assert (None, 2048) == (options.out_file, options.backlog)


def test_variables_of_the_application_are_merged(place):
    """--env changes single variables of [app.env], which change those of --env-file."""
    place.write("A=file\nB=file\nC=file\n", "x.env")
    place.write('[app]\nenv_file = "x.env"\n[app.env]\nB = "toml"\nC = "toml"\n')
    assert (("A", "file"), ("B", "toml"), ("C", "flag")) == place.read({"env": "C=flag"}).options.env


def test_an_empty_variable_is_not_set(place):
    """FORKCLUSTER_BACKLOG= is as good as nothing."""
    assert 2048 == place.read(environment={"FORKCLUSTER_BACKLOG": ""}).options.backlog


def test_an_alias_is_the_same_option(place):
    """gunicorn's and PM2's words for the drain timeout are taken as keys."""
    place.write('[app]\nkill_timeout = "3000ms"\n')
    assert 3.0 == place.read().options.drain_timeout


def test_an_option_under_two_names_is_refused(place):
    """Two names of one option in one file contradict each other."""
    place.write("[app]\ndrain_timeout = 1\nkill_timeout = 2\n")
    with pytest.raises(ConfigurationError, match=r"line 3: kill_timeout is another name of drain_timeout"):
        place.read()


def test_seconds_that_look_like_milliseconds_are_noted(place):
    """PM2 counts kill_timeout in milliseconds: 3000 seconds are allowed, and remarked upon."""
    assert "3000ms" in place.read({"drain_timeout": "3000"}).notes[0]


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("[app]\nbacklogg = 1\n", "line 2: unknown key backlogg", "did you mean backlog"),
        ("[app]\nmax-surge = 1\n", "unknown key max-surge", "did you mean max_surge"),
        ("[app]\nworkers = 4\n", "line 2: unknown key workers", "instances says how many workers"),
        ("[app]\nconfig = 'x'\n", "can only be a flag", ""),
        ("[app]\nbacklog = true\n", "line 2: backlog is True: expected a whole number from 1", ""),
        ("[app]\nbacklog = [\n", "not TOML", ""),
        ("backlog = 1\n", "outside a table", "[app]"),
        ("[ap]\n", "unknown table or key ap", "did you mean app"),
        ("app = 1\n", "must be a table", ""),
        ("[app]\nlimit_head = 1000\n", "below limit_request_line", "raise limit_head"),
        ("[app]\nheader = ['Server: x']\n", "sent already", "--no-server-header"),
        ("[app]\nchdir = 'nowhere'\n", "no such directory", "relative paths start in"),
        ("[app]\nlog_config = 'nothing.json'\n", "No such file", ""),
        ("[app]\nenv_file = 'nothing.env'\n", "No such file", ""),
        (
            "[app]\naccess_log_format = '%h %(zz)s'\n",
            "line 2: access_log_format is '%h %(zz)s': '%(zz)s' is no",
            "",
        ),
        ('[app]\nargs = ["a\\u0000b"]\n', "args is ['a\\x00b']: expected words without NUL", ""),
        ("[app.env]\n'A B' = '1'\n", "'A B' cannot be a variable's name", ""),
        ("[app.env]\nA = [1]\n", "line 1: env is a dict: A is a list: expected text or a number", ""),
        ("[app.env]\n'A=B' = 'x'\n", "line 1: env is a dict: 'A=B' cannot be a name: it has '=' in it", ""),
        ("[app.header]\n'A B' = 'x'\n", "'A B' cannot be a field's name", ""),
        ("[app.header]\n'A:B' = 'x'\n", "'A:B' cannot be a name: it has ':' in it", ""),
        ("[app.header]\nA = 'Ω'\n", "A has a wrong value; expected one without control characters", ""),
        ('[app.env]\nA = "a\\u0000b"\n', "line 1: env is a dict: A has a value with NUL", ""),
    ],
)
def test_a_wrong_file_is_refused_with_place_and_remedy(place, text, message, remedy):
    """The error names file, line, key, value and what was expected."""
    place.write(text)
    with pytest.raises(ConfigurationError) as caught:
        place.read()
    assert (message in caught.value.message, remedy in caught.value.remedy) == (True, True), str(caught.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"target": "./w.sh", "args": ["\ud800"]}, "args is ['\\ud800']: expected words without NUL"),
        ({"env": {"A": "\ud800"}}, "env is a dict: A has a value with NUL or half a surrogate pair"),
        ({"env": {"\ud800": "1"}}, "'\\ud800' cannot be a variable's name"),
    ],
)
def test_half_a_surrogate_pair_of_a_json_file_is_refused(place, value, message):
    """No program can be given one; what a terminal gives that is not UTF-8 is passed on."""
    place.write(json.dumps({"app": value}), "forkcluster.json")
    with pytest.raises(ConfigurationError) as caught:
        place.read({"config": "forkcluster.json"})
    assert message in caught.value.message
    assert ("\udcff",) == place.read({"target": "/bin/sh", "args": "\udcff"}).options.args


def test_a_file_that_was_asked_for_must_be_there(place):
    """--config NAME is no suggestion; without it, no file is fine."""
    with pytest.raises(ConfigurationError, match="does not exist"):
        place.read({"config": "other.toml"})
    place.write("[app]\nbacklog = 5\n", "other.toml")
    assert 5 == place.read(environment={"FORKCLUSTER_CONFIG": "other.toml"}).options.backlog


def test_a_wrong_flag_is_a_usage_error_naming_the_culprit(place):
    """Of several --bind the wrong one is quoted."""
    with pytest.raises(UsageError, match="--bind 'nonsense': expected port"):
        place.read({"bind": ("8000", "nonsense")})


def test_a_wrong_variable_is_a_configuration_error_naming_it(place):
    """The variable and its text are named."""
    with pytest.raises(ConfigurationError, match="FORKCLUSTER_BACKLOG is 'many'"):
        place.read(environment={"FORKCLUSTER_BACKLOG": "many"})


def test_a_variable_that_is_no_option_is_noted_and_not_fatal(place):
    """An orchestrator may set such names for its own reasons."""
    notes = place.read(environment={"FORKCLUSTER_BACKLOGG": "1", "FORKCLUSTER_HOME": "/x"}).notes
    assert (1, True) == (len(notes), "did you mean FORKCLUSTER_BACKLOG" in notes[0])


def test_files_we_open_are_absolute_and_stay_behind_their_symlinks(place, tmp_path):
    """Whatever a process's working directory, it opens the same log; `-` is no file."""
    (tmp_path / "current").symlink_to(tmp_path)
    directory = f"{tmp_path}/current"
    flags = {"log_file": ("a.log",), "access_log": ("-",), "pid": ("/run/a.pid",)}
    options = read(Request(flags, directory), {}).options
    assert (f"{directory}/a.log", "-", "/run/a.pid") == (options.log_file, options.access_log, options.pid)


def test_the_name_is_taken_from_the_target(place):
    """A module's first package, or a file's name."""
    named = [
        place.read({"target": t}).options.name for t in ("shop.wsgi:application", "src/my-app.py", "app")
    ]
    assert ["shop", "my-app", "app"] == named


def run_program(text, directory="."):
    """Run the program as the master does, on that input."""
    arguments = command(sys.executable, "options")
    return subprocess.run(arguments, input=text, cwd=directory, capture_output=True, text=True)


def test_the_program_prints_what_a_reload_needs(place):
    """Given the request and the environment as JSON, it prints the launch as JSON, and nothing else."""
    request = Request({"bind": ("9000",)}, str(place.path))
    done = run_program(request.to_json({"FORKCLUSTER_BACKLOG": "7"}))
    launch = Launch.from_json(done.stdout)
    assert (0, "", ("9000",), 7, request) == (
        done.returncode,
        done.stderr,
        launch.options.bind,
        launch.options.backlog,
        launch.request,
    )


def test_the_program_reports_an_error_as_json_and_exit_code(place):
    """The master gets the very error that the terminal would have shown."""
    place.write("[app]\nbacklog = 'x'\n")
    done = run_program(Request({}, str(place.path)).to_json({}))
    with pytest.raises(ConfigurationError, match="line 2: backlog is 'x'"):
        Launch.from_json(done.stdout)
    assert 78 == done.returncode


@pytest.mark.parametrize("text", ["", "{}", "[1]", json.dumps({"environment": {}})])
def test_the_program_survives_a_broken_request(text):
    """Our own mistake is told as such, in JSON."""
    done = run_program(text)
    assert (70, "internal") == (done.returncode, json.loads(done.stdout)["error"]["kind"])


def test_the_program_ignores_modules_beside_the_application(place):
    """A json.py or re.py in the app's directory, where a reload runs it, is not taken for Python's own."""
    for name in ("json", "re", "select"):
        place.write("raise SystemExit(99)", f"{name}.py")
    done = run_program(Request({}, str(place.path)).to_json({}), place.path)
    assert (0, "app") == (done.returncode, Launch.from_json(done.stdout).options.target), done.stderr


@pytest.mark.parametrize("text", ["[app]\ncron = '0 3 * * *'\n", "[app]\ncron = 0\n"])
def test_a_cron_expression_is_switched_off_by_0_on_the_command_line_as_in_a_file(place, text):
    """It takes the place of the file's, and of one that the app was started with."""
    place.write(text)
    assert place.read({"cron_restart": ("5 4 * * *", "0")}).options.cron_restart is None
    assert place.read(None, {"FORKCLUSTER_CRON_RESTART": "0"}).options.cron_restart is None


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [({"name": "all"}, ""), ({"namespace": "all"}, ""), ({"target": "all:app"}, "--name gives it one")],
)
def test_no_app_or_namespace_is_called_all(place, flags, remedy):
    """Commands take that word for every app."""
    with pytest.raises(UsageError) as caught:
        place.read(flags)
    assert "commands take that word for every app" in caught.value.message
    assert remedy == caught.value.remedy


@pytest.mark.parametrize("attribute", ["", ":application"])
def test_a_path_with_spaces_is_an_application_where_there_is_such_a_file(place, attribute):
    """Else it is a command for a shell."""
    (place.path / "my dir").mkdir()
    (place.path / "my dir" / "wsgi.py").write_text("application = None\n")
    assert "cluster" == place.read({"target": f"my dir/wsgi.py{attribute}"}).options.exec_mode
    assert "fork" == place.read({"target": f"echo my dir/wsgi.py{attribute}"}).options.exec_mode


def test_a_virtual_environment_beside_the_application_comes_before_that_of_the_directory(place):
    """The one in the directory of the file that is named, else the one where relative paths start."""
    for directory in (place.path, place.path / "site"):
        (directory / ".venv" / "bin").mkdir(parents=True)
        (directory / ".venv" / "pyvenv.cfg").write_text("")
        (directory / ".venv" / "bin" / "python").write_text("")
    assert f"{place.path}/site/.venv" == place.read({"target": "site/app.py"}).options.venv
    assert f"{place.path}/.venv" == place.read({"target": "other/app.py"}).options.venv
    assert f"{place.path}/.venv" == place.read({"target": "app:application"}).options.venv


@pytest.mark.parametrize("apps", ["", '[[apps]]\nname = "two"\ntarget = "two:app"\n'])
def test_the_apps_of_a_file_are_not_those_of_another_target(place, apps):
    """A file that merely lies there has a table [app] for whatever is started; its [[apps]] are its own."""
    place.write(f'[[apps]]\nname = "one"\ntarget = "one:app"\nbind = "9001"\ninstances = 3\n{apps}')
    reading = place.read({"target": "app:application"})
    assert ("app", "app:application", "1") == (
        reading.options.name,
        reading.options.target,
        reading.options.instances,
    )
    note = f"the apps of {place.path}/forkcluster.toml are left alone: --app NAME takes one"
    assert note in reading.notes
    assert "3" == place.read({"target": "app:application", "app": "one"}).options.instances
    named = {"target": "app:application", "config": "forkcluster.toml"}
    if apps:
        with pytest.raises(ConfigurationError, match="several apps"):
            place.read(named)
    else:
        assert "3" == place.read(named).options.instances

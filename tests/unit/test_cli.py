"""The command as a person meets it: a real process each time."""

import os
import subprocess
import sys

import pytest

from forkcluster import __version__
from forkcluster.cli.index import BY_WORD, INDEX, SECTIONS
from forkcluster.cli.serving import build
from forkcluster.cli.words import FOREIGN, FUTURE, NEEDLESS
from forkcluster.errors import EXIT_CONFIGURATION, EXIT_USAGE
from forkcluster.options.table import TABLE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ENVIRONMENT = {name: text for name, text in os.environ.items() if not name.startswith("FORKCLUSTER_")}


@pytest.fixture
def forkcluster(tmp_path):
    """Run the command in a directory with an app.py."""
    (tmp_path / "app.py").write_text("")

    def run(*arguments, **environment):
        return subprocess.run(
            [sys.executable, "-m", "forkcluster", *arguments],
            cwd=tmp_path,
            env={**ENVIRONMENT, **environment},
            capture_output=True,
            text=True,
        )

    return run


def test_the_version_is_told(forkcluster):
    """--version prints it and exits."""
    done = forkcluster("--version")
    assert (0, f"forkcluster, version {__version__}\n") == (done.returncode, done.stdout)


def test_help_names_every_flag_of_the_table(forkcluster):
    """What is declared is documented."""
    text = forkcluster("serve", "--help").stdout
    missing = [
        flag for option in TABLE for flag in (*option.flags, option.off_flag) if flag and flag not in text
    ]
    assert [] == missing


@pytest.mark.parametrize("words", [("lisst",), ("strat", "app:app")])
def test_a_command_that_is_misspelt_is_not_taken_for_a_module(forkcluster, words):
    """The command that may have been meant is named."""
    done = forkcluster(*words)
    assert EXIT_USAGE == done.returncode
    assert f"did you mean {'list' if words == ('lisst',) else 'start'}" in done.stderr
    assert "??" not in done.stderr


def test_a_log_that_cannot_be_opened_is_no_fault_of_ours(forkcluster):
    """The option and the path are named; there is no traceback."""
    done = forkcluster("app:app", "--log-file", "missing/shop.log", "--bind", "0")
    assert (EXIT_CONFIGURATION, False) == (done.returncode, "Traceback" in done.stderr)
    assert "missing/shop.log: No such file or directory" in done.stderr
    assert "--log-file" in done.stderr


def test_a_good_configuration_is_praised(forkcluster):
    """--check-config says so on standard output and exits with 0."""
    done = forkcluster("--check-config", "-i", "-1")
    assert (0, "the configuration of app (app) is good: 3 settings, the rest defaults\n") == (
        done.returncode,
        done.stdout,
    )


def test_a_bad_configuration_exits_with_78(forkcluster, tmp_path):
    """The message goes to standard error, with file and line."""
    (tmp_path / "forkcluster.toml").write_text("[app]\nbackog = 3\n")
    done = forkcluster("--check-config")
    assert (78, "", True) == (done.returncode, done.stdout, "line 2: unknown key backog" in done.stderr)
    assert "did you mean backlog?" in done.stderr


def test_what_is_printed_can_be_a_configuration(forkcluster, tmp_path):
    """--print-config is TOML; reading it gives the same values again, and each line tells its origin."""
    flags = [
        "--limit-body",
        "2M",
        "--socket-mode",
        "660",
        "--header",
        "X-A: b",
        "--keep-alive",
        "500ms",
        "-i",
        "0",
    ]
    first = forkcluster("--print-config", *flags, "--bind", ":8000", FORKCLUSTER_BACKLOG="7")
    assert 'limit_body = "2M"  # --limit-body' in first.stdout
    assert "backlog = 7  # FORKCLUSTER_BACKLOG" in first.stdout
    (tmp_path / "forkcluster.toml").write_text(first.stdout)
    second = forkcluster("--print-config")
    assert tomllib.loads(first.stdout) == tomllib.loads(second.stdout)


def test_secrets_are_not_printed(forkcluster):
    """The application's variables are named without their values."""
    text = forkcluster("--print-config", "--env", "TOKEN=hush").stdout
    assert (True, False) == ("TOKEN=…" in text, "hush" in text)


def test_flags_are_those_of_the_application_not_of_the_shell(forkcluster):
    """A value that begins with a dash is a value: -i -1."""
    assert 'instances = "-1"  # --instances' in forkcluster("-i", "-1", "--print-config").stdout


@pytest.mark.parametrize("flag", ["--server-header", "--no-server-header"])
def test_a_switch_has_two_flags(forkcluster, flag):
    """--x and --no-x."""
    expected = f"server_header = {str(not flag.startswith('--no')).lower()}  # --server-header"
    assert expected in forkcluster("--print-config", flag).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backlogg", "3"], ["--backlog"]),
        (["-w", "4"], ["--instances"]),
        (["-k", "gevent"], ["--interface"]),
        (["start", "app:app", "--daemon"], ["forkcluster start TARGET"]),
        (["help", "nosuch"], ["no command nosuch", "forkcluster help"]),
        (["help", "lisst"], ["no command lisst", "did you mean list"]),
        (["--bind", "nonsense"], ["--bind 'nonsense'", "expected port"]),
        (["app", "more"], ["unexpected extra argument"]),
        (["--limit-fields", "300"], ["--limit-fields '300'", "from 1 to 256"]),
        (["deploy"], ["not in this release yet", "./deploy.py"]),
        (["update"], ["there is no command update", "forkcluster restart all", "./update.py"]),
        (["deepUpdate"], ["there is no command deepUpdate", "forkcluster restart all"]),
    ],
)
def test_bad_usage_exits_with_2(forkcluster, arguments, words):
    """The message quotes what was wrong and says what is right."""
    done = forkcluster(*arguments)
    assert (2, []) == (done.returncode, [word for word in words if word not in done.stderr]), done.stderr


def test_nothing_to_serve_exits_with_2(forkcluster, tmp_path):
    """Without a target, and none to be found."""
    (tmp_path / "app.py").unlink()
    done = forkcluster("--check-config")
    assert (2, True) == (done.returncode, "nothing to serve" in done.stderr)


def test_words_kept_for_later_are_no_options():
    """A foreign flag that has become ours is no longer foreign, and no command to come is there already."""
    flags = {flag for parameter in build().params for flag in (*parameter.opts, *parameter.secondary_opts)}
    words = FUTURE | NEEDLESS.keys()
    assert (set(), set()) == (flags & set(FOREIGN), BY_WORD.keys() & words)


@pytest.mark.parametrize("entry", INDEX, ids=lambda entry: entry.name)
def test_every_command_of_the_index_can_be_loaded_and_tells_what_it_does(entry):
    """Its name is the index's, its section is shown in the help, and it is documented."""
    command = entry.load()
    assert (entry.name, True) == (command.name, entry.section in SECTIONS)
    assert command.help


@pytest.mark.parametrize("arguments", [(), ("serve",), ("serve", "app"), ("app",), ("-i", "2")])
def test_the_word_serve_may_be_left_out(forkcluster, arguments):
    """Whatever is no command is what to serve, or an option of serving."""
    assert "the configuration of app (app) is good" in forkcluster(*arguments, "--check-config").stdout


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("help",)])
def test_help_lists_the_commands(forkcluster, arguments):
    """Each with its line."""
    text = forkcluster(*arguments).stdout
    assert [] == [entry.name for entry in INDEX if entry.help.split()[0] not in text]


def test_help_of_a_command(forkcluster):
    """help WORD is WORD --help, aliases too."""
    assert forkcluster("help", "ls").stdout == forkcluster("list", "--help").stdout.replace(" list ", " ls ")


def test_an_applications_module_cannot_stand_in_for_the_standard_library(forkcluster, tmp_path):
    """A select.py or json.py beside the application reaches neither master nor mold: the app is imported."""
    for name in ("select", "json", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)")
    (tmp_path / "app.py").write_text("raise RuntimeError('the application was reached')")
    command = [os.path.join(os.path.dirname(sys.executable), "forkcluster"), "--bind", "127.0.0.1:0"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    words = "RuntimeError: the application was reached"
    assert (3, 1) == (done.returncode, done.stderr.count(words)), done.stderr

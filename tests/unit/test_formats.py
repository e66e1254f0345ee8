"""Configuration files as data: values, lines, and faults that name their line."""

import json
import os
import textwrap

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forkcluster.errors import ConfigurationError
from forkcluster.options.formats import json as json_format
from forkcluster.options.formats import python, read, toml, yaml
from forkcluster.options.formats.document import FaultError, Left, shown

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)

TOML = '''\
title = "x"  # [not.a.table]
[app] # one
"quoted key" = """
[fake]
key = 1
"""
list = [
  1, # comment ]
  "]",
]
a.b = 1
[app.env]
A = 'x = [y'
[[apps]]
name = "one"
[apps.env]
B = 1
[[apps]]
name = "two"
env_x = { C = 1 }
'''


def test_toml_tells_the_line_of_every_key():
    """Strings over several lines, arrays and comments hide nothing and invent nothing."""
    value, lines = toml.parse(TOML)
    assert {
        ("title",): 1, ("app",): 2, ("app", "quoted key"): 3, ("app", "list"): 7, ("app", "a"): 11,
        ("app", "a", "b"): 11, ("app", "env"): 12, ("app", "env", "A"): 13, ("apps",): 14,
        ("apps", 0): 14, ("apps", 0, "name"): 15, ("apps", 0, "env"): 16,
        ("apps", 0, "env", "B"): 17, ("apps", 1): 18, ("apps", 1, "name"): 19, ("apps", 1, "env_x"): 20,
    } == lines  # fmt: skip
    assert "two" == value["apps"][1]["name"]


def test_json_tells_the_line_of_every_key_and_takes_comments():
    """As PM2 does: // and /* */, and a comma before the end."""
    value, lines = json_format.parse('{ // one\n "apps": [\n  /* two\n */ {"name": "a//b",\n "n": [1,],}\n]}')
    assert ({"apps": [{"name": "a//b", "n": [1]}]}, {(): 1, ("apps",): 2, ("apps", 0): 4}) == (
        value,
        {path: lines[path] for path in [(), ("apps",), ("apps", 0)]},
    )
    assert (4, 5, 5) == tuple(lines[("apps", 0, *rest)] for rest in [["name"], ["n"], ["n", 0]])


def test_yaml_tells_the_line_of_every_key():
    """Anchors and merges included."""
    value, lines = yaml.parse("base: &b\n  A: 1\napps:\n  - name: x\n    env:\n      <<: *b\n      B: 2\n")
    assert ({"A": 1, "B": 2}, 7, 4) == (
        value["apps"][0]["env"],
        lines["apps", 0, "env", "B"],
        lines["apps", 0, "name"],
    )


@pytest.mark.parametrize(
    ("parse", "text", "line", "words"),
    [
        (json_format.parse, '{"a": 1\n"b": 2}', 2, "expected a comma"),
        (json_format.parse, '{"a": 1,\n"a": 2}', 2, "a stands here twice"),
        (json_format.parse, '{\n\n"a" 1}', 3, "a colon is missing"),
        (json_format.parse, "[1,\n process.env.X]", 2, "expected a value, not 'process"),
        (json_format.parse, '{"a":', 1, "ends too early"),
        (json_format.parse, '{"a": [1', 1, "ends too early"),
        (json_format.parse, "", 1, "ends too early"),
        (json_format.parse, "1 2", 1, "more text"),
        (json_format.parse, "{1: 2}", 1, "double quotes"),
        (json_format.parse, "[1e999]", 1, "too large"),
        (json_format.parse, "[-Infinity]", 1, "too large"),
        (json_format.parse, "[" * 100, 1, "deep"),
        (json_format.parse, "1" * 5000, 1, "digits"),
        (toml.parse, "a = 1\na = 2\n", 2, "overwrite"),
        (toml.parse, "a = [\n", None, ""),
        (yaml.parse, "a: 1\nb: [\n", 3, "expected"),
        (yaml.parse, "a: 1\na: 2\n", 2, "a stands here twice"),
        (yaml.parse, "a: !!python/object/apply:os.system [x]\n", 1, "could not determine a constructor"),
        (yaml.parse, "a: 1\n--- \nb: 2", 2, "another document"),
        (yaml.parse, "? [a]\n: 1", 1, "unhashable"),
        (yaml.parse, "[" * 100, 1, ""),
    ],
)
def test_a_fault_names_its_line(parse, text, line, words):
    """What was found, where."""
    with pytest.raises(FaultError, match=words or None) as caught:
        parse(text)
    assert line in (caught.value.line, None)


@given(JSON_VALUES)
def test_what_json_writes_is_read_back(value):
    """The reader of ours agrees with the standard library's writer, whatever the layout."""
    for text in (json.dumps(value), json.dumps(value, indent=2), json.dumps(value, ensure_ascii=False)):
        assert value == json_format.parse(text)[0]


@settings(max_examples=300)
@given(
    st.text(alphabet='{}[],:"\\/*# \n=.-+0eaé<&>!|\x00\ud800', max_size=60),
    st.sampled_from(sorted(read.PARSERS)),
)
@example("&a [*a]", "yaml")
@example("a: &a {b: *a}", "yaml")
@example("0001-01-01: 0000-99-99", "yaml")
@example("a.\"b\".'c' = 0\n[[a.d]]", "toml")
@example("[]\n]", "toml")
def test_no_text_leads_to_anything_but_a_value_or_a_fault(text, name):
    """Whatever stands in the file: its data, or an error that names it."""
    try:
        document = read.parse("f", name, text.encode("utf-8", "surrogatepass"))
    except ConfigurationError as error:
        assert "f" in str(error)
    else:
        assert all(line >= 1 for line in document.lines.values())


def test_a_bomb_of_aliases_is_a_fault():
    """A YAML file that would be gigabytes when written out."""
    text = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with pytest.raises(FaultError, match="aliases that unfold"):
        yaml.parse(text)


@given(JSON_VALUES)
def test_a_value_is_shown_in_few_words(value):
    """In an error, however large it is."""
    assert len(shown(value)) <= 120


def evaluated(tmp_path, text, **environment):
    """Evaluate the text as a Python configuration."""
    path = tmp_path / "forkcluster.config.py"
    path.write_text(textwrap.dedent(text))
    return python.evaluate(str(path), {**os.environ, **environment}, timeout=20)


def test_a_path_in_an_app_of_a_python_file_is_its_text(tmp_path):
    """What else JSON cannot carry is told where it stands, by what it is; an object is no app."""
    found = evaluated(
        tmp_path,
        """
        import pathlib
        apps = [{"name": "a", "chdir": pathlib.Path("/srv"), "args": [print], "env": {"A": {1}}}]
        app = object()
        """,
    )
    (app,) = found.data["apps"]
    assert ("/srv", [Left("function")], {"A": Left("set")}) == (app["chdir"], app["args"], app["env"])
    assert {"app": "object"} == dict(found.left)


def test_a_python_file_is_evaluated_in_a_process_of_its_own(tmp_path):
    """It sees the environment and what lies beside it; what it prints spoils nothing."""
    (tmp_path / "shared.py").write_text("PORT = 9000")
    (tmp_path / "json.py").write_text("raise SystemExit(9)")
    found = evaluated(
        tmp_path,
        """
        import os, pathlib, shared
        print("noise")
        os.write(1, b"more noise")
        def post_fork(server, worker): ...
        where = pathlib.Path("x")
        apps = [{"name": "a", "env": {"PORT": shared.PORT, "PID": os.getpid(), "X": os.environ["GIVEN"]}}]
        """,
        GIVEN="yes",
    )
    env = found.data["apps"][0]["env"]
    assert (9000, "yes", True) == (env["PORT"], env["X"], env["PID"] != os.getpid())
    assert {"post_fork": "function", "where": "PosixPath"} == dict(found.left)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\nx = 1 / 0", "line 2, in <module>"),
        ("import os; os._exit(0)", "without an answer"),
        ("def", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_python_file_that_fails_is_told_with_its_traceback(tmp_path, text, words):
    """The traceback begins in the file, not in ours."""
    with pytest.raises(ConfigurationError) as caught:
        evaluated(tmp_path, text)
    assert words in str(caught.value)
    assert "runpy" not in str(caught.value)


def test_a_python_file_that_waits_is_ended_with_all_it_started(tmp_path):
    """After the deadline nothing of it is left."""
    path = tmp_path / "slow.config.py"
    path.write_text("import subprocess, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)\n")
    with pytest.raises(ConfigurationError, match="not done within"):
        python.evaluate(str(path), dict(os.environ), timeout=1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "ecosystem.config.js",
            "node -p 'JSON.stringify(require(\"./ecosystem.config.js\"), null, 2)' > ecosystem.json",
        ),
        ("x.ini", "its name tells no format"),
        ("missing.toml", "does not exist"),
        ("missing.py", "does not exist"),
        ("latin.toml", "not UTF-8"),
        ("directory.toml", "Is a directory"),
        ("nul\0.toml", "null byte"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, words):
    """PM2's JavaScript with the way to convert it."""
    (tmp_path / "latin.toml").write_bytes(b"a = '\xff'")
    (tmp_path / "directory.toml").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        read.read(f"{tmp_path}/{name}", {})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "word", ["a.toml", "a.JSON", "b/a.config.py", "a.config.js", "a.config.cjs", "a.config.mjs"]
)
def test_a_name_of_a_configuration_is_told_from_a_target(word):
    """PM2's JavaScript as well, which would run as a program."""
    assert read.is_configuration(word)


@pytest.mark.parametrize("word", ["app.js", "config.js", "app.py", "config.py", "app:config", "app"])
def test_a_name_of_a_program_is_no_configuration(word):
    """Whatever it is called before its end."""
    assert not read.is_configuration(word)

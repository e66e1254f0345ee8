"""Registered apps leave and come in the order of the files they are from."""

import pytest

from forkcluster.manager import order
from forkcluster.manager.record import Record
from forkcluster.manager.register import App
from forkcluster.options.file import reference
from forkcluster.options.frozen import Request
from forkcluster.wire.home import AppPlace

TEXT = """
[[apps]]
name = "web"
target = "app"
name_prefix = "my-"
depends_on = ["api"]
[[apps]]
name = "api"
target = "app"
depends_on = { db = "started" }
[[apps]]
name = "db"
target = "app"
"""


def app(name, request):
    """A registered app."""
    return App(AppPlace("/home", name), Record(0, name, request, {}))


@pytest.fixture
def apps(tmp_path):
    """Three apps of a file and one of none."""
    (tmp_path / "f.toml").write_text(TEXT)
    named = {"my-web": "web", "api": "api", "db": "db"}
    found = [app(name, reference(f"{tmp_path}/f.toml", own)) for name, own in named.items()]
    return [*found, app("other", Request({}, "/"))]


def names(groups):
    """The names of each group."""
    return [sorted(each.name for each in group) for group in groups]


def test_apps_leave_after_those_that_depend_on_them(apps):
    """And come before them; an app of no file does not wait."""
    assert [["my-web", "other"], ["api"], ["db"]] == names(order.leaving(apps, {}))
    assert [["db", "other"], ["api"], ["my-web"]] == names(order.coming(apps, {}))


def test_what_is_not_among_them_is_not_waited_for(apps):
    """The rest of the file may run or not."""
    assert [["db", "my-web"]] == names(order.leaving([apps[0], apps[2]], {}))


def test_a_file_that_is_gone_or_broken_has_nothing_to_say(apps, tmp_path):
    """Stopping works all the same."""
    (tmp_path / "f.toml").write_text("[[apps")
    assert [["api", "db", "my-web", "other"]] == names(order.leaving(apps, {}))

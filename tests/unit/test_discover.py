"""Finding what to serve when nobody said."""

import pytest

from forkcluster.errors import UsageError
from forkcluster.options.discover import Found, discover

MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'


def make(root, **files):
    """Write files; `__` in a name stands for a slash."""
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_django_project_is_found_by_its_manage_py(tmp_path):
    """manage.py names the settings, their package has a wsgi.py."""
    make(tmp_path, manage=MANAGE, shop__settings="", shop__wsgi="", app="")
    assert Found("shop.wsgi:application", "manage.py names shop.settings") == discover(str(tmp_path), {})


def test_the_settings_own_word_counts(tmp_path):
    """WSGI_APPLICATION, where set, is the target."""
    make(tmp_path, manage=MANAGE, shop__settings="WSGI_APPLICATION = 'shop.entry.app'\n")
    assert "shop.entry:app" == discover(str(tmp_path), {}).target


def test_split_settings_find_the_wsgi_module_above(tmp_path):
    """The nearest wsgi.py beside or above the settings; the variable beats manage.py."""
    make(
        tmp_path, manage=MANAGE, config__settings__live="", config__wsgi="", shop__wsgi="", shop__settings=""
    )
    environment = {"DJANGO_SETTINGS_MODULE": "config.settings.live"}
    assert "config.wsgi:application" == discover(str(tmp_path), environment).target


def test_an_app_py_is_found(tmp_path):
    """Beside an app.py its module is served, also when a manage.py leads nowhere."""
    make(tmp_path, manage="", app="")
    assert Found("app", "there is an app.py") == discover(str(tmp_path), {})


def test_nothing_to_serve_says_what_was_looked_for(tmp_path):
    """The error names the directory and how to name a target."""
    with pytest.raises(UsageError, match="none found in") as caught:
        discover(str(tmp_path), {})
    assert "app:application" in caught.value.remedy

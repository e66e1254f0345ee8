"""What is masked and what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkcluster.manager.secrets import MASK, mask, masked


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY", "API_KEY", "STRIPE_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "PGPASSWORD", "REDIS_PASS",
        "SENTRY_DSN", "AWS_SECRET_ACCESS_KEY", "apiKey", "clientSecret", "session.cookie", "JWT",
        "BASIC_AUTH", "MYSQL_PWD", "DJANGO_SECRETKEY",
    ],
)  # fmt: skip
def test_a_name_that_speaks_of_a_secret_hides_its_value(name):
    """Whole words, wherever they stand in the name, in any case."""
    assert MASK == mask(name, "hunter2")


@pytest.mark.parametrize(
    "name",
    [
        "PATH",
        "PWD",
        "OLDPWD",
        "MONKEY",
        "KEYBOARD",
        "PASSENGERS",
        "AUTHOR",
        "SHOPPING",
        "PORT",
        "DEBUG",
        "COMPASS",
    ],
)
def test_other_names_are_shown(name):
    """A word that only looks like one is none."""
    assert "hunter2" == mask(name, "hunter2")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://shop:hunter2@db:5432/shop", f"postgres://shop:{MASK}@db:5432/shop"),
        ("redis://:hunter2@localhost/0", f"redis://:{MASK}@localhost/0"),
        ("a://u:p@x, b://u:q@y", f"a://u:{MASK}@x, b://u:{MASK}@y"),
        ("postgres://u:p@ss@db/x", f"postgres://u:{MASK}@db/x"),
        ("https://example.org:8080/a@b", "https://example.org:8080/a@b"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII", MASK),
        ("ghp_0123456789abcdef", MASK),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", MASK),
        ("", ""),
    ],
)
def test_a_secret_inside_a_harmless_variable_is_found(value, shown):
    """The password of an address, a key, a token."""
    assert shown == mask("ADDRESS", value)


def test_a_whole_environment_is_masked_at_once():
    """Names stay, harmless values stay."""
    assert {"A": "1", "TOKEN": MASK, "SECRET": ""} == masked({"A": "1", "TOKEN": "x", "SECRET": ""})


@given(st.text(), st.text(min_size=1))
def test_a_secrets_value_never_shows(prefix, value):
    """Whatever else is in the name and whatever the value is."""
    assert MASK == mask(f"{prefix}_TOKEN", value)

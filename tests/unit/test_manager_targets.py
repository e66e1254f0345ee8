"""Which apps a person means."""

import pytest

from forkcluster.errors import NotFoundError, UsageError
from forkcluster.manager.record import Record
from forkcluster.manager.register import App
from forkcluster.manager.targets import only, registered, resolve
from forkcluster.options.frozen import Request
from forkcluster.wire.home import AppPlace


def app(number, name, target, *, namespace="default", directory="/srv", config=()):
    """A managed app."""
    request = Request({"config": config} if config else {}, directory)
    record = Record(number, name, request, {}, namespace=namespace, target=target)
    return App(AppPlace("/home", name), record)


APPS = [
    app(0, "shop", "shop.wsgi", namespace="web"),
    app(1, "api", "api:application", namespace="web"),
    app(2, "api-2", "api:application", directory="/other"),
    app(3, "7", "./tools/job.py", config=("apps.toml",)),
    App(AppPlace("/home", "mine"), holder={"pid": 1}),
]


def names(*words, directory="/srv"):
    """What the words mean."""
    return [each.name for each in resolve(words, APPS, directory)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["all"], ["shop", "api", "api-2", "7"]),
        (["/^api/"], ["api", "api-2"]),
        (["shop", "0"], ["shop"]),
        (["2", "web"], ["api-2", "shop", "api"]),
        (["7"], ["7"]),
        (["mine"], ["mine"]),
        (["api:application"], ["api"]),
        (["shop.wsgi"], ["shop"]),
        (["tools/job.py"], ["7"]),
        (["/srv/tools/job.py"], ["7"]),
        (["apps.toml"], ["7"]),
    ],
)
def test_words_and_what_they_mean(words, expected):
    """Each app once, in the order of the words."""
    assert expected == names(*words)


def test_a_target_means_the_app_of_this_directory_first():
    """Elsewhere it means all that have it."""
    assert ["api-2"] == names("api:application", directory="/other")
    assert ["api", "api-2"] == names("api:application", directory="/nowhere")


def test_all_of_nothing_is_nothing():
    """And no error."""
    assert [] == resolve(["all"], [], "/")


@pytest.mark.parametrize(("word", "words"), [("shpo", "did you mean shop?"), ("x" * 9, "registered: 7, api")])
def test_a_word_that_means_nothing(word, words):
    """The nearest name, or all of them."""
    with pytest.raises(NotFoundError) as caught:
        names(word)
    assert words in caught.value.remedy


def test_a_pattern_that_is_none():
    """It says what is wrong with it."""
    with pytest.raises(UsageError, match="is no pattern"):
        names("/(/")


def test_only_takes_some():
    """Words may be parted by commas; one that is not among them is an error."""
    found = resolve(["all"], APPS, "/")
    assert ["shop", "api"] == [each.name for each in only(["shop,api"], found)]
    with pytest.raises(NotFoundError):
        only(["nobody"], found)


def test_registered_words_are_no_targets():
    """start must be able to start another app of the same target."""
    assert ([], ["shop"]) == (
        registered("api:application", APPS),
        [each.name for each in registered("0", APPS)],
    )

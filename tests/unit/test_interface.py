"""WSGI or ASGI, told by looking: the shapes that applications come in."""

import functools

import pytest

from forkcluster.errors import ApplicationError
from forkcluster.mold.interface import decide, detect


def wsgi_function(environ, start_response):
    """The plainest application."""


def other_names(env, start):
    """Two arguments under names of its own."""


async def asgi_function(scope, receive, send):
    """The plainest ASGI application."""


async def asgi_other_names(s, r, w):
    """Three arguments under names of its own."""


class WsgiObject:
    """What most frameworks make."""

    def __call__(self, environ, start_response):
        return []

    def method(self, environ, start_response):
        return []


class WsgiIterable:
    """PEP 3333's own example of a class."""

    def __init__(self, environ, start_response):
        pass

    def __iter__(self):
        return iter(())


class AsgiObject:
    """What Starlette's classes look like."""

    async def __call__(self, scope, receive, send):
        pass


class AsgiSync:
    """A wrapper that returns the inner coroutine without being async itself."""

    def __call__(self, scope, receive, send):
        return asgi_function(scope, receive, send)


class AsgiDouble:
    """ASGI 2: called with the scope, its instance with the rest."""

    def __init__(self, scope):
        pass

    async def __call__(self, receive, send):
        pass


class AsgiEndpoint:
    """Starlette's HTTPEndpoint: a class whose instances are awaited."""

    def __init__(self, scope, receive, send):
        pass

    def __await__(self):
        yield


def double_function(scope):
    """ASGI 2 as a function that returns the instance."""


def careless(function):
    """A decorator without functools.wraps."""
    return lambda *args, **kwargs: [function(*args, **kwargs)]


def careful(function):
    """A decorator with functools.wraps."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


class Middleware:
    """A middleware that says nothing of what it wraps, but for an attribute."""

    def __init__(self, app):
        self.app = app

    def __call__(self, *args):
        return self.app(*args)


class FlaskLike:
    """A framework object with a patched entry, as Flask's documentation recommends."""

    def __init__(self):
        self.wsgi_app = Middleware(self.inner)

    def inner(self, environ, start_response):
        return []

    def __call__(self, environ, start_response):
        return self.wsgi_app(environ, start_response)


def with_more(extra, environ, start_response):
    """Made an application by a partial."""


async def async_with_more(extra, scope, receive, send):
    """Made an application by a partial."""


@pytest.mark.parametrize(
    ("application", "interface", "reason"),
    [
        (wsgi_function, "wsgi", "a function of (environ, start_response)"),
        (other_names, "wsgi", "a function of (env, start)"),
        (WsgiObject(), "wsgi", "WsgiObject of (environ, start_response)"),
        (WsgiObject().method, "wsgi", "a method of (environ, start_response)"),
        (WsgiIterable, "wsgi", "a class of (environ, start_response) whose instances are iterated"),
        (FlaskLike(), "wsgi", "FlaskLike of (environ, start_response)"),
        (careful(wsgi_function), "wsgi", "a function of (environ, start_response)"),
        (careless(wsgi_function), "wsgi", "it takes any arguments, so WSGI is assumed"),
        (functools.partial(with_more, 1), "wsgi", "a functools.partial of (environ, start_response)"),
        (
            functools.partial(careful(with_more), 1),
            "wsgi",
            "a functools.partial of (environ, start_response)",
        ),
        (lambda e, s, extra=None: [], "wsgi", "a function of (e, s, extra)"),
        (lambda environ, *rest: [], "wsgi", "a function of (environ)"),
        (Middleware(wsgi_function), "wsgi", "Middleware around a function of (environ, start_response)"),
        (Middleware(Middleware(asgi_function)), "asgi", "around an async function"),
        (asgi_function, "asgi", "an async function of (scope, receive, send)"),
        (asgi_other_names, "asgi", "an async function of (s, r, w)"),
        (AsgiObject(), "asgi", "an async callable"),
        (AsgiObject().__call__, "asgi", "an async method of (scope, receive, send)"),
        (AsgiSync(), "asgi", "AsgiSync of (scope, receive, send)"),
        (lambda a, b, c: None, "asgi", "a function of (a, b, c)"),
        (AsgiDouble, "asgi", "ASGI 2"),
        (AsgiEndpoint, "asgi", "whose instances are awaited"),
        (double_function, "asgi", "ASGI 2"),
        (careful(asgi_function), "asgi", "(scope, receive, send)"),
        (
            functools.partial(async_with_more, 1),
            "asgi",
            "an async functools.partial of (scope, receive, send)",
        ),
        (functools.partial(AsgiObject(), {}), None, "2 arguments"),
        (max, "wsgi", "a built-in function; its signature cannot be read, so WSGI is assumed"),
    ],
)
def test_the_interface_is_told_and_why(application, interface, reason):
    """Each shape gives its interface, and words for the start screen."""
    if interface is None:
        with pytest.raises(ApplicationError):
            detect(application)
        return
    found = detect(application)
    assert (interface, True) == (found.interface, reason in found.reason), found


def test_flask_is_wsgi():
    """The real framework, plain and with a wrapped wsgi_app."""
    flask = pytest.importorskip("flask")
    app = flask.Flask("shop")
    assert "wsgi" == detect(app).interface
    app.wsgi_app = Middleware(app.wsgi_app)
    assert "wsgi" == detect(app).interface


def test_django_is_told_by_its_handlers():
    """WSGIHandler and ASGIHandler, unconfigured."""
    wsgi = pytest.importorskip("django.core.handlers.wsgi")
    asgi = pytest.importorskip("django.core.handlers.asgi")
    instances = [handler.__new__(handler) for handler in (wsgi.WSGIHandler, asgi.ASGIHandler)]
    assert ["wsgi", "asgi"] == [detect(instance).interface for instance in instances]


def test_bottle_is_wsgi():
    """The real framework."""
    bottle = pytest.importorskip("bottle")
    assert "wsgi" == detect(bottle.Bottle()).interface


def test_starlette_is_asgi():
    """The real framework, its class of an endpoint too."""
    applications = pytest.importorskip("starlette.applications")
    endpoints = pytest.importorskip("starlette.endpoints")
    found = [detect(applications.Starlette()).interface, detect(endpoints.HTTPEndpoint).interface]
    assert ["asgi", "asgi"] == found


class Nothing:
    """A class that answers nothing."""

    def __init__(self, environ, start_response):
        pass


async def async_pair(environ, start_response):
    """No interface calls this."""


@pytest.mark.parametrize(
    ("application", "remedy"),
    [
        (lambda: wsgi_function, "--factory"),
        (lambda only: None, "--interface"),
        (lambda a, b, c, d: None, "--interface"),
        (Nothing, "--factory"),
        (async_pair, "async def application(scope, receive, send)"),
    ],
)
def test_what_can_be_neither_is_refused_with_a_remedy(application, remedy):
    """A wrong guess would answer every request with an error: better to refuse the start."""
    with pytest.raises(ApplicationError) as caught:
        detect(application)
    assert remedy in caught.value.remedy


def test_a_property_is_never_run():
    """Looking at an application has no effects."""

    class Trap:
        @property
        def app(self):
            raise AssertionError("the property was run")

        def __call__(self, *args):
            pass

    assert "wsgi" == detect(Trap()).interface


def test_the_interface_can_be_forced():
    """--interface is believed without looking."""
    found = [decide(wsgi_function, "asgi"), decide(asgi_function, "wsgi"), decide(asgi_function, "auto")]
    assert ["asgi", "wsgi", "asgi"] == [each.interface for each in found]


def test_asgi_2_is_told_apart():
    """It must be called in two steps, forced or not, and through a wrapper that passes everything on."""
    found = [
        detect(double_function),
        detect(AsgiDouble),
        decide(double_function, "asgi"),
        detect(Middleware(double_function)),
    ]
    assert [True] * 4 == [each.double for each in found]
    assert [False, False] == [detect(asgi_function).double, decide(wsgi_function, "asgi").double]

"""A Django of one file: `/` says hello, `/page` does what pages do: query, form with errors, template.

The database is the file that the environment names, `BENCH_DATABASE`; an empty one is filled at the import.
"""

import os

import django
from django import forms
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY="bench",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["BENCH_DATABASE"]}},
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402 (models want the set-up above)
from django.db import connection  # noqa: E402
from django.template import engines  # noqa: E402

PAGE = """{{ form.as_p }}{% for user in users %}
<p>{{ user.username|upper }}, since {{ user.date_joined|date }}</p>{% endfor %}"""


class Contact(forms.Form):
    """Two fields, both of which will be wrong."""

    name = forms.CharField(max_length=10)
    mail = forms.EmailField()


def fill():
    """One table with twenty users."""
    if User._meta.db_table in connection.introspection.table_names():
        return
    with connection.schema_editor() as editor:
        editor.create_model(User)
    User.objects.bulk_create(User(username=f"user{number}") for number in range(20))


def page(request):
    """What a page takes."""
    form = Contact({"name": "longer than ten letters", "mail": "nothing of the kind"})
    users = User.objects.filter(is_active=True).order_by("username")
    return HttpResponse(engines["django"].from_string(PAGE).render({"form": form, "users": users}))


fill()
connection.close()  # what is open is nothing to be forked
urlpatterns = [path("", lambda request: HttpResponse("Hello, world!")), path("page", page)]
application = get_wsgi_application()

"""Documents in the admin."""

from __future__ import annotations

from django.contrib import admin

from django_site.shelf.models import Document

admin.site.register(Document)

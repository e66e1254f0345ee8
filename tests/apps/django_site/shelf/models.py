"""Documents that are uploaded in the admin."""

from __future__ import annotations

from django.db import models


class Document(models.Model):
    """One uploaded file."""

    title = models.CharField(max_length=80)
    file = models.FileField()

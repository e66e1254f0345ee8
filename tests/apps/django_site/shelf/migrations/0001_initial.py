"""The table of documents."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    operations = [  # noqa: RUF012  Django's way
        migrations.CreateModel(
            "Document",
            [
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("title", models.CharField(max_length=80)),
                ("file", models.FileField(upload_to="")),
            ],
        )
    ]

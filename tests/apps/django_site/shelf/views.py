"""A session that counts, a download, a stream."""

from __future__ import annotations

from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from django_site.shelf.models import Document


def count(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def document(request: HttpRequest, number: int) -> FileResponse:
    return FileResponse(get_object_or_404(Document, pk=number).file.open("rb"))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(f"{number}\n" for number in range(1000))

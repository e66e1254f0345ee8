"""The admin, and what the tests look at."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from django_site.shelf import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("count/", views.count),
    path("document/<int:number>/", views.document),
    path("stream/", views.stream),
]

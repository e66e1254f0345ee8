"""A Bottle application that reads its body in the three usual ways."""

from __future__ import annotations

import hashlib

import bottle

app = bottle.Bottle()


@app.post("/body")
def body() -> str:
    return hashlib.sha256(bottle.request.body.read()).hexdigest()


@app.post("/json")
def json() -> object:
    return bottle.request.json


@app.post("/form")
def form() -> str:
    return bottle.request.forms.getunicode("name")

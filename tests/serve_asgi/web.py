"""The same small site in four frameworks, as their users write it."""

import asyncio
import contextlib
import os
from pathlib import Path

LOG = []


def fastapi_app():
    from typing import Annotated

    from fastapi import BackgroundTasks, Depends, FastAPI, Request, UploadFile, WebSocket
    from fastapi.responses import FileResponse, StreamingResponse
    from pydantic import BaseModel

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield {"started": True}

    app = FastAPI(lifespan=lifespan)

    class Item(BaseModel):
        name: str
        price: float

    async def session():
        LOG.append("opened")
        try:
            yield "session"
        finally:
            LOG.append("closed")

    @app.get("/json")
    async def json(request: Request):
        return {"pid": os.getpid(), "started": request.state.started, "client": request.client.host}

    @app.get("/thread")
    def thread():
        return {"thread": True}

    @app.post("/items")
    async def items(item: Item):
        return {"name": item.name.upper(), "price": item.price * 2}

    @app.get("/session")
    async def with_session(session: Annotated[str, Depends(session)]):
        LOG.append("used")
        return session

    @app.get("/log")
    async def log():
        return LOG

    @app.get("/background")
    async def background(tasks: BackgroundTasks):
        tasks.add_task(LOG.append, "background")
        return "ok"

    @app.post("/upload")
    async def upload(file: UploadFile):
        content = await file.read()
        return {"name": file.filename, "size": len(content), "sum": sum(content[::1001])}

    @app.get("/download/{name}")
    async def download(name: str):
        return FileResponse(Path(name), filename=name)

    @app.get("/events")
    async def events():
        async def source():
            for number in range(5):
                yield f"data: {number}\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(source(), media_type="text/event-stream")

    @app.get("/forever")
    async def forever(request: Request):
        async def source():
            try:
                number = 0
                while not await request.is_disconnected():
                    yield f"data: {number}\n\n"
                    number += 1
                    await asyncio.sleep(0.01)
            finally:
                LOG.append("stream closed")

        return StreamingResponse(source(), media_type="text/event-stream")

    @app.get("/error")
    async def error():
        raise RuntimeError("a fault of the view")

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()
        async for text in socket.iter_text():
            await socket.send_text(f"echo {text}")

    return app


def starlette_app():
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.gzip import GZipMiddleware
    from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    class Stamp(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            response = await call_next(request)
            response.headers["x-stamp"] = "1"
            return response

    async def json(request):
        return JSONResponse({"pid": os.getpid(), "path": request.url.path})

    async def form(request):
        async with request.form() as fields:
            content = await fields["file"].read()
            return JSONResponse({"name": fields["name"], "size": len(content)})

    async def raw(request):
        length = 0
        async for piece in request.stream():
            length += len(piece)
        return PlainTextResponse(str(length))

    async def stream(request):
        async def source():
            for number in range(1000):
                yield f"{number}\n"

        return StreamingResponse(source(), media_type="text/plain")

    async def download(request):
        return FileResponse("big.bin")

    async def error(request):
        raise RuntimeError("a fault of the view")

    routes = [
        Route("/json", json),
        Route("/form", form, methods=["POST"]),
        Route("/raw", raw, methods=["POST"]),
        Route("/stream", stream),
        Route("/download", download),
        Route("/error", error),
        Mount("/static", StaticFiles(directory=".")),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Stamp), Middleware(GZipMiddleware)])


def litestar_app():
    from typing import Any

    from litestar import Litestar, get, post
    from litestar.response import Stream

    @get("/json")
    async def json() -> dict[str, Any]:
        return {"pid": os.getpid()}

    @get("/thread", sync_to_thread=True)
    def thread() -> dict[str, Any]:
        return {"thread": True}

    @post("/items")
    async def items(data: dict[str, Any]) -> dict[str, Any]:
        return {"got": data}

    @get("/stream")
    async def stream() -> Stream:
        async def source():
            for number in range(1000):
                yield f"{number}\n"

        return Stream(source())

    @get("/error")
    async def error() -> None:
        raise RuntimeError("a fault of the view")

    return Litestar([json, thread, items, stream, error], openapi_config=None)


def django_app():
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for tests",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        DATA_UPLOAD_MAX_MEMORY_SIZE=64 << 20,
        LOGGING_CONFIG=None,
    )
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def _django_urls():
    from django.http import FileResponse, JsonResponse, StreamingHttpResponse
    from django.urls import path

    async def json(request):
        return JsonResponse({"pid": os.getpid(), "path": request.path})

    def thread(request):
        return JsonResponse({"thread": True})

    async def upload(request):
        file = request.FILES["file"]
        return JsonResponse({"name": file.name, "size": file.size})

    async def stream(request):
        async def source():
            for number in range(1000):
                yield f"{number}\n"

        return StreamingHttpResponse(source(), content_type="text/plain")

    def download(request):
        return FileResponse(open("big.bin", "rb"))

    async def error(request):
        raise RuntimeError("a fault of the view")

    views = {
        "json": json,
        "thread": thread,
        "upload": upload,
        "stream": stream,
        "download": download,
        "error": error,
    }
    return [path(name, view) for name, view in views.items()]


def __getattr__(name):
    if name == "urlpatterns":
        return _django_urls()
    raise AttributeError(name)

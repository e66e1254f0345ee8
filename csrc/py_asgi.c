/* The loop's side of ASGI: the engine's epoll set is a reader of the asyncio loop, and its callback a turn of
 * the engine. See py_gateway.h.
 *
 * A turn handles at most 64 connections or 1 ms and asks for another with call_soon when more is waiting
 * inside; nothing but this callback and the awaits touches the engine, all on the loop's thread.
 */
#include <pthread.h>
#include <string.h>
#include <strings.h>

#include "py_asgi.h"

#define TURN_MOST 64
#define TURN_NS   1000000ull
#define BEAT_NS   250000000ull

/* Callbacks of ours are asked for while a request's Task runs, too. They run in a copy of the context that
 * serving began with: the Tasks that a turn makes would inherit that request's. A copy each, since a context
 * cannot be entered twice, and an application may run the loop inside of a turn (nest_asyncio). */
static void
ask_for_turn(PyEngine *self)
{
    PyObject *args[] = {NULL, self->turn, NULL}, *handle = NULL;

    if (self->turn_due || self->turn == NULL)
        return;
    self->turn_due = true;
    args[2] = PyContext_Copy(self->context);
    if (args[2] != NULL)
        handle = PyObject_Vectorcall(self->call_soon, args + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     self->context_keyword);
    if (handle == NULL) {
        self->turn_due = false;
        PyErr_WriteUnraisable(self->turn); /* the loop is closed */
    }
    Py_XDECREF(args[2]);
    Py_XDECREF(handle);
}

/* -- lag: how late the loop runs a callback, and when it was last seen to turn; four times a second while
 * there are turns or requests, never when there are none */

static void
arm_beat(PyEngine *self)
{
    PyObject *args[] = {NULL, NULL, self->beat, NULL}, *handle = NULL;

    self->turned = true;
    fc_store(&self->engine.line->loop_turned_ns, fc_now());
    if (self->beat_at != 0)
        return;
    self->turned = false;
    self->beat_at = fc_now() + BEAT_NS;
    args[1] = PyFloat_FromDouble((double)BEAT_NS / 1e9);
    args[3] = PyContext_Copy(self->context);
    if (args[1] != NULL && args[3] != NULL)
        handle = PyObject_Vectorcall(self->call_later, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET,
                                     self->context_keyword);
    if (handle == NULL)
        PyErr_WriteUnraisable(self->beat); /* the loop is closed */
    Py_XDECREF(args[1]);
    Py_XDECREF(args[3]);
    Py_XDECREF(handle);
}

PyObject *
fc_asgi_beat(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;
    uint64_t now = fc_now(), lag = now > self->beat_at ? now - self->beat_at : 0;
    bool again = self->turned || fc_load(&self->engine.line->in_flight) > 0;

    (void)ignored;
    if (!self->live || self->forked_away)
        Py_RETURN_NONE;
    self->beat_at = 0;
    fc_store(&self->engine.line->loop_lag_ns, lag);
    fc_store(&self->engine.line->loop_turned_ns, 0);
    if (again)
        arm_beat(self);
    Py_RETURN_NONE;
}

/* Outside of a turn something was done: ask for one if there is what no event would report, and set the
 * alarm. */
void
fc_asgi_schedule(PyEngine *self)
{
    bool due;

    if (self->in_turn)
        return; /* which looks itself, at its end */
    fc_enter(self);
    due = fc_engine_busy(&self->engine) || self->engine.draining;
    fc_engine_rest(&self->engine);
    fc_leave(self);
    if (due)
        ask_for_turn(self);
}

void
fc_asgi_want(FcAsgi *request, uint8_t wants)
{
    PyEngine *self = request->answer.engine;

    fc_enter(self);
    fc_conn_want(&self->engine, request->answer.conn, wants);
    fc_leave(self);
}

static bool
is_websocket(PyEngine *self, const FcConn *conn)
{
    const FcRequest *request = fc_conn_request(conn);

    if (self->on_websocket == Py_None || !request->upgrade || request->method != FC_METHOD_GET ||
        request->minor == 0)
        return false;
    for (unsigned i = 0; i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];

        if (field->id == FC_FIELD_UPGRADE)
            return field->value_len == 9 &&
                   strncasecmp(conn->buf->data + field->value_at, "websocket", 9) == 0;
    }
    return false;
}

/* The application's coroutine, or what on_websocket makes of it. */
static PyObject *
call_application(PyEngine *self, FcAsgi *request, PyObject *scope)
{
    PyObject *args[4] = {NULL, scope, (PyObject *)request->receive, (PyObject *)request->send};
    PyObject *sockets[4] = {NULL, self->app, scope, (PyObject *)request};

    if (request->websocket)
        return PyObject_Vectorcall(self->on_websocket, sockets + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    return PyObject_Vectorcall(self->app, args + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* What an application gives that is awaitable but no coroutine. */
static PyObject *
as_iterator(PyObject *coro /* stolen */)
{
    PyObject *iterator = NULL;
    PyAsyncMethods *methods;

    if (coro == NULL || PyCoro_CheckExact(coro) || PyGen_CheckExact(coro))
        return coro;
    methods = Py_TYPE(coro)->tp_as_async;
    if (methods != NULL && methods->am_await != NULL)
        iterator = methods->am_await(coro);
    else
        PyErr_Format(PyExc_TypeError, "the application must return a coroutine, not %.100s",
                     Py_TYPE(coro)->tp_name);
    Py_DECREF(coro);
    return iterator;
}

PyObject *
fc_asgi_call(FcAsgi *request, PyObject *scope)
{
    return as_iterator(call_application(request->answer.engine, request, scope));
}

static void
serve_one(PyEngine *self, FcConn *conn)
{
    FcAsgi *request = NULL;
    PyObject *task;
    bool websocket = is_websocket(self, conn);

    if (websocket && (fc_conn_request(conn)->chunked || fc_conn_request(conn)->content_length > 0))
        goto refuse; /* a body would be taken for frames, or frames for a body */
    request = fc_asgi_new(self, conn);
    if (request == NULL)
        goto refuse;
    request->websocket = websocket;
    conn->body_at = websocket ? fc_conn_request(conn)->head_len : conn->body_at;
    request->scope = fc_scope_new(self, conn, websocket);
    task = request->scope != NULL ? fc_asgi_start(request) : NULL;
    if (task == NULL) {
        fc_asgi_failed(request);
    } else if (request->link != NULL) {
        request->task = task; /* still running */
    } else {
        Py_DECREF(task); /* it went to its end at once */
    }
    Py_DECREF(request);
    return;
refuse:
    if (PyErr_Occurred())
        fc_report(self, "preparing a request", "", 0, "", 0);
    fc_enter(self);
    fc_conn_refuse(&self->engine, conn, request == NULL && !websocket ? 503 : 400);
    fc_leave(self);
}

static void
handle(PyEngine *self, FcConn *conn)
{
    if (conn->why != FC_WHY_REQUEST) {
        if (conn->gateway != NULL) {
            FcAsgi *request = (FcAsgi *)Py_NewRef((PyObject *)conn->gateway);

            fc_asgi_event(request, (FcWhy)conn->why);
            Py_DECREF(request);
        }
        return;
    }
    serve_one(self, conn);
}

/* Tell the loop, once: the drain has begun, or is complete. */
static PyObject *
tell_once(PyObject **slot)
{
    PyObject *callback = *slot, *result;

    if (callback == NULL)
        Py_RETURN_NONE;
    *slot = NULL;
    result = PyObject_CallNoArgs(callback);
    Py_DECREF(callback);
    return result;
}

static PyObject *
take_turn(PyEngine *self)
{
    FcEngine *engine = &self->engine;
    unsigned handled = 0;
    bool more, drained;
    uint64_t until;
    FcConn *conn;

    if (!self->live || self->forked_away)
        Py_RETURN_NONE;
    arm_beat(self);
    self->in_turn = true;
    fc_enter(self);
    if (engine->says_busy)
        fc_engine_set_busy(engine, false);
    if (!fc_engine_busy(engine))
        fc_engine_poll(engine);
    else
        engine->now = fc_now();
    until = engine->now + TURN_NS;
    while ((conn = fc_engine_next(engine)) != NULL) {
        fc_leave(self);
        atomic_fetch_add_explicit(&engine->turns, 1, memory_order_relaxed);
        handle(self, conn);
        fc_enter(self);
        if (++handled >= TURN_MOST || engine->now > until || (handled % 8 == 0 && fc_now() > until))
            break;
    }
    more = conn != NULL || fc_engine_busy(engine); /* inside, or in the ring: no event will tell */
    fc_engine_rest(engine);
    drained = fc_engine_drained(engine);
    fc_leave(self);
    self->in_turn = false;
    atomic_fetch_add_explicit(&engine->turns, 1, memory_order_relaxed);
    if (handled > 0)
        atomic_fetch_add_explicit(&engine->handled, 1, memory_order_relaxed);
    fc_release_spent(self);
    if (more)
        ask_for_turn(self);
    fc_asgi_tell(self);
    if (PyErr_Occurred())
        return NULL;
    if (engine->draining && self->on_drain != NULL) {
        PyObject *told = tell_once(&self->on_drain);

        if (told == NULL)
            return NULL;
        Py_DECREF(told);
    }
    if (drained && self->running == NULL)
        return tell_once(&self->on_drained);
    Py_RETURN_NONE;
}

/* The epoll set is readable. One that was asked for comes by itself: two a pass of the loop would ask for two
 * more, and so on. */
PyObject *
fc_asgi_turn(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;

    (void)ignored;
    if (self->turn_due)
        Py_RETURN_NONE;
    return take_turn(self);
}

/* As was asked for. */
PyObject *
fc_asgi_turn_again(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;

    (void)ignored;
    self->turn_due = false;
    return take_turn(self);
}

/* attach(app, loop, task_type, eager, state, on_websocket, on_drained, on_drain=None) */
PyObject *
fc_asgi_attach(PyEngine *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"app",          "loop",       "task_type", "eager", "state",
                            "on_websocket", "on_drained", "on_drain",  NULL};
    PyObject *app, *loop, *task_type, *state, *on_websocket, *on_drained, *on_drain = Py_None, *asyncio;
    int eager, error;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOpOOO|O:attach", names, &app, &loop, &task_type, &eager,
                                     &state, &on_websocket, &on_drained, &on_drain))
        return NULL;
    if (!self->live || !self->engine.config.nested || self->loop != NULL)
        return PyErr_Format(PyExc_RuntimeError, "attach needs an Engine made with nested=True, once");
    self->app = Py_NewRef(app);
    self->loop = Py_NewRef(loop);
    self->task_type = Py_NewRef(task_type);
    self->state = state != Py_None ? Py_NewRef(state) : NULL;
    self->on_websocket = Py_NewRef(on_websocket);
    self->on_drained = Py_NewRef(on_drained);
    self->on_drain = on_drain != Py_None ? Py_NewRef(on_drain) : NULL;
    self->create_future = PyObject_GetAttrString(loop, "create_future");
    self->call_soon = PyObject_GetAttrString(loop, "call_soon");
    self->call_later = PyObject_GetAttrString(loop, "call_later");
    self->turn = PyObject_GetAttrString((PyObject *)self, "turn_again");
    self->beat = PyObject_GetAttrString((PyObject *)self, "beat");
    self->context = PyContext_CopyCurrent();
    self->context_keyword = Py_BuildValue("(s)", "context");
    asyncio = PyImport_ImportModule("asyncio");
    self->cancelled_error = asyncio != NULL ? PyObject_GetAttrString(asyncio, "CancelledError") : NULL;
    Py_XDECREF(asyncio);
    self->engine.config.stream_body = true;
    if (self->context == NULL || self->context_keyword == NULL || self->cancelled_error == NULL ||
        self->create_future == NULL || self->call_soon == NULL || self->call_later == NULL ||
        self->turn == NULL || self->beat == NULL || fc_asgi_start_with(self, eager) < 0)
        return NULL;
    pthread_getcpuclockid(pthread_self(), &self->servers[0].clock);
    atomic_store(&self->engine.leader, &self->servers[0]);
    fc_enter(self);
    error = fc_engine_listen(&self->engine);
    fc_leave(self);
    if (error < 0) {
        errno = -error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    fc_monitor_accept(self->monitor);
    return PyLong_FromLong(self->engine.epoll);
}

#define OWNED(X)                                                                                             \
    X(loop)                                                                                                  \
    X(task_type)                                                                                             \
    X(task_keywords)                                                                                         \
    X(create_future)                                                                                         \
    X(first_step)                                                                                            \
    X(first_context)                                                                                         \
    X(call_soon)                                                                                             \
    X(context)                                                                                               \
    X(context_keyword)                                                                                       \
    X(turn)                                                                                                  \
    X(state)                                                                                                 \
    X(beat)                                                                                                  \
    X(call_later)                                                                                            \
    X(on_stacks)                                                                                             \
    X(on_drain)                                                                                              \
    X(cancelled_error)                                                                                       \
    X(on_websocket)                                                                                          \
    X(on_drained)                                                                                            \
    X(asgi_http)                                                                                             \
    X(asgi_websocket)                                                                                        \
    X(extensions)                                                                                            \
    X(extensions_trailers)                                                                                   \
    X(extensions_websocket)                                                                                  \
    X(seen_start)                                                                                            \
    X(seen_body)

void
fc_asgi_forget(PyEngine *self)
{
    fc_asgi_untold(self);
    for (FcAsgi *request = self->running; request != NULL; request = request->next)
        request->answer.conn = NULL;
}

int
fc_asgi_visit(PyEngine *self, visitproc visit, void *arg)
{
#define X(name) Py_VISIT(self->name);
    OWNED(X)
#undef X
    return 0;
}

void
fc_asgi_clear(PyEngine *self)
{
#define X(name) Py_CLEAR(self->name);
    OWNED(X)
#undef X
    fc_await_clear_spares(self);
    fc_asgi_clear_spares(self);
}

/* The Engine object of one worker: its making, its end and its methods. See py_gateway.h. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"
#include "py_asgi.h"

/* -- reports
 * ------------------------------------------------------------------------------------------------------ */

void
fc_report(PyEngine *self, const char *where, const char *method, size_t method_len, const char *path,
          size_t path_len)
{
    PyObject *type = NULL, *value = NULL, *traceback = NULL, *result = NULL;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value != NULL && traceback != NULL)
        PyException_SetTraceback(value, traceback);
    if (self->on_error != NULL && value != NULL) {
        PyObject *method_text = PyUnicode_DecodeLatin1(method, (Py_ssize_t)method_len, NULL);
        PyObject *path_text = PyUnicode_DecodeLatin1(path, (Py_ssize_t)path_len, NULL);

        if (method_text != NULL && path_text != NULL)
            result = PyObject_CallFunction(self->on_error, "sOOO", where, value, method_text, path_text);
        Py_XDECREF(method_text);
        Py_XDECREF(path_text);
        if (result == NULL)
            PyErr_WriteUnraisable(self->on_error);
    }
    Py_XDECREF(result);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

void
fc_complain(PyEngine *self, const FcConn *conn, const char *words)
{
    const FcRequest *request = fc_conn_request(conn);
    const char *data = conn->buf->data;

    PyErr_SetString(PyExc_RuntimeWarning, words);
    fc_report(self, "sending the answer", data + request->method_name.at, request->method_name.len,
              data + request->target.at, request->target.len);
}

void
fc_release_spent(PyEngine *self)
{
    FcSegment *segment = fc_engine_spent(&self->engine);

    while (segment != NULL) {
        FcSegment *next = segment->next;

        Py_DECREF((PyObject *)segment->owner);
        PyMem_RawFree(segment);
        segment = next;
    }
}

/* listeners: (fd, scheme, server_name, server_port) each. */
static bool
add_listeners(PyEngine *self, PyObject *listeners, bool multiprocess)
{
    for (Py_ssize_t i = 0; i < PySequence_Size(listeners); i++) {
        PyObject *row = PySequence_GetItem(listeners, i), *scheme, *name, *port;
        unsigned at = self->engine.n_listeners;
        int fd, error;

        if (row == NULL || !PyArg_ParseTuple(row, "iUUU", &fd, &scheme, &name, &port)) {
            Py_XDECREF(row);
            return false;
        }
        error = fc_engine_add_listener(&self->engine, fd);
        if (error == 0) {
            self->schemes[at] = Py_NewRef(scheme);
            self->templates[at] =
                self->engine.config.nested
                    ? fc_scope_template(self, scheme, name, port)
                    : fc_environ_template(self, scheme, name, port, self->crew.most > 1, multiprocess);
        } else {
            errno = -error;
            PyErr_SetFromErrno(PyExc_OSError);
        }
        Py_DECREF(row);
        if (error != 0 || self->templates[at] == NULL)
            return false;
    }
    return !PyErr_Occurred();
}

/* -- the object
 * --------------------------------------------------------------------------------------------------- */

static int
engine_init(PyObject *object, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"listeners", "scoreboard", "seat",         "epoch", "channel",
                            "options",   "on_error",   "multiprocess", NULL};
    PyEngine *self = (PyEngine *)object;
    PyObject *listeners, *options, *on_error;
    unsigned seat, epoch;
    int board_fd, error, multiprocess = 0;
    FcConfig config;

    if (self->live) {
        PyErr_SetString(PyExc_RuntimeError, "an Engine is initialised once");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OiIIiO!O|p:Engine", names, &listeners, &board_fd, &seat,
                                     &epoch, &self->channel, &PyDict_Type, &options, &on_error,
                                     &multiprocess))
        return -1;
    self->module = fc_module_of(Py_TYPE(object));
    if (self->module == NULL || !fc_options_config(options, &config))
        return -1;
    self->strings = fc_pages_new(sizeof *self->strings);
    if (self->strings == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    error = fc_board_map(&self->board, board_fd, true);
    if (error == 0 && fc_board_line(&self->board, seat) == NULL)
        error = -ERANGE;
    if (error == 0)
        error = fc_engine_init(&self->engine, &config, fc_board_line(&self->board, seat));
    if (error != 0) {
        errno = -error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->live = true;
    self->engine.config.ready = &self->board.header->ready;
    self->on_error = Py_NewRef(on_error);
    fc_store(&self->engine.line->pid, (uint64_t)getpid());
    if (fc_scope_constants(self) < 0 || fc_serve_prepare(self) < 0 || !fc_options_read(self, options) ||
        !add_listeners(self, listeners, multiprocess != 0))
        return -1;
    if (self->channel >= 0 || config.nested) {
        self->monitor = fc_monitor_start(&self->engine, self->crew.most > 1 ? &self->crew : NULL,
                                         self->channel, seat, epoch);
        if (self->monitor == NULL) {
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        fc_monitor_catch_term(self->monitor);
    }
    error = self->engine.log != NULL ? fc_accesslog_start(self->engine.log) : 0;
    if (error != 0) {
        errno = -error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

/* What parked answers hold. */
static void
drop_parked(PyEngine *self)
{
    for (uint32_t i = 0; i < self->engine.n_blocks * FC_CONNS_A_BLOCK; i++) {
        FcConn *conn = &self->engine.blocks[i / FC_CONNS_A_BLOCK][i % FC_CONNS_A_BLOCK];

        if (conn->gateway != NULL)
            fc_call_done(conn->gateway);
        conn->gateway = NULL;
    }
}

static void
engine_release(PyEngine *self)
{
    if (self->monitor != NULL) {
        fc_monitor_detach(self->monitor);
        self->monitor = NULL; /* it lives on for the exit deadline */
    }
    if (self->live) {
        if (self->engine.config.nested)
            fc_asgi_forget(self);
        else
            drop_parked(self);
        fc_engine_free(&self->engine);
        fc_handover_free(self->handover);
        self->handover = NULL;
        fc_release_spent(self);
        fc_accesslog_free(self->engine.log);
        self->engine.log = NULL;
        self->live = false;
    }
    fc_trust_free(self->trust);
    self->trust = NULL;
    fc_board_unmap(&self->board);
    fc_crew_free(&self->crew);
    PyMem_Free(self->servers);
    self->servers = NULL;
    PyMem_Free(self->root_path);
    PyMem_Free(self->extra);
    self->root_path = self->extra = NULL;
}

static int
engine_clear(PyObject *object)
{
    PyEngine *self = (PyEngine *)object;

    Py_CLEAR(self->app);
    Py_CLEAR(self->on_error);
    for (unsigned i = 0; i < FC_LISTENERS; i++) {
        Py_CLEAR(self->templates[i]);
        Py_CLEAR(self->schemes[i]);
    }
    Py_CLEAR(self->spare_call);
    fc_serve_clear(self);
    fc_asgi_clear(self);
    for (unsigned i = 0; i < FC_KNOWN_FIELDS; i++) {
        Py_CLEAR(self->known_fields[i].name);
        Py_CLEAR(self->known_fields[i].value);
    }
    if (self->strings != NULL)
        fc_strings_clear(self->strings);
    fc_pages_free(self->strings, sizeof *self->strings);
    self->strings = NULL;
    return 0;
}

static int
engine_traverse(PyObject *object, visitproc visit, void *arg)
{
    PyEngine *self = (PyEngine *)object;

    Py_VISIT(Py_TYPE(object));
    Py_VISIT(self->app);
    Py_VISIT(self->on_error);
    fc_asgi_visit(self, visit, arg);
    for (unsigned i = 0; i < FC_LISTENERS; i++)
        Py_VISIT(self->templates[i]);
    return 0;
}

static void
engine_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);

    PyObject_GC_UnTrack(object);
    engine_release((PyEngine *)object);
    engine_clear(object);
    type->tp_free(object);
    Py_DECREF(type);
}

/* What a child does is not for our line: it would count for the parent, and say of it who is in a call. */
static void
part_from_line(FcEngine *engine)
{
    FcLine *copy = fc_pages_new(sizeof *copy);

    if (copy != NULL) {
        memcpy(copy, engine->line, sizeof *copy);
        engine->line = copy;
    }
}

static PyObject *
engine_close_inherited(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;

    (void)ignored;
    self->forked_away = true;
    atomic_store(&self->engine.flights.looking, false); /* the monitor stayed in the parent */
    fc_token_reset(&self->engine.token);
    if (!self->live)
        Py_RETURN_NONE;
    part_from_line(&self->engine);
    fc_lend_in_child();
    for (uint32_t i = 0; i < self->engine.n_blocks * FC_CONNS_A_BLOCK; i++) {
        FcConn *conn = &self->engine.blocks[i / FC_CONNS_A_BLOCK][i % FC_CONNS_A_BLOCK];

        if (conn->fd >= 0)
            close(conn->fd);
        conn->fd = -1;
    }
    for (unsigned i = 0; i < self->engine.n_listeners; i++)
        close(self->engine.listeners[i].fd);
    if (self->handover != NULL)
        fc_peers_close_inherited(&self->handover->peers);
    close(self->engine.epoll);
    close(self->engine.wake);
    if (self->engine.alarm >= 0)
        close(self->engine.alarm);
    self->engine.epoll = self->engine.wake = self->engine.alarm = -1;
    self->engine.log = NULL; /* its thread stayed in the parent, what it holds is the parent's to write */
    self->monitor = NULL;
    if (self->channel >= 0)
        close(self->channel);
    self->channel = -1;
    Py_RETURN_NONE;
}

static PyObject *
engine_attach(PyObject *object, PyObject *args, PyObject *kwargs)
{
    return fc_asgi_attach((PyEngine *)object, args, kwargs);
}

static PyObject *
engine_stop_log(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;

    (void)ignored;
    if (!self->forked_away && self->engine.log != NULL)
        fc_engine_stop_log(&self->engine, 1000);
    Py_RETURN_NONE;
}

static PyMethodDef engine_methods[] = {
    {"begin", fc_serve_begin, METH_O,
     "begin(app, /)\n--\n\nListen, to serve a WSGI application by one thread or several, each of which calls "
     "serve()."},
    {"no_more_threads", fc_serve_refused, METH_NOARGS,
     "no_more_threads()\n--\n\nThe thread that attend() wanted cannot be made."},
    {"attend", fc_serve_attend, METH_NOARGS,
     "attend()\n--\n\nWait until another thread is wanted; False: serving is over, they can be joined."},
    {"serve", fc_serve, METH_NOARGS, "serve()\n--\n\nBe one of the serving threads until serving is over."},
    {"attach", (PyCFunction)(void (*)(void))engine_attach, METH_VARARGS | METH_KEYWORDS,
     "attach(app, loop, task_type, eager, state, on_websocket, on_drained, on_drain=None)\n--\n\nBegin to "
     "serve an ASGI application; "
     "the descriptor to be watched by the loop, with turn as its callback."},
    {"turn", fc_asgi_turn, METH_NOARGS, "turn()\n--\n\nThe loop's callback: one turn of the engine."},
    {"turn_again", fc_asgi_turn_again, METH_NOARGS,
     "turn_again()\n--\n\nThe turn that the last one has asked the loop for."},
    {"on_stacks", fc_asgi_on_stacks, METH_VARARGS,
     "on_stacks(signal, pipe, callback, /)\n--\n\nOn that signal write which request is running into the "
     "pipe, "
     "and call the callback in the loop."},
    {"tasks", fc_asgi_tasks, METH_NOARGS, "tasks()\n--\n\nThe tasks of all requests that run."},
    {"waiting", fc_asgi_waiting, METH_NOARGS,
     "waiting()\n--\n\n(seconds, method, target, task) of the requests without an answer, the newest first."},
    {"beat", fc_asgi_beat, METH_NOARGS, "beat()\n--\n\nThe loop's callback: measure how late it is."},
    {"stop_log", engine_stop_log, METH_NOARGS, "stop_log()\n--\n\nWrite what is left of the access log."},
    {"close_inherited", engine_close_inherited, METH_NOARGS,
     "close_inherited()\n--\n\nIn a child that the application has forked: close every descriptor of the "
     "engine."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_init, engine_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, engine_methods},
    {Py_tp_doc,
     (void *)"Engine(listeners, scoreboard, seat, epoch, channel, options, on_error, multiprocess=False)\n"
             "--\n\nThe HTTP engine of one worker; starts the native monitor of the channel."},
    {0, NULL},
};

PyType_Spec fc_engine_spec = {
    .name = "forkcluster._engine.Engine",
    .basicsize = sizeof(PyEngine),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = engine_slots,
};

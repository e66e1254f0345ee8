/* The _engine module: the Engine object of one worker and its serving loop. See py_gateway.h.
 *
 * Imported by workers only, after the fork.
 */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

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

/* -- options
 * ------------------------------------------------------------------------------------------------------ */

/* Options come as one dict so that the engine and the option table share their names. Each getter removes
 * nothing and raises KeyError-free defaults: a missing key keeps the value it was given. */
static bool
number_option(PyObject *options, const char *name, double scale, uint64_t *out)
{
    PyObject *value = PyDict_GetItemString(options, name);
    double number;

    if (value == NULL)
        return true;
    number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred())
        return false;
    if (number < 0 || number * scale > 9e18) {
        PyErr_Format(PyExc_ValueError, "engine option %s out of range: %R", name, value);
        return false;
    }
    *out = (uint64_t)(number * scale);
    return true;
}

static bool
small_option(PyObject *options, const char *name, uint32_t most, uint32_t *out)
{
    uint64_t wide = *out;

    if (!number_option(options, name, 1, &wide))
        return false;
    if (wide > most) {
        PyErr_Format(PyExc_ValueError, "engine option %s is at most %u", name, most);
        return false;
    }
    *out = (uint32_t)wide;
    return true;
}

/* A str option as UTF-8, borrowed; NULL without an exception when it is not given or None. */
static const char *
text_option(PyObject *options, const char *name, Py_ssize_t *len)
{
    PyObject *value = PyDict_GetItemString(options, name);

    if (value == NULL || value == Py_None)
        return NULL;
    return PyUnicode_AsUTF8AndSize(value, len);
}

static bool
read_config(PyObject *options, FcConfig *config)
{
    const double second = 1e9;
    uint32_t burst = 1, nested = 0, hold = 0, balance = 0, log_fd = 0;
    const char *server;
    Py_ssize_t len = 0;

    *config = (FcConfig){
        .limits = {.request_line = 8190, .field = 8190, .head = 65536, .fields = 100},
        .body_limit = 1ull << 30,
        .body_buffer = 512 * 1024,
        .header_timeout = 10 * 1000000000ull,
        .body_timeout = 30 * 1000000000ull,
        .keep_alive = 75 * 1000000000ull,
        .write_timeout = 60 * 1000000000ull,
        .body_min_rate = 240,
    };
    if (!small_option(options, "limit_request_line", 1 << 20, &config->limits.request_line) ||
        !small_option(options, "limit_field", 1 << 20, &config->limits.field) ||
        !small_option(options, "limit_head", 1 << 24, &config->limits.head) ||
        !small_option(options, "limit_fields", FC_FIELDS_MAX, &config->limits.fields) ||
        !number_option(options, "limit_body", 1, &config->body_limit) ||
        !number_option(options, "body_buffer", 1, &config->body_buffer) ||
        !number_option(options, "header_timeout", second, &config->header_timeout) ||
        !number_option(options, "body_timeout", second, &config->body_timeout) ||
        !number_option(options, "body_min_rate", 1, &config->body_min_rate) ||
        !number_option(options, "keep_alive", second, &config->keep_alive) ||
        !number_option(options, "write_timeout", second, &config->write_timeout) ||
        !small_option(options, "keep_alive_requests", UINT32_MAX, &config->keep_alive_requests) ||
        !small_option(options, "slot", UINT32_MAX, &config->slot) ||
        !small_option(options, "generation", UINT32_MAX, &config->generation) ||
        !small_option(options, "accept_burst", 255, &burst) || !small_option(options, "nested", 1, &nested) ||
        !small_option(options, "hold", 1, &hold) || !small_option(options, "balance", 1, &balance) ||
        !small_option(options, "log_fd", INT32_MAX, &log_fd))
        return false;
    config->nested = nested != 0;
    config->hold = hold != 0;
    config->log_fd = (int)log_fd;
    config->balance = balance != 0;
    config->accept_burst = (uint8_t)burst;
    server = text_option(options, "server", &len);
    if (server != NULL && (size_t)len < sizeof config->server)
        memcpy(config->server, server, (size_t)len + 1);
    return !PyErr_Occurred();
}

static bool
read_root_path(PyEngine *self, PyObject *options)
{
    Py_ssize_t len = 0;
    const char *root = text_option(options, "root_path", &len);

    while (root != NULL && len > 0 && root[len - 1] == '/')
        len--;
    if (root == NULL || len == 0)
        return !PyErr_Occurred();
    self->root_path = PyMem_Malloc((size_t)len);
    if (self->root_path == NULL)
        return PyErr_NoMemory() != NULL;
    memcpy(self->root_path, root, (size_t)len);
    self->root_path_len = (size_t)len;
    return true;
}

/* "headers": a list of (name, value), validated by the option table. */
static bool
read_extra(PyEngine *self, PyObject *options)
{
    PyObject *headers = PyDict_GetItemString(options, "headers");

    for (Py_ssize_t i = 0; headers != NULL && i < PySequence_Size(headers); i++) {
        PyObject *pair = PySequence_GetItem(headers, i), *bytes;
        const char *name, *value;
        char *grown;

        if (pair == NULL || !PyArg_ParseTuple(pair, "ss", &name, &value)) {
            Py_XDECREF(pair);
            return false;
        }
        bytes = PyBytes_FromFormat("%s: %s\r\n", name, value);
        Py_DECREF(pair);
        if (bytes == NULL)
            return false;
        grown = PyMem_Realloc(self->extra, self->extra_len + (size_t)PyBytes_GET_SIZE(bytes));
        if (grown == NULL) {
            Py_DECREF(bytes);
            return PyErr_NoMemory() != NULL;
        }
        memcpy(grown + self->extra_len, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
        self->extra = grown;
        self->extra_len += (size_t)PyBytes_GET_SIZE(bytes);
        Py_DECREF(bytes);
    }
    self->engine.config.extra = self->extra;
    self->engine.config.extra_len = self->extra_len;
    return !PyErr_Occurred();
}

static bool
read_trust(PyEngine *self, PyObject *options)
{
    char error[256] = "";
    const char *list = text_option(options, "forwarded_allow_ips", NULL);
    const char *fields = text_option(options, "forwarded_fields", NULL);

    if (list == NULL)
        return !PyErr_Occurred();
    self->trust = fc_trust_compile(list, error, sizeof error);
    if (self->trust == NULL) {
        PyErr_Format(PyExc_ValueError, "forwarded_allow_ips: %s", error);
        return false;
    }
    fc_trust_read(self->trust, fields != NULL && strcmp(fields, "forwarded") == 0 ? FC_FORWARDED_STANDARD
                               : fields != NULL && strcmp(fields, "either") == 0  ? FC_FORWARDED_EITHER
                                                                                  : FC_FORWARDED_X);
    self->engine.trust = self->trust;
    return true;
}

/* "access_log": a descriptor (taken over) and "access_log_format". */
static bool
read_access_log(PyEngine *self, PyObject *options)
{
    char error[256] = "";
    PyObject *fd = PyDict_GetItemString(options, "access_log");
    const char *format_text = text_option(options, "access_log_format", NULL);
    FcLogFormat *format;
    long number;

    if (fd == NULL || fd == Py_None)
        return !PyErr_Occurred();
    number = PyLong_AsLong(fd);
    if (number == -1 && PyErr_Occurred())
        return false;
    format = fc_logformat_compile(format_text != NULL ? format_text : "combined", error, sizeof error);
    if (format == NULL) {
        PyErr_Format(PyExc_ValueError, "access_log_format: %s", error);
        return false;
    }
    self->engine.log = fc_accesslog_new((int)number, format);
    if (self->engine.log == NULL) {
        fc_logformat_free(format);
        return PyErr_NoMemory() != NULL;
    }
    return true;
}

/* "inbox": the receiving end of this worker's inbox, borrowed; without it there are no peers. */
static bool
read_inbox(PyEngine *self, PyObject *options)
{
    PyObject *inbox = PyDict_GetItemString(options, "inbox");
    long number;

    if (inbox == NULL || inbox == Py_None)
        return !PyErr_Occurred();
    number = PyLong_AsLong(inbox);
    if (number == -1 && PyErr_Occurred())
        return false;
    self->handover = fc_handover_new(&self->board, self->engine.line, (int)number);
    if (self->handover == NULL)
        return PyErr_NoMemory() != NULL;
    self->engine.handover = self->handover;
    return true;
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
            self->templates[at] = self->engine.config.nested
                                      ? fc_scope_template(self, scheme, name, port)
                                      : fc_environ_template(self, scheme, name, port, false, multiprocess);
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
    PyObject *listeners, *options, *on_error, *flag;
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
    if (self->module == NULL || !read_config(options, &config))
        return -1;
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
    self->on_error = Py_NewRef(on_error);
    fc_store(&self->engine.line->pid, (uint64_t)getpid());
    flag = PyDict_GetItemString(options, "date_header");
    self->engine.config.date = flag == NULL || PyObject_IsTrue(flag);
    if (fc_scope_constants(self) < 0 || !read_root_path(self, options) || !read_extra(self, options) ||
        !read_trust(self, options) || !read_access_log(self, options) || !read_inbox(self, options) ||
        !add_listeners(self, listeners, multiprocess != 0))
        return -1;
    if (self->channel >= 0 || config.nested) {
        self->monitor = fc_monitor_start(&self->engine, self->channel, seat, epoch);
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
    for (unsigned i = 0; i < FC_LISTENERS; i++)
        Py_CLEAR(self->templates[i]);
    Py_CLEAR(self->spare_call);
    fc_asgi_clear(self);
    for (unsigned i = 0; i < FC_KNOWN_FIELDS; i++) {
        Py_CLEAR(self->known_fields[i].name);
        Py_CLEAR(self->known_fields[i].value);
    }
    fc_strings_clear(&self->strings);
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

/* Sleep until something happens, without the token and without the GIL. */
static int
sleep_for_events(PyEngine *self)
{
    int n;

    fc_engine_release(&self->engine);
    Py_BEGIN_ALLOW_THREADS n = fc_engine_poll(&self->engine, -1);
    Py_END_ALLOW_THREADS while (!fc_engine_try_take(&self->engine));
    return n;
}

/* Serve until the drain is complete. -1 with an exception of a Python signal handler, or of epoll. */
static int
serve(PyEngine *self)
{
    FcEngine *engine = &self->engine;
    FcConn *conn;
    int n;

    for (;;) {
        while ((conn = fc_engine_next(engine)) != NULL) {
            fc_wsgi_serve_one(self, conn);
            if (self->forked_away) {
                PyErr_SetString(PyExc_SystemExit, "a forked child has returned into the server");
                return -1;
            }
        }
        fc_release_spent(self);
        if (fc_engine_drained(engine))
            return 0;
        n = fc_engine_poll(engine, 0);
        if (n == 0)
            n = sleep_for_events(self);
        if (n < 0) {
            errno = -n;
            PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
        if (PyErr_CheckSignals() < 0)
            return -1;
    }
}

static PyObject *
engine_serve_wsgi(PyObject *object, PyObject *app)
{
    PyEngine *self = (PyEngine *)object;
    int result;

    if (!self->live)
        return PyErr_Format(PyExc_RuntimeError, "the Engine is not initialised");
    if (!fc_engine_try_take(&self->engine))
        return PyErr_Format(PyExc_RuntimeError, "the Engine serves already");
    Py_XSETREF(self->app, Py_NewRef(app));
    result = fc_engine_listen(&self->engine);
    if (result < 0) {
        errno = -result;
        PyErr_SetFromErrno(PyExc_OSError);
    } else {
        result = serve(self);
    }
    if (!self->forked_away && self->engine.log != NULL)
        fc_accesslog_stop(self->engine.log, 1000);
    fc_engine_release(&self->engine);
    if (result < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
engine_close_inherited(PyObject *object, PyObject *ignored)
{
    PyEngine *self = (PyEngine *)object;

    (void)ignored;
    self->forked_away = true;
    atomic_store(&self->engine.flights.looking, false); /* the monitor stayed in the parent */
    if (!self->live)
        Py_RETURN_NONE;
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
        fc_accesslog_stop(self->engine.log, 1000);
    Py_RETURN_NONE;
}

static PyMethodDef engine_methods[] = {
    {"serve_wsgi", engine_serve_wsgi, METH_O,
     "serve_wsgi(app, /)\n--\n\nServe a WSGI application on this thread until the drain is complete."},
    {"attach", (PyCFunction)(void (*)(void))engine_attach, METH_VARARGS | METH_KEYWORDS,
     "attach(app, loop, task_type, eager, state, on_websocket, on_drained, on_drain=None)\n--\n\nBegin to "
     "serve an ASGI application; "
     "the descriptor to be watched by the loop, with turn as its callback."},
    {"turn", fc_asgi_turn, METH_NOARGS, "turn()\n--\n\nThe loop's callback: one turn of the engine."},
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

/* -- the module
 * --------------------------------------------------------------------------------------------------- */

FcModule *
fc_module_of(PyTypeObject *type)
{
#if PY_VERSION_HEX >= 0x030b0000
    PyObject *module = PyType_GetModuleByDef(type, &fc_engine_module);

    return module != NULL ? PyModule_GetState(module) : NULL;
#else
    return PyType_GetModuleState(type);
#endif
}

static int
intern(PyObject **where, const char *text)
{
    *where = PyUnicode_InternFromString(text);
    return *where != NULL ? 0 : -1;
}

/* HTTP_ACCEPT_LANGUAGE of accept-language. */
static int
intern_http_key(FcModule *module, FcFieldId id)
{
    char key[64] = "HTTP_";
    const char *name = fc_field_name(id);
    size_t n = 5;

    for (; *name != '\0'; name++)
        key[n++] = *name == '-' ? '_' : *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name;
    key[n] = '\0';
    return intern(&module->http_keys[id], key);
}

static int
intern_names(FcModule *module)
{
    static const char *const keys[FC_KEYS] = {
#define X(id, name) name,
        FC_KEY_LIST(X)
#undef X
    };
    static const char *const methods[FC_METHOD_COUNT] = {"",
#define X(id) #id,
                                                         FC_METHOD_LIST(X)
#undef X
    };

    static const char *const words[FC_WORDS] = {
#define X(id, text) text,
        FC_WORD_LIST(X)
#undef X
    };

    for (int i = 0; i < FC_KEYS; i++)
        if (intern(&module->keys[i], keys[i]) < 0)
            return -1;
    for (int i = 0; i < FC_WORDS; i++)
        if (intern(&module->words[i], words[i]) < 0)
            return -1;
    for (int i = 1; i < FC_FIELD_COUNT; i++)
        if ((module->field_names[i] = PyBytes_FromString(fc_field_name((FcFieldId)i))) == NULL)
            return -1;
    for (int i = 1; i < FC_FIELD_COUNT; i++)
        if (intern_http_key(module, (FcFieldId)i) < 0)
            return -1;
    for (int i = 1; i < FC_METHOD_COUNT; i++)
        if (intern(&module->methods[i], methods[i]) < 0)
            return -1;
    return intern(&module->http_1_0, "HTTP/1.0") < 0 || intern(&module->http_1_1, "HTTP/1.1") < 0 ||
                   intern(&module->empty, "") < 0 || intern(&module->http, "http") < 0 ||
                   intern(&module->https, "https") < 0 || intern(&module->slash, "/") < 0 ||
                   intern(&module->close, "close") < 0 || intern(&module->fileno, "fileno") < 0 ||
                   intern(&module->tell, "tell") < 0 || intern(&module->raw, "raw") < 0 ||
                   intern(&module->file, "file") < 0
               ? -1
               : 0;
}

static PyTypeObject *
add_type(PyObject *object, PyType_Spec *spec, bool public)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(object, spec, NULL);

    if (type != NULL && public && PyModule_AddType(object, type) < 0)
        Py_CLEAR(type);
    return type;
}

static int
module_exec(PyObject *object)
{
    FcModule *module = PyModule_GetState(object);
    PyObject *io = NULL;

    if (intern_names(module) < 0)
        return -1;
    module->engine_type = add_type(object, &fc_engine_spec, true);
    module->call_type = add_type(object, &fc_call_spec, false);
    module->write_type = add_type(object, &fc_write_spec, false);
    module->input_type = add_type(object, &fc_input_spec, false);
    module->request_type = add_type(object, &fc_request_spec, false);
    module->port_type = add_type(object, &fc_port_spec, false);
    module->await_type = add_type(object, &fc_await_spec, false);
    module->empty_bytes = PyBytes_FromStringAndSize(NULL, 0);
    module->disconnect_event = Py_BuildValue("{ss}", "type", "http.disconnect");
    module->file_wrapper_type = add_type(object, &fc_file_wrapper_spec, true);
    if (module->engine_type == NULL || module->call_type == NULL || module->write_type == NULL ||
        module->input_type == NULL || module->file_wrapper_type == NULL || module->request_type == NULL ||
        module->port_type == NULL || module->await_type == NULL || module->empty_bytes == NULL ||
        module->disconnect_event == NULL)
        return -1;
    io = PyImport_ImportModule("io");
    if (io == NULL)
        return -1;
    module->raw_file_type = PyObject_GetAttrString(io, "FileIO");
    Py_DECREF(io);
    if (module->raw_file_type == NULL)
        return -1;
    module->empty_input = module->input_type->tp_alloc(module->input_type, 0);
    return module->empty_input != NULL ? 0 : -1;
}

static int
module_visit(FcModule *module, visitproc visit, void *arg)
{
    Py_VISIT(module->engine_type);
    Py_VISIT(module->call_type);
    Py_VISIT(module->write_type);
    Py_VISIT(module->input_type);
    Py_VISIT(module->file_wrapper_type);
    Py_VISIT(module->raw_file_type);
    Py_VISIT(module->request_type);
    Py_VISIT(module->port_type);
    Py_VISIT(module->await_type);
    return 0;
}

static int
module_traverse(PyObject *object, visitproc visit, void *arg)
{
    FcModule *module = PyModule_GetState(object);

    return module != NULL ? module_visit(module, visit, arg) : 0;
}

static int
module_clear(PyObject *object)
{
    FcModule *module = PyModule_GetState(object);

    Py_CLEAR(module->empty_input);
    Py_CLEAR(module->engine_type);
    Py_CLEAR(module->call_type);
    Py_CLEAR(module->write_type);
    Py_CLEAR(module->input_type);
    Py_CLEAR(module->file_wrapper_type);
    Py_CLEAR(module->raw_file_type);
    Py_CLEAR(module->request_type);
    Py_CLEAR(module->port_type);
    Py_CLEAR(module->await_type);
    Py_CLEAR(module->empty_bytes);
    Py_CLEAR(module->disconnect_event);
    for (int i = 0; i < FC_WORDS; i++)
        Py_CLEAR(module->words[i]);
    for (int i = 0; i < FC_FIELD_COUNT; i++)
        Py_CLEAR(module->field_names[i]);
    for (int i = 0; i < FC_KEYS; i++)
        Py_CLEAR(module->keys[i]);
    for (int i = 0; i < FC_FIELD_COUNT; i++)
        Py_CLEAR(module->http_keys[i]);
    for (int i = 0; i < FC_METHOD_COUNT; i++)
        Py_CLEAR(module->methods[i]);
    Py_CLEAR(module->http_1_0);
    Py_CLEAR(module->http_1_1);
    Py_CLEAR(module->empty);
    Py_CLEAR(module->http);
    Py_CLEAR(module->https);
    Py_CLEAR(module->slash);
    Py_CLEAR(module->close);
    Py_CLEAR(module->fileno);
    Py_CLEAR(module->tell);
    Py_CLEAR(module->raw);
    Py_CLEAR(module->file);
    return 0;
}

static void
module_free(void *object)
{
    module_clear(object);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

struct PyModuleDef fc_engine_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "forkcluster._engine",
    .m_doc = "The HTTP engine of a worker: accept, parse, call the application, answer.",
    .m_size = sizeof(FcModule),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__engine(void)
{
    return PyModuleDef_Init(&fc_engine_module);
}

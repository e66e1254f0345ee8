/* The options of an Engine: one dict, with the names of the option table. See py_gateway.h. */
#include <string.h>

#include "py_gateway.h"
#include "watch.h"

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

bool
fc_options_config(PyObject *options, FcConfig *config)
{
    const double second = 1e9;
    uint32_t burst = 1, nested = 0, hold = 0, balance = 0, log_fd = 0;
    const char *server, *health;
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
        .look = FC_WATCH_NS,
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
        !number_option(options, "look", second, &config->look) ||
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
    health = text_option(options, "health_path", &len);
    if (health != NULL && (size_t)len <= sizeof config->health) {
        memcpy(config->health, health, (size_t)len);
        config->health_len = (size_t)len;
    }
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

/* "threads": how many may serve. */
static bool
read_threads(PyEngine *self, PyObject *options)
{
    uint32_t threads = 1;
    int error;

    if (!small_option(options, "threads", FC_THREADS_MOST, &threads))
        return false;
    if (threads == 0 || self->engine.config.nested)
        threads = 1;
    self->servers = PyMem_Calloc(threads, sizeof *self->servers);
    if (self->servers == NULL)
        return PyErr_NoMemory() != NULL;
    error = fc_crew_init(&self->crew, threads);
    if (error == 0)
        return true;
    errno = -error;
    return PyErr_SetFromErrno(PyExc_OSError) != NULL;
}

bool
fc_options_read(PyEngine *self, PyObject *options)
{
    PyObject *date = PyDict_GetItemString(options, "date_header");

    self->engine.config.date = date == NULL || PyObject_IsTrue(date);
    return read_root_path(self, options) && read_extra(self, options) && read_trust(self, options) &&
           read_access_log(self, options) && read_inbox(self, options) && read_threads(self, options);
}

/* The scope of an ASGI request (ASGI 3, HTTP & WebSocket specification 2.5). See py_gateway.h. */
#include <string.h>
#include <strings.h>

#include "py_asgi.h"

static inline int
hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Set a key to a value (stolen). */
static inline int
put(PyEngine *self, PyObject *scope, FcWordId key, PyObject *value)
{
    int result;

    if (value == NULL)
        return -1;
    result = PyDict_SetItem(scope, self->module->words[key], value);
    Py_DECREF(value);
    return result;
}

/* "path": root_path and the target's path, percent-decoded, as UTF-8 with replacement. */
static PyObject *
path_of(PyEngine *self, const char *raw, size_t len)
{
    char small[1024], *out = small, *big = NULL;
    size_t root = self->root_path_len, n = 0;
    bool ascii = true;
    PyObject *path;

    if (root > 0 && len >= root && memcmp(raw, self->root_path, root) == 0 &&
        (len == root || raw[root] == '/'))
        root = 0; /* the proxy has left it in */
    if (root + len > sizeof small && (out = big = PyMem_Malloc(root + len)) == NULL)
        return PyErr_NoMemory();
    memcpy(out, self->root_path != NULL ? self->root_path : "", root);
    n = root;
    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (raw[i] == '%' && i + 2 < len && (high = hex(raw[i + 1])) >= 0 && (low = hex(raw[i + 2])) >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = raw[i];
        }
        ascii = ascii && (unsigned char)out[n - 1] < 0x80;
    }
    path = ascii ? fc_str(self->strings, out, n) : PyUnicode_DecodeUTF8(out, (Py_ssize_t)n, "replace");
    PyMem_Free(big);
    return path;
}

static PyObject *
headers_of(PyEngine *self, const FcConn *conn)
{
    const FcRequest *request = fc_conn_request(conn);
    const char *data = conn->buf->data;
    PyObject *headers = PyList_New(request->n_fields);

    for (unsigned i = 0; headers != NULL && i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        const char *value = data + field->value_at;
        size_t len = field->value_len;
        PyObject *pair;

        if (field->id == FC_FIELD_HOST && request->authority.len > 0) { /* RFC 9112 section 3.2.2 */
            value = data + request->authority.at;
            len = request->authority.len;
        }
        pair = fc_pair(self->strings, self->module->field_names[field->id], data + field->name_at,
                       field->name_len, value, len);
        if (pair == NULL)
            Py_CLEAR(headers);
        else
            PyList_SET_ITEM(headers, i, pair);
    }
    return headers;
}

/* (host, port) of the client; None for a unix peer that nobody speaks for. */
static PyObject *
client_of(PyEngine *self, FcConn *conn, const FcForwarded *forwarded)
{
    if (forwarded != NULL && forwarded->client[0] != '\0')
        return Py_BuildValue("(si)", forwarded->client, forwarded->client_port);
    if (conn->peer.len == 0)
        Py_RETURN_NONE;
    return fc_client(self->strings, &conn->peer);
}

/* The names of a comma-separated list as str. */
static PyObject *
subprotocols_of(const FcConn *conn)
{
    const FcRequest *request = fc_conn_request(conn);
    PyObject *list = PyList_New(0);

    for (unsigned i = 0; list != NULL && i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        const char *at = conn->buf->data + field->value_at, *end = at + field->value_len;

        if (field->id != FC_FIELD_SEC_WEBSOCKET_PROTOCOL)
            continue;
        while (at < end) {
            const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma != NULL ? comma : end,
                       *to = stop;
            PyObject *name;

            while (at < to && (*at == ' ' || *at == '\t'))
                at++;
            while (to > at && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
            name = to > at ? PyUnicode_DecodeLatin1(at, to - at, NULL) : NULL;
            if (name != NULL && PyList_Append(list, name) < 0)
                Py_CLEAR(list);
            Py_XDECREF(name);
            if (list == NULL || PyErr_Occurred())
                return list;
            at = stop + 1;
        }
    }
    return list;
}

/* What trusted proxies say the Host was. */
static int
replace_host(PyEngine *self, PyObject *headers, FcConn *conn)
{
    const FcForwarded *forwarded = fc_conn_forwarded(&self->engine, conn);
    const FcRequest *request = fc_conn_request(conn);

    for (unsigned i = 0; forwarded != NULL && forwarded->host[0] != '\0' && i < request->n_fields; i++) {
        PyObject *pair;

        if (request->fields[i].id != FC_FIELD_HOST)
            continue;
        pair = fc_pair(self->strings, self->module->field_names[FC_FIELD_HOST], "host", 4, forwarded->host,
                       strlen(forwarded->host));
        if (pair == NULL || PyList_SetItem(headers, i, pair) < 0)
            return -1;
    }
    return 0;
}

int
fc_scope_constants(PyEngine *self)
{
    const char *http[] = {"http.response.pathsend", "http.response.zerocopysend", "http.response.early_hint"};

    self->asgi_http = Py_BuildValue("{ssss}", "version", "3.0", "spec_version", "2.5");
    self->asgi_websocket = Py_BuildValue("{ssss}", "version", "3.0", "spec_version", "2.5");
    self->extensions = PyDict_New();
    self->extensions_websocket = Py_BuildValue("{s{}}", "websocket.http.response");
    for (unsigned i = 0; self->extensions != NULL && i < sizeof http / sizeof *http; i++) {
        PyObject *empty = PyDict_New();

        if (empty == NULL || PyDict_SetItemString(self->extensions, http[i], empty) < 0)
            Py_CLEAR(self->extensions);
        Py_XDECREF(empty);
    }
    self->extensions_trailers = self->extensions != NULL ? PyDict_Copy(self->extensions) : NULL;
    if (self->extensions_trailers != NULL) {
        PyObject *empty = PyDict_New();

        if (empty == NULL ||
            PyDict_SetItemString(self->extensions_trailers, "http.response.trailers", empty) < 0)
            Py_CLEAR(self->extensions_trailers);
        Py_XDECREF(empty);
    }
    return self->asgi_http != NULL && self->asgi_websocket != NULL && self->extensions_trailers != NULL &&
                   self->extensions_websocket != NULL
               ? 0
               : -1;
}

PyObject *
fc_scope_template(PyEngine *self, PyObject *scheme, PyObject *server_name, PyObject *server_port)
{
    FcModule *module = self->module;
    PyObject *scope = PyDict_New(), *port = Py_NewRef(Py_None);
    PyObject *root = PyUnicode_DecodeLatin1(self->root_path != NULL ? self->root_path : "",
                                            (Py_ssize_t)self->root_path_len, NULL);

    if (PyUnicode_GET_LENGTH(server_port) > 0)
        Py_SETREF(port, PyLong_FromUnicodeObject(server_port, 10));
    if (scope == NULL || port == NULL || root == NULL ||
        PyDict_SetItem(scope, module->words[FC_W_type], module->words[FC_W_http]) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_asgi], self->asgi_http) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_http_version], module->words[FC_W_one_one]) < 0 ||
        put(self, scope, FC_W_server, PyTuple_Pack(2, server_name, port)) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_client], Py_None) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_scheme], scheme) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_method], module->methods[FC_METHOD_GET]) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_root_path], root) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_path], module->words[FC_W_empty_text]) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_raw_path], module->empty_bytes) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_query_string], module->empty_bytes) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_headers], Py_None) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_extensions], self->extensions) < 0)
        Py_CLEAR(scope);
    Py_XDECREF(port);
    Py_XDECREF(root);
    return scope;
}

/* -- what repeats: a scope begins as a copy of the last one of its listener, in which only what differs is
 * set
 */

static const FcWordId settled_keys[FC_SETTLED] = {
    [FC_SETTLED_METHOD] = FC_W_method,      [FC_SETTLED_VERSION] = FC_W_http_version,
    [FC_SETTLED_SCHEME] = FC_W_scheme,      [FC_SETTLED_CLIENT] = FC_W_client,
    [FC_SETTLED_PATH] = FC_W_path,          [FC_SETTLED_RAW_PATH] = FC_W_raw_path,
    [FC_SETTLED_QUERY] = FC_W_query_string, [FC_SETTLED_EXTENSIONS] = FC_W_extensions,
};

/* The value (stolen) for this request and those to come. */
static inline int
settle(PyEngine *self, unsigned listener, FcSettledKey key, PyObject *value)
{
    PyObject **last = &self->settled[listener][key];
    int result = 0;

    if (value == NULL)
        return -1;
    if (*last != value) {
        result = PyDict_SetItem(self->templates[listener], self->module->words[settled_keys[key]], value);
        if (result == 0)
            *last = value; /* borrowed: the dict keeps it until it gets another */
    }
    Py_DECREF(value);
    return result;
}

/* The bytes, as the object of the last scope where they are the same. */
static PyObject *
bytes_again(PyObject *last, const char *data, size_t len)
{
    if (last != NULL && (size_t)PyBytes_GET_SIZE(last) == len &&
        memcmp(PyBytes_AS_STRING(last), data, len) == 0)
        return Py_NewRef(last);
    return PyBytes_FromStringAndSize(data, (Py_ssize_t)len);
}

static PyObject *
method_of(PyEngine *self, const FcConn *conn)
{
    const FcRequest *request = fc_conn_request(conn);

    if (request->method != FC_METHOD_OTHER)
        return Py_NewRef(self->module->methods[request->method]);
    return fc_str(self->strings, conn->buf->data + request->method_name.at, request->method_name.len);
}

/* Bring the listener's template to what this request says. */
static int
settle_all(PyEngine *self, FcConn *conn)
{
    const FcRequest *request = fc_conn_request(conn);
    const FcForwarded *forwarded = fc_conn_forwarded(&self->engine, conn);
    const char *data = conn->buf->data, *raw = request->path.len > 0 ? data + request->path.at : "/";
    size_t raw_len = request->path.len > 0 ? request->path.len : 1;
    bool secure = forwarded != NULL && forwarded->https == 1;
    PyObject **words = self->module->words, **last = self->settled[conn->listener];
    PyObject *scheme = secure ? words[FC_W_https] : self->schemes[conn->listener];
    PyObject *version = words[request->minor == 0 ? FC_W_one_zero : FC_W_one_one];
    PyObject *extensions = fc_conn_takes_trailers(conn) ? self->extensions_trailers : self->extensions;
    unsigned at = conn->listener;

    if (settle(self, at, FC_SETTLED_METHOD, method_of(self, conn)) < 0 ||
        settle(self, at, FC_SETTLED_VERSION, Py_NewRef(version)) < 0 ||
        settle(self, at, FC_SETTLED_SCHEME, Py_NewRef(scheme)) < 0 ||
        settle(self, at, FC_SETTLED_CLIENT, client_of(self, conn, forwarded)) < 0 ||
        settle(self, at, FC_SETTLED_PATH, path_of(self, raw, raw_len)) < 0 ||
        settle(self, at, FC_SETTLED_RAW_PATH, bytes_again(last[FC_SETTLED_RAW_PATH], raw, raw_len)) < 0 ||
        settle(self, at, FC_SETTLED_QUERY,
               bytes_again(last[FC_SETTLED_QUERY], data + request->query.at, request->query.len)) < 0)
        return -1;
    return settle(self, at, FC_SETTLED_EXTENSIONS, Py_NewRef(extensions));
}

/* Make a WebSocket's scope of one that was made as of a request. */
static int
turn_to_websocket(PyEngine *self, PyObject *scope, const FcConn *conn)
{
    PyObject **words = self->module->words;
    bool secure = self->settled[conn->listener][FC_SETTLED_SCHEME] == words[FC_W_https];

    if (PyDict_SetItem(scope, words[FC_W_type], words[FC_W_websocket]) < 0 ||
        PyDict_SetItem(scope, words[FC_W_asgi], self->asgi_websocket) < 0 ||
        PyDict_SetItem(scope, words[FC_W_extensions], self->extensions_websocket) < 0 ||
        PyDict_SetItem(scope, words[FC_W_scheme], words[secure ? FC_W_wss : FC_W_ws]) < 0 ||
        PyDict_DelItem(scope, words[FC_W_method]) < 0)
        return -1;
    return put(self, scope, FC_W_subprotocols, subprotocols_of(conn));
}

PyObject *
fc_scope_new(PyEngine *self, FcConn *conn, bool websocket)
{
    FcModule *module = self->module;
    PyObject *scope = NULL, *headers = headers_of(self, conn);

    if (headers == NULL || replace_host(self, headers, conn) < 0 || settle_all(self, conn) < 0)
        goto fail;
    scope = PyDict_Copy(self->templates[conn->listener]);
    if (scope == NULL || PyDict_SetItem(scope, module->words[FC_W_headers], headers) < 0 ||
        (self->state != NULL && put(self, scope, FC_W_state, PyDict_Copy(self->state)) < 0) ||
        (websocket && turn_to_websocket(self, scope, conn) < 0))
        goto fail;
    Py_DECREF(headers);
    return scope;
fail:
    Py_XDECREF(headers);
    Py_XDECREF(scope);
    return NULL;
}

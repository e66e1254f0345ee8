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

    if (len == 0) {
        raw = "/";
        len = 1;
    }
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
    path = ascii ? fc_str(&self->strings, out, n) : PyUnicode_DecodeUTF8(out, (Py_ssize_t)n, "replace");
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
        pair = fc_pair(&self->strings, self->module->field_names[field->id], data + field->name_at,
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
    return fc_client(&self->strings, &conn->peer);
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

static int
put_address(PyEngine *self, PyObject *scope, FcConn *conn, bool websocket)
{
    const FcForwarded *forwarded = fc_conn_forwarded(&self->engine, conn);
    bool secure = forwarded != NULL && forwarded->https == 1;
    FcWordId scheme = websocket ? (secure ? FC_W_wss : FC_W_ws) : (secure ? FC_W_https : FC_W_http);

    if ((websocket || secure) &&
        PyDict_SetItem(scope, self->module->words[FC_W_scheme], self->module->words[scheme]) < 0)
        return -1;
    return put(self, scope, FC_W_client, client_of(self, conn, forwarded));
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
        pair = fc_pair(&self->strings, self->module->field_names[FC_FIELD_HOST], "host", 4, forwarded->host,
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

PyObject *
fc_scope_new(PyEngine *self, FcConn *conn, bool websocket)
{
    FcModule *module = self->module;
    const FcRequest *request = fc_conn_request(conn);
    const char *data = conn->buf->data;
    PyObject *scope = PyDict_Copy(self->templates[conn->listener]), *headers = NULL;
    size_t raw_len = request->path.len > 0 ? request->path.len : 1;

    if (scope == NULL)
        return NULL;
    if (websocket) {
        if (PyDict_SetItem(scope, module->words[FC_W_type], module->words[FC_W_websocket]) < 0 ||
            PyDict_SetItem(scope, module->words[FC_W_asgi], self->asgi_websocket) < 0 ||
            PyDict_SetItem(scope, module->words[FC_W_extensions], self->extensions_websocket) < 0 ||
            PyDict_DelItem(scope, module->words[FC_W_method]) < 0 ||
            put(self, scope, FC_W_subprotocols, subprotocols_of(conn)) < 0)
            goto fail;
    } else if (request->method != FC_METHOD_GET) { /* the template says GET */
        PyObject *method =
            request->method != FC_METHOD_OTHER
                ? Py_NewRef(module->methods[request->method])
                : fc_str(&self->strings, data + request->method_name.at, request->method_name.len);

        if (put(self, scope, FC_W_method, method) < 0)
            goto fail;
    }
    if (!websocket && fc_conn_takes_trailers(conn) &&
        PyDict_SetItem(scope, module->words[FC_W_extensions], self->extensions_trailers) < 0)
        goto fail;
    if (request->minor == 0 &&
        PyDict_SetItem(scope, module->words[FC_W_http_version], module->words[FC_W_one_zero]) < 0)
        goto fail;
    headers = headers_of(self, conn);
    if (headers == NULL || replace_host(self, headers, conn) < 0 ||
        PyDict_SetItem(scope, module->words[FC_W_headers], headers) < 0 ||
        put_address(self, scope, conn, websocket) < 0 ||
        put(self, scope, FC_W_path, path_of(self, data + request->path.at, request->path.len)) < 0 ||
        put(self, scope, FC_W_raw_path,
            PyBytes_FromStringAndSize(request->path.len > 0 ? data + request->path.at : "/",
                                      (Py_ssize_t)raw_len)) < 0)
        goto fail;
    if (request->query.len > 0 &&
        put(self, scope, FC_W_query_string,
            PyBytes_FromStringAndSize(data + request->query.at, (Py_ssize_t)request->query.len)) < 0)
        goto fail;
    if (self->state != NULL && put(self, scope, FC_W_state, PyDict_Copy(self->state)) < 0)
        goto fail;
    Py_DECREF(headers);
    return scope;
fail:
    Py_XDECREF(headers);
    Py_DECREF(scope);
    return NULL;
}

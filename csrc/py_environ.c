/* The WSGI environ (PEP 3333): a template per listener, copied and completed for each request. See
 * py_gateway.h.
 *
 * The template holds every key that each request has, so that setting them replaces values and the copied
 * table does not grow.
 */
#include <string.h>

#include "py_gateway.h"

#define NAME_MOST 256 /* longest field name that becomes a key; longer ones are built without the cache */

static int
set_const(PyEngine *engine, PyObject *environ, FcKey key, PyObject *value /* stolen */)
{
    int result;

    if (value == NULL)
        return -1;
    result = PyDict_SetItem(environ, engine->module->keys[key], value);
    Py_DECREF(value);
    return result;
}

PyObject *
fc_environ_template(PyEngine *engine, PyObject *scheme, PyObject *server_name, PyObject *server_port,
                    bool multithread, bool multiprocess)
{
    FcModule *module = engine->module;
    const FcConfig *config = &engine->engine.config;
    PyObject *environ = PyDict_New(), *errors = PySys_GetObject("stderr");

    if (environ == NULL)
        return NULL;
    for (int key = 0; key < FC_KEYS; key++) {
        if (key == FC_KEY_CONTENT_TYPE || key == FC_KEY_CONTENT_LENGTH)
            continue;
        if (PyDict_SetItem(environ, module->keys[key], module->empty) < 0)
            goto fail;
    }
    if (PyDict_SetItem(environ, module->keys[FC_KEY_REQUEST_METHOD], module->methods[FC_METHOD_GET]) < 0 ||
        PyDict_SetItem(environ, module->keys[FC_KEY_SERVER_PROTOCOL], module->http_1_1) < 0 ||
        PyDict_SetItem(environ, module->keys[FC_KEY_WSGI_INPUT], module->empty_input) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_VERSION, Py_BuildValue("(ii)", 1, 0)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_URL_SCHEME, Py_NewRef(scheme)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_ERRORS, Py_NewRef(errors != NULL ? errors : Py_None)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_MULTITHREAD, PyBool_FromLong(multithread)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_MULTIPROCESS, PyBool_FromLong(multiprocess)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_RUN_ONCE, PyBool_FromLong(0)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_FILE_WRAPPER,
                  Py_NewRef((PyObject *)module->file_wrapper_type)) < 0 ||
        set_const(engine, environ, FC_KEY_WSGI_INPUT_TERMINATED, PyBool_FromLong(1)) < 0 ||
        set_const(engine, environ, FC_KEY_SERVER_NAME, Py_NewRef(server_name)) < 0 ||
        set_const(engine, environ, FC_KEY_SERVER_PORT, Py_NewRef(server_port)) < 0 ||
        set_const(engine, environ, FC_KEY_SERVER_SOFTWARE, PyUnicode_FromString("forkcluster")) < 0 ||
        set_const(engine, environ, FC_KEY_GATEWAY_INTERFACE, PyUnicode_FromString("CGI/1.1")) < 0 ||
        set_const(engine, environ, FC_KEY_SLOT, PyLong_FromUnsignedLong(config->slot)) < 0 ||
        set_const(engine, environ, FC_KEY_GENERATION, PyLong_FromUnsignedLong(config->generation)) < 0)
        goto fail;
    return environ;
fail:
    Py_DECREF(environ);
    return NULL;
}

static inline int
hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decode (RFC 3986 section 2.1). out has room for len bytes; the bytes written. What is no escape
 * stays. */
static size_t
unquote(const char *in, size_t len, char *out)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (in[i] == '%' && i + 2 < len && (high = hex(in[i + 1])) >= 0 && (low = hex(in[i + 2])) >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = in[i];
        }
    }
    return n;
}

/* Set key to value (stolen). */
static inline int
put(PyObject *environ, PyObject *key, PyObject *value)
{
    int result;

    if (value == NULL)
        return -1;
    result = PyDict_SetItem(environ, key, value);
    Py_DECREF(value);
    return result;
}

static int
put_path(PyEngine *engine, PyObject *environ, const char *raw, size_t len)
{
    FcModule *module = engine->module;
    char small[1024], *path = (char *)(uintptr_t)raw, *big = NULL;
    int result = -1;

    if (len == 0)
        return PyDict_SetItem(environ, module->keys[FC_KEY_PATH_INFO], module->slash);
    if (memchr(raw, '%', len) != NULL) {
        path = len <= sizeof small ? small : (big = PyMem_Malloc(len));
        if (path == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        len = unquote(raw, len, path);
    }
    if (engine->root_path_len > 0) {
        if (put(environ, module->keys[FC_KEY_SCRIPT_NAME],
                fc_str(engine->strings, engine->root_path, engine->root_path_len)) < 0)
            goto done;
        if (len >= engine->root_path_len && memcmp(path, engine->root_path, engine->root_path_len) == 0 &&
            (len == engine->root_path_len || path[engine->root_path_len] == '/')) {
            path += engine->root_path_len;
            len -= engine->root_path_len;
        }
    }
    result = put(environ, module->keys[FC_KEY_PATH_INFO], fc_str(engine->strings, path, len));
done:
    PyMem_Free(big);
    return result;
}

/* HTTP_ and the name in upper case with underscores. New reference. */
static PyObject *
field_key(PyEngine *engine, const char *name, size_t len)
{
    char key[5 + NAME_MOST] = "HTTP_";

    if (len > NAME_MOST)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        key[5 + i] = c == '-' ? '_' : c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    return fc_str(engine->strings, key, 5 + len);
}

/* Set, or join to what is there (RFC 9110 section 5.3; cookies by RFC 6265 section 5.4). Steals value. */
static int
put_or_join(PyObject *environ, PyObject *key, PyObject *value, bool cookie)
{
    PyObject *before, *joined;

    if (value == NULL)
        return -1;
    before = PyDict_GetItemWithError(environ, key);
    if (before == NULL)
        return PyErr_Occurred() ? (Py_DECREF(value), -1) : put(environ, key, value);
    joined = PyUnicode_FromFormat(cookie ? "%U; %U" : "%U, %U", before, value);
    Py_DECREF(value);
    return put(environ, key, joined);
}

static int
put_field(PyEngine *engine, PyObject *environ, const FcRequest *request, const char *data,
          const FcField *field)
{
    FcModule *module = engine->module;
    const char *bytes = data + field->value_at;
    PyObject *key, *value;
    int result;

    switch (field->id) {
    case FC_FIELD_CONTENT_TYPE:
        return put(environ, module->keys[FC_KEY_CONTENT_TYPE],
                   fc_str(engine->strings, bytes, field->value_len));
    case FC_FIELD_CONTENT_LENGTH:
        return put(environ, module->keys[FC_KEY_CONTENT_LENGTH],
                   fc_str(engine->strings, bytes, field->value_len));
    case FC_FIELD_TRANSFER_ENCODING: /* of the connection: the body arrives decoded */
        return 0;
    case FC_FIELD_UNKNOWN:
        if (field->name_len == 5 && strncasecmp(data + field->name_at, "proxy", 5) == 0)
            return 0; /* HTTP_PROXY would be taken for the variable of that name (httpoxy) */
        key = field_key(engine, data + field->name_at, field->name_len);
        if (key == NULL)
            return PyErr_Occurred() ? -1 : 0;
        value = fc_str(engine->strings, bytes, field->value_len);
        result = request->repeated ? put_or_join(environ, key, value, false) : put(environ, key, value);
        Py_DECREF(key);
        return result;
    default:
        key = module->http_keys[field->id];
        value = fc_str(engine->strings, bytes, field->value_len);
        return request->repeated ? put_or_join(environ, key, value, field->id == FC_FIELD_COOKIE)
                                 : put(environ, key, value);
    }
}

/* What trusted proxies say of the client. */
static int
put_forwarded(PyEngine *engine, PyObject *environ, const FcForwarded *forwarded)
{
    FcModule *module = engine->module;

    if (forwarded->client[0] != '\0') {
        if (put(environ, module->keys[FC_KEY_REMOTE_ADDR], PyUnicode_FromString(forwarded->client)) < 0)
            return -1;
        if (put(environ, module->keys[FC_KEY_REMOTE_PORT],
                forwarded->client_port > 0 ? PyUnicode_FromFormat("%d", forwarded->client_port)
                                           : Py_NewRef(module->empty)) < 0)
            return -1;
    }
    if (forwarded->https >= 0 && PyDict_SetItem(environ, module->keys[FC_KEY_WSGI_URL_SCHEME],
                                                forwarded->https ? module->https : module->http) < 0)
        return -1;
    if (forwarded->host[0] != '\0')
        return put(environ, module->http_keys[FC_FIELD_HOST], PyUnicode_FromString(forwarded->host));
    return 0;
}

PyObject *
fc_environ_new(PyEngine *engine, FcConn *conn, PyObject **input)
{
    FcModule *module = engine->module;
    const FcRequest *request = fc_conn_request(conn);
    const char *data = conn->buf->data;
    PyObject *environ = PyDict_Copy(engine->templates[conn->listener]), *target = NULL;
    const FcForwarded *forwarded;

    *input = NULL; /* the template's, for a request without a body */
    if (environ == NULL)
        return NULL;
    if (request->method == FC_METHOD_GET) {
        /* the template says so */
    } else if (request->method != FC_METHOD_OTHER) {
        if (PyDict_SetItem(environ, module->keys[FC_KEY_REQUEST_METHOD], module->methods[request->method]) <
            0)
            goto fail;
    } else if (put(environ, module->keys[FC_KEY_REQUEST_METHOD],
                   fc_str(engine->strings, data + request->method_name.at, request->method_name.len)) < 0) {
        goto fail;
    }
    if (put_path(engine, environ, data + request->path.at, request->path.len) < 0)
        goto fail;
    if (request->query.len > 0 &&
        put(environ, module->keys[FC_KEY_QUERY_STRING],
            fc_str(engine->strings, data + request->query.at, request->query.len)) < 0)
        goto fail;
    target = fc_str(engine->strings, data + request->target.at, request->target.len);
    if (target == NULL || PyDict_SetItem(environ, module->keys[FC_KEY_RAW_URI], target) < 0 ||
        PyDict_SetItem(environ, module->keys[FC_KEY_REQUEST_URI], target) < 0 ||
        (request->minor == 0 &&
         PyDict_SetItem(environ, module->keys[FC_KEY_SERVER_PROTOCOL], module->http_1_0) < 0) ||
        put(environ, module->keys[FC_KEY_REMOTE_ADDR], fc_str_address(engine->strings, &conn->peer)) < 0 ||
        put(environ, module->keys[FC_KEY_REMOTE_PORT], fc_str_port(engine->strings, &conn->peer)) < 0)
        goto fail;
    for (unsigned i = 0; i < request->n_fields; i++)
        if (put_field(engine, environ, request, data, &request->fields[i]) < 0)
            goto fail;
    if (request->authority.len > 0 &&
        put(environ, module->http_keys[FC_FIELD_HOST],
            fc_str(engine->strings, data + request->authority.at, request->authority.len)) < 0)
        goto fail;
    if (request->chunked &&
        put(environ, module->keys[FC_KEY_CONTENT_LENGTH], PyUnicode_FromFormat("%llu", conn->body.size)) < 0)
        goto fail;
    forwarded = fc_conn_forwarded(&engine->engine, conn);
    if (forwarded != NULL && put_forwarded(engine, environ, forwarded) < 0)
        goto fail;
    if (conn->body.kind != FC_BODY_NONE &&
        ((*input = fc_input_new(engine, conn)) == NULL ||
         PyDict_SetItem(environ, module->keys[FC_KEY_WSGI_INPUT], *input) < 0))
        goto fail;
    Py_DECREF(target);
    return environ;
fail:
    Py_XDECREF(target);
    Py_CLEAR(*input);
    Py_DECREF(environ);
    return NULL;
}

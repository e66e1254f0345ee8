/* The answer of one WSGI call: the head is formatted as start_response gives it, then sent with the body in as few
 * system calls as can be. See py_gateway.h. Governing: PEP 3333, RFC 9110, RFC 9112 section 6 (framing).
 */
#include <string.h>
#include <strings.h>

#include "py_gateway.h"

#define SMALL_BODY (16 * 1024) /* copied behind the head: one buffer, one send */
#define REFERENCE  (64 * 1024) /* a body at least this long is kept by reference while it waits, not copied */

/* -- formatting --------------------------------------------------------------------------------------------------- */

static bool
reserve(FcCall *call, size_t more)
{
    size_t need = call->head_len + more, cap = call->head_cap == 0 ? FC_HEAD_SIZE : call->head_cap;
    char *head;

    if (need <= call->head_cap)
        return true;
    while (cap < need)
        cap *= 2;
    head = PyMem_RawRealloc(call->head, cap);
    if (head == NULL)
        return false;
    call->head = head;
    call->head_cap = cap;
    return true;
}

static inline void
add(FcCall *call, const char *bytes, size_t len)
{
    if (len > 0) /* bytes may be NULL then */
        memcpy(call->head + call->head_len, bytes, len);
    call->head_len += len;
}

#define ADD(call, literal) add(call, literal, sizeof(literal) - 1)

/* Decimal text of a number; its length. out has room for 20 digits. */
static size_t
decimal(char *out, uint64_t number)
{
    char digits[20];
    size_t n = 0;

    do
        digits[n++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    for (size_t i = 0; i < n; i++)
        out[i] = digits[n - 1 - i];
    return n;
}

static size_t
hexadecimal(char *out, uint64_t number)
{
    static const char digits[] = "0123456789abcdef";
    unsigned shift = 60;
    size_t n = 0;

    while (shift > 0 && number >> shift == 0)
        shift -= 4;
    for (;; shift -= 4) {
        out[n++] = digits[number >> shift & 15];
        if (shift == 0)
            return n;
    }
}

/* RFC 9110 section 5.6.2: the characters of a token. */
static const bool token[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* What may stand in a field value: no control byte but HTAB. */
static inline bool
value_byte(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

/* The Latin-1 bytes of a str; NULL with an exception. */
static const unsigned char *
latin1(PyObject *text, const char *what, size_t *len)
{
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "start_response: %s must be a str, not %.100s: %R", what, Py_TYPE(text)->tp_name,
                     text);
        return NULL;
    }
#if PY_VERSION_HEX < 0x030c0000
    if (PyUnicode_READY(text) < 0)
        return NULL;
#endif
    if (PyUnicode_KIND(text) != PyUnicode_1BYTE_KIND) {
        PyErr_Format(PyExc_ValueError, "start_response: %s must be Latin-1 text (PEP 3333): %R", what, text);
        return NULL;
    }
    *len = (size_t)PyUnicode_GET_LENGTH(text);
    return PyUnicode_1BYTE_DATA(text);
}

static int
add_status(FcCall *call, PyObject *status)
{
    size_t len;
    const unsigned char *text = latin1(status, "the status", &len);

    if (text == NULL)
        return -1;
    for (size_t i = 0; i < len; i++)
        if (!value_byte(text[i]))
            goto malformed;
    if (len < 3 || text[0] < '1' || text[0] > '9' || text[1] < '0' || text[1] > '9' || text[2] < '0' ||
        text[2] > '9' || (len > 3 && text[3] != ' '))
        goto malformed;
    call->status = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
    if (call->status < 200) {
        PyErr_Format(PyExc_ValueError, "start_response: %R is an interim status, an answer needs a final one", status);
        return -1;
    }
    if (!reserve(call, len + 16)) {
        PyErr_NoMemory();
        return -1;
    }
    ADD(call, "HTTP/1.1 ");
    add(call, (const char *)text, len);
    if (len == 3)
        ADD(call, " ");
    ADD(call, "\r\n");
    call->fields_at = call->head_len;
    return 0;
malformed:
    PyErr_Format(PyExc_ValueError, "start_response: malformed status %R (expected like '200 OK')", status);
    return -1;
}

static bool
is(const unsigned char *name, const char *lower, size_t len)
{
    return strncasecmp((const char *)name, lower, len) == 0;
}

static int
take_length(FcCall *call, const unsigned char *value, size_t len)
{
    int64_t length = 0;

    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9' || length > (INT64_MAX - 9) / 10)
            goto malformed;
        length = length * 10 + (value[i] - '0');
    }
    if (len == 0 || (call->length >= 0 && call->length != length))
        goto malformed;
    call->length = length;
    return 0;
malformed:
    PyErr_SetString(PyExc_ValueError, "start_response: Content-Length is malformed or given twice with two values");
    return -1;
}

/* What a field means for the engine. 1: send it, 0: leave it out, -1: exception. */
static int
consider(FcCall *call, const unsigned char *name, size_t name_len, const unsigned char *value, size_t value_len)
{
    switch (name_len) {
    case 2:
        return !is(name, "te", 2);
    case 4:
        call->has_date = call->has_date || is(name, "date", 4);
        return 1;
    case 6:
        call->has_server = call->has_server || is(name, "server", 6);
        return 1;
    case 7:
        return !is(name, "trailer", 7) && !is(name, "upgrade", 7);
    case 8:
        return !is(name, "trailers", 8);
    case 10:
        if (is(name, "connection", 10)) { /* ours to say; an application may ask for the end */
            if (value_len == 5 && is(value, "close", 5))
                call->conn->keep_alive = false;
            return 0;
        }
        return !is(name, "keep-alive", 10);
    case 14:
        if (is(name, "content-length", 14))
            return take_length(call, value, value_len) < 0 ? -1 : call->status != 204;
        return 1;
    case 16:
        return !is(name, "proxy-connection", 16);
    case 17: /* the body is framed by us; that of the application is not encoded */
        return !is(name, "transfer-encoding", 17);
    case 18:
        return !is(name, "proxy-authenticate", 18);
    case 19:
        return !is(name, "proxy-authorization", 19);
    default:
        return 1;
    }
}

static int
add_field(FcCall *call, PyObject *pair)
{
    const unsigned char *name, *value;
    size_t name_len, value_len;
    int wanted;

    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_Format(PyExc_TypeError, "start_response: a header must be a tuple (name, value), not %R", pair);
        return -1;
    }
    name = latin1(PyTuple_GET_ITEM(pair, 0), "a header name", &name_len);
    value = name != NULL ? latin1(PyTuple_GET_ITEM(pair, 1), "a header value", &value_len) : NULL;
    if (value == NULL)
        return -1;
    for (size_t i = 0; i < name_len; i++)
        if (!token[name[i]])
            name_len = 0;
    if (name_len == 0) {
        PyErr_Format(PyExc_ValueError, "start_response: malformed header name %R", PyTuple_GET_ITEM(pair, 0));
        return -1;
    }
    for (size_t i = 0; i < value_len; i++) {
        if (!value_byte(value[i])) {
            PyErr_Format(PyExc_ValueError, "start_response: control character in the value of header %R: %R",
                         PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1));
            return -1;
        }
    }
    wanted = consider(call, name, name_len, value, value_len);
    if (wanted <= 0)
        return wanted;
    if (!reserve(call, name_len + value_len + 4)) {
        PyErr_NoMemory();
        return -1;
    }
    add(call, (const char *)name, name_len);
    ADD(call, ": ");
    add(call, (const char *)value, value_len);
    ADD(call, "\r\n");
    return 0;
}

int
fc_call_start(FcCall *call, PyObject *status, PyObject *headers)
{
    call->head_len = 0;
    call->length = -1;
    call->has_date = call->has_server = false;
    call->started = false;
    if (add_status(call, status) < 0)
        return -1;
    if (!PyList_Check(headers)) {
        PyErr_Format(PyExc_TypeError, "start_response: headers must be a list, not %.100s", Py_TYPE(headers)->tp_name);
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++)
        if (add_field(call, PyList_GET_ITEM(headers, i)) < 0)
            return -1;
    call->started = true;
    return 0;
}

/* Complete the head; the application can no longer change it. body_len: all there will be, or -1. */
static bool
finish_head(FcCall *call, int64_t body_len)
{
    PyEngine *engine = call->engine;
    FcConn *conn = call->conn;
    const FcRequest *request = fc_conn_request(conn);
    size_t server_len = strlen(engine->engine.config.server), date_len;

    if (!reserve(call, 256 + server_len + engine->extra_len))
        return false;
    call->no_body = request->method == FC_METHOD_HEAD || call->status == 204 || call->status == 304;
    if (conn->body.kind == FC_BODY_PENDING || engine->engine.draining)
        conn->keep_alive = false;
    if (!call->no_body && call->length < 0) {
        if (body_len >= 0) {
            call->length = body_len;
            ADD(call, "Content-Length: ");
            call->head_len += decimal(call->head + call->head_len, (uint64_t)body_len);
            ADD(call, "\r\n");
        } else if (request->minor == 1) {
            call->chunked = true;
            ADD(call, "Transfer-Encoding: chunked\r\n");
        } else {
            conn->keep_alive = false; /* its end is the end of the connection */
        }
    }
    if (!conn->keep_alive)
        ADD(call, "Connection: close\r\n");
    else if (request->minor == 0)
        ADD(call, "Connection: keep-alive\r\n");
    if (server_len > 0 && !call->has_server) {
        ADD(call, "Server: ");
        add(call, engine->engine.config.server, server_len);
        ADD(call, "\r\n");
    }
    if (engine->engine.config.date && !call->has_date) {
        const char *date = fc_engine_date(&engine->engine, &date_len);

        add(call, date, date_len);
    }
    add(call, engine->extra, engine->extra_len);
    ADD(call, "\r\n");
    return true;
}

/* -- sending ------------------------------------------------------------------------------------------------------ */

static void
account(FcCall *call)
{
    if (call->accounted)
        return;
    call->accounted = true;
    fc_conn_account(&call->engine->engine, call->conn, call->status, call->head + call->fields_at,
                    call->head_len - call->fields_at, call->body_sent, call->head_len + call->body_sent);
}

/* The head alone, or with a small body: one buffer. */
static bool
send_small(FcCall *call, const char *data, size_t len)
{
    struct iovec vector;
    size_t head_len = call->head_len;
    bool kept;

    if (!reserve(call, len))
        return false;
    memcpy(call->head + head_len, data, len);
    vector.iov_base = call->head;
    vector.iov_len = head_len + len;
    return fc_conn_send(&call->engine->engine, call->conn, &vector, 1, NULL, &kept) != FC_BROKEN;
}

static bool
send_vectors(FcCall *call, struct iovec *vectors, int count, PyObject *owner)
{
    bool kept = false;
    FcSend sent = fc_conn_send(&call->engine->engine, call->conn, vectors, count, owner, &kept);

    if (kept)
        Py_INCREF(owner);
    return sent != FC_BROKEN;
}

/* One piece of a chunked body, with the head before it if that is still to go. */
static bool
send_chunk(FcCall *call, const char *data, size_t len, bool head)
{
    char size[20];
    size_t size_len = hexadecimal(size, len);
    struct iovec vectors[4] = {
        {.iov_base = call->head, .iov_len = head ? call->head_len : 0},
        {.iov_base = size},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
        {.iov_base = size + size_len, .iov_len = 2},
    };

    memcpy(size + size_len, "\r\n", 2);
    vectors[1].iov_len = size_len + 2;
    return send_vectors(call, head ? vectors : vectors + 1, head ? 4 : 3, NULL);
}

static bool
send_plain(FcCall *call, PyObject *bytes, const char *data, size_t len, bool head)
{
    struct iovec vectors[2] = {{.iov_base = call->head, .iov_len = call->head_len},
                               {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};

    if (head && len <= SMALL_BODY)
        return send_small(call, data, len);
    return send_vectors(call, head ? vectors : vectors + 1, head ? 2 : 1, len >= REFERENCE ? bytes : NULL);
}

/* How much of len more bytes the promised length lets through. */
static size_t
contain(FcCall *call, size_t len)
{
    uint64_t left;

    if (call->no_body)
        return 0;
    if (call->length < 0)
        return len;
    left = (uint64_t)call->length - call->body_sent;
    if (len <= left)
        return len;
    if (!call->warned)
        fc_complain(call->engine, call->conn, "the application sent more than its Content-Length; the rest was cut");
    call->warned = true;
    return (size_t)left;
}

bool
fc_call_send(FcCall *call, PyObject *bytes, bool last)
{
    const char *data = bytes != NULL ? PyBytes_AS_STRING(bytes) : "";
    size_t len = bytes != NULL ? (size_t)PyBytes_GET_SIZE(bytes) : 0;
    bool head = !call->head_done, sent;

    if (call->broken)
        return false;
    if (head && !finish_head(call, last ? (int64_t)len : -1))
        return false;
    len = contain(call, len);
    if (!head && len == 0)
        return true;
    call->head_done = true;
    call->body_sent += len;
    if (call->no_body || (call->length >= 0 && call->body_sent == (uint64_t)call->length))
        account(call);
    if (call->chunked && len > 0)
        sent = send_chunk(call, data, len, head);
    else
        sent = send_plain(call, bytes, data, len, head);
    call->broken = !sent;
    return sent;
}

bool
fc_call_send_file(FcCall *call, int fd, off_t offset, uint64_t length)
{
    if (call->length >= 0 && (uint64_t)call->length < length)
        length = (uint64_t)call->length;
    if (!call->head_done && !finish_head(call, (int64_t)length))
        return false;
    call->head_done = true;
    if (call->no_body)
        length = 0;
    call->body_sent += length;
    if (call->no_body || (call->length >= 0 && call->body_sent == (uint64_t)call->length))
        account(call);
    call->broken = !send_small(call, "", 0) || fc_conn_send_file(&call->engine->engine, call->conn, fd, offset,
                                                                length) == FC_BROKEN;
    return !call->broken;
}

bool
fc_call_end(FcCall *call)
{
    static char last_chunk[] = "0\r\n\r\n";
    struct iovec vector = {.iov_base = last_chunk, .iov_len = sizeof last_chunk - 1};

    if (!call->head_done && !fc_call_send(call, NULL, true))
        return false;
    if (call->broken)
        return false;
    if (!call->no_body && call->length >= 0 && call->body_sent < (uint64_t)call->length) {
        fc_complain(call->engine, call->conn, "the application sent less than its Content-Length; the connection was cut");
        return false;
    }
    account(call);
    if (call->chunked && !send_vectors(call, &vector, 1, NULL))
        call->broken = true;
    return !call->broken;
}

/* An answer: its head is formatted as the gateway gives it, then sent with the body in as few system calls as can be.
 * See py_gateway.h. Governing: RFC 9110, RFC 9112 section 6 (framing).
 */
#include <string.h>
#include <strings.h>

#include "py_gateway.h"

#define SMALL_BODY (16 * 1024) /* copied behind the head: one buffer, one send */
#define REFERENCE  (64 * 1024) /* a body at least this long is kept by reference while it waits, not copied */

/* -- formatting --------------------------------------------------------------------------------------------------- */

static bool
reserve(FcAnswer *answer, size_t more)
{
    size_t need = answer->head_len + more, cap = answer->head_cap == 0 ? FC_HEAD_SIZE : answer->head_cap;
    char *head;

    if (need <= answer->head_cap)
        return true;
    while (cap < need)
        cap *= 2;
    head = PyMem_RawRealloc(answer->head, cap);
    if (head == NULL)
        return false;
    answer->head = head;
    answer->head_cap = cap;
    return true;
}

static inline void
add(FcAnswer *answer, const char *bytes, size_t len)
{
    memcpy(answer->head + answer->head_len, bytes, len);
    answer->head_len += len;
}

#define ADD(answer, literal) add(answer, literal, sizeof(literal) - 1)

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

const bool fc_token_byte[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,
    ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool
is(const unsigned char *name, const char *lower, size_t len)
{
    return strncasecmp((const char *)name, lower, len) == 0;
}

static int
take_length(FcAnswer *answer, const unsigned char *value, size_t len)
{
    int64_t length = 0;

    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9' || length > (INT64_MAX - 9) / 10)
            goto malformed;
        length = length * 10 + (value[i] - '0');
    }
    if (len == 0 || (answer->length >= 0 && answer->length != length))
        goto malformed;
    answer->length = length;
    return 0;
malformed:
    PyErr_SetString(PyExc_ValueError, "Content-Length is malformed or given twice with two values");
    return -1;
}

/* What a field means for the engine. 1: send it, 0: leave it out, -1: exception. */
static int
consider(FcAnswer *answer, const unsigned char *name, size_t name_len, const unsigned char *value, size_t value_len)
{
    switch (name_len) {
    case 2:
        return !is(name, "te", 2);
    case 4:
        answer->has_date = answer->has_date || is(name, "date", 4);
        return 1;
    case 6:
        answer->has_server = answer->has_server || is(name, "server", 6);
        return 1;
    case 7:
        return !is(name, "upgrade", 7);
    case 8:
        return !is(name, "trailers", 8);
    case 10:
        if (is(name, "connection", 10)) { /* ours to say; an application may ask for the end */
            if (value_len == 5 && is(value, "close", 5))
                answer->conn->keep_alive = false;
            return 0;
        }
        return !is(name, "keep-alive", 10);
    case 14:
        if (is(name, "content-length", 14))
            return take_length(answer, value, value_len) < 0 ? -1 : answer->status != 204;
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

void
fc_answer_begin(FcAnswer *answer, PyEngine *engine, FcConn *conn)
{
    answer->engine = engine;
    answer->conn = conn;
    answer->head_len = 0;
    answer->status = 0;
    answer->started = answer->head_done = answer->no_body = answer->chunked = answer->trailers = false;
    answer->has_date = answer->has_server = answer->accounted = answer->broken = answer->warned = answer->fresh = false;
    answer->length = -1;
    answer->body_sent = 0;
}

bool
fc_answer_status(FcAnswer *answer, int status, const char *text, size_t len)
{
    answer->head_len = 0;
    answer->length = -1;
    answer->status = status;
    answer->has_date = answer->has_server = answer->started = false;
    if (!reserve(answer, len + 16))
        return false;
    ADD(answer, "HTTP/1.1 ");
    add(answer, text, len);
    ADD(answer, "\r\n");
    answer->fields_at = answer->head_len;
    return true;
}

static int
bad_field(const char *words, const unsigned char *name, size_t len)
{
    PyObject *text = PyBytes_FromStringAndSize((const char *)name, (Py_ssize_t)len);

    if (text != NULL)
        PyErr_Format(PyExc_ValueError, "%s %R", words, text);
    Py_XDECREF(text);
    return -1;
}

int
fc_answer_field(FcAnswer *answer, const unsigned char *name, size_t name_len, const unsigned char *value,
                size_t value_len)
{
    bool sound = name_len > 0;
    int wanted;

    for (size_t i = 0; i < name_len; i++)
        sound = sound && fc_token_byte[name[i]];
    if (!sound) {
        return bad_field("malformed header name", name, name_len);
    }
    for (size_t i = 0; i < value_len; i++)
        sound = sound && fc_value_byte(value[i]);
    if (!sound) {
        return bad_field("control character in the value of header", name, name_len);
    }
    wanted = consider(answer, name, name_len, value, value_len);
    if (wanted <= 0)
        return wanted;
    if (!reserve(answer, name_len + value_len + 4)) {
        PyErr_NoMemory();
        return -1;
    }
    add(answer, (const char *)name, name_len);
    ADD(answer, ": ");
    add(answer, (const char *)value, value_len);
    ADD(answer, "\r\n");
    return 0;
}

/* Complete the head; the application can no longer change it. body_len: all there will be, or -1. */
static bool
finish_head(FcAnswer *answer, int64_t body_len)
{
    PyEngine *engine = answer->engine;
    FcConn *conn = answer->conn;
    const FcRequest *request = fc_conn_request(conn);
    size_t server_len = strlen(engine->engine.config.server), date_len;

    engine->engine.now = fc_now();
    answer->fresh = true;
    if (!reserve(answer, 256 + server_len + engine->extra_len))
        return false;
    answer->no_body = request->method == FC_METHOD_HEAD || answer->status == 204 || answer->status == 304;
    if (conn->body.kind == FC_BODY_PENDING || engine->engine.draining || (body_len >= 0 && !fc_conn_body_complete(conn)))
        conn->keep_alive = false; /* the rest of a body that nobody will read stands before the next request */
    if (!answer->no_body && answer->length < 0) {
        if (body_len >= 0) {
            answer->length = body_len;
            ADD(answer, "Content-Length: ");
            answer->head_len += decimal(answer->head + answer->head_len, (uint64_t)body_len);
            ADD(answer, "\r\n");
        } else if (request->minor == 1) {
            answer->chunked = true;
            ADD(answer, "Transfer-Encoding: chunked\r\n");
        } else {
            conn->keep_alive = false; /* its end is the end of the connection */
        }
    }
    if (!conn->keep_alive)
        ADD(answer, "Connection: close\r\n");
    else if (request->minor == 0)
        ADD(answer, "Connection: keep-alive\r\n");
    if (server_len > 0 && !answer->has_server) {
        ADD(answer, "Server: ");
        add(answer, engine->engine.config.server, server_len);
        ADD(answer, "\r\n");
    }
    if (engine->date_header && !answer->has_date) {
        const char *date = fc_engine_date(&engine->engine, &date_len);

        add(answer, date, date_len);
    }
    add(answer, engine->extra, engine->extra_len);
    ADD(answer, "\r\n");
    return true;
}

/* -- sending ------------------------------------------------------------------------------------------------------ */

void
fc_answer_account(FcAnswer *answer, bool cut)
{
    if (answer->accounted)
        return;
    answer->accounted = true;
    if (!answer->fresh)
        answer->engine->engine.now = fc_now();
    fc_conn_account(&answer->engine->engine, answer->conn, cut ? 0 : answer->status, answer->head + answer->fields_at,
                    answer->head_done ? answer->head_len - answer->fields_at : 0, answer->body_sent,
                    answer->head_len + answer->body_sent);
}

/* The head alone, or with a small body: one buffer. */
static bool
send_small(FcAnswer *answer, const char *data, size_t len)
{
    struct iovec vector;
    size_t head_len = answer->head_len;
    bool kept;

    if (!reserve(answer, len))
        return false;
    memcpy(answer->head + head_len, data, len);
    vector.iov_base = answer->head;
    vector.iov_len = head_len + len;
    return fc_conn_send(&answer->engine->engine, answer->conn, &vector, 1, NULL, &kept) != FC_BROKEN;
}

static bool
send_vectors(FcAnswer *answer, struct iovec *vectors, int count, PyObject *owner)
{
    bool kept = false;
    FcSend sent = fc_conn_send(&answer->engine->engine, answer->conn, vectors, count, owner, &kept);

    if (kept)
        Py_INCREF(owner);
    return sent != FC_BROKEN;
}

/* One piece of a chunked body, with the head before it if that is still to go. */
static bool
send_chunk(FcAnswer *answer, const char *data, size_t len, bool head)
{
    char size[20];
    size_t size_len = hexadecimal(size, len);
    struct iovec vectors[4] = {
        {.iov_base = answer->head, .iov_len = head ? answer->head_len : 0},
        {.iov_base = size},
        {.iov_base = (void *)(uintptr_t)data, .iov_len = len},
        {.iov_base = size + size_len, .iov_len = 2},
    };

    memcpy(size + size_len, "\r\n", 2);
    vectors[1].iov_len = size_len + 2;
    return send_vectors(answer, head ? vectors : vectors + 1, head ? 4 : 3, NULL);
}

/* Bytes between chunks. */
static bool
send_text(FcAnswer *answer, const char *text, size_t len)
{
    struct iovec vector = {.iov_base = (void *)(uintptr_t)text, .iov_len = len};

    return send_vectors(answer, &vector, 1, NULL);
}

static bool
send_plain(FcAnswer *answer, PyObject *bytes, const char *data, size_t len, bool head)
{
    struct iovec vectors[2] = {{.iov_base = answer->head, .iov_len = answer->head_len},
                               {.iov_base = (void *)(uintptr_t)data, .iov_len = len}};

    if (head && len <= SMALL_BODY)
        return send_small(answer, data, len);
    return send_vectors(answer, head ? vectors : vectors + 1, head ? 2 : 1, len >= REFERENCE ? bytes : NULL);
}

/* How much of len more bytes the promised length lets through. */
static uint64_t
contain(FcAnswer *answer, uint64_t len)
{
    uint64_t left;

    if (answer->no_body)
        return 0;
    if (answer->length < 0)
        return len;
    left = (uint64_t)answer->length - answer->body_sent;
    if (len <= left)
        return len;
    if (!answer->warned)
        fc_complain(answer->engine, answer->conn, "the application sent more than its Content-Length; the rest was cut");
    answer->warned = true;
    return left;
}

bool
fc_answer_send(FcAnswer *answer, const char *data, size_t len, PyObject *owner, bool last)
{
    FcEngine *engine = &answer->engine->engine;
    bool head = !answer->head_done, sent;

    if (answer->broken)
        return false;
    if (head && !finish_head(answer, last && !answer->trailers ? (int64_t)len : -1))
        return false;
    len = contain(answer, len);
    if (!head && len == 0) {
        if (last)
            engine->now = fc_now(); /* the last bytes may have gone long ago: what follows is timed from here */
        return true;
    }
    answer->head_done = true;
    answer->body_sent += len;
    if (answer->no_body || (answer->length >= 0 && answer->body_sent == (uint64_t)answer->length))
        fc_answer_account(answer, false);
    if (answer->chunked && len > 0)
        sent = send_chunk(answer, data, len, head);
    else
        sent = send_plain(answer, owner, data, len, head);
    answer->broken = !sent;
    answer->fresh = false;
    return sent;
}

bool
fc_answer_send_file(FcAnswer *answer, int fd, off_t offset, uint64_t length, bool last)
{
    FcEngine *engine = &answer->engine->engine;
    char size[20];
    size_t size_len;

    if (answer->broken)
        return false;
    if (!answer->head_done && !finish_head(answer, last ? (int64_t)length : -1))
        return false;
    length = contain(answer, length);
    if (!answer->head_done && !send_small(answer, "", 0))
        return false;
    answer->head_done = true;
    answer->body_sent += length;
    if (answer->no_body || (answer->length >= 0 && answer->body_sent == (uint64_t)answer->length))
        fc_answer_account(answer, false);
    if (length == 0)
        return true;
    if (answer->chunked) {
        size_len = hexadecimal(size, length);
        memcpy(size + size_len, "\r\n", 2);
        answer->broken = !send_text(answer, size, size_len + 2);
    }
    answer->broken = answer->broken || fc_conn_send_file(engine, answer->conn, fd, offset, length) == FC_BROKEN;
    if (answer->chunked && !answer->broken)
        answer->broken = !send_text(answer, "\r\n", 2);
    return !answer->broken;
}

bool
fc_answer_end(FcAnswer *answer, const char *trailer, size_t trailer_len)
{
    if (!answer->head_done && !fc_answer_send(answer, "", 0, NULL, true))
        return false;
    if (answer->broken)
        return false;
    if (!answer->no_body && answer->length >= 0 && answer->body_sent < (uint64_t)answer->length) {
        fc_complain(answer->engine, answer->conn,
                    "the application sent less than its Content-Length; the connection was cut");
        return false;
    }
    fc_answer_account(answer, false);
    if (!answer->chunked)
        return true;
    answer->broken = !send_text(answer, "0\r\n", 3) ||
                     (trailer_len > 0 && !send_text(answer, trailer, trailer_len)) || !send_text(answer, "\r\n", 2);
    return !answer->broken;
}

bool
fc_answer_plain(FcAnswer *answer, int status, const char *text)
{
    static const unsigned char name[] = "Content-Type", value[] = "text/plain";
    bool sent = false;

    answer->trailers = false;
    if (fc_answer_status(answer, status, text, strlen(text)) &&
        fc_answer_field(answer, name, sizeof name - 1, value, sizeof value - 1) == 0) {
        answer->started = true;
        sent = fc_answer_send(answer, text, strlen(text), NULL, true) && fc_answer_end(answer, NULL, 0);
    }
    PyErr_Clear();
    return sent;
}

/* The head of an answer, formatted as the gateway gives it. See py_gateway.h.
 *
 * Most applications give the same name and value objects again and again: a pair that was found sound once is
 * known by its objects, which the table keeps alive, and is only copied. Governing: RFC 9110 (fields), RFC
 * 9112 section 6 (framing).
 */
#include <string.h>
#include <strings.h>

#include "py_gateway.h"

#define KNOWN_LONG 256 /* pairs with longer values are not kept */

bool
fc_head_reserve(FcAnswer *answer, size_t more)
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
    if (len > 0) /* bytes may be NULL then */
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

const bool fc_token_byte[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

static bool
is(const unsigned char *name, const char *lower, size_t len)
{
    return strncasecmp((const char *)name, lower, len) == 0;
}

/* What a field means for the engine. */
typedef enum Meaning {
    SEND, /* nothing: send it */
    DROP, /* of the connection, which is ours: leave it out */
    DATE,
    SERVER,
    LENGTH,
    CONNECTION,
    UPGRADE,
} Meaning;

static Meaning
meaning_of(const unsigned char *name, size_t len)
{
    switch (len) {
    case 2:
        return is(name, "te", 2) ? DROP : SEND;
    case 4:
        return is(name, "date", 4) ? DATE : SEND;
    case 6:
        return is(name, "server", 6) ? SERVER : SEND;
    case 7:
        return is(name, "upgrade", 7) ? UPGRADE : SEND;
    case 8:
        return is(name, "trailers", 8) ? DROP : SEND;
    case 10:
        return is(name, "connection", 10) ? CONNECTION : is(name, "keep-alive", 10) ? DROP : SEND;
    case 14:
        return is(name, "content-length", 14) ? LENGTH : SEND;
    case 16:
        return is(name, "proxy-connection", 16) ? DROP : SEND;
    case 17: /* the body is framed by us; that of the application is not encoded */
        return is(name, "transfer-encoding", 17) ? DROP : SEND;
    case 18:
        return is(name, "proxy-authenticate", 18) ? DROP : SEND;
    case 19:
        return is(name, "proxy-authorization", 19) ? DROP : SEND;
    default:
        return SEND;
    }
}

/* The number of a Content-Length; -1: malformed. */
static int64_t
length_of(const unsigned char *value, size_t len)
{
    int64_t length = 0;

    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9' || length > (INT64_MAX - 9) / 10)
            return -1;
        length = length * 10 + (value[i] - '0');
    }
    return len > 0 ? length : -1;
}

/* Take note of a sound field. 1: send it, 0: leave it out, -1: exception. */
static int
consider(FcAnswer *answer, Meaning meaning, int64_t length, const unsigned char *value, size_t value_len)
{
    bool again;

    switch (meaning) {
    case SEND:
        break;
    case DROP:
        return 0;
    case UPGRADE: /* of the connection, too; but what 426 asks for (RFC 9110 section 15.5.22) */
        answer->upgrade = answer->status == 426;
        return answer->upgrade;
    case DATE:
        answer->has_date = true;
        break;
    case SERVER:
        answer->has_server = true;
        break;
    case CONNECTION: /* ours to say; an application may ask for the end */
        if (value_len == 5 && is(value, "close", 5))
            answer->conn->keep_alive = false;
        return 0;
    case LENGTH:
        if (length < 0 || (answer->length >= 0 && answer->length != length)) {
            PyErr_SetString(PyExc_ValueError, "Content-Length is malformed or given twice with two values");
            return -1;
        }
        again = answer->length >= 0;
        answer->length = length;
        return !again && answer->status != 204 && answer->status != 205;
    }
    return 1;
}

void
fc_answer_begin(FcAnswer *answer, PyEngine *engine, FcConn *conn)
{
    answer->engine = engine;
    answer->conn = conn;
    answer->head_len = 0;
    answer->status = 0;
    answer->started = answer->head_done = answer->no_body = answer->chunked = answer->trailers = false;
    answer->has_date = answer->has_server = answer->accounted = answer->broken = answer->warned =
        answer->fresh = answer->upgrade = false;
    answer->length = -1;
    answer->body_sent = 0;
    answer->now = 0;
}

bool
fc_answer_status(FcAnswer *answer, int status, const char *text, size_t len)
{
    answer->head_len = 0;
    answer->length = -1;
    answer->status = status;
    answer->has_date = answer->has_server = answer->started = answer->upgrade = false;
    if (!fc_head_reserve(answer, len + 16))
        return false;
    ADD(answer, "HTTP/1.1 ");
    add(answer, text, len);
    if (len == 3) /* RFC 9112 section 4: the space stays when there is no reason phrase */
        ADD(answer, " ");
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

static int
add_line(FcAnswer *answer, const unsigned char *name, size_t name_len, const unsigned char *value,
         size_t value_len)
{
    if (!fc_head_reserve(answer, name_len + value_len + 4)) {
        PyErr_NoMemory();
        return -1;
    }
    add(answer, (const char *)name, name_len);
    ADD(answer, ": ");
    add(answer, (const char *)value, value_len);
    ADD(answer, "\r\n");
    return 0;
}

static inline FcKnownField *
known_field(PyEngine *engine, PyObject *name, PyObject *value)
{
    uintptr_t hash = (uintptr_t)name / 16 * 31 + (uintptr_t)value / 16;

    return &engine->known_fields[hash % FC_KNOWN_FIELDS];
}

int
fc_answer_field(FcAnswer *answer, PyObject *name_object, PyObject *value_object, const unsigned char *name,
                size_t name_len, const unsigned char *value, size_t value_len)
{
    FcKnownField *known = known_field(answer->engine, name_object, value_object);
    Meaning meaning;
    int64_t length;
    int wanted;

    if (name_object == NULL || known->name != name_object || known->value != value_object) {
        bool sound = name_len > 0;

        for (size_t i = 0; sound && i < name_len; i++)
            sound = fc_token_byte[name[i]];
        if (!sound)
            return bad_field("malformed header name", name, name_len);
        for (size_t i = 0; sound && i < value_len; i++)
            sound = fc_value_byte(value[i]);
        if (!sound)
            return bad_field("control character in the value of header", name, name_len);
        meaning = meaning_of(name, name_len);
        length = meaning == LENGTH ? length_of(value, value_len) : -1;
        if (name_object != NULL && value_len <= KNOWN_LONG) {
            Py_XSETREF(known->name, Py_NewRef(name_object));
            Py_XSETREF(known->value, Py_NewRef(value_object));
            known->meaning = (uint8_t)meaning;
            known->length = length;
        }
    } else {
        meaning = (Meaning)known->meaning;
        length = known->length;
    }
    wanted = consider(answer, meaning, length, value, value_len);
    return wanted <= 0 ? wanted : add_line(answer, name, name_len, value, value_len);
}

/* Complete the head; the application can no longer change it. body_len: all there will be, or -1. */
bool
fc_head_finish(FcAnswer *answer, int64_t body_len)
{
    PyEngine *engine = answer->engine;
    FcConn *conn = answer->conn;
    const FcRequest *request = fc_conn_request(conn);
    size_t server_len = strlen(engine->engine.config.server), date_len;

    answer->now = fc_now();
    answer->fresh = true;
    if (!fc_head_reserve(answer, 256 + server_len + engine->extra_len))
        return false;
    answer->no_body = request->method == FC_METHOD_HEAD || answer->status == 204 || answer->status == 205 ||
                      answer->status == 304;
    if (conn->body.kind == FC_BODY_PENDING || conn->lent & FC_LENT_BODY ||
        !fc_engine_keeps(&engine->engine) || (body_len >= 0 && !fc_conn_body_complete(conn)))
        conn->keep_alive =
            false; /* the rest of a body that nobody will read stands before the next request */
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
            conn->keep_alive = false;
            fc_conn_ends_answer(conn);
        }
    }
    if (answer->status == 205) /* RFC 9110 section 15.3.6: no content, and framed so */
        ADD(answer, "Content-Length: 0\r\n");
    if (answer->upgrade && !conn->keep_alive)
        ADD(answer, "Connection: upgrade, close\r\n");
    else if (answer->upgrade)
        ADD(answer, "Connection: upgrade\r\n");
    else if (!conn->keep_alive)
        ADD(answer, "Connection: close\r\n");
    else if (request->minor == 0)
        ADD(answer, "Connection: keep-alive\r\n");
    if (server_len > 0 && !answer->has_server) {
        ADD(answer, "Server: ");
        add(answer, engine->engine.config.server, server_len);
        ADD(answer, "\r\n");
    }
    if (engine->engine.config.date && !answer->has_date) {
        const char *date = fc_engine_date(&engine->engine, answer->now, &date_len);

        add(answer, date, date_len);
    }
    add(answer, engine->extra, engine->extra_len);
    ADD(answer, "\r\n");
    return true;
}

/* An answer: sent with its body in as few system calls as can be. See py_gateway.h; the head is made in
 * py_head.c.
 *
 * Governing: RFC 9112 sections 6 and 7 (framing).
 */
#include <string.h>

#include "py_gateway.h"

#define SMALL_BODY (16 * 1024) /* copied behind the head: one buffer, one send */
#define REFERENCE                                                                                            \
    (64 * 1024) /* a body at least this long is kept by reference while it waits, not copied                 \
                 */

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

void
fc_answer_account(FcAnswer *answer, bool cut)
{
    if (answer->accounted)
        return;
    answer->accounted = true;
    if (!answer->fresh)
        answer->now = fc_now();
    fc_conn_account(&answer->engine->engine, answer->conn, answer->now, cut ? 0 : answer->status,
                    answer->head + answer->fields_at,
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

    if (!fc_head_reserve(answer, len))
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
        fc_complain(answer->engine, answer->conn,
                    "the application sent more than its Content-Length; the rest was cut");
    answer->warned = true;
    return left;
}

bool
fc_answer_send(FcAnswer *answer, const char *data, size_t len, PyObject *owner, bool last)
{
    bool head = !answer->head_done, sent;

    if (answer->broken)
        return false;
    if (head && !fc_head_finish(answer, last && !answer->trailers ? (int64_t)len : -1))
        return false;
    len = contain(answer, len);
    if (!head && len == 0) {
        if (last)
            answer->now =
                fc_now(); /* the last bytes may have gone long ago: what follows is timed from here */
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
    if (!answer->head_done && !fc_head_finish(answer, last ? (int64_t)length : -1))
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
    answer->broken =
        answer->broken || fc_conn_send_file(engine, answer->conn, fd, offset, length) == FC_BROKEN;
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
                     (trailer_len > 0 && !send_text(answer, trailer, trailer_len)) ||
                     !send_text(answer, "\r\n", 2);
    return !answer->broken;
}

bool
fc_answer_plain(FcAnswer *answer, int status, const char *text)
{
    static const unsigned char name[] = "Content-Type", value[] = "text/plain";
    bool sent = false;

    answer->trailers = false;
    if (fc_answer_status(answer, status, text, strlen(text)) &&
        fc_answer_field(answer, NULL, NULL, name, sizeof name - 1, value, sizeof value - 1) == 0) {
        answer->started = true;
        sent = fc_answer_send(answer, text, strlen(text), NULL, true) && fc_answer_end(answer, NULL, 0);
    }
    PyErr_Clear();
    return sent;
}

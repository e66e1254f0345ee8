/* The body of a request on its way in: what frames it, how it is received, when it is too slow. See
 * connection.h; where its bytes are kept is body.h's business.
 *
 * Governing: RFC 9112 sections 6 and 7; RFC 9110 section 10.1.1 (Expect).
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "connection.h"

#define CHUNK_ROOM 4096 /* least room behind the head for a chunked body in transit */

/* When a body is given up that made its last progress now: it may not stall, and not come too slowly as a
 * whole. */
static uint64_t
body_deadline(const FcEngine *engine, const FcConn *conn, uint64_t now)
{
    const FcConfig *config = &engine->config;
    uint64_t stalled = now + config->body_timeout, slow = conn->body_begun_ns + config->body_timeout;

    if (config->body_min_rate == 0)
        return stalled;
    slow += conn->body.size / config->body_min_rate * 1000000000ull;
    return slow < stalled ? slow : stalled;
}

void
fc_conn_await_body(FcEngine *engine, FcConn *conn)
{
    fc_timer_set(&engine->timers, &conn->timer, body_deadline(engine, conn, engine->now));
}

void
fc_conn_await_stream(FcEngine *engine, FcConn *conn)
{
    if (conn->body_rests_ns != 0)
        conn->body_begun_ns += engine->now - conn->body_rests_ns;
    conn->body_rests_ns = 0;
    fc_conn_await_body(engine, conn);
}

void
fc_conn_rest_stream(FcEngine *engine, FcConn *conn)
{
    if (conn->body_rests_ns == 0)
        conn->body_rests_ns = engine->now;
    if (!(conn->wants & FC_WANT_ROOM)) /* else the deadline is that of a slow reader */
        fc_timer_clear(&conn->timer);
}

void
fc_conn_forgive_stream(const FcEngine *engine, FcConn *conn)
{
    uint64_t rate = engine->config.body_min_rate;

    conn->body_begun_ns = fc_now() - (rate > 0 ? conn->body.size / rate * 1000000000ull : 0);
}

/* Decode chunked bytes in place: [conn->body_at, buf->len). FC_PARSE_DONE leaves pipelined bytes at
 * request_end. */
static FcParse
decode_chunks(FcEngine *engine, FcConn *conn, FcHttpError *error)
{
    FcBuf *buf = conn->buf;
    char *at = buf->data + conn->body_at, *end = buf->data + buf->len;

    for (;;) {
        size_t used = 0, data_len = 0;
        const char *data = NULL;
        FcParse parse = fc_parse_chunked(&conn->chunked, at, (size_t)(end - at), &used, &data, &data_len);

        at += used;
        if (parse == FC_PARSE_ERROR) {
            *error = conn->chunked.error;
            return parse;
        }
        if (parse == FC_PARSE_DATA) {
            if (engine->config.body_limit > 0 && conn->body.size + data_len > engine->config.body_limit) {
                *error = FC_HTTP_BODY_TOO_LARGE;
                return FC_PARSE_ERROR;
            }
            if (fc_body_append(&conn->body, data, data_len, engine->config.body_buffer) < 0) {
                *error = FC_HTTP_STORAGE;
                return FC_PARSE_ERROR;
            }
            continue;
        }
        /* MORE: all was consumed. DONE: what is left belongs to the next request. */
        memmove(buf->data + conn->body_at, at, (size_t)(end - at));
        buf->len = conn->body_at + (uint32_t)(end - at);
        conn->request_end = conn->body_at;
        return parse;
    }
}

/* Store len bytes of a body with a length, received at bytes. */
static bool
store_body(FcEngine *engine, FcConn *conn, const char *bytes, size_t len)
{
    uint64_t whole = (uint64_t)conn->buf->request.content_length;
    uint64_t memory_most = whole <= engine->config.body_buffer ? whole : 0;

    return fc_body_append(&conn->body, bytes, len, memory_most) == 0;
}

FcParse
fc_conn_receive_body(FcEngine *engine, FcConn *conn, char *scratch, size_t scratch_size, size_t *received,
                     bool *emptied, FcHttpError *error)
{
    FcBuf *buf = conn->buf;
    bool chunked = buf->request.chunked;
    uint64_t left = chunked ? 0 : (uint64_t)buf->request.content_length - conn->body.size;
    char *to = scratch;
    size_t room = scratch_size, behind;
    struct iovec vectors[2];
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    ssize_t n;

    *received = 0;
    *emptied = false;
    if (chunked) {
        to = buf->data + buf->len;
        room = buf->cap - buf->len;
    } else if (conn->body.kind == FC_BODY_MEMORY) {
        to = conn->body.memory + conn->body.size;
        room = (size_t)left;
    } else if (left < room) {
        room = (size_t)left;
    }
    behind = room == left ? buf->cap - buf->len : 0;
    vectors[0] = (struct iovec){.iov_base = to, .iov_len = room};
    vectors[1] = (struct iovec){.iov_base = buf->data + buf->len, .iov_len = behind};
    do {
        n = recvmsg(conn->fd, &message, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        *emptied = true;
        return FC_PARSE_MORE;
    }
    if (n <= 0) {
        *error = FC_HTTP_CUT_SHORT;
        return FC_PARSE_ERROR;
    }
    *received = (size_t)n;
    *emptied = (size_t)n < room + behind;
    if ((size_t)n > room) {
        buf->len += (uint32_t)((size_t)n - room);
        n = (ssize_t)room;
    }
    if (chunked) {
        buf->len += (uint32_t)n;
        return decode_chunks(engine, conn, error);
    }
    if (to == scratch && !store_body(engine, conn, scratch, (size_t)n)) {
        *error = FC_HTTP_STORAGE;
        return FC_PARSE_ERROR;
    }
    if (to != scratch)
        fc_body_grew(&conn->body, (size_t)n);
    return conn->body.size == (uint64_t)buf->request.content_length ? FC_PARSE_DONE : FC_PARSE_MORE;
}

/* The first bytes of a body that did not come whole with its head. */
static FcParse
begin_body(FcEngine *engine, FcConn *conn, uint64_t now, FcHttpError *error)
{
    FcBuf *buf = conn->buf;
    size_t here = buf->len - conn->body_at;

    conn->body_begun_ns = now;
    if (buf->request.chunked) {
        conn->chunked = (FcChunked){0};
        if (buf->cap - conn->body_at < CHUNK_ROOM && !fc_buf_grow(conn, buf->cap + CHUNK_ROOM)) {
            *error = FC_HTTP_STORAGE;
            return FC_PARSE_ERROR;
        }
        return decode_chunks(engine, conn, error);
    }
    if ((uint64_t)buf->request.content_length <= engine->config.body_buffer &&
        fc_body_room(&conn->body, (size_t)buf->request.content_length) == NULL) {
        *error = FC_HTTP_STORAGE;
        return FC_PARSE_ERROR;
    }
    if (!store_body(engine, conn, buf->data + conn->body_at, here)) {
        *error = FC_HTTP_STORAGE;
        return FC_PARSE_ERROR;
    }
    buf->len = conn->body_at;
    conn->request_end = conn->body_at;
    return FC_PARSE_MORE;
}

static bool
send_interim(FcConn *conn)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";

    return send(conn->fd, interim, sizeof interim - 1, MSG_NOSIGNAL) == (ssize_t)sizeof interim - 1;
}

FcParse
fc_conn_frame_body(FcEngine *engine, FcConn *conn, FcHttpError *error)
{
    FcBuf *buf = conn->buf;
    FcRequest *request = &buf->request;
    uint32_t here = buf->len - request->head_len;

    conn->body_at = conn->request_end = request->head_len;
    conn->bad_body = 0;
    if (!request->chunked && request->content_length <= 0)
        return FC_PARSE_DONE;
    if (!request->chunked && engine->config.body_limit > 0 &&
        (uint64_t)request->content_length > engine->config.body_limit) {
        *error = FC_HTTP_BODY_TOO_LARGE;
        return FC_PARSE_ERROR;
    }
    if (!request->chunked && (uint64_t)request->content_length <= here) {
        conn->body.kind = FC_BODY_SPAN;
        conn->body.memory = buf->data + conn->body_at;
        conn->body.size = (uint64_t)request->content_length;
        conn->request_end += (uint32_t)request->content_length;
        return FC_PARSE_DONE;
    }
    if (engine->config.stream_body) {
        if (request->chunked && buf->cap - conn->body_at < CHUNK_ROOM &&
            !fc_buf_grow(conn, buf->cap + CHUNK_ROOM)) {
            *error = FC_HTTP_STORAGE;
            return FC_PARSE_ERROR;
        }
        conn->chunked = (FcChunked){0};
        conn->body.kind = FC_BODY_STREAM;
        conn->body_begun_ns = conn->body_rests_ns = engine->now;
        return FC_PARSE_DONE;
    }
    if (request->expect_continue && here == 0 && !request->chunked) {
        conn->body.kind = FC_BODY_PENDING; /* fetched when the application reads */
        return FC_PARSE_DONE;
    }
    if (request->expect_continue && here == 0 && !send_interim(conn)) {
        *error = FC_HTTP_CUT_SHORT;
        return FC_PARSE_ERROR;
    }
    return begin_body(engine, conn, engine->now, error);
}

FcHttpError
fc_conn_fetch_body(FcEngine *engine, FcConn *conn, uint64_t *all)
{
    struct pollfd poller = {.fd = conn->fd, .events = POLLIN};
    FcHttpError error = FC_HTTP_OK;
    FcParse parse;
    size_t received;
    bool emptied; /* unused: its thread may have noted an edge since */
    uint64_t until;
    char scratch[16 * 1024];

    *all = 0;
    if (conn->body.kind != FC_BODY_PENDING)
        return FC_HTTP_OK;
    fc_body_init(&conn->body);
    /* Once part of the final answer is out, no interim one may follow (RFC 9110 section 15.2). */
    if (conn->answered == 0 && !send_interim(conn)) {
        error = FC_HTTP_CUT_SHORT;
        goto fail;
    }
    parse = begin_body(engine, conn, fc_now(), &error);
    until = body_deadline(engine, conn, conn->body_begun_ns);
    while (parse == FC_PARSE_MORE) {
        uint64_t now = fc_now(), ms = (until - now) / 1000000 + 1;

        if (now >= until || atomic_load(&conn->recalled) & FC_LENT_BODY) {
            error = now >= until ? FC_HTTP_TIMEOUT : FC_HTTP_CUT_SHORT;
            goto fail;
        }
        if (poll(&poller, 1, ms < RECALL_MS ? (int)ms : RECALL_MS) <= 0)
            continue;
        parse = fc_conn_receive_body(engine, conn, scratch, sizeof scratch, &received, &emptied, &error);
        *all += received;
        if (received > 0)
            until = body_deadline(engine, conn, fc_now());
    }
    if (parse == FC_PARSE_DONE)
        return FC_HTTP_OK;
fail:
    fc_body_clear(&conn->body);
    conn->keep_alive = false;
    conn->cut_short = true; /* the end is a lingering one */
    return error;
}

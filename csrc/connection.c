/* What comes in on a connection: heads and bodies. See engine.h and connection.h. */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "handover.h"
#include "health.h"

#define CHUNK_ROOM 4096 /* least room behind the head for a chunked body in transit */

/* -- read buffers
 * ------------------------------------------------------------------------------------------------- */

static FcBuf *
buf_new(uint32_t cap)
{
    FcBuf *buf = malloc(sizeof *buf + cap);

    if (buf != NULL)
        buf->cap = cap;
    return buf;
}

static void
buf_reset(FcBuf *buf)
{
    buf->len = 0;
    buf->resolved = false;
    fc_request_init(&buf->request);
}

static FcBuf *
buf_lease(FcEngine *engine)
{
    FcBuf *buf = engine->pool;

    if (buf != NULL) {
        engine->pool = buf->next;
        engine->pooled--;
    } else {
        buf = buf_new(FC_BUF_SIZE);
    }
    if (buf != NULL)
        buf_reset(buf);
    return buf;
}

void
fc_buf_return(FcEngine *engine, FcBuf *buf)
{
    if (buf == NULL)
        return;
    if (buf->cap != FC_BUF_SIZE || engine->pooled >= FC_BUF_POOL) {
        free(buf);
        return;
    }
    buf->next = engine->pool;
    engine->pool = buf;
    engine->pooled++;
}

/* Give the buffer more room, up to most bytes. False: no memory, or it has that already. */
static bool
buf_grow(FcConn *conn, uint32_t most)
{
    uint32_t cap = conn->buf->cap * 2 < most ? conn->buf->cap * 2 : most;
    FcBuf *buf = NULL;

    if (cap <= conn->buf->cap || (buf = realloc(conn->buf, sizeof *buf + cap)) == NULL)
        return false;
    buf->cap = cap;
    conn->buf = buf;
    return true;
}

/* -- the body
 * ----------------------------------------------------------------------------------------------------- */

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

static void
await_body(FcEngine *engine, FcConn *conn)
{
    fc_timer_set(&engine->timers, &conn->timer, body_deadline(engine, conn, engine->now));
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

/* One recv of body bytes. FC_PARSE_MORE with *received 0: nothing there. */
static FcParse
receive_body(FcEngine *engine, FcConn *conn, char *scratch, size_t scratch_size, size_t *received,
             FcHttpError *error)
{
    FcBuf *buf = conn->buf;
    bool chunked = buf->request.chunked;
    uint64_t left = chunked ? 0 : (uint64_t)buf->request.content_length - conn->body.size;
    char *to = scratch;
    size_t room = scratch_size;
    ssize_t n;

    *received = 0;
    if (chunked) {
        to = buf->data + buf->len;
        room = buf->cap - buf->len;
    } else if (conn->body.kind == FC_BODY_MEMORY) {
        to = conn->body.memory + conn->body.size;
        room = (size_t)left;
    } else if (left < room) {
        room = (size_t)left;
    }
    do {
        n = recv(conn->fd, to, room, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return FC_PARSE_MORE;
    if (n <= 0) {
        *error = FC_HTTP_CUT_SHORT;
        return FC_PARSE_ERROR;
    }
    *received = (size_t)n;
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
        if (buf->cap - conn->body_at < CHUNK_ROOM && !buf_grow(conn, buf->cap + CHUNK_ROOM)) {
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

/* The head is complete: decide how the body comes. */
static FcParse
frame_body(FcEngine *engine, FcConn *conn, FcHttpError *error)
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
            !buf_grow(conn, buf->cap + CHUNK_ROOM)) {
            *error = FC_HTTP_STORAGE;
            return FC_PARSE_ERROR;
        }
        conn->chunked = (FcChunked){0};
        conn->body.kind = FC_BODY_STREAM;
        conn->body_begun_ns = engine->now;
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
        uint64_t now = fc_now();

        if (now >= until) {
            error = FC_HTTP_TIMEOUT;
            goto fail;
        }
        if (poll(&poller, 1, (int)((until - now) / 1000000 + 1)) <= 0)
            continue;
        parse = receive_body(engine, conn, scratch, sizeof scratch, &received, &error);
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

/* -- the head
 * ----------------------------------------------------------------------------------------------------- */

static FcLook
refuse(FcEngine *engine, FcConn *conn, FcHttpError error)
{
    if (error == FC_HTTP_CUT_SHORT) {
        fc_conn_close(engine, conn);
        return FC_LOOK_GONE;
    }
    conn->begun_ns = engine->now;
    fc_conn_refuse(engine, conn, fc_http_status(error));
    return FC_LOOK_GONE;
}

bool
fc_engine_keeps(FcEngine *engine)
{
    return !engine->draining || (engine->handover != NULL && fc_handover_possible(engine));
}

static FcLook
give_out(FcEngine *engine, FcConn *conn)
{
    const FcRequest *request = &conn->buf->request;
    uint32_t most = engine->config.keep_alive_requests;

    conn->state = FC_CONN_OUT;
    conn->why = FC_WHY_REQUEST;
    conn->begun_ns = engine->now;
    conn->answered = conn->answered_body = 0;
    /* A client that has sent its end may have sent further requests before it: their turn comes, then the
     * end's. */
    conn->keep_alive = request->keep_alive && engine->config.keep_alive > 0 && fc_engine_keeps(engine) &&
                       (most == 0 || conn->served + 1 < most);
    fc_timer_clear(&conn->timer);
    if (engine->config.health_len > 0 && fc_health_asked(engine, conn)) {
        fc_health_answer(engine, conn);
        return FC_LOOK_GONE;
    }
    if (!conn->probe)
        conn->flight = fc_flight_begin(&engine->flights, engine->now,
                                       conn->buf->data + request->method_name.at, request->method_name.len,
                                       conn->buf->data + request->target.at, request->target.len);
    return FC_LOOK_OUT;
}

static FcLook
wait_for_more(FcEngine *engine, FcConn *conn)
{
    fc_conn_watch(engine, conn, false);
    return FC_LOOK_WAIT;
}

static FcLook
after_body(FcEngine *engine, FcConn *conn, FcParse parse, FcHttpError error)
{
    if (parse == FC_PARSE_DONE)
        return give_out(engine, conn);
    if (parse == FC_PARSE_ERROR)
        return refuse(engine, conn, error);
    conn->state = FC_CONN_BODY;
    await_body(engine, conn);
    return wait_for_more(engine, conn);
}

FcLook
fc_conn_advance(FcEngine *engine, FcConn *conn)
{
    FcBuf *buf = conn->buf;
    FcHttpError error = FC_HTTP_OK;
    FcParse parse = fc_parse_head(&buf->request, buf->data, buf->len, &engine->config.limits);

    if (parse == FC_PARSE_DONE) {
        parse = frame_body(engine, conn, &error);
        if (parse == FC_PARSE_DONE)
            return give_out(engine, conn);
        return after_body(engine, conn, parse, error);
    }
    if (parse == FC_PARSE_ERROR)
        return refuse(engine, conn, buf->request.error);
    if (buf->len == buf->cap && !buf_grow(conn, engine->config.limits.head + 4096))
        return refuse(engine, conn, FC_HTTP_HEAD_TOO_LONG);
    if (conn->state == FC_CONN_IDLE) {
        conn->state = FC_CONN_HEAD;
        fc_timer_set(&engine->timers, &conn->timer, engine->now + engine->config.header_timeout);
    }
    return wait_for_more(engine, conn);
}

static FcLook
read_body(FcEngine *engine, FcConn *conn)
{
    FcHttpError error = FC_HTTP_OK;
    size_t received = 0;
    FcParse parse = receive_body(engine, conn, engine->scratch, FC_SCRATCH_SIZE, &received, &error);

    fc_add(&engine->line->bytes_in, received);
    if (received == 0)
        conn->readable = false;
    if (parse == FC_PARSE_MORE && received > 0) {
        /* One read a look: a fast upload must not starve the others. */
        await_body(engine, conn);
        fc_conn_queue(engine, conn);
        return FC_LOOK_WAIT;
    }
    if (parse == FC_PARSE_MORE) /* no progress: its deadline stands */
        return wait_for_more(engine, conn);
    return after_body(engine, conn, parse, error);
}

FcLook
fc_conn_read(FcEngine *engine, FcConn *conn)
{
    FcBuf *buf = conn->buf;
    FcLook look;
    size_t room;
    ssize_t n;

    if (conn->state == FC_CONN_BODY)
        return read_body(engine, conn);
    if (buf == NULL && (buf = conn->buf = buf_lease(engine)) == NULL) {
        fc_conn_close(engine, conn);
        return FC_LOOK_GONE;
    }
    do {
        room = buf->cap - buf->len;
        n = recv(conn->fd, buf->data + buf->len, room, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            conn->readable = false;
            if (conn->state == FC_CONN_IDLE)
                fc_conn_idle(engine, conn);
            return FC_LOOK_WAIT;
        }
        if (n <= 0) { /* the client left; what it had begun to ask is not a request */
            fc_conn_close(engine, conn);
            return FC_LOOK_GONE;
        }
        buf->len += (uint32_t)n;
        fc_conn_count_idle(engine, conn, false);
        conn->readable = (size_t)n == room;
        fc_add(&engine->line->bytes_in, (uint64_t)n);
        look = fc_conn_advance(engine, conn);
        buf = conn->buf;
        /* Edge-triggered: a short read has emptied the socket, unless the end of file is behind it. */
    } while (look == FC_LOOK_WAIT && conn->state == FC_CONN_HEAD && (conn->readable || conn->hung_up));
    if (look == FC_LOOK_WAIT && conn->state == FC_CONN_BODY && (conn->readable || conn->hung_up))
        fc_conn_queue(engine, conn);
    return look;
}

void
fc_conn_idle_until(FcEngine *engine, FcConn *conn, uint64_t deadline)
{
    conn->state = FC_CONN_IDLE;
    fc_conn_count_idle(engine, conn, true);
    fc_buf_return(engine, conn->buf);
    conn->buf = NULL;
    fc_conn_watch(engine, conn, false);
    fc_timer_set(&engine->timers, &conn->timer, deadline);
    if (engine->handover != NULL && (conn->looks < FC_LOOKS || engine->draining))
        fc_handover_consider(engine, conn);
}

void
fc_conn_idle(FcEngine *engine, FcConn *conn)
{
    const FcConfig *config = &engine->config;

    /* What has not asked anything yet is not kept alive: it owes its first head. */
    fc_conn_idle_until(engine, conn,
                       engine->now + (conn->served == 0 ? config->header_timeout : config->keep_alive));
}

void
fc_conn_refill(FcEngine *engine, FcConn *conn, const char *bytes, size_t len, uint64_t deadline)
{
    conn->buf = buf_lease(engine);
    if (conn->buf == NULL || len > conn->buf->cap) {
        fc_conn_close(engine, conn);
        return;
    }
    memcpy(conn->buf->data, bytes, len);
    conn->buf->len = (uint32_t)len;
    conn->state = FC_CONN_HEAD;
    conn->unparsed = conn->readable = true;
    fc_timer_set(&engine->timers, &conn->timer,
                 deadline != 0 ? deadline : engine->now + engine->config.header_timeout);
    fc_conn_queue(engine, conn);
}

/* -- who is there
 * ------------------------------------------------------------------------------------------------- */

const FcForwarded *
fc_conn_forwarded(FcEngine *engine, FcConn *conn)
{
    FcBuf *buf = conn->buf;

    if (buf == NULL || !fc_forwarded_present(&buf->request))
        return NULL;
    if (!buf->resolved) {
        if (engine->trust == NULL || !fc_trust_peer(engine->trust, &conn->peer.any, conn->peer.len))
            return NULL;
        fc_forwarded_resolve(engine->trust, buf->data, &buf->request, &buf->forwarded);
        buf->resolved = true;
    }
    return &buf->forwarded;
}

size_t
fc_conn_client(FcEngine *engine, FcConn *conn, char *out)
{
    const FcForwarded *forwarded = fc_conn_forwarded(engine, conn);

    out[0] = '\0';
    if (forwarded != NULL && forwarded->client[0] != '\0')
        memcpy(out, forwarded->client, sizeof forwarded->client);
    else if (conn->peer.len > 0 && conn->peer.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &conn->peer.v4.sin_addr, out, 64);
    else if (conn->peer.len > 0 && IN6_IS_ADDR_V4MAPPED(&conn->peer.v6.sin6_addr))
        inet_ntop(AF_INET, conn->peer.v6.sin6_addr.s6_addr + 12, out, 64);
    else if (conn->peer.len > 0)
        inet_ntop(AF_INET6, &conn->peer.v6.sin6_addr, out, 64);
    return strlen(out);
}

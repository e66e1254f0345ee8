/* What comes in on a connection: from its first byte to a whole request. See engine.h and connection.h;
 * bodies are received in intake.c. */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "handover.h"
#include "health.h"

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

bool
fc_buf_grow(FcConn *conn, uint32_t most)
{
    uint32_t cap = conn->buf->cap * 2 < most ? conn->buf->cap * 2 : most;
    FcBuf *buf = NULL;

    if (cap <= conn->buf->cap || (buf = realloc(conn->buf, sizeof *buf + cap)) == NULL)
        return false;
    buf->cap = cap;
    conn->buf = buf;
    return true;
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
    if (error == FC_HTTP_STORAGE)
        engine->storage_error = errno != 0 ? errno : ENOSPC;
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
    fc_conn_await_body(engine, conn);
    return wait_for_more(engine, conn);
}

FcLook
fc_conn_advance(FcEngine *engine, FcConn *conn)
{
    FcBuf *buf = conn->buf;
    FcHttpError error = FC_HTTP_OK;
    FcParse parse = fc_parse_head(&buf->request, buf->data, buf->len, &engine->config.limits);

    if (parse == FC_PARSE_DONE) {
        parse = fc_conn_frame_body(engine, conn, &error);
        if (parse == FC_PARSE_DONE)
            return give_out(engine, conn);
        return after_body(engine, conn, parse, error);
    }
    if (parse == FC_PARSE_ERROR)
        return refuse(engine, conn, buf->request.error);
    if (buf->len == buf->cap && !fc_buf_grow(conn, engine->config.limits.head + 4096))
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
    bool emptied = false;
    FcParse parse =
        fc_conn_receive_body(engine, conn, engine->scratch, FC_SCRATCH_SIZE, &received, &emptied, &error);

    fc_add(&engine->line->bytes_in, received);
    if (emptied)
        conn->readable = false;
    if (parse == FC_PARSE_MORE && received > 0) {
        /* One read a look, and queued behind the others. */
        fc_conn_await_body(engine, conn);
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

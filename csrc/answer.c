/* What goes out on a connection: answers, refusals, and how a connection ends. See engine.h and connection.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include <linux/sockios.h>

#include "connection.h"
#include "phrase.h"

/* -- sending
 * ------------------------------------------------------------------------------------------------------ */

void
fc_conn_land(FcEngine *engine, FcConn *conn)
{
    if (conn->flight == NULL)
        return;
    fc_flight_end(&engine->flights, conn->flight);
    conn->flight = NULL;
}

static void
count_sent(FcEngine *engine, FcConn *conn, uint64_t sent)
{
    if (sent > 0)
        conn->head_sent = true;
    fc_add(&engine->line->bytes_out, sent);
}

/* Queue what a send has left of the vectors after sent bytes. */
static bool
queue_rest(FcConn *conn, const struct iovec *vectors, int count, size_t sent, void *owner, bool *kept)
{
    for (int i = 0; i < count; i++) {
        const char *data = vectors[i].iov_base;
        size_t len = vectors[i].iov_len;
        bool owned = owner != NULL && i == count - 1;

        if (sent >= len) {
            sent -= len;
            continue;
        }
        if (!fc_output_bytes(&conn->out, data + sent, len - sent, owned ? owner : NULL))
            return false;
        *kept = *kept || owned;
        sent = 0;
    }
    return true;
}

FcSend
fc_conn_send(FcEngine *engine, FcConn *conn, struct iovec *vectors, int count, void *owner, bool *kept)
{
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = (size_t)count};
    size_t all = 0;
    ssize_t n = 0;

    *kept = false;
    fc_conn_land(engine, conn);
    for (int i = 0; i < count; i++)
        all += vectors[i].iov_len;
    conn->answered += all;
    if (fc_output_empty(&conn->out)) {
        do {
            n = count == 1 ? send(conn->fd, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
                           : sendmsg(conn->fd, &message, MSG_NOSIGNAL);
        } while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return FC_BROKEN;
        if (n < 0)
            n = 0;
        count_sent(engine, conn, (uint64_t)n);
        if ((size_t)n == all)
            return FC_SENT;
    }
    return queue_rest(conn, vectors, count, (size_t)n, owner, kept) ? FC_QUEUED : FC_BROKEN;
}

int
fc_conn_in_kernel(const FcConn *conn)
{
    int bytes = 0;

    return ioctl(conn->fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

static void
await_room(FcEngine *engine, FcConn *conn)
{
    conn->in_kernel = fc_conn_in_kernel(conn);
    fc_timer_set(&engine->timers, &conn->timer, engine->now + engine->config.write_timeout);
}

/* The kernel reports room only when a third of its buffer, which may be megabytes, is free: a slow client can
 * read all the time without an event. So look at what it still holds before a client is given up. */
bool
fc_conn_takes(FcEngine *engine, FcConn *conn)
{
    if (fc_conn_in_kernel(conn) >= conn->in_kernel)
        return false;
    await_room(engine, conn);
    return true;
}

static FcFlush
flush(FcEngine *engine, FcConn *conn)
{
    uint64_t sent = 0;
    FcFlush result = fc_output_flush(&conn->out, conn->fd, &sent, &engine->spent);

    count_sent(engine, conn, sent);
    return result;
}

FcSend
fc_conn_send_file(FcEngine *engine, FcConn *conn, int fd, off_t offset, uint64_t length)
{
    fc_conn_land(engine, conn);
    conn->answered += length;
    if (length == 0)
        return fc_output_empty(&conn->out) ? FC_SENT : FC_QUEUED;
    if (!fc_output_file(&conn->out, fd, offset, length))
        return FC_BROKEN;
    switch (flush(engine, conn)) {
    case FC_FLUSH_DONE:
        return FC_SENT;
    case FC_FLUSH_AGAIN:
    case FC_FLUSH_MORE:
        return FC_QUEUED;
    case FC_FLUSH_BROKEN:
        break;
    }
    return FC_BROKEN;
}

void
fc_conn_flushed(FcEngine *engine, FcConn *conn, FcFlushed *flushed)
{
    count_sent(engine, conn, flushed->sent);
    while (flushed->spent != NULL) {
        FcSegment *segment = flushed->spent;

        flushed->spent = segment->next;
        segment->next = engine->spent;
        engine->spent = segment;
    }
}

bool
fc_conn_flush_blocking(const FcEngine *engine, FcConn *conn, FcFlushed *flushed)
{
    struct pollfd poller = {.fd = conn->fd, .events = POLLOUT};
    uint64_t until = fc_now() + engine->config.write_timeout, now, ms, left = conn->out.size;

    conn->in_kernel = fc_conn_in_kernel(conn);
    for (;;) {
        FcFlush result = fc_output_flush(&conn->out, conn->fd, &flushed->sent, &flushed->spent);

        if (result == FC_FLUSH_DONE || result == FC_FLUSH_BROKEN)
            return result == FC_FLUSH_DONE;
        now = fc_now();
        if (conn->out.size < left || (now >= until && fc_conn_in_kernel(conn) < conn->in_kernel)) {
            left = conn->out.size;
            conn->in_kernel = fc_conn_in_kernel(conn);
            until = now + engine->config.write_timeout;
        }
        if (now >= until || atomic_load(&conn->recalled) & FC_LENT_OUT)
            return false;
        ms = (until - now) / 1000000 + 1;
        poll(&poller, 1, ms < RECALL_MS ? (int)ms : RECALL_MS);
    }
}

/* -- accounts
 * ----------------------------------------------------------------------------------------------------- */

/* Count what the log could not write, also in its own thread: since the last time. */
static void
tell_dropped(FcEngine *engine)
{
    uint64_t lines = fc_accesslog_take_dropped(engine->log);

    if (lines > 0)
        fc_add_shared(&engine->line->log_dropped, lines);
}

static void
log_answer(FcEngine *engine, FcConn *conn, uint64_t now, int status, const char *fields, size_t fields_len,
           uint64_t body_len, uint64_t all_len)
{
    static const FcRequest nothing = {.content_length = -1};
    const FcForwarded *forwarded = fc_conn_forwarded(engine, conn);
    char remote[64];
    size_t remote_len = fc_conn_client(engine, conn, remote), ignored;

    (void)fc_engine_date(engine, now, &ignored); /* brings wall_offset_ns up to date */
    FcLogEntry entry = {
        .buf = conn->buf != NULL ? conn->buf->data : "",
        .request = conn->buf != NULL ? &conn->buf->request : &nothing,
        .remote = remote_len > 0 ? remote : "-",
        .remote_len = remote_len > 0 ? remote_len : 1,
        .wall_us = (conn->begun_ns + engine->wall_offset_ns) / 1000,
        .duration_ns = now - conn->begun_ns,
        .body_sent = body_len,
        .bytes_sent = all_len,
        .status = (uint16_t)status,
        .https = forwarded != NULL && forwarded->https == 1,
        .response_fields = fields,
        .response_fields_len = fields_len,
        .slot = engine->config.slot,
        .pid = (int32_t)fc_load(&engine->line->pid),
    };
    fc_accesslog_append(engine->log, &entry);
    tell_dropped(engine);
}

void
fc_engine_stop_log(FcEngine *engine, int timeout_ms)
{
    fc_accesslog_stop(engine->log, timeout_ms);
    tell_dropped(engine);
}

void
fc_conn_account(FcEngine *engine, FcConn *conn, uint64_t now, int status, const char *fields,
                size_t fields_len, uint64_t body_len, uint64_t all_len)
{
    FcLine *line = engine->line;
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 : FC_CLASS_ABORTED;
    uint64_t took = now - conn->begun_ns;

    if (conn->probe)
        return;
    fc_add(&line->requests[class], 1);
    fc_add(&line->duration[fc_bucket(took)], 1);
    fc_add(&line->duration_ns, took);
    if (engine->log != NULL)
        log_answer(engine, conn, now, status, fields, fields_len, body_len, all_len);
}

/* -- how it ends
 * -------------------------------------------------------------------------------------------------- */

static void
set_resets(FcConn *conn, bool resets)
{
    struct linger linger = {.l_onoff = resets, .l_linger = 0};

    setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    conn->resets = resets;
}

void
fc_conn_ends_answer(FcConn *conn)
{
    set_resets(conn, true);
}

/* Our side is done, the client may still be sending: a plain close would answer its bytes with a reset, which
 * can destroy our answer before it is read. */
static void
linger(FcEngine *engine, FcConn *conn)
{
    if (shutdown(conn->fd, SHUT_WR) < 0) {
        fc_conn_close(engine, conn);
        return;
    }
    fc_body_clear(&conn->body);
    fc_buf_return(engine, conn->buf);
    conn->buf = NULL;
    conn->state = FC_CONN_LINGER;
    fc_timer_set(&engine->timers, &conn->timer, engine->now + FC_LINGER_NS);
    fc_conn_watch(engine, conn, false);
    fc_conn_discard(engine, conn);
}

FcLook
fc_conn_discard(FcEngine *engine, FcConn *conn)
{
    /* Bounded for fairness; what is left is read at the next look. */
    for (int i = 0; i < 4; i++) {
        ssize_t n = recv(conn->fd, engine->scratch, FC_SCRATCH_SIZE, 0);

        if (n > 0)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
            conn->readable = false;
            return FC_LOOK_WAIT;
        }
        fc_conn_close(engine, conn);
        return FC_LOOK_GONE;
    }
    fc_conn_queue(engine, conn);
    return FC_LOOK_WAIT;
}

void
fc_conn_finish(FcEngine *engine, FcConn *conn)
{
    FcBuf *buf = conn->buf;
    bool unread = !fc_conn_body_complete(conn) || conn->readable || conn->cut_short ||
                  (buf != NULL && buf->len > conn->request_end);
    uint32_t rest = buf != NULL ? buf->len - conn->request_end : 0;

    if (conn->resets)
        set_resets(conn, false);
    conn->wants = 0;
    conn->keep_alive = conn->keep_alive && fc_conn_body_complete(conn);
    conn->served++;
    conn->hops = 0;
    conn->head_sent = false;
    if (!conn->keep_alive) {
        if (unread)
            linger(engine, conn);
        else
            fc_conn_close(engine, conn);
        return;
    }
    fc_body_clear(&conn->body);
    conn->state = FC_CONN_IDLE;
    if (rest > 0) {
        memmove(buf->data, buf->data + conn->request_end, rest);
        buf->len = rest;
        buf->resolved = false;
        fc_request_init(&buf->request);
        fc_timer_set(&engine->timers, &conn->timer, engine->now + engine->config.header_timeout);
        fc_conn_queue(engine, conn);
        return;
    }
    if (conn->readable || conn->hung_up) {
        fc_buf_return(engine, buf);
        conn->buf = NULL;
        fc_conn_queue(engine, conn);
        return;
    }
    fc_conn_idle(engine, conn);
}

void
fc_conn_checkin(FcEngine *engine, FcConn *conn)
{
    fc_conn_land(engine, conn);
    if (fc_output_empty(&conn->out)) {
        fc_conn_finish(engine, conn);
        return;
    }
    conn->state = FC_CONN_FLUSH;
    await_room(engine, conn);
    fc_conn_watch(engine, conn, true);
}

void
fc_conn_park(FcEngine *engine, FcConn *conn)
{
    conn->state = FC_CONN_PARKED;
    await_room(engine, conn);
    fc_conn_watch(engine, conn, true);
    if (fc_output_empty(&conn->out))
        fc_conn_queue(engine, conn);
}

/* Whether the gateway waits for more of a body that has a deadline. */
static bool
wants_stream(const FcConn *conn)
{
    return conn->wants & FC_WANT_BODY && conn->body.kind == FC_BODY_STREAM;
}

/* The gateway keeps the connection and waits for room. */
static FcLook
after_flush(FcEngine *engine, FcConn *conn, FcFlush result)
{
    if (result == FC_FLUSH_AGAIN && conn->out.size > FC_LOW_WATER)
        return FC_LOOK_WAIT;
    if (result == FC_FLUSH_AGAIN) { /* room enough; the rest goes out whether more follows or not */
        conn->why = FC_WHY_ROOM;
        return FC_LOOK_OUT;
    }
    conn->wants &= (uint8_t)~FC_WANT_ROOM;
    if (wants_stream(conn)) /* whose deadline gave way to that of a slow reader */
        fc_conn_await_stream(engine, conn);
    else
        fc_timer_clear(&conn->timer);
    conn->why = result == FC_FLUSH_BROKEN ? FC_WHY_GONE : FC_WHY_ROOM;
    return FC_LOOK_OUT;
}

void
fc_conn_want(FcEngine *engine, FcConn *conn, uint8_t wants)
{
    bool waits_for_room = conn->wants & FC_WANT_ROOM;

    conn->wants |= wants;
    fc_conn_watch(engine, conn, (wants & FC_WANT_ROOM) != 0);
    engine->now = fc_now();
    if (waits_for_room) /* what is sent meanwhile gives a client that takes nothing no more time */
        return;
    if (wants & FC_WANT_ROOM)
        await_room(engine, conn);
    else if (wants_stream(conn))
        fc_conn_await_stream(engine, conn);
}

FcLook
fc_conn_flush(FcEngine *engine, FcConn *conn)
{
    uint64_t left = conn->out.size;
    FcFlush result = flush(engine, conn);

    if (result == FC_FLUSH_MORE) {
        fc_conn_watch(engine, conn, true);
        result = FC_FLUSH_AGAIN;
    }
    if (result == FC_FLUSH_AGAIN && conn->out.size < left)
        await_room(engine, conn);
    if (conn->state == FC_CONN_OUT)
        return after_flush(engine, conn, result);
    if (result == FC_FLUSH_AGAIN)
        return FC_LOOK_WAIT;
    if (conn->state == FC_CONN_PARKED) {
        fc_timer_clear(&conn->timer);
        conn->state = FC_CONN_OUT;
        conn->why = result == FC_FLUSH_DONE ? FC_WHY_ROOM : FC_WHY_GONE;
        return FC_LOOK_OUT;
    }
    if (result == FC_FLUSH_BROKEN) {
        fc_conn_close(engine, conn);
        return FC_LOOK_GONE;
    }
    fc_conn_finish(engine, conn);
    return FC_LOOK_WAIT;
}

void
fc_conn_abort(FcEngine *engine, FcConn *conn)
{
    if (conn->head_sent)
        set_resets(conn, true);
    fc_conn_close(engine, conn);
}

void
fc_conn_refuse(FcEngine *engine, FcConn *conn, int status)
{
    bool head_request = conn->buf != NULL && conn->buf->request.method == FC_METHOD_HEAD;
    const char *words = fc_phrase(status), *server = engine->config.server;
    char answer[512], body[64];
    size_t date_len = 0;
    uint64_t now = engine->now = fc_now();
    const char *date = engine->config.date ? fc_engine_date(engine, now, &date_len) : "";
    int body_len = snprintf(body, sizeof body, "%d %s\n", status, words);
    int len =
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n"
                 "%s%s%s%.*s",
                 status, words, body_len, server[0] != '\0' ? "Server: " : "", server,
                 server[0] != '\0' ? "\r\n" : "", (int)date_len, date);
    struct iovec vectors[] = {
        {.iov_base = answer, .iov_len = (size_t)len},
        {.iov_base = (void *)(uintptr_t)engine->config.extra, .iov_len = engine->config.extra_len},
        {.iov_base = "\r\n", .iov_len = 2},
        {.iov_base = body, .iov_len = head_request ? 0 : (size_t)body_len},
    };
    size_t all = vectors[0].iov_len + vectors[1].iov_len + vectors[2].iov_len + vectors[3].iov_len;
    bool kept;

    conn->keep_alive = false;
    conn->readable = true; /* assume more is coming, so that the end is a lingering one */
    fc_add(&engine->line->refused, 1);
    fc_conn_account(engine, conn, now, status, NULL, 0, head_request ? 0 : (uint64_t)body_len, all);
    if (fc_conn_send(engine, conn, vectors, 4, NULL, &kept) == FC_BROKEN)
        fc_conn_close(engine, conn);
    else
        fc_conn_checkin(engine, conn);
}

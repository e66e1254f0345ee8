/* A body received on demand (ASGI), and a connection that speaks no HTTP any more (WebSocket). See engine.h.
 *
 * Nothing is received before the application asks, so the kernel's window is the back-pressure. Bytes that
 * came with the head wait behind it in the read buffer: at [body_at, len).
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "connection.h"

bool
fc_conn_body_complete(const FcConn *conn)
{
    return conn->body.kind != FC_BODY_STREAM && conn->body.kind != FC_BODY_PENDING;
}

bool
fc_conn_takes_trailers(const FcConn *conn)
{
    const FcRequest *request = fc_conn_request(conn);

    for (unsigned i = 0; request->minor == 1 && request->known & 1ull << FC_FIELD_TE && i < request->n_fields;
         i++) {
        const FcField *field = &request->fields[i];
        const char *at = conn->buf->data + field->value_at, *end = at + field->value_len;

        while (field->id == FC_FIELD_TE && at < end) {
            const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma != NULL ? comma : end,
                       *to = stop;

            while (at < to && (*at == ' ' || *at == '\t'))
                at++;
            while (to > at && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
            if (to - at == 8 && strncasecmp(at, "trailers", 8) == 0)
                return true;
            at = stop + 1;
        }
    }
    return false;
}

/* Take up to cap of the bytes that are in the buffer. */
static size_t
take_buffered(FcConn *conn, char *to, size_t cap)
{
    FcBuf *buf = conn->buf;
    size_t here = buf->len - conn->body_at, n = here < cap ? here : cap;

    memcpy(to, buf->data + conn->body_at, n);
    memmove(buf->data + conn->body_at, buf->data + conn->body_at + n, here - n);
    buf->len -= (uint32_t)n;
    return n;
}

/* One recv. FC_STREAM_DATA with *got bytes. `behind`: what follows these cap bytes goes into the read buffer,
 * so that a short recv tells that nothing does. */
static FcStream
receive(FcEngine *engine, FcConn *conn, char *to, size_t cap, bool behind, size_t *got)
{
    FcBuf *buf = conn->buf;
    struct iovec vectors[] = {
        {.iov_base = to, .iov_len = cap},
        {.iov_base = buf->data + buf->len, .iov_len = behind ? buf->cap - buf->len : 0},
    };
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = 2};
    size_t room = cap + vectors[1].iov_len;
    ssize_t n;

    do {
        n = recvmsg(conn->fd, &message, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        conn->readable = false;
        return FC_STREAM_WAIT;
    }
    if (n <= 0) {
        conn->hung_up = true;
        return FC_STREAM_GONE;
    }
    conn->readable = (size_t)n == room;
    *got = (size_t)n < cap ? (size_t)n : cap;
    buf->len += (uint32_t)((size_t)n - *got);
    fc_add(&engine->line->bytes_in, (uint64_t)n);
    return FC_STREAM_DATA;
}

static FcStream
stream_length(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got, bool *last)
{
    uint64_t left = (uint64_t)conn->buf->request.content_length - conn->body.size;
    FcStream result = FC_STREAM_DATA;

    if (left < cap)
        cap = (size_t)left;
    *got = take_buffered(conn, to, cap);
    if (*got == 0)
        result = receive(engine, conn, to, cap, cap == left, got);
    if (result == FC_STREAM_DATA) {
        conn->body.size += *got;
        *last = *got == left;
    }
    return result;
}

/* Decode what is in the buffer into to. FC_STREAM_WAIT: nothing came of it. */
static FcStream
decode(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got, bool *last)
{
    FcBuf *buf = conn->buf;
    char *begin = buf->data + conn->body_at, *at = begin, *end = buf->data + buf->len;
    FcStream result = FC_STREAM_WAIT;

    while (*got < cap) {
        size_t most = (size_t)(end - at), used = 0, len = 0;
        const char *data = NULL;
        FcParse parse;

        if (most > cap - *got) /* a run of data is never longer than what it is cut from */
            most = cap - *got;
        parse = fc_parse_chunked(&conn->chunked, at, most, &used, &data, &len);
        at += used;
        if (parse == FC_PARSE_ERROR) {
            conn->bad_body = (uint16_t)fc_http_status(conn->chunked.error);
            return FC_STREAM_GONE;
        }
        if (parse == FC_PARSE_DATA) {
            memcpy(to + *got, data, len);
            *got += len;
            conn->body.size += len;
            if (engine->config.body_limit > 0 && conn->body.size > engine->config.body_limit) {
                conn->bad_body = (uint16_t)fc_http_status(FC_HTTP_BODY_TOO_LARGE);
                return FC_STREAM_GONE;
            }
        } else if (parse == FC_PARSE_DONE) {
            *last = true;
            break;
        } else if (at == end) {
            break;
        }
    }
    memmove(begin, at, (size_t)(end - at));
    buf->len = conn->body_at + (uint32_t)(end - at);
    if (*got > 0 || *last)
        result = FC_STREAM_DATA;
    return result;
}

static FcStream
stream_chunked(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got, bool *last)
{
    FcBuf *buf = conn->buf;
    FcStream result;
    size_t received;

    *got = 0;
    for (;;) {
        if (buf->len > conn->body_at) {
            result = decode(engine, conn, to, cap, got, last);
            if (result != FC_STREAM_WAIT)
                return result;
        }
        result = receive(engine, conn, buf->data + buf->len, buf->cap - buf->len, false, &received);
        if (result != FC_STREAM_DATA)
            return result;
        buf->len += (uint32_t)received;
    }
}

FcStream
fc_conn_stream(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got, bool *last)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    FcRequest *request = &conn->buf->request;
    FcStream result;

    *got = 0;
    *last = false;
    if (request->expect_continue && conn->body.size == 0 && conn->buf->len == conn->body_at &&
        !conn->head_sent) {
        request->expect_continue = false;
        if (send(conn->fd, interim, sizeof interim - 1, MSG_NOSIGNAL) != (ssize_t)sizeof interim - 1)
            return FC_STREAM_GONE;
    }
    result = request->chunked ? stream_chunked(engine, conn, to, cap, got, last)
                              : stream_length(engine, conn, to, cap, got, last);
    if (result == FC_STREAM_DATA && *last) {
        conn->body.kind = FC_BODY_ENDED;
        conn->request_end = conn->body_at;
    }
    if (result == FC_STREAM_GONE)
        conn->keep_alive = false;
    return result;
}

FcStream
fc_conn_raw(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got)
{
    if (conn->buf->len > conn->body_at) {
        *got = take_buffered(conn, to, cap);
        return FC_STREAM_DATA;
    }
    return receive(engine, conn, to, cap, false, got);
}

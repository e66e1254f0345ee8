/* The health path. See health.h. */
#include "health.h"

#include <stdio.h>
#include <string.h>

#include "connection.h"

bool
fc_health_asked(const FcEngine *engine, const FcConn *conn)
{
    const FcRequest *request = &conn->buf->request;
    size_t len = engine->config.health_len;

    return len > 0 && request->path.len == len && fc_conn_body_complete(conn) &&
           memcmp(conn->buf->data + request->path.at, engine->config.health, len) == 0 &&
           (request->method == FC_METHOD_GET || request->method == FC_METHOD_HEAD);
}

void
fc_health_answer(FcEngine *engine, FcConn *conn)
{
    const FcRequest *request = &conn->buf->request;
    const FcWord *word = engine->config.ready;
    bool ready = word == NULL || fc_load(word) != 0;
    size_t date_len = 0;
    const char *date = engine->config.date ? fc_engine_date(engine, engine->now, &date_len) : "";
    const char *body = ready ? "ok\n" : "not ready\n";
    char answer[256];
    bool kept;

    conn->keep_alive = conn->keep_alive && request->minor > 0;
    int len = snprintf(answer, sizeof answer,
                       "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                       "Cache-Control: no-store\r\n%s%.*s\r\n",
                       ready ? "200 OK" : "503 Service Unavailable", strlen(body),
                       conn->keep_alive ? "" : "Connection: close\r\n", (int)date_len, date);
    struct iovec vectors[] = {
        {.iov_base = answer, .iov_len = (size_t)len},
        {.iov_base = (void *)(uintptr_t)body,
         .iov_len = request->method == FC_METHOD_HEAD ? 0 : strlen(body)},
    };

    if (fc_conn_send(engine, conn, vectors, 2, NULL, &kept) == FC_BROKEN)
        fc_conn_close(engine, conn);
    else
        fc_conn_checkin(engine, conn);
}

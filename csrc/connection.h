/* What the files of the engine ask of each other about one connection. Not for gateways. */
#ifndef FC_CONNECTION_H
#define FC_CONNECTION_H

#include "engine.h"

#define RECALL_MS 20 /* how soon a thread that waits for the client sees that it is to give it back */

/* What became of a connection that was looked at. */
typedef enum FcLook {
    FC_LOOK_OUT,  /* a whole request is there; it is checked out */
    FC_LOOK_WAIT, /* nothing to do before its next event or deadline */
    FC_LOOK_GONE, /* closed */
} FcLook;

/* Epoll data of what is no connection, in the low half; the high half is 0. */
#define FC_DATA_INBOX    0xfffffffcu
#define FC_DATA_ALARM    0xfffffffdu
#define FC_DATA_WAKE     0xfffffffeu
#define FC_DATA_LISTENER 0xffff0000u /* + index */

static inline FcConn *
fc_conn_at(const FcEngine *engine, uint32_t index)
{
    return &engine->blocks[index / FC_CONNS_A_BLOCK][index % FC_CONNS_A_BLOCK];
}

/* engine.c, turn.c */
void fc_engine_show(FcEngine *engine);   /* its state on the scoreboard */
void fc_engine_recall(FcEngine *engine); /* move what its sleeper has fetched to where events wait */
/* what epoll reports of a connection; true: it is to be looked at */
bool fc_conn_note(FcConn *conn, uint32_t events);

/* table.c: all there are */
/* a connection for fd (stolen); NULL: out of memory, fd is closed */
FcConn *fc_conn_adopt(FcEngine *engine, int fd);
void fc_conn_close(FcEngine *engine, FcConn *conn);
void fc_conn_queue(FcEngine *engine, FcConn *conn);            /* look at it again this turn */
FcConn *fc_conn_next_queued(FcEngine *engine);                 /* taken from the queue; NULL: none */
void fc_conn_watch(FcEngine *engine, FcConn *conn, bool room); /* have its events reported */
void fc_conn_unwatch(FcEngine *engine, FcConn *conn);          /* before it is handed over */
void fc_conn_count_idle(FcEngine *engine, FcConn *conn, bool idle);
/* close some idle connections to get descriptors back, those that have waited longest first */
void fc_engine_shed(FcEngine *engine);

/* accept.c: how they come */
void fc_engine_unpoll(FcEngine *engine);               /* take the listeners out of the epoll set */
void fc_engine_look_away(FcEngine *engine, bool away); /* from the listeners, while peers accept */
/* one connection of a listener; NULL: none, or none that could be kept */
FcConn *fc_engine_accept(FcEngine *engine, unsigned index);
/* take what waits in the accept queues: a wake-up that was given to us was given to nobody else, and when the
 * whole app stops nobody comes after us */
void fc_engine_accept_rest(FcEngine *engine);
/* Close this worker's copy of a listener. Nested: the acceptor's thread; idempotent. */
void fc_engine_close_listener(FcEngine *engine, unsigned index);
FcConn *fc_engine_take_accepted(FcEngine *engine); /* one from the acceptor's thread; NULL: none */

/* connection.c: what comes in */
FcLook fc_conn_read(FcEngine *engine, FcConn *conn);    /* receive, then parse */
FcLook fc_conn_advance(FcEngine *engine, FcConn *conn); /* parse what is in the buffer already */
void fc_conn_idle(FcEngine *engine, FcConn *conn);      /* nothing is in hand: wait for a request */
/* nothing is in hand, and the deadline (ns) is that of its last worker */
void fc_conn_idle_until(FcEngine *engine, FcConn *conn, uint64_t deadline);
/* go on with bytes (at most FC_BUF_SIZE) that its last worker has received; look at them this turn */
void fc_conn_refill(FcEngine *engine, FcConn *conn, const char *bytes, size_t len, uint64_t deadline);
void fc_buf_return(FcEngine *engine, FcBuf *buf); /* NULL is fine */
/* Give the buffer more room, up to most bytes. False: no memory, or it has that already. */
bool fc_buf_grow(FcConn *conn, uint32_t most);

/* intake.c: a body on its way in */
/* The head is complete: decide how the body comes, and take what came with the head. */
FcParse fc_conn_frame_body(FcEngine *engine, FcConn *conn, FcHttpError *error);
/* One recv of body bytes, and into the buffer of what is behind them. FC_PARSE_MORE with *received 0: nothing
 * there. *emptied: nothing more is. */
FcParse fc_conn_receive_body(FcEngine *engine, FcConn *conn, char *scratch, size_t scratch_size,
                             size_t *received, bool *emptied, FcHttpError *error);
void fc_conn_await_body(FcEngine *engine, FcConn *conn); /* set its deadline: it has made progress now */
/* A streamed body, which the application waits for, or no longer: the time between does not count. */
void fc_conn_await_stream(FcEngine *engine, FcConn *conn);
void fc_conn_rest_stream(FcEngine *engine, FcConn *conn);

/* answer.c: what goes out */
void fc_conn_land(FcEngine *engine, FcConn *conn);      /* its request has got its answer; idempotent */
FcLook fc_conn_flush(FcEngine *engine, FcConn *conn);   /* go on sending what is queued */
FcLook fc_conn_discard(FcEngine *engine, FcConn *conn); /* lingering: read and forget */
bool fc_conn_takes(FcEngine *engine, FcConn *conn);     /* at the write deadline: does the client read? */
void fc_conn_finish(FcEngine *engine, FcConn *conn);    /* the answer is in the kernel whole */

#endif

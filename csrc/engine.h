/* The HTTP/1.1 engine: connections from accept to close, without Python.
 *
 * A gateway (WSGI, ASGI) pulls: fc_engine_next() gives it a connection that is *checked out* (a whole
 * request, or room to send again), the gateway answers, and gives it back with fc_conn_checkin(). While a
 * connection is checked out the engine only notes its events. Nothing the engine needs stays on a C stack:
 * events that were fetched wait in the engine.
 *
 * State is guarded in two ways. The *tables* (connections that are not checked out, ready queue, events,
 * timers, buffers, hand-over, now) belong to whoever holds the token (token.h): below "T". What goes with an
 * answer (the connection that is checked out, flights, the Date, sent segments, the line's request counters)
 * belongs to whoever the gateway lets run, one thread at a time: the holder of the GIL, below "G". Serving
 * threads hold the GIL whenever they hold the token; the monitor holds the token alone.
 *
 * Knows: sockets, epoll, HTTP framing, deadlines, the scoreboard line, the access log. Must not know: Python,
 * the interface of the application, who its peers are.
 */
#ifndef FC_ENGINE_H
#define FC_ENGINE_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "accesslog.h"
#include "body.h"
#include "flight.h"
#include "forwarded.h"
#include "output.h"
#include "parser.h"
#include "scoreboard.h"
#include "timers.h"
#include "token.h"

#define FC_EVENTS        256
#define FC_LISTENERS     64
#define FC_BUF_SIZE      (16 * 1024)
#define FC_BUF_POOL      64 /* as many as an ASGI worker's turn may lease before its Tasks run */
#define FC_SCRATCH_SIZE  (256 * 1024)
#define FC_LINGER_NS     2000000000ull
#define FC_DRAIN_IDLE_NS 1000000000ull /* a drain leaves idle connections so long for a last request */
#define FC_LOW_WATER     (16 * 1024)
#define FC_RING          1024 /* accepted connections on their way from the acceptor; a power of two */
#define FC_CONNS_A_BLOCK 64
#define FC_STUCK_NS      5000000ull
#define FC_ROTATE        8 /* accepts of a listener after which the others go first */

/* A leased read buffer with the head that is parsed in it. Idle connections own none. */
typedef struct FcBuf {
    struct FcBuf *next; /* in the pool */
    uint32_t cap, len;  /* bytes there is room for, bytes received */
    bool resolved;      /* forwarded is filled in for the request in hand */
    FcForwarded forwarded;
    FcRequest request; /* spans lead into data */
    char data[];
} FcBuf;

typedef enum FcConnState {
    FC_CONN_FREE,
    FC_CONN_IDLE,   /* no byte of a request received */
    FC_CONN_HEAD,   /* part of a head received */
    FC_CONN_BODY,   /* head complete, body being received before the call */
    FC_CONN_OUT,    /* checked out to the gateway */
    FC_CONN_PARKED, /* the gateway waits for room to send */
    FC_CONN_FLUSH,  /* answer complete, unsent bytes left */
    FC_CONN_LINGER, /* our side shut, reading what the client still sends */
} FcConnState;

/* Why fc_engine_next() gave a connection out. */
typedef enum FcWhy {
    FC_WHY_REQUEST, /* a whole request is there */
    FC_WHY_ROOM,    /* what a parked answer had queued is sent: go on */
    FC_WHY_GONE,    /* a parked answer cannot go on: the client left or did not read in time; clean up */
    FC_WHY_BODY,    /* bytes of a streamed body may be there */
    FC_WHY_LATE,    /* bytes of a streamed body have not come in time */
} FcWhy;

/* What a gateway that keeps a connection checked out waits for; bits of FcConn.wants. */
enum {
    FC_WANT_BODY = 1, /* FC_WHY_BODY when something can be received */
    FC_WANT_GONE = 2, /* FC_WHY_GONE when the client has closed its side */
    FC_WANT_ROOM = 4, /* FC_WHY_ROOM when the queue has gone down to FC_LOW_WATER */
};

/* What a thread of the application has of a connection, without G, while it waits for the client; bits of
 * FcConn.lent. Nobody else touches it meanwhile. */
enum {
    FC_LENT_BODY = 1, /* fc_conn_fetch_body */
    FC_LENT_OUT = 2,  /* fc_conn_flush_blocking */
};

typedef struct FcPeer {
    uint8_t len; /* 0: no address (unix) */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
} FcPeer;

typedef struct FcConn {
    FcTimer timer;
    int fd;
    uint32_t index, generation; /* epoll data: index in the low half, generation in the high */
    uint8_t state;              /* FcConnState */
    uint8_t why;                /* FcWhy, while checked out */
    uint8_t listener;
    uint8_t hops;
    bool registered;   /* in the epoll set */
    bool queued;       /* in the ready queue */
    bool readable;     /* an edge came that has not been read to its end */
    bool hung_up;      /* RDHUP, HUP or ERR seen */
    uint8_t wants;     /* FC_WANT_*, while checked out */
    uint16_t bad_body; /* status that a body deserves which the gateway reads: malformed, too slow; else 0 */
    bool keep_alive;   /* of the request in hand, until the answer says otherwise */
    bool cut_short;    /* its body could not be fetched whole: more of it may come */
    bool counted_idle;
    bool probe;    /* the master's own question: neither counted nor logged */
    uint8_t looks; /* for balance: how often it was seen where it is; FC_LOOKS: it has found its worker */
    uint8_t lent;  /* FC_LENT_*, G */
    _Atomic uint8_t recalled; /* FC_LENT_*: what is to be given back at once; set with G, read without */
    bool unparsed;            /* came with bytes that no parser of ours has seen */
    bool head_sent;           /* some byte of the answer went out or is queued */
    bool resets;              /* its close is a reset */
    uint32_t served;
    uint32_t body_at;     /* where the body begins in the buffer */
    uint32_t request_end; /* where the request in hand ends in the buffer; after it: pipelined bytes */
    uint64_t accepted_ns;
    uint64_t begun_ns; /* when the request in hand was complete and given out */
    uint64_t body_begun_ns;
    uint64_t body_rests_ns; /* a streamed one: since when nobody waits for it; 0: the application does */
    uint64_t answered;      /* bytes of the present answer so far, sent or queued */
    uint64_t answered_body;
    int in_kernel;       /* bytes the client had not taken when the write deadline was set */
    struct FcConn *next; /* ready queue, free list */
    FcBuf *buf;          /* leased; NULL when idle */
    FcBody body;
    FcChunked chunked;
    FcOutput out;
    FcFlight *flight; /* while its request is without an answer */
    void *gateway;    /* what the gateway keeps while the connection is parked; NULL otherwise */
    FcPeer peer;
} FcConn;

/* A connection on its way from the acceptor thread to the engine. */
typedef struct FcAccepted {
    int fd;
    uint8_t listener;
    FcPeer peer;
} FcAccepted;

/* Bounded single-producer single-consumer queue. head is the consumer's, tail the producer's: each is written
 * by one side with release and read by the other with acquire, so that an entry is seen whole. */
typedef struct FcRing {
    _Atomic uint32_t head, tail;
    _Atomic bool asleep; /* the consumer wants a wake-up for the next entry */
    FcAccepted entries[FC_RING];
} FcRing;

typedef struct FcListener {
    int fd; /* borrowed: the worker's own descriptor, closed when it leaves; then -1 */
    bool tcp;
    bool polled;
    uint32_t accepted; /* by the acceptor's thread */
} FcListener;

/* Times in ns, sizes in bytes. */
typedef struct FcConfig {
    FcLimits limits;
    uint64_t body_limit;  /* 0: none */
    uint64_t body_buffer; /* kept in memory up to this, then in a temporary file */
    uint64_t header_timeout, body_timeout, keep_alive, write_timeout;
    uint64_t body_min_rate;       /* bytes a second beyond body_timeout */
    uint32_t keep_alive_requests; /* 0: no limit */
    uint32_t slot, generation;
    uint8_t accept_burst;
    bool balance;     /* move connections to workers that have less to do, and take turns in accepting */
    bool stream_body; /* give a request out with its head; its body is received on demand */
    bool hold;        /* fc_engine_listen() does nothing before FC_COMMAND_LISTEN */
    int log_fd;       /* where this process's operating log goes, if to a file; else 0; borrowed */
    bool nested; /* the epoll set is watched by another loop: accept by a thread, deadlines by a timerfd */
    char server[64];     /* value of the Server field; empty: none */
    char health[128];    /* path that is answered by the engine itself (health.h) */
    size_t health_len;   /* 0: none */
    const FcWord *ready; /* borrowed: whether the app can be sent requests; NULL: it can */
    bool date;           /* send the Date field */
    uint64_t look;       /* the monitor looks for long calls so often */
    const char *extra;   /* borrowed: field lines with their CRLFs for every answer; NULL: none */
    size_t extra_len;
} FcConfig;

/* What the monitor must know of a thread that serves. It lives as long as the engine. */
typedef struct FcServer {
    clockid_t clock; /* its CPU time */
    /* The call of this thread that the monitor has met twice, and when it saw it first: written by the
     * monitor, met last and with release, read by the thread with acquire. */
    _Atomic uint64_t met;
    _Atomic uint64_t met_ns, met_cpu;
} FcServer;

typedef struct FcEngine {
    FcToken token;
    /* Who leads: written by serving threads, G; read by the monitor. line->calls says whether it is in a
     * call, odd, and becomes even only by somebody who holds the token, too. */
    FcServer *_Atomic leader;
    _Atomic uint64_t waiting; /* odd: the leader waits for the GIL; becomes even only with the token */
    _Atomic uint64_t turns;   /* of a nested engine: grows with everything its loop does here */
    _Atomic uint64_t handled; /* of a nested engine: turns in which the gateway had something to do */
    bool says_busy;           /* T: a long call is running; the line says so */
    FcConfig config;
    int epoll, wake;
    int alarm;         /* timerfd of a nested engine, else -1 */
    uint64_t alarm_at; /* when it is set to ring; 0: not set */
    FcRing *ring;      /* of a nested engine */
    uint64_t now;      /* T: CLOCK_MONOTONIC of the present turn */
    FcLine *line;      /* borrowed: this worker's seat */
    FcTimers timers;
    FcFlights flights;
    FcListener listeners[FC_LISTENERS];
    unsigned n_listeners;
    struct epoll_event events[2 * FC_EVENTS]; /* T: fetched, not yet looked at: [event_at, event_end) */
    unsigned event_at, event_end;
    /* What the leader has fetched by its sleep, in which it holds nothing: written before n_fetched
     * (release), which is set to 0 by whoever moves them to events, T. */
    struct epoll_event fetched[FC_EVENTS];
    _Atomic unsigned n_fetched;
    uint64_t sleep_until; /* T: when the leader who sleeps looks at deadlines */
    uint64_t queue_ns;    /* T: since when queued connections have their turn, after the events; 0: not yet */
    unsigned accept_left; /* of the present burst */
    int accept_from;      /* listener of the present burst, -1: none */
    FcConn *ready, **ready_tail;
    FcConn **blocks; /* blocks of FC_CONNS_A_BLOCK connections */
    unsigned n_blocks, cap_blocks;
    FcConn *free;
    FcBuf *pool;
    unsigned pooled;
    char *scratch;        /* FC_SCRATCH_SIZE, for bodies that go to a file and for lingering */
    int storage_error;    /* T: errno of a body that could not be kept, until the gateway has told it */
    FcSegment *spent;     /* sent segments whose owners the gateway must release */
    FcAccessLog *log;     /* borrowed; NULL: off */
    const FcTrust *trust; /* borrowed */
    unsigned open, idle;  /* connections */
    uint64_t accept_pause_until; /* after EMFILE and the like */
    uint64_t drain_idle_until;   /* draining: idle connections are closed then */
    uint64_t drain_began;        /* 0: not yet */
    _Atomic uint32_t commands;   /* FC_COMMAND_*, set by the monitor */
    _Atomic int probe;           /* owned descriptor on its way from the monitor; -1: none */
    struct FcHandover *handover; /* borrowed; NULL: this worker has no peers */
    _Atomic bool draining;       /* set once, T; read by serving threads, G */
    bool listening;
    uint64_t date_second; /* wall second that the Date line below is for */
    char date[40];        /* "Date: ...\r\n" */
    unsigned date_len;
    uint64_t wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC at the last Date */
} FcEngine;

enum {
    FC_COMMAND_DRAIN = 1,  /* finish, take no more */
    FC_COMMAND_NUDGE = 2,  /* accept without waiting for an event */
    FC_COMMAND_SHED = 4,   /* close some idle connections for want of descriptors */
    FC_COMMAND_LISTEN = 8, /* the hold is over: begin to accept */
    FC_COMMAND_PROBE = 16, /* serve the connection in FcEngine.probe */
    FC_COMMAND_FINAL = 32, /* the whole app stops: hand nothing over */
    FC_COMMAND_MEET = 64,  /* there is a peer more: connections may have a better place */
};

/* Make an engine; 0 or -errno. line is borrowed. */
int fc_engine_init(FcEngine *engine, const FcConfig *config, FcLine *line);
void fc_engine_free(FcEngine *engine); /* closes every connection; idempotent */
int fc_engine_add_listener(FcEngine *engine, int fd);
/* Begin to accept: puts the listeners into the epoll set; not before FC_COMMAND_LISTEN when on hold. 0 or
 * -errno. */
int fc_engine_listen(FcEngine *engine);
/* Set commands and wake the engine; any thread, async-signal-safe. */
void fc_engine_command(FcEngine *engine, uint32_t commands);

/* The next connection for the gateway, checked out; NULL: nothing is ready, wait. Does not block. T and G. */
FcConn *fc_engine_next(FcEngine *engine);
/* Fetch the events that are there: how many, or -errno. Only when all fetched before were looked at. T. */
int fc_engine_poll(FcEngine *engine);
/* Before a sleep: for how many ms, at most; -1: until something comes. T. */
int fc_engine_plan_sleep(FcEngine *engine);
/* Sleep until something comes. Without the token, one thread at a time. The number of events, or -errno. */
int fc_engine_sleep(FcEngine *engine, int timeout_ms);
/* After it: take in what came. T. */
void fc_engine_wake(FcEngine *engine);
/* Whether a leader who sleeps must be n_fetched: for what is queued, or due before it would look. T. */
bool fc_engine_unsettled(FcEngine *engine);
/* Wake it; any thread, async-signal-safe. */
void fc_engine_nudge(FcEngine *engine);
/* Say that a long call is running, or no longer: peers then send nothing. T. */
void fc_engine_set_busy(FcEngine *engine, bool busy);
/* Obey the commands that have come. T. */
void fc_engine_obey(FcEngine *engine);
/* What is due without an event: hand over, close idle connections that have had their time. T. */
void fc_engine_housekeep(FcEngine *engine);
/* Whether a drain is complete: nothing open that must be finished. T. */
bool fc_engine_drained(const FcEngine *engine);
/* Whether a connection can stay open after its answer: while draining, only with a peer who takes it. G. */
bool fc_engine_keeps(FcEngine *engine);
/* Take the list of segments that were sent and whose owners must be released. G. */
FcSegment *fc_engine_spent(FcEngine *engine);

/* A nested engine goes back to its loop: set the alarm for the next deadline. T. */
void fc_engine_rest(FcEngine *engine);
/* Whether events or connections are waiting inside the engine that no poll would report. T. */
bool fc_engine_busy(const FcEngine *engine);
static inline bool
fc_engine_has_room(const FcEngine *engine)
{
    return atomic_load(&engine->ring->tail) - atomic_load(&engine->ring->head) < FC_RING;
}

/* For the acceptor thread: requests that this worker has to do. Connections on their way to the engine count
 * once it has not turned for FC_STUCK_NS: before that they are as good as served. */
uint64_t fc_engine_load(const FcEngine *engine);

/* From the acceptor thread: hand in an accepted connection. False: no room, the descriptor stays the
 * caller's. */
bool fc_engine_push(FcEngine *engine, const FcAccepted *accepted);

/* -- one connection, checked out: G, and T where it is said
 * ------------------------------------------------------------------------------ */

/* The request in hand. */
static inline const FcRequest *
fc_conn_request(const FcConn *conn)
{
    return &conn->buf->request;
}

/* Receive the rest of a body that waits behind "100 Continue", blocking this thread with the configured
 * deadlines: without T or G, of which *received bytes are to be counted (line->bytes_in) with G. FC_HTTP_OK,
 * or why it failed (the connection must then be closed). Sends the interim answer first. */
FcHttpError fc_conn_fetch_body(FcEngine *engine, FcConn *conn, uint64_t *received);

typedef enum FcStream {
    FC_STREAM_DATA, /* *got bytes; *last tells whether the body is complete */
    FC_STREAM_WAIT, /* nothing there: set FC_WANT_BODY */
    FC_STREAM_GONE, /* the client left inside its body, or sent a malformed one */
} FcStream;

/* Receive bytes of a streamed body into to (cap bytes, at least 1), without blocking; sends "100 Continue"
 * first where the client waits for it. */
FcStream fc_conn_stream(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got, bool *last);
/* Whether the whole body was received (or there is none). */
bool fc_conn_body_complete(const FcConn *conn);
/* Whether the client takes trailer fields: TE: trailers (RFC 9110 section 10.1.4) in a request of HTTP/1.1.
 */
bool fc_conn_takes_trailers(const FcConn *conn);
/* Receive whatever comes, for a connection that no longer speaks HTTP. As fc_conn_stream without an end. */
FcStream fc_conn_raw(FcEngine *engine, FcConn *conn, char *to, size_t cap, size_t *got);
/* The gateway keeps the connection and waits: for FC_WANT_* in addition to what it wants already. A client
 * that takes nothing for the write deadline is FC_WHY_GONE; a streamed body that stalls, or is too slow as a
 * whole in the time that it was waited for, FC_WHY_LATE. T. */
void fc_conn_want(FcEngine *engine, FcConn *conn, uint8_t wants);

/* Before it: the last wait for a streamed body was given up, nobody knows when. Its clock begins anew. */
void fc_conn_forgive_stream(const FcEngine *engine, FcConn *conn);

typedef enum FcSend {
    FC_SENT,   /* all of it is in the kernel */
    FC_QUEUED, /* some of it waits in the connection */
    FC_BROKEN, /* the client is gone */
} FcSend;

/* Send what the vectors say, after what is queued already. The last vector may belong to owner (an opaque
 * reference that is returned through fc_engine_spent once it is sent or dropped); *kept says whether it was
 * taken. Other vectors are copied when they cannot be sent at once. last: these bytes end the answer. */
FcSend fc_conn_send(FcEngine *engine, FcConn *conn, struct iovec *vectors, int count, void *owner,
                    bool *kept);
/* Send length bytes of a file from offset. fd is borrowed and must stay open until the answer is finished. */
FcSend fc_conn_send_file(FcEngine *engine, FcConn *conn, int fd, off_t offset, uint64_t length);
/* Bytes that were sent and that the client has not taken. */
int fc_conn_in_kernel(const FcConn *conn);
/* Block until everything queued is sent, with the write deadline: without T or G. False: the client is gone
 * or too slow, or the connection is recalled. Then, with G, hand in what came of it: bytes sent, and segments
 * as of fc_engine_spent(). */
typedef struct FcFlushed {
    uint64_t sent;
    FcSegment *spent;
} FcFlushed;
bool fc_conn_flush_blocking(const FcEngine *engine, FcConn *conn, FcFlushed *flushed);
void fc_conn_flushed(FcEngine *engine, FcConn *conn, FcFlushed *flushed);

/* Count the answer and write its log line; before the last send, at now. status 0: no whole answer. fields
 * may be NULL. */
void fc_conn_account(FcEngine *engine, FcConn *conn, uint64_t now, int status, const char *fields,
                     size_t fields_len, uint64_t body_len, uint64_t all_len);
/* Write what the log still holds, for timeout_ms at most, and count what was lost. */
void fc_engine_stop_log(FcEngine *engine, int timeout_ms);
/* The answer in hand ends with its connection: until it is whole any close is a reset, the kernel's when the
 * process is killed, too; its client would take a part for the whole. G or T. */
void fc_conn_ends_answer(FcConn *conn);

/* Refuse the request in hand with an answer of our own; then check in. T. */
void fc_conn_refuse(FcEngine *engine, FcConn *conn, int status);

/* Give the connection back after a whole answer (sent or queued). T. */
void fc_conn_checkin(FcEngine *engine, FcConn *conn);
/* Give it back without a whole answer: cut, so that truncation is visible (RST where bytes went out). T. */
void fc_conn_abort(FcEngine *engine, FcConn *conn);
/* The gateway waits for room to send: comes back with FC_WHY_ROOM or FC_WHY_GONE. conn->gateway must be set.
 * T.
 */
void fc_conn_park(FcEngine *engine, FcConn *conn);

/* Who the client is: what trusted proxies say, else the peer. Text into out (at least 64 bytes); its length,
 * 0 for a peer without an address. */
size_t fc_conn_client(FcEngine *engine, FcConn *conn, char *out);
/* What trusted proxies say of the request in hand, resolved once; NULL: nothing. */
const FcForwarded *fc_conn_forwarded(FcEngine *engine, FcConn *conn);

/* "Date: ...\r\n" of the second of now. */
const char *fc_engine_date(FcEngine *engine, uint64_t now, size_t *len);

uint64_t fc_now(void); /* CLOCK_MONOTONIC, ns */

#endif

/* The scoreboard: shared memory that says what every worker is doing and has done.
 *
 * A sealed memfd: one header page, then FC_SEATS lines of FC_LINE_SIZE bytes, sparse. One line belongs to one
 * live worker, its seat; a line's counters are never reset and never folded, the next owner of the seat adds
 * on; only gauges are reset, by the master, after a death. All words are C11 atomics. One writer per word
 * (the worker's engine thread, whoever holds the engine token) unless the field says otherwise, so that a
 * relaxed load and store is enough to add; readers take relaxed loads and accept that two words may be a
 * moment apart. The list of requests in flight is private to the worker; the oldest one over 100 ms is
 * published under a seqlock.
 *
 * Knows no Python and no socket.
 */
#ifndef FC_SCOREBOARD_H
#define FC_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FC_SEATS       1024
#define FC_LINE_SIZE   4096
#define FC_BOARD_MAGIC 0x46434c5442524431u
#define FC_BOARD_SIZE  ((size_t)FC_LINE_SIZE * (FC_SEATS + 1))

typedef _Atomic uint64_t FcWord;

typedef enum FcState {
    FC_STATE_EMPTY,    /* no worker */
    FC_STATE_BOOTING,  /* forked, not ready */
    FC_STATE_READY,    /* serves */
    FC_STATE_BUSY,     /* a long call is running: no candidate for hand-over */
    FC_STATE_FULL,     /* short of descriptors: is sent nothing */
    FC_STATE_DRAINING, /* finishes, takes no more */
    FC_STATE_DEAD,     /* gone; gauges not yet reset */
} FcState;

/* Status classes of the request counter: 1xx, 2xx, 3xx, 4xx, 5xx, and requests that ended without a whole
 * answer. */
enum { FC_CLASS_ABORTED = 0, FC_CLASSES = 6 };

/* Log-linear histogram of request duration: the first bucket ends at 2^16 ns (65.536 us); above it 4 buckets
 * per power of two, the first of them ending at 81.92 us, the last finite one at 2^36 ns (68.719 s); then
 * everything longer. A bound is the first ns that is not in the bucket. Upper bound of bucket i in ns:
 * fc_bucket_bound(i). */
enum { FC_BUCKETS = 82 };

/* Bytes of the oldest request's method and path, with their NUL; multiples of 8. */
#define FC_OLDEST_METHOD 16
#define FC_OLDEST_PATH   256

/* What the gauges are. Reset by the master after a death, so they are written by it and by the owner, never
 * at the same time. */
#define FC_GAUGE_LIST(X)                                                                                     \
    X(in_flight)      /* requests in the application */                                                      \
    X(open)           /* connections */                                                                      \
    X(idle)           /* connections with no request running, first recv was EAGAIN */                       \
    X(threads_out)    /* serving threads in calls from which others have taken the loop over */              \
    X(loop_lag_ns)    /* ASGI: latest delay of a scheduled callback */                                       \
    X(loop_turned_ns) /* ASGI: CLOCK_MONOTONIC when the loop was last seen to turn; 0: nothing to do */      \
    X(blocked_at_ns)  /* CLOCK_MONOTONIC: when a long call was last met; 0: never; by the monitor */         \
    X(calls)          /* number of the loop's call of the application; odd while it is in it */              \
    X(stale)          /* the inbox is not read: set by the master, cleared by the owner when it reads again */

#define FC_COUNTER_LIST(X)                                                                                   \
    X(accepted)   /* connections accepted from a listener */                                                 \
    X(handed_in)  /* connections received through the inbox */                                               \
    X(handed_out) /* connections given to a peer */                                                          \
    X(sent)       /* connections sent to this seat's inbox; by the senders, before: fc_add_shared() */       \
    X(taken)      /* set to the value of sent that was read before the inbox was found empty */              \
    X(bytes_in)                                                                                              \
    X(bytes_out)                                                                                             \
    X(refused)       /* requests answered by the engine itself with 4xx or 5xx (also in status classes) */   \
    X(duration_ns)   /* sum of request durations */                                                          \
    X(blocked_ns)    /* time calls of over 5 ms spent in the application waiting */                          \
    X(computed_ns)   /* ... and computing */                                                                 \
    X(promotions)    /* a parked thread took over the loop */                                                \
    X(exports)       /* readable connections given to an idle peer because this worker was blocked */        \
    X(accept_errors) /* EMFILE, ENFILE, ENOBUFS, ENOMEM at accept */                                         \
    X(log_dropped)   /* access log lines not written */                                                      \
    X(truncated)     /* MSG_CTRUNC seen: a bug */                                                            \
    X(timeouts)      /* connections closed by a deadline */                                                  \
    X(shed)          /* idle connections closed for want of descriptors */                                   \
    X(cpu_ns)        /* CPU time of owners that are gone; by the master, when it reaps one */

typedef struct FcLine {
    /* who: written by the master when it gives the seat away, before the fork */
    FcWord epoch;
    FcWord slot;
    FcWord generation;
    FcWord pid;          /* by the worker at HELLO; in fork mode by the master */
    FcWord started_ns;   /* CLOCK_MONOTONIC */
    FcWord state;        /* FcState; by the owner while it lives, else by the master */
    FcWord heartbeat_ns; /* when the loop last turned */
#define X(name) FcWord name;
    FC_GAUGE_LIST(X)
    FC_COUNTER_LIST(X)
#undef X
    FcWord requests[FC_CLASSES]; /* by status class */
    FcWord duration[FC_BUCKETS];
    /* the oldest request in flight above 100 ms, by the native monitor; odd seq: being written */
    FcWord oldest_seq;
    FcWord oldest_since_ns; /* 0: none */
    FcWord oldest_method[FC_OLDEST_METHOD /
                         8]; /* text, NUL-terminated, in words so that a torn read is defined */
    FcWord oldest_path[FC_OLDEST_PATH / 8]; /* likewise, cut */
} FcLine;

_Static_assert(sizeof(FcLine) <= FC_LINE_SIZE, "a line fits its seat");

typedef struct FcBoardHeader {
    uint64_t magic;
    char layout[24]; /* fc_layout_hash(), NUL-terminated */
    char app[128];   /* NUL-terminated, cut */
    FcWord generation;
    FcWord created_ns;
    FcWord ready; /* 1: the app can be sent requests; by the master */
} FcBoardHeader;

typedef struct FcBoard {
    FcBoardHeader *header; /* owned mapping of FC_BOARD_SIZE bytes */
} FcBoard;

/* Hash of the layout of lines, wire head and passed connections: processes with different hashes must not
 * share a board. 16 hex digits, static storage. */
const char *fc_layout_hash(void);

/* Make a sealed, empty scoreboard memfd (CLOEXEC; MFD_NOEXEC_SEAL where the kernel has it). The descriptor,
 * or -errno. */
int fc_board_create(const char *app);
/* Map it. 0, or -errno; -EPROTO when the layout hash differs, -EINVAL when it is not a sealed board at all.
 * board->header stays NULL on failure. */
int fc_board_map(FcBoard *board, int fd, bool writable);
void fc_board_unmap(FcBoard *board); /* idempotent */

static inline FcLine *
fc_board_line(const FcBoard *board, unsigned seat)
{
    return seat < FC_SEATS ? (FcLine *)((char *)board->header + (size_t)FC_LINE_SIZE * (seat + 1)) : NULL;
}

/* Give a line to a new owner: who it is and since when (CLOCK_MONOTONIC), state BOOTING. By the master,
 * before the fork, on a line that is EMPTY. */
void fc_line_claim(FcLine *line, uint64_t epoch, uint64_t slot, uint64_t generation, uint64_t now_ns);

/* Reset the gauges and the oldest request of a dead owner's line; state becomes EMPTY. The counters stay. */
void fc_line_reset(FcLine *line);

static inline uint64_t
fc_load(const FcWord *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void
fc_store(FcWord *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* Add to a word that only the caller writes. */
static inline void
fc_add(FcWord *word, uint64_t by)
{
    fc_store(word, fc_load(word) + by);
}

/* Add to a word that several processes write (sent). */
static inline void
fc_add_shared(FcWord *word, uint64_t by)
{
    atomic_fetch_add_explicit(word, by, memory_order_relaxed);
}

/* The bucket of a duration. */
static inline unsigned
fc_bucket(uint64_t ns)
{
    uint64_t units = ns >> 14; /* 16.384 us, a quarter of the first bound */
    if (units < 4)
        return 0;
    unsigned power = 63 - (unsigned)__builtin_clzll(units); /* >= 2 */
    unsigned bucket = 1 + (power - 2) * 4 + (unsigned)(units >> (power - 2) & 3);
    return bucket < FC_BUCKETS - 1 ? bucket : FC_BUCKETS - 1;
}

/* Upper bound of a bucket in ns; UINT64_MAX for the last. */
uint64_t fc_bucket_bound(unsigned bucket);

/* Publish the oldest request (since_ns 0: none); by the monitor only. method and path are borrowed. */
void fc_oldest_publish(FcLine *line, uint64_t since_ns, const char *method, size_t method_len,
                       const char *path, size_t path_len);

typedef struct FcOldest {
    uint64_t since_ns;
    char method[FC_OLDEST_METHOD];
    char path[FC_OLDEST_PATH];
} FcOldest;

/* Read it consistently; false after a bounded number of tries (the writer died in the middle). */
bool fc_oldest_read(const FcLine *line, FcOldest *oldest);

#endif

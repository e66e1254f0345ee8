/* What master, mold and worker say to each other: one fixed head, then a payload of text.
 *
 * Twin of forkcluster.wire.messages, which packs the same struct; a test holds them together. A channel is a
 * SOCK_SEQPACKET pair, so a message is one record; descriptors travel beside it. Commands to a worker are
 * read by its native monitor, which must not need Python: hence a struct and not JSON.
 */
#ifndef FC_WIRE_H
#define FC_WIRE_H

#include <stdint.h>

#define FC_WIRE_MAGIC   0x4b4c4346u /* "FCLK" in memory */
#define FC_WIRE_VERSION 1
#define FC_WIRE_PAYLOAD 61440 /* most bytes behind the head */

typedef enum FcKind {
    /* master to mold */
    FC_KIND_LOAD = 1, /* payload: JSON, what to load and how */
    FC_KIND_FORK = 2, /* seat, epoch, arg = slot, payload: words, "hold", "streams"; descriptors: channel,
                       * scoreboard, inbox, with "streams" standard output and error, listeners ... */
    FC_KIND_EXIT = 3,
    FC_KIND_HOOK = 4, /* payload: the name of the hook to run */
    /* mold to master */
    FC_KIND_MOLD_HELLO = 16,  /* payload: layout hash */
    FC_KIND_LOADED = 17,      /* payload: JSON: interface, whether it may be forked and why not */
    FC_KIND_FAILED = 18,      /* payload: traceback; also worker to master */
    FC_KIND_FORKED = 19,      /* seat, epoch, arg = pid */
    FC_KIND_FORK_FAILED = 20, /* seat, epoch, payload: what the system said */
    /* worker to master */
    FC_KIND_HELLO =
        32, /* seat, epoch, arg = pid; descriptors: its own pidfd, the pipe its stacks come through */
    FC_KIND_READY = 33, /* seat, epoch */
    FC_KIND_LEAVE = 34, /* "retire me"; payload: the reason (a direct TERM, max_requests ...) */
    /* master to worker, read by the native monitor */
    FC_KIND_RETIRE =
        48,            /* drain, then exit; deadline_ns: when it will be killed; arg 1: the whole app stops */
    FC_KIND_QUIT = 49, /* exit at once */
    FC_KIND_LOG = 50,  /* arg: FcLog; descriptor: that log, opened anew; also to a mold */
    FC_KIND_PEER = 51, /* seat, epoch; descriptor: the sending end of that inbox */
    FC_KIND_NUDGE = 52,  /* call accept without waiting for an event */
    FC_KIND_STACKS = 53, /* write all Python stacks to the stack pipe */
    FC_KIND_LISTEN = 54, /* to a worker that was forked on hold: begin to accept */
    FC_KIND_PROBE = 55,  /* descriptor: a connection to be served as if accepted, and not counted */
    /* master to logger, which hears LOAD and EXIT, too */
    FC_KIND_TAKE = 64,   /* payload: JSON, whose pipes; descriptors: reading end and memfd of each */
    FC_KIND_REOPEN = 65, /* open all files anew */
    FC_KIND_FLUSH = 66,  /* empty all files */
    /* logger to master */
    FC_KIND_ENDED = 80,   /* arg: number of a pipe that nobody writes to and that was read to its end */
    FC_KIND_FLUSHED = 81, /* the files are empty */
    FC_KIND_TROUBLE = 82, /* payload: JSON, which file cannot be written and why, lines dropped so far */
} FcKind;

typedef enum FcLog { FC_LOG_ACCESS = 0, FC_LOG_OPERATING = 1 } FcLog;

typedef struct FcHead {
    uint32_t magic;
    uint16_t version;
    uint16_t kind; /* FcKind */
    uint32_t seat;
    uint32_t epoch;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute; 0: none */
    uint64_t arg;
} FcHead;

_Static_assert(sizeof(FcHead) == 32, "FcHead is 32 bytes on the wire");

#endif

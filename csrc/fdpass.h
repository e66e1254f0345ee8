/* Connections are portable: hand an open connection with its unread bytes to another process (SCM_RIGHTS).
 *
 * The channel is a SOCK_SEQPACKET AF_UNIX pair. One message carries 1 to 16 connections and at most 128 KiB;
 * nothing is acknowledged, so the receiver must have room for 16 descriptors before it reads (else the kernel
 * drops some, which is reported as FC_PASS_TRUNCATED and is a bug of the receiver). The format is private to
 * one layout hash: native byte order and alignment.
 *
 * Knows no Python and no engine. Closes no descriptor it was given: the sender closes its copies after
 * FC_PASS_OK, with close() and never shutdown().
 */
#ifndef FC_FDPASS_H
#define FC_FDPASS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FC_PASS_VERSION 1
#define FC_PASS_MOST    16           /* connections in one message */
#define FC_PASS_BYTES   (128 * 1024) /* of one message */
#define FC_PASS_UNREAD  (16 * 1024)  /* unread bytes of one connection */
#define FC_PASS_HOPS    2            /* hand-overs of a connection between two answers, or new peers */

typedef struct FcPassed {
    int fd;               /* the connection; on receive: owned by the caller, CLOEXEC set */
    uint16_t listener;    /* index of the listener it came in by: scheme, server name, trust */
    uint8_t hops;         /* hand-overs since its last answer, or new peer; at most FC_PASS_HOPS */
    uint8_t addr_len;     /* bytes used in addr; 0 for a peer without an address */
    uint32_t served;      /* requests answered so far */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC, absolute: of the head in progress, or of keep-alive; 0: none */
    uint64_t accepted_ns; /* CLOCK_MONOTONIC */
    uint32_t unread_len;  /* at most FC_PASS_UNREAD */
    const char
        *unread; /* send: borrowed; receive: inside the caller's buffer, 8-byte aligned start not promised */
    char addr[128]; /* struct sockaddr_storage's bytes */
} FcPassed;

typedef enum FcPassResult {
    FC_PASS_OK,
    FC_PASS_AGAIN, /* send: the queue is full or too many descriptors are in flight; receive: nothing there */
    FC_PASS_CLOSED,    /* send: the receiver has shut its inbox; receive: end of file, all was read */
    FC_PASS_TRUNCATED, /* receive: descriptors were dropped by the kernel; those that came are closed again */
    FC_PASS_INVALID,   /* send: over a limit; receive: not our version, or malformed; descriptors closed again
                        */
    FC_PASS_ERROR,     /* see errno */
} FcPassResult;

/* Send 1 to FC_PASS_MOST connections as one message, all or none, without blocking. The array is borrowed.
 * Unread bytes of the whole batch must fit FC_PASS_BYTES together with the records, else FC_PASS_INVALID:
 * send fewer at once. */
FcPassResult fc_send_connections(int channel, const FcPassed *connections, unsigned count);

/* Receive one message without blocking into buf (FC_PASS_BYTES, borrowed; unread pointers lead into it) and
 * out (FC_PASS_MOST entries). *count is set on FC_PASS_OK only. An empty message without descriptors cannot
 * be told from the end of file; no sender of ours makes one. */
FcPassResult fc_receive_connections(int channel, char *buf, FcPassed *out, unsigned *count);

#endif

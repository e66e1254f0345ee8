/* The access log: lines are formatted in C into a bounded buffer and written in batches by a thread of their
 * own.
 *
 * Lines are appended by whoever serves (any serving thread; a short lock) and written by one native thread
 * that never runs Python and blocks all signals; a slow disk or a full pipe never holds a request: when the
 * buffer (1 MiB) is full, lines are dropped and counted. A line is written whole or not at all (when a disk
 * is full in the middle of one, its rest follows as soon as there is room). Knows no Python and no engine.
 */
#ifndef FC_ACCESSLOG_H
#define FC_ACCESSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parser.h"

/* One answered request. All pointers are borrowed for the call. Times: wall in microseconds since the epoch
 * (when the request began), duration in ns. */
typedef struct FcLogEntry {
    const char *buf; /* the head's bytes */
    const FcRequest
        *request;       /* its spans; may be incomplete for a refused request (n_fields 0, empty spans) */
    const char *remote; /* address text as resolved (forwarded or peer); "-" if none */
    size_t remote_len;
    uint64_t wall_us;
    uint64_t duration_ns;
    uint64_t body_sent;  /* bytes of the answer's body */
    uint64_t bytes_sent; /* all bytes of the answer */
    uint16_t status;
    bool https;
    const char *response_fields; /* the answer's field lines, CRLF-separated, as sent; may be NULL */
    size_t response_fields_len;
    uint32_t slot;
    int32_t pid;
} FcLogEntry;

typedef struct FcLogFormat FcLogFormat; /* compiled */

/* The longest line, with its LF: what a pipe takes whole or not at all, whoever else writes into it
 * (PIPE_BUF). */
#define FC_LOG_LINE 4096

/* Compile an Apache-style format (gunicorn's atoms: %(h)s %(l)s %(u)s %(t)s %(r)s %(m)s %(U)s %(q)s %(H)s
 * %(s)s %(B)s
 * %(b)s %(f)s %(a)s %(T)s %(M)s %(D)s %(L)s %(p)s %({name}i)s %({name}o)s, and Apache's own %h %l %u %t %r
 * %>s %b %D
 * %{name}i ...; "-" where there is nothing), "common", "combined" (with the duration in microseconds at the
 * end), or "json" (one object, times in UTC, members that are empty left out). The result is owned by the
 * caller; NULL with a sentence in error (error_len bytes) when it is malformed. */
FcLogFormat *fc_logformat_compile(const char *text, char *error, size_t error_len);
void fc_logformat_free(FcLogFormat *format); /* NULL is fine */

/* Write one line with its LF into out; the bytes written, at most cap (an over-long line is cut, still
 * LF-ended and, for json, still valid JSON). Control characters, quotes, backslashes and bytes over 0x7e that
 * came from the client are escaped (\xhh; in json \u00hh), so a line is one line. */
size_t fc_logformat_line(const FcLogFormat *format, const FcLogEntry *entry, char *out, size_t cap);

typedef struct FcAccessLog FcAccessLog;

/* Make a log that writes to fd (owned from now on). No thread is started yet. NULL: out of memory, nothing
 * was taken. */
FcAccessLog *fc_accesslog_new(int fd, FcLogFormat *format /* stolen */);
/* Start the writer thread (after the fork). 0 or -errno. */
int fc_accesslog_start(FcAccessLog *log);
/* Append one entry; false if it was dropped. Any thread. */
bool fc_accesslog_append(FcAccessLog *log, const FcLogEntry *entry);
/* Write to another descriptor (owned from now on) from the next batch on; what was appended before goes to
 * the old one, which is then closed; if the old one takes nothing for a second its lines are dropped. Any
 * thread; does not block on the disk. */
void fc_accesslog_reopen(FcAccessLog *log, int fd);
/* Lines dropped so far (buffer full, disk full). */
uint64_t fc_accesslog_dropped(const FcAccessLog *log);
/* Lines dropped since this was asked last. Any thread; each line is told to one of them. */
uint64_t fc_accesslog_take_dropped(FcAccessLog *log);
/* Write what is there, for at most timeout_ms; then end the thread. Idempotent. What could not be written, or
 * was never to be for want of a thread, is dropped. A thread that the kernel holds in a write (a dead disk)
 * is left to itself with its memory. */
void fc_accesslog_stop(FcAccessLog *log, int timeout_ms);
void fc_accesslog_free(FcAccessLog *log); /* stops first; NULL is fine */

#endif

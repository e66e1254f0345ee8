/* The body of one request, received whole before the application reads it: in the read buffer, in memory, or
 * in an unlinked temporary file. Owns its memory and its descriptor. Knows no socket and no Python.
 */
#ifndef FC_BODY_H
#define FC_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum FcBodyKind {
    FC_BODY_NONE,
    FC_BODY_SPAN, /* in the connection's read buffer */
    FC_BODY_MEMORY,
    FC_BODY_FILE,
    FC_BODY_PENDING, /* the client waits for "100 Continue": fetched on the first read */
    FC_BODY_STREAM,  /* received on demand; size counts what was given out */
    FC_BODY_ENDED,   /* a streamed body was received whole */
} FcBodyKind;

typedef struct FcBody {
    uint8_t kind;  /* FcBodyKind */
    int fd;        /* FILE; else -1 */
    char *memory;  /* SPAN: borrowed; MEMORY: owned */
    uint64_t size; /* bytes received */
    uint64_t cap;  /* MEMORY */
} FcBody;

/* Make it empty without freeing: for memory that holds no body. */
static inline void
fc_body_init(FcBody *body)
{
    body->kind = FC_BODY_NONE;
    body->fd = -1;
    body->memory = NULL;
    body->size = body->cap = 0;
}

/* Free what it owns; it is empty again. Idempotent. */
void fc_body_clear(FcBody *body);

/* Room for at least want more bytes in memory: where to write them (then call fc_body_grew). NULL: out of
 * memory. The body must be NONE or MEMORY. */
char *fc_body_room(FcBody *body, size_t want);
void fc_body_grew(FcBody *body, size_t by);

/* Append bytes, in memory while the whole is at most memory_most, else in a temporary file (in TMPDIR or
 * /tmp, or else in /dev/shm). 0 or -errno. bytes are borrowed. */
int fc_body_append(FcBody *body, const char *bytes, size_t len, uint64_t memory_most);

#endif

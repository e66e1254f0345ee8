/* Bytes of an answer that the kernel has not taken yet, in order. Empty, and without memory, in the common
 * case.
 *
 * A segment is copied bytes, a reference to bytes of an owner (an opaque pointer that the gateway releases
 * later), or a piece of a file. Knows sockets, no engine, no Python.
 */
#ifndef FC_OUTPUT_H
#define FC_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct FcSegment {
    struct FcSegment *next;
    void *owner;      /* of the bytes; NULL: they are the segment's own, behind it */
    const char *data; /* NULL: a file */
    int fd;           /* file: borrowed */
    off_t offset;     /* file: of the next byte */
    uint64_t left;    /* bytes */
} FcSegment;

typedef struct FcOutput {
    FcSegment *first, *last;
    uint64_t size; /* bytes queued */
} FcOutput;

/* A client on the same machine, or behind a fast line, takes a file as fast as it is sent: so much at a time.
 */
#define FC_FLUSH_BUDGET (1u << 20)

typedef enum FcFlush {
    FC_FLUSH_DONE,   /* nothing is left */
    FC_FLUSH_AGAIN,  /* the socket is full */
    FC_FLUSH_MORE,   /* it is not, but others have their turn: FC_FLUSH_BUDGET bytes went */
    FC_FLUSH_BROKEN, /* it cannot be sent: errno says why; a file that is shorter than promised: EIO */
} FcFlush;

static inline bool
fc_output_empty(const FcOutput *output)
{
    return output->first == NULL;
}

/* Queue bytes: copied, or with owner by reference (owned by the output from now on). False: out of memory. */
bool fc_output_bytes(FcOutput *output, const char *data, size_t len, void *owner);
bool fc_output_file(FcOutput *output, int fd, off_t offset, uint64_t length);

/* Send until nothing is left, the socket is full or the budget is spent. *sent is raised by the bytes that
 * went. Segments with an owner that are finished go onto *spent. */
FcFlush fc_output_flush(FcOutput *output, int socket, uint64_t *sent, FcSegment **spent);

/* Drop everything; owners go onto *spent. */
void fc_output_clear(FcOutput *output, FcSegment **spent);

#endif

/* See output.h. */
#include "output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define VECTORS 16

static void
append(FcOutput *output, FcSegment *segment)
{
    segment->next = NULL;
    if (output->last != NULL)
        output->last->next = segment;
    else
        output->first = segment;
    output->last = segment;
    output->size += segment->left;
}

bool
fc_output_bytes(FcOutput *output, const char *data, size_t len, void *owner)
{
    FcSegment *segment = malloc(sizeof *segment + (owner == NULL ? len : 0));

    if (segment == NULL)
        return false;
    segment->owner = owner;
    segment->fd = -1;
    segment->offset = 0;
    segment->left = len;
    segment->data = data;
    if (owner == NULL) {
        memcpy(segment + 1, data, len);
        segment->data = (const char *)(segment + 1);
    }
    append(output, segment);
    return true;
}

bool
fc_output_file(FcOutput *output, int fd, off_t offset, uint64_t length)
{
    FcSegment *segment = malloc(sizeof *segment);

    if (segment == NULL)
        return false;
    segment->owner = NULL;
    segment->data = NULL;
    segment->fd = fd;
    segment->offset = offset;
    segment->left = length;
    append(output, segment);
    return true;
}

static void
drop_first(FcOutput *output, FcSegment **spent)
{
    FcSegment *segment = output->first;

    output->first = segment->next;
    if (output->first == NULL)
        output->last = NULL;
    output->size -= segment->left;
    if (segment->owner == NULL) {
        free(segment);
        return;
    }
    segment->next = *spent;
    *spent = segment;
}

void
fc_output_clear(FcOutput *output, FcSegment **spent)
{
    while (output->first != NULL)
        drop_first(output, spent);
}

/* Take n sent bytes from the front. */
static void
consume(FcOutput *output, size_t n, FcSegment **spent)
{
    while (n > 0) {
        FcSegment *segment = output->first;
        size_t part = n < segment->left ? n : (size_t)segment->left;

        segment->data += part;
        segment->left -= part;
        output->size -= part;
        n -= part;
        if (segment->left == 0)
            drop_first(output, spent);
    }
}

static ssize_t
send_bytes(FcOutput *output, int socket)
{
    struct iovec vectors[VECTORS];
    struct msghdr message = {.msg_iov = vectors};

    for (FcSegment *s = output->first; s != NULL && s->data != NULL && message.msg_iovlen < VECTORS;
         s = s->next) {
        vectors[message.msg_iovlen].iov_base = (void *)(uintptr_t)s->data;
        vectors[message.msg_iovlen++].iov_len = s->left;
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

FcFlush
fc_output_flush(FcOutput *output, int socket, uint64_t *sent, FcSegment **spent)
{
    uint64_t all = 0;

    while (output->first != NULL) {
        FcSegment *segment = output->first;
        ssize_t n;

        if (segment->left == 0) {
            drop_first(output, spent);
            continue;
        }
        if (all >= FC_FLUSH_BUDGET)
            return FC_FLUSH_MORE;
        if (segment->data == NULL) {
            size_t most = segment->left < FC_FLUSH_BUDGET ? (size_t)segment->left : FC_FLUSH_BUDGET;

            n = sendfile(socket, segment->fd, &segment->offset, most);
            if (n == 0) {
                errno = EIO; /* the file is shorter than the answer has promised */
                return FC_FLUSH_BROKEN;
            }
        } else {
            n = send_bytes(output, socket);
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? FC_FLUSH_AGAIN : FC_FLUSH_BROKEN;
        *sent += (uint64_t)n;
        all += (uint64_t)n;
        if (segment->data == NULL) {
            segment->left -= (uint64_t)n;
            output->size -= (uint64_t)n;
        } else {
            consume(output, (size_t)n, spent);
        }
    }
    return FC_FLUSH_DONE;
}

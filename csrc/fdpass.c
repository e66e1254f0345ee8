/* One hand-over message: a head, a record for each connection, then their unread bytes one after the other.
 *
 * A record on the wire is an FcPassed whose fd and unread mean nothing: the descriptors travel beside it in
 * the same order. So the format is the layout of FcPassed, which fc_layout_hash() covers. What arrives is
 * checked all the same: a message is taken as a whole or refused as a whole, and a refused one leaves no
 * descriptor open.
 */
#include "fdpass.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct FcPassHead {
    uint32_t version;
    uint32_t count;
} FcPassHead;

/* Descriptors beside a message, aligned as the kernel wants it. */
typedef union FcPassControl {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FC_PASS_MOST * sizeof(int))];
} FcPassControl;

_Static_assert(sizeof(FcPassHead) + FC_PASS_MOST * sizeof(FcPassed) + FC_PASS_UNREAD < FC_PASS_BYTES,
               "a full batch has room for the unread bytes of one connection");

static bool
record_is_valid(const FcPassed *record)
{
    return record->addr_len <= sizeof record->addr && record->unread_len <= FC_PASS_UNREAD &&
           record->hops <= FC_PASS_HOPS;
}

static bool
batch_is_valid(const FcPassed *connections, unsigned count)
{
    size_t total = sizeof(FcPassHead) + count * sizeof(FcPassed);

    if (count < 1 || count > FC_PASS_MOST)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (!record_is_valid(&connections[i]) || connections[i].fd < 0 ||
            (connections[i].unread_len && !connections[i].unread))
            return false;
        total += connections[i].unread_len;
    }
    return total <= FC_PASS_BYTES;
}

/* Field by field into zeroed memory: no padding and no stale address bytes leave the process. */
static void
fill_record(FcPassed *record, const FcPassed *connection)
{
    memset(record, 0, sizeof *record);
    record->fd = -1;
    record->listener = connection->listener;
    record->hops = connection->hops;
    record->addr_len = connection->addr_len;
    record->served = connection->served;
    record->deadline_ns = connection->deadline_ns;
    record->accepted_ns = connection->accepted_ns;
    record->unread_len = connection->unread_len;
    memcpy(record->addr, connection->addr, connection->addr_len);
}

static void
attach_descriptors(struct msghdr *message, FcPassControl *control, const FcPassed *connections,
                   unsigned count)
{
    struct cmsghdr *cmsg = NULL;

    memset(control, 0, sizeof *control);
    message->msg_control = control->bytes;
    message->msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsg = CMSG_FIRSTHDR(message);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (unsigned i = 0; i < count; i++)
        memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &connections[i].fd, sizeof(int));
}

static FcPassResult
send_result(int error)
{
    switch (error) {
    case EAGAIN:
    case ETOOMANYREFS: /* RLIMIT_NOFILE of this user's descriptors are in flight: unix(7) */
        return FC_PASS_AGAIN;
    case EPIPE:
    case ECONNRESET: /* the receiver closed its end with messages still in it */
    case ENOTCONN:
    case ECONNREFUSED:
        return FC_PASS_CLOSED;
    default:
        return FC_PASS_ERROR;
    }
}

FcPassResult
fc_send_connections(int channel, const FcPassed *connections, unsigned count)
{
    FcPassHead head = {.version = FC_PASS_VERSION, .count = count};
    FcPassed records[FC_PASS_MOST];
    FcPassControl control;
    struct iovec parts[2 + FC_PASS_MOST];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = -1;

    if (!batch_is_valid(connections, count))
        return FC_PASS_INVALID;
    parts[0] = (struct iovec){.iov_base = &head, .iov_len = sizeof head};
    parts[1] = (struct iovec){.iov_base = records, .iov_len = count * sizeof records[0]};
    for (unsigned i = 0; i < count; i++) {
        fill_record(&records[i], &connections[i]);
        if (connections[i].unread_len)
            parts[message.msg_iovlen++] = (struct iovec){.iov_base = (void *)(uintptr_t)connections[i].unread,
                                                         .iov_len = connections[i].unread_len};
    }
    attach_descriptors(&message, &control, connections, count);
    do
        sent = sendmsg(channel, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent >= 0 ? FC_PASS_OK : send_result(errno);
}

/* Copy out what descriptors came with the message; at most FC_PASS_MOST fit the control buffer. */
static unsigned
detach_descriptors(struct msghdr *message, int *fds)
{
    unsigned count = 0;

    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(message); cmsg; cmsg = CMSG_NXTHDR(message, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        size_t here = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < here && count < FC_PASS_MOST; i++)
            memcpy(&fds[count++], CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
    }
    return count;
}

/* Fill out from a message of len bytes; false if it is not exactly count connections of our version. */
static bool
parse_message(const char *buf, size_t len, const int *fds, unsigned count, FcPassed *out)
{
    FcPassHead head;
    size_t at = sizeof head + count * sizeof(FcPassed);

    if (count < 1 || len < at)
        return false;
    memcpy(&head, buf, sizeof head);
    if (head.version != FC_PASS_VERSION || head.count != count)
        return false;
    memcpy(out, buf + sizeof head, count * sizeof(FcPassed));
    for (unsigned i = 0; i < count; i++) {
        if (!record_is_valid(&out[i]) || out[i].unread_len > len - at)
            return false;
        out[i].fd = fds[i];
        out[i].unread = buf + at;
        at += out[i].unread_len;
    }
    return at == len;
}

FcPassResult
fc_receive_connections(int channel, char *buf, FcPassed *out, unsigned *count)
{
    FcPassControl control;
    struct iovec part = {.iov_base = buf, .iov_len = FC_PASS_BYTES};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    int fds[FC_PASS_MOST];
    unsigned n_fds = 0;
    ssize_t got = -1;
    FcPassResult result = FC_PASS_INVALID;

    do {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        got = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        /* ECONNRESET is a note about the other direction, given once; what is queued is still there */
    } while (got < 0 && (errno == EINTR || errno == ECONNRESET));
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? FC_PASS_AGAIN : FC_PASS_ERROR;
    n_fds = detach_descriptors(&message, fds);
    if (got == 0 && n_fds == 0 && !(message.msg_flags & MSG_CTRUNC))
        return FC_PASS_CLOSED;
    if (message.msg_flags & MSG_CTRUNC) {
        result = FC_PASS_TRUNCATED;
        goto fail;
    }
    if (message.msg_flags & MSG_TRUNC || !parse_message(buf, (size_t)got, fds, n_fds, out))
        goto fail;
    *count = n_fds;
    return FC_PASS_OK;

fail:
    for (unsigned i = 0; i < n_fds; i++)
        close(fds[i]);
    return result;
}

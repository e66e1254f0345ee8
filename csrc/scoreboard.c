/* The scoreboard's memory: made, sealed, mapped, checked; and the few things done to a line that are not one
 * store.
 *
 * The layout hash is computed from where the compiler really put each field, so two builds agree exactly if
 * they may share memory and messages.
 */
#include "scoreboard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fdpass.h"
#include "wire.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; includes MFD_ALLOW_SEALING */
#endif

enum { OLDEST_READ_TRIES = 64 };

_Static_assert(FC_OLDEST_METHOD % 8 == 0 && FC_OLDEST_PATH % 8 == 0, "texts are whole words");
_Static_assert(sizeof(FcBoardHeader) <= FC_LINE_SIZE, "the header fits its page");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "a word shared between processes takes no lock");

typedef struct LayoutField {
    const char *name;
    uint32_t offset, size;
} LayoutField;

#define FIELD(type, field) {#type "." #field, offsetof(type, field), sizeof(((type *)0)->field)}
#define CONSTANT(name)     {#name, 0, (uint32_t)(name)}

/* clang-format off */
static const LayoutField layout[] = {
#define X(name) FIELD(FcLine, name),
    X(epoch) X(slot) X(generation) X(pid) X(started_ns) X(state) X(heartbeat_ns)
    FC_GAUGE_LIST(X)
    FC_COUNTER_LIST(X)
    X(requests) X(duration) X(oldest_seq) X(oldest_since_ns) X(oldest_method) X(oldest_path)
#undef X
#define X(name) FIELD(FcBoardHeader, name),
    X(magic) X(layout) X(app) X(generation) X(created_ns) X(ready)
#undef X
#define X(name) FIELD(FcHead, name),
    X(magic) X(version) X(kind) X(seat) X(epoch) X(deadline_ns) X(arg)
#undef X
#define X(name) FIELD(FcPassed, name),
    X(fd) X(listener) X(hops) X(addr_len) X(served) X(deadline_ns) X(accepted_ns)
    X(unread_len) X(unread) X(addr)
#undef X
    {"sizeof FcLine", 0, sizeof(FcLine)},
    {"sizeof FcHead", 0, sizeof(FcHead)},
    {"sizeof FcPassed", 0, sizeof(FcPassed)},
    CONSTANT(FC_SEATS),
    CONSTANT(FC_LINE_SIZE),
    CONSTANT(FC_STATE_DEAD),
    CONSTANT(FC_WIRE_MAGIC),
    CONSTANT(FC_WIRE_VERSION),
    CONSTANT(FC_WIRE_PAYLOAD),
    CONSTANT(FC_PASS_VERSION),
    CONSTANT(FC_PASS_MOST),
    CONSTANT(FC_PASS_BYTES),
};
/* clang-format on */

static char layout_text[17];
static pthread_once_t layout_once = PTHREAD_ONCE_INIT;

/* FNV-1a, 64 bits. */
static uint64_t
hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
    return hash;
}

static void
hash_layout(void)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < sizeof layout / sizeof layout[0]; i++) {
        hash = hash_bytes(hash, layout[i].name, strlen(layout[i].name) + 1);
        hash = hash_bytes(hash, &layout[i].offset, sizeof layout[i].offset);
        hash = hash_bytes(hash, &layout[i].size, sizeof layout[i].size);
    }
    snprintf(layout_text, sizeof layout_text, "%016llx", (unsigned long long)hash);
}

const char *
fc_layout_hash(void)
{
    pthread_once(&layout_once, hash_layout);
    return layout_text;
}

static void
copy_cut(char *to, size_t cap, const char *from, size_t len)
{
    size_t n = len < cap - 1 ? len : cap - 1;

    memcpy(to, from, n);
    memset(to + n, 0, cap - n);
}

static void
write_header(FcBoardHeader *header, const char *app)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    header->magic = FC_BOARD_MAGIC;
    copy_cut(header->layout, sizeof header->layout, fc_layout_hash(), strlen(fc_layout_hash()));
    copy_cut(header->app, sizeof header->app, app, strlen(app));
    fc_store(&header->created_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
}

/* A memfd that can be sealed; where that is forbidden a file without a name, *sealable false. */
static int
create_file(bool *sealable)
{
    int fd = memfd_create("forkcluster-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
        fd = memfd_create("forkcluster-scoreboard", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    *sealable = fd >= 0;
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EACCES)) {
        fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd < 0)
            fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    }
    return fd;
}

int
fc_board_create(const char *app)
{
    int error = 0;
    bool sealable = false;
    int fd = create_file(&sealable);
    FcBoardHeader *header = MAP_FAILED;

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)FC_BOARD_SIZE) < 0)
        goto fail;
    header = mmap(NULL, FC_LINE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED)
        goto fail;
    write_header(header, app);
    munmap(header, FC_LINE_SIZE);
    if (sealable && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        goto fail;
    return fd;

fail:
    error = errno;
    close(fd);
    return -error;
}

static bool
has_memfd(void)
{
    int fd = memfd_create("forkcluster-probe", MFD_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0 || (errno != ENOSYS && errno != EPERM && errno != EACCES);
}

/* Sealed against shrinking, else a reader could be killed by SIGBUS, or, where there are no memfds, a file
 * that nobody can open by a name; of the right size. */
static int
check_file(int fd)
{
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);
    bool safe = seals >= 0 && seals & F_SEAL_SHRINK;

    if (fstat(fd, &status) < 0)
        return -errno;
    if (!safe && !has_memfd())
        safe = status.st_nlink == 0;
    return safe && (size_t)status.st_size == FC_BOARD_SIZE ? 0 : -EINVAL;
}

int
fc_board_map(FcBoard *board, int fd, bool writable)
{
    int error = check_file(fd);
    FcBoardHeader *header = NULL;

    board->header = NULL;
    if (error)
        return error;
    header = mmap(NULL, FC_BOARD_SIZE, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (header == MAP_FAILED)
        return -errno;
    if (header->magic != FC_BOARD_MAGIC ||
        strncmp(header->layout, fc_layout_hash(), sizeof header->layout) != 0) {
        munmap(header, FC_BOARD_SIZE);
        return -EPROTO;
    }
    board->header = header;
    return 0;
}

void
fc_board_unmap(FcBoard *board)
{
    if (board->header)
        munmap(board->header, FC_BOARD_SIZE);
    board->header = NULL;
}

void
fc_line_claim(FcLine *line, uint64_t epoch, uint64_t slot, uint64_t generation, uint64_t now_ns)
{
    fc_store(&line->epoch, epoch);
    fc_store(&line->slot, slot);
    fc_store(&line->generation, generation);
    fc_store(&line->pid, 0);
    fc_store(&line->started_ns, now_ns);
    fc_store(&line->heartbeat_ns, 0);
    fc_store(&line->state, FC_STATE_BOOTING);
}

void
fc_line_reset(FcLine *line)
{
#define X(name) fc_store(&line->name, 0);
    FC_GAUGE_LIST(X)
#undef X
    fc_oldest_publish(line, 0, "", 0, "", 0);
    fc_store(&line->state, FC_STATE_EMPTY);
}

uint64_t
fc_bucket_bound(unsigned bucket)
{
    unsigned step = bucket - 1;

    if (bucket == 0)
        return 1u << 16;
    if (bucket >= FC_BUCKETS - 1)
        return UINT64_MAX;
    return (uint64_t)(5 + step % 4) << (14 + step / 4);
}

/* Text of cap bytes (a multiple of 8) as words, cut and NUL-terminated. */
static void
store_text(FcWord *words, size_t cap, const char *text, size_t len)
{
    for (size_t at = 0; at < cap; at += 8) {
        uint64_t word = 0;
        size_t most = cap - at > 8 ? 8 : 7; /* the last byte stays NUL */
        if (at < len)
            memcpy(&word, text + at, len - at < most ? len - at : most);
        fc_store(&words[at / 8], word);
    }
}

static void
load_text(char *text, size_t cap, const FcWord *words)
{
    for (size_t at = 0; at < cap; at += 8) {
        uint64_t word = fc_load(&words[at / 8]);
        memcpy(text + at, &word, 8);
    }
}

/* A seqlock: odd while being written. The release fence keeps the data behind the odd number, the release
 * store keeps it before the even one. A writer that died in the middle left it odd; the next one goes on from
 * there. */
void
fc_oldest_publish(FcLine *line, uint64_t since_ns, const char *method, size_t method_len, const char *path,
                  size_t path_len)
{
    uint64_t odd = fc_load(&line->oldest_seq) | 1;

    fc_store(&line->oldest_seq, odd);
    atomic_thread_fence(memory_order_release);
    fc_store(&line->oldest_since_ns, since_ns);
    store_text(line->oldest_method, FC_OLDEST_METHOD, method, method_len);
    store_text(line->oldest_path, FC_OLDEST_PATH, path, path_len);
    atomic_store_explicit(&line->oldest_seq, odd + 1, memory_order_release);
}

bool
fc_oldest_read(const FcLine *line, FcOldest *oldest)
{
    for (int i = 0; i < OLDEST_READ_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&line->oldest_seq, memory_order_acquire);
        if (before & 1)
            continue;
        oldest->since_ns = fc_load(&line->oldest_since_ns);
        load_text(oldest->method, FC_OLDEST_METHOD, line->oldest_method);
        load_text(oldest->path, FC_OLDEST_PATH, line->oldest_path);
        atomic_thread_fence(memory_order_acquire);
        if (fc_load(&line->oldest_seq) == before)
            return true;
    }
    return false;
}

/* See body.h. */
#include "body.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
fc_body_clear(FcBody *body)
{
    if (body->kind == FC_BODY_MEMORY)
        free(body->memory);
    if (body->fd >= 0)
        close(body->fd);
    fc_body_init(body);
}

char *
fc_body_room(FcBody *body, size_t want)
{
    uint64_t need = body->size + want;

    if (need > body->cap) {
        uint64_t cap = body->cap * 2 > need ? body->cap * 2 : need;
        char *memory = realloc(body->memory, cap);

        if (memory == NULL)
            return NULL;
        body->memory = memory;
        body->cap = cap;
        body->kind = FC_BODY_MEMORY;
    }
    return body->memory + body->size;
}

void
fc_body_grew(FcBody *body, size_t by)
{
    body->size += by;
}

static int
write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

/* An unlinked temporary file in that directory. Descriptor or -errno. */
static int
file_in(const char *dir)
{
    char path[4096];
    int fd;

    if (strlen(dir) > sizeof path - 32)
        return -ENAMETOOLONG;
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    /* A file system without O_TMPFILE. */
    strcpy(path, dir);
    strcat(path, "/forkcluster-body-XXXXXX");
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    unlink(path);
    return fd;
}

/* In TMPDIR or /tmp; in /dev/shm where nothing else is writable. Descriptor or -errno. */
static int
temporary_file(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = file_in(dir != NULL && dir[0] != '\0' ? dir : "/tmp"), error = fd;

    if (fd < 0)
        fd = file_in("/dev/shm");
    return fd >= 0 ? fd : error;
}

/* Move what is in memory into a file. */
static int
spill(FcBody *body)
{
    int error, fd = temporary_file();

    if (fd < 0)
        return fd;
    error = write_all(fd, body->memory, body->size);
    if (error < 0) {
        close(fd);
        return error;
    }
    free(body->memory);
    body->memory = NULL;
    body->cap = 0;
    body->fd = fd;
    body->kind = FC_BODY_FILE;
    return 0;
}

int
fc_body_append(FcBody *body, const char *bytes, size_t len, uint64_t memory_most)
{
    int error;

    if (len == 0)
        return 0;
    if (body->kind != FC_BODY_FILE && body->size + len <= memory_most) {
        char *room = fc_body_room(body, len);

        if (room == NULL)
            return -ENOMEM;
        memcpy(room, bytes, len);
        fc_body_grew(body, len);
        return 0;
    }
    if (body->kind != FC_BODY_FILE && (error = spill(body)) < 0)
        return error;
    error = write_all(body->fd, bytes, len);
    if (error == 0)
        body->size += len;
    return error;
}

#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FC_MOST_CLOSED 65536 /* where close_range(2) is not to be had */

typedef struct {
    int step;
    int error;
} FcReport;

static void
fc_fail(int report, FcSpawnStep step)
{
    FcReport word = {step, errno};
    ssize_t sent;
    do
        sent = write(report, &word, sizeof word);
    while (sent < 0 && errno == EINTR);
    _exit(127);
}

/* The parent's handlers must not run here: they would wake the parent. Ignored signals would stay ignored in
 * the program; Python ignores PIPE and XFSZ. */
static void
fc_default_signals(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigemptyset(&action.sa_mask);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, &action, NULL);
}

static void
fc_close_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
        return;
    for (int fd = first; fd < FC_MOST_CLOSED; fd++)
        close(fd);
}

/* Put the descriptors in their places and close all others; give the place of the report's end. All are moved
 * out of the way first, since a source may stand where a target will be. */
static int
fc_place(const FcSpawn *spawn, int report)
{
    int count = spawn->descriptor_count;
    int moved[FC_SPAWN_MOST];
    report = fcntl(report, F_DUPFD_CLOEXEC, count + 1);
    if (report < 0)
        _exit(127);
    for (int i = 0; i < count; i++) {
        moved[i] = spawn->descriptors[i];
        if (moved[i] >= 0 && (moved[i] = fcntl(moved[i], F_DUPFD_CLOEXEC, count + 1)) < 0)
            fc_fail(report, FC_SPAWN_DESCRIPTORS);
    }
    for (int i = 0; i < count; i++)
        if (moved[i] < 0)
            close(i);
        else if (dup2(moved[i], i) < 0)
            fc_fail(report, FC_SPAWN_DESCRIPTORS);
    if (dup3(report, count, O_CLOEXEC) < 0)
        fc_fail(report, FC_SPAWN_DESCRIPTORS);
    fc_close_from(count + 1);
    return count;
}

static void
fc_become(const FcSpawn *spawn, int report)
{
    if (!spawn->become)
        return;
    if (setgroups((size_t)spawn->group_count, spawn->groups) < 0 ||
        setresgid(spawn->gid, spawn->gid, spawn->gid) < 0 ||
        setresuid(spawn->uid, spawn->uid, spawn->uid) < 0)
        fc_fail(report, FC_SPAWN_IDENTITY);
    if (spawn->uid != 0 && setuid(0) == 0) {
        errno = EPERM; /* root's rights could be regained: refuse */
        fc_fail(report, FC_SPAWN_IDENTITY);
    }
}

/* Write the pid's digits without a library's help. */
static void
fc_write_pid(char *place, pid_t pid)
{
    char digits[16];
    int count = 0;
    for (; pid > 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count > 0)
        *place++ = digits[--count];
    *place = '\0';
}

static void
fc_child(const FcSpawn *spawn, int report, pid_t parent, const sigset_t *mask)
{
    fc_default_signals();
    if (spawn->session)
        setsid();
    report = fc_place(spawn, report);
    if (spawn->umask >= 0)
        umask((mode_t)spawn->umask);
    fc_become(spawn, report);
    if (spawn->death_signal != 0) { /* after the change of user, which would forget it */
        prctl(PR_SET_PDEATHSIG, (unsigned long)spawn->death_signal, 0, 0, 0);
        if (getppid() != parent)
            _exit(127);
    }
    if (chdir(spawn->directory) < 0)
        fc_fail(report, FC_SPAWN_DIRECTORY);
    if (spawn->listen_pid != NULL)
        fc_write_pid(spawn->listen_pid, getpid());
    sigprocmask(SIG_SETMASK, mask, NULL);
    execve(spawn->program, spawn->argv, spawn->envp);
    fc_fail(report, FC_SPAWN_EXECUTE);
}

FcSpawnStep
fc_spawn(const FcSpawn *spawn, pid_t *pid, int *error)
{
    int ends[2] = {-1, -1};
    sigset_t all, before;
    FcReport word = {FC_SPAWN_OK, 0};
    pid_t parent = getpid();

    *pid = -1;
    if (spawn->descriptor_count > FC_SPAWN_MOST) {
        *error = E2BIG;
        return FC_SPAWN_DESCRIPTORS;
    }
    if (pipe2(ends, O_CLOEXEC) < 0) {
        *error = errno;
        return FC_SPAWN_FORK;
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t child = fork();
    if (child == 0)
        fc_child(spawn, ends[1], parent, &before);
    *error = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    close(ends[1]);
    if (child < 0) {
        close(ends[0]);
        return FC_SPAWN_FORK;
    }
    ssize_t got;
    do
        got = read(ends[0], &word, sizeof word);
    while (got < 0 && errno == EINTR);
    close(ends[0]);
    if (got == 0) {
        *pid = child;
        return FC_SPAWN_OK;
    }
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    *error = got == sizeof word ? word.error : EIO;
    return got == sizeof word ? (FcSpawnStep)word.step : FC_SPAWN_FORK;
}

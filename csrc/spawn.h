/* Executes a program with exactly the descriptors, user and environment it is given.
 *
 * What subprocess leaves out: descriptors that become 0, 1, 2, 3 … (the socket protocol of sd_listen_fds(3)
 * wants them there, and the process's own pid in LISTEN_PID), and a signal for the program when its parent
 * dies. Between fork and exec only async-signal-safe calls are made, so no library's fork hook runs.
 */
#ifndef FC_SPAWN_H
#define FC_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define FC_SPAWN_MOST 128 /* descriptors */

/* What the child was doing when it failed. */
typedef enum {
    FC_SPAWN_OK = 0,
    FC_SPAWN_FORK,
    FC_SPAWN_DESCRIPTORS,
    FC_SPAWN_IDENTITY,
    FC_SPAWN_DIRECTORY,
    FC_SPAWN_EXECUTE,
} FcSpawnStep;

/* Every pointer is borrowed. */
typedef struct {
    const char *program; /* a path; nothing is searched */
    char *const *argv;
    char *const *envp;
    char *listen_pid; /* room for a pid's digits within an entry of envp, or NULL */
    const char *directory;
    const int *descriptors; /* they become 0, 1, 2 …; -1: that one stays closed */
    int descriptor_count;
    bool session; /* a new one */
    int umask;    /* -1: as it is */
    bool become;  /* whether user and groups are to change */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;
    int group_count;
    int death_signal; /* sent when the parent dies; 0: none */
} FcSpawn;

/* Start it. On FC_SPAWN_OK `*pid` is the child's, which the caller waits for; else nothing is left of it and
 * `*error` is what the system said. */
FcSpawnStep fc_spawn(const FcSpawn *spawn, pid_t *pid, int *error);

#endif

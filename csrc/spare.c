/* See spare.h. */
#include "spare.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define UNKNOWN_OPEN 128 /* what an application may have open of which the caller does not know */

/* Open descriptors; 0: cannot be told. */
static uint64_t
count_open(void)
{
    struct stat status;
    uint64_t count = 0;
    DIR *directory = NULL;

    if (stat("/proc/self/fd", &status) < 0)
        return 0;
    if (status.st_size > 0) /* Linux 6.2: the size is the number of entries */
        return (uint64_t)status.st_size;
    directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return 0;
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count; /* with ".", ".." and the directory itself: three too many do no harm */
}

uint64_t
fc_spare_descriptors(uint64_t known)
{
    struct rlimit limit = {0, 0};
    uint64_t open = count_open();

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    if (open == 0)
        open = known + UNKNOWN_OPEN;
    return limit.rlim_cur > open ? limit.rlim_cur - open : 0;
}

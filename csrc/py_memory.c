/* What malloc holds at a moment when much of it is free: after a boot, or before a process is forked. */
#include "py_process.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

/* Blocks of these sizes are asked for to fill holes; larger ones are few. */
#define FC_HOLE_MOST  1008
#define FC_HOLE_LEAST 24
#define FC_HOLE_STEP  16
#define FC_HOLES_MOST (1024 * 1024) /* altogether */

const char fc_trim_memory_doc[] =
    PyDoc_STR("trim_memory() -> None\n--\n\n"
              "Give memory that was used once and is free now back to the system.");

PyObject *
fc_trim_memory(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
    malloc_trim(0);
    Py_RETURN_NONE;
}

const char fc_fill_holes_doc[] = PyDoc_STR(
    "fill_holes() -> None\n--\n\n"
    "Take the free memory between used blocks, for good: what a forked process asks for lies side by side\n"
    "then, and not in holes of all the pages it shares with others, each of which would be copied.\n\n"
    "Nothing is done where the holes are more than a MiB, which is worth more than the copies, and where\n"
    "glibc cannot say how much they are (before 2.33).");

PyObject *
fc_fill_holes(PyObject *self, PyObject *unused)
{
    (void)self, (void)unused;
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();
    const char *top = (const char *)sbrk(0) - info.keepcost; /* behind all holes */
    size_t left = FC_HOLES_MOST; /* not what mallinfo2 counts: it takes what lies in caches for used */

    if (info.fordblks - info.keepcost > FC_HOLES_MOST)
        Py_RETURN_NONE;
    for (size_t size = FC_HOLE_MOST; size >= FC_HOLE_LEAST; size -= FC_HOLE_STEP)
        while (left >= size) {
            char *block = malloc(size);

            if (block == NULL || block >= top) {
                free(block);
                break;
            }
            left -= size;
        }
#endif
    Py_RETURN_NONE;
}

/* Zeroed memory that exists only where it is touched, for large tables of which little is used.
 *
 * calloc() promises that of fresh memory alone: what it takes from among freed memory it clears, and the
 * whole table is then a worker's own. Sizes are bytes.
 */
#ifndef FC_PAGES_H
#define FC_PAGES_H

#include <stddef.h>
#include <sys/mman.h>

/* NULL when there is none; the caller's, for fc_pages_free(). */
static inline void *
fc_pages_new(size_t size)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return pages == MAP_FAILED ? NULL : pages;
}

/* pages may be NULL. */
static inline void
fc_pages_free(void *pages, size_t size)
{
    if (pages != NULL)
        munmap(pages, size);
}

#endif

/* How many descriptors this process may still open: its own count against RLIMIT_NOFILE. Knows /proc, nothing
 * else. */
#ifndef FC_SPARE_H
#define FC_SPARE_H

#include <stdint.h>

/* Free descriptors now. known: how many the caller knows to be open, for a system without /proc. */
uint64_t
fc_spare_descriptors(uint64_t known);

#endif

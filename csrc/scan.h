/* Find a byte fast: 16 at a time where SSE2 is there, one at a time elsewhere, with the same answers.
 *
 * Reads nothing outside [base, end). The last bytes, fewer than 16, are read by a load that ends exactly at
 * end and begins before them, inside the buffer; a buffer of less than 16 bytes is copied first.
 */
#ifndef FC_SCAN_H
#define FC_SCAN_H

#include <stddef.h>
#include <string.h>

#if defined(__SSE2__) && !defined(FC_SCAN_PLAIN)
#include <emmintrin.h>

#define FC_SCAN_BLOCK 16

/* Bit n: byte n of the block is a control byte other than HTAB. */
static inline unsigned
fc_match_control(const char *block)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)block);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del));
}

/* Bit n: byte n of the block is a colon. */
static inline unsigned
fc_match_colon(const char *block)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)block);

    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(':')));
}

#else

#define FC_SCAN_BLOCK 1

static inline unsigned
fc_match_control(const char *block)
{
    unsigned char byte = (unsigned char)*block;

    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

static inline unsigned
fc_match_colon(const char *block)
{
    return *block == ':';
}

#endif

/* The first byte of [at, end) that match finds, or end. base <= at <= end are in one buffer, borrowed. */
static inline __attribute__((always_inline)) const char *
fc_find(const char *base, const char *at, const char *end, unsigned (*match)(const char *))
{
    char copy[FC_SCAN_BLOCK] = {0};
    size_t rest = 0;
    unsigned found = 0;

    for (; end - at >= FC_SCAN_BLOCK; at += FC_SCAN_BLOCK) {
        found = match(at);
        if (found != 0)
            return at + __builtin_ctz(found);
    }
    rest = (size_t)(end - at);
    if (FC_SCAN_BLOCK == 1 || rest == 0)
        return end;
    if (end - base >= FC_SCAN_BLOCK) {
        found = match(end - FC_SCAN_BLOCK) >> (FC_SCAN_BLOCK - rest);
    } else {
        memcpy(copy, at, rest);
        found = match(copy) & ((1u << rest) - 1);
    }
    return found != 0 ? at + __builtin_ctz(found) : end;
}

/* The first control byte other than HTAB: in a sound line, the CR that ends it. */
static inline const char *
fc_find_control(const char *base, const char *at, const char *end)
{
    return fc_find(base, at, end, fc_match_control);
}

static inline const char *
fc_find_colon(const char *base, const char *at, const char *end)
{
    return fc_find(base, at, end, fc_match_colon);
}

#endif

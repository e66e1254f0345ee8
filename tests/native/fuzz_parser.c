/* Fuzz the parser: the same bytes, whole, byte by byte and in random pieces, must give the same verdict, and
 * no promise of parser.h may break on the way (drive.c checks them, and lets any read beyond the end trap).
 *
 * With clang this is a libFuzzer target. Without it (FC_FUZZ_PLAIN) a main() mutates the seeds it is given by
 * itself: `fuzz_parser SECONDS SEED FILE...`. The first byte of an input is not parsed: it chooses the
 * limits, so that small ones are met too.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "drive.h"

#define INPUT_MAX 16384

static const FcLimits all_limits[] = {
    {.request_line = 8190, .field = 8190, .head = 65536, .fields = 100},
    {.request_line = 24, .field = 24, .head = 96, .fields = 4},
    {.request_line = 64, .field = 40, .head = 48, .fields = 2},
    {.request_line = 8190, .field = 8190, .head = 65536, .fields = FC_FIELDS_MAX},
};

/* The verdict as text; owned by the caller. */
static char *
verdict(const char *data, size_t len, const FcLimits *limits, Arrive arrive, uint64_t seed)
{
    char *text = NULL;
    size_t text_len = 0;
    FILE *out = open_memstream(&text, &text_len);

    if (out == NULL)
        abort();
    drive(out, data, len, limits, arrive, &seed);
    fclose(out);
    return text;
}

static void
compare(const char *expected, char *actual, const char *how)
{
    if (strcmp(expected, actual) != 0) {
        fprintf(stderr, "verdicts differ\nwhole: %s%s: %s", expected, how, actual);
        abort();
    }
    free(actual);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
    const char *data = (const char *)input;
    const FcLimits *limits = NULL;
    char *whole = NULL;

    if (len == 0 || len > INPUT_MAX)
        return 0;
    limits = &all_limits[*data & 3];
    data++;
    len--;
    whole = verdict(data, len, limits, arrive_whole, 0);
    compare(whole, verdict(data, len, limits, arrive_bytewise, 0), "bytewise");
    compare(whole, verdict(data, len, limits, arrive_random, 0x9e3779b97f4a7c15u ^ len), "in pieces");
    compare(whole, verdict(data, len, limits, arrive_random, 0xd1342543de82ef95u + len), "in other pieces");
    free(whole);
    return 0;
}

#ifdef FC_FUZZ_PLAIN

/* Pieces that a random byte rarely makes. */
static const char *const words[] = {
#define WORD(text) text,
#include "fuzz_words.h"
#undef WORD
};

typedef struct Seed {
    unsigned char *data;
    size_t len;
} Seed;

static uint64_t random_state = 1;

static size_t
below(size_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return limit == 0 ? 0 : (size_t)(random_state >> 11) % limit;
}

/* Put from over the cut bytes at data + at. */
static size_t
splice(unsigned char *data, size_t len, size_t at, size_t cut, const void *from, size_t from_len)
{
    if (len - cut + from_len > INPUT_MAX)
        return len;
    memmove(data + at + from_len, data + at + cut, len - at - cut);
    memcpy(data + at, from, from_len);
    return len - cut + from_len;
}

static size_t
mutate(unsigned char *data, size_t len, const Seed *other)
{
    size_t at = below(len + 1), cut = below(3) == 0 ? below(len - at + 1) : 0, from = below(other->len + 1);
    const char *word = words[below(sizeof words / sizeof *words)];
    unsigned char byte = (unsigned char)below(256);

    switch (below(5)) {
    case 0:
        return splice(data, len, at, at < len, &byte, 1);
    case 1:
        return splice(data, len, at, 0, &byte, 1);
    case 2:
        return splice(data, len, at, cut, word, strlen(word));
    case 3:
        return splice(data, len, at, cut, other->data + from, below(other->len - from + 1));
    default:
        return splice(data, len, at, below(len - at < 4 ? len - at + 1 : 5), "", 0);
    }
}

static Seed
read_seed(const char *path)
{
    Seed seed = {.data = malloc(INPUT_MAX)};
    FILE *file = fopen(path, "rb");

    if (seed.data == NULL || file == NULL)
        abort();
    seed.len = fread(seed.data, 1, INPUT_MAX, file);
    fclose(file);
    return seed;
}

int
main(int argc, char **argv)
{
    static unsigned char data[2 * INPUT_MAX];
    time_t end = time(NULL) + (argc > 1 ? atol(argv[1]) : 0);
    size_t count = argc > 3 ? (size_t)argc - 3 : 0, runs = 0, len = 0;
    Seed *seeds = calloc(count + 1, sizeof *seeds);

    if (count == 0 || seeds == NULL) {
        fprintf(stderr, "usage: %s SECONDS SEED FILE...\n", argv[0]);
        return 2;
    }
    random_state = strtoull(argv[2], NULL, 10) * 2 + 1;
    for (size_t i = 0; i < count; i++)
        seeds[i] = read_seed(argv[i + 3]);
    for (; runs < count || time(NULL) < end; runs++) {
        const Seed *seed = &seeds[runs < count ? runs : below(count)];
        memcpy(data, seed->data, seed->len);
        len = seed->len;
        for (size_t changes = runs < count ? 0 : 1 + below(4); changes > 0; changes--)
            len = mutate(data, len, &seeds[below(count)]);
        LLVMFuzzerTestOneInput(data, len);
    }
    printf("%zu inputs, no difference\n", runs);
    for (size_t i = 0; i < count; i++)
        free(seeds[i].data);
    free(seeds);
    return 0;
}

#endif

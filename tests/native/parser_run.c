/* Read cases on stdin, print the parser's verdicts.
 *
 * A case is a line "LEN REQUEST_LINE FIELD HEAD FIELDS SEED" (limits as in FcLimits) and LEN raw bytes. SEED
 * 0: all bytes arrive at once; 1: one by one; else in random runs of that seed. The verdict is that of
 * drive.h, up to "end". With the argument "names" it prints every known field instead: name, id, the ids
 * found for three spellings, and how many impostors are taken for it or another; with "refusals N" status and
 * reason of the first N errors.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"

/* How many texts that differ from name in one byte, and not only in case, are taken for a known field. */
static unsigned
count_impostors(const char *name, size_t len)
{
    char copy[64] = "";
    unsigned count = 0;

    memcpy(copy, name, len);
    for (size_t i = 0; i < len; i++) {
        for (int byte = 0; byte < 256; byte++) {
            copy[i] = (char)byte;
            if (tolower(byte) != name[i] && fc_field_id(copy, len) != FC_FIELD_UNKNOWN)
                count++;
        }
        copy[i] = name[i];
    }
    return count;
}

static int
print_names(void)
{
    for (unsigned id = 1; id < FC_FIELD_COUNT; id++) {
        const char *name = fc_field_name((FcFieldId)id);
        char upper[64] = "", mixed[64] = "";
        for (size_t i = 0; name[i] != '\0'; i++) {
            upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 32) : name[i];
            mixed[i] = i % 2 == 0 ? upper[i] : name[i];
        }
        printf("%s %u %u %u %u %u\n", name, id, fc_field_id(name, strlen(name)),
               fc_field_id(upper, strlen(name)), fc_field_id(mixed, strlen(name)),
               count_impostors(name, strlen(name)));
    }
    return 0;
}

static int
print_refusals(unsigned count)
{
    for (unsigned error = 0; error < count; error++)
        printf("%d %s\n", fc_http_status((FcHttpError)error), fc_http_reason((FcHttpError)error));
    return 0;
}

int
main(int argc, char **argv)
{
    FcLimits limits = {0};
    size_t len = 0;
    uint64_t seed = 0;

    if (argc == 2 && strcmp(argv[1], "names") == 0)
        return print_names();
    if (argc == 3 && strcmp(argv[1], "refusals") == 0)
        return print_refusals((unsigned)atoi(argv[2]));
    while (scanf("%zu %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu32 " %" SCNu64, &len, &limits.request_line,
                 &limits.field, &limits.head, &limits.fields, &seed) == 6) {
        char *data = malloc(len + 1);
        Arrive arrive = seed == 0 ? arrive_whole : seed == 1 ? arrive_bytewise : arrive_random;
        if (data == NULL || getchar() != '\n' || fread(data, 1, len, stdin) != len)
            return 2;
        drive(stdout, data, len, &limits, arrive, &seed);
        free(data);
    }
    return 0;
}

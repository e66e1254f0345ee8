/* The field names that gateways keep interned: name to id by one perfect-hash look-up, and back. */
#include <string.h>

#include "field_hash.h"
#include "framing.h"
#include "parser.h"
#include "syntax.h"

typedef struct Name {
    uint8_t len;
    char text[31];
} Name;

static const Name names[FC_FIELD_COUNT] = {
#define X(id, name) [FC_FIELD_##id] = {sizeof name - 1, name},
    FC_FIELD_LIST(X)
#undef X
};

_Static_assert(FC_FIELD_COUNT <= 64, "FcRequest.known has one bit for each id");

/* Bit 0x20 set in eight bytes at once. All names have it in every byte (lower-case letters, digits, '-'), and
 * no other byte than the upper-case letter and a control byte becomes one of theirs. */
static inline uint64_t
fold8(const char *text)
{
    uint64_t word = 0;

    memcpy(&word, text, sizeof word);
    return word | UINT64_C(0x2020202020202020);
}

static inline bool
same_folded(const char *text, const char *lower, size_t len)
{
    if (len < 8) {
        for (size_t i = 0; i < len; i++) {
            if ((text[i] | 0x20) != lower[i])
                return false;
        }
        return true;
    }
    for (size_t i = 0; i + 8 < len; i += 8) {
        if (fold8(text + i) != fold8(lower + i))
            return false;
    }
    return fold8(text + len - 8) == fold8(lower + len - 8);
}

FcFieldId
fc_field_lookup(const char *name, size_t len)
{
    unsigned id = 0;

    if (len == 0 || len > sizeof names->text)
        return FC_FIELD_UNKNOWN;
    id = fc_field_slots[FC_FIELD_SLOT((unsigned char)name[0] | 0x20u,
                                      (unsigned char)name[len > 4 ? len - 4 : 0] | 0x20u,
                                      (unsigned char)name[len - 1] | 0x20u, len)];
    if (names[id].len != len || !same_folded(name, names[id].text, len))
        return FC_FIELD_UNKNOWN;
    return (FcFieldId)id;
}

FcFieldId
fc_field_id(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!fc_is(name[i], FC_CHAR_TOKEN))
            return FC_FIELD_UNKNOWN;
    }
    return fc_field_lookup(name, len);
}

const char *
fc_field_name(FcFieldId id)
{
    return (unsigned)id < FC_FIELD_COUNT ? names[id].text : "";
}

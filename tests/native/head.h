/* Make an FcRequest by hand, as the parser would: for tests of what reads heads. */
#ifndef TESTS_NATIVE_HEAD_H
#define TESTS_NATIVE_HEAD_H

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "parser.h"

/* A head being put together; buf is allocated to the exact length, so that an over-read traps. */
typedef struct Head {
    char *buf;
    uint32_t len;
    FcRequest request;
} Head;

static inline FcSpan
head_put(Head *head, const char *text, size_t len)
{
    FcSpan span = {.at = head->len, .len = (uint32_t)len};
    char *grown = malloc(head->len + len + 1);

    memcpy(grown, head->buf ? head->buf : "", head->len);
    memcpy(grown + head->len, text, len);
    free(head->buf);
    head->buf = realloc(grown, head->len + len + (head->len + len == 0));
    head->len += (uint32_t)len;
    return span;
}

static inline uint16_t
head_field_id(const char *name, size_t len)
{
    static const char *const names[] = {"",
#define X(id, name) name,
                                        FC_FIELD_LIST(X)
#undef X
    };

    for (uint16_t id = 1; id < FC_FIELD_COUNT; id++)
        if (strlen(names[id]) == len && strncasecmp(names[id], name, len) == 0)
            return id;
    return FC_FIELD_UNKNOWN;
}

static inline void
head_add_field(Head *head, const char *name, const char *value, size_t value_len)
{
    FcField *field = &head->request.fields[head->request.n_fields++];

    field->id = head_field_id(name, strlen(name));
    field->name_at = head_put(head, name, strlen(name)).at;
    field->name_len = (uint16_t)strlen(name);
    field->value_at = head_put(head, value, value_len).at;
    field->value_len = (uint32_t)value_len;
    if (field->id)
        head->request.known |= 1ull << field->id;
}

#endif

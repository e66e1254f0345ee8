/* Private to the access log's formatting: a compiled format, and a line being written.
 *
 * logformat.c compiles, logline.c writes text, logjson.c writes JSON; accesslog.h is what others see.
 */
#ifndef FC_LOGFORMAT_H
#define FC_LOGFORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "accesslog.h"

typedef enum FcAtom {
    FC_ATOM_LITERAL,
    FC_ATOM_NOTHING, /* "-" */
    FC_ATOM_REMOTE,
    FC_ATOM_USER,
    FC_ATOM_TIME,
    FC_ATOM_REQUEST_LINE,
    FC_ATOM_METHOD,
    FC_ATOM_PATH,
    FC_ATOM_QUERY,
    FC_ATOM_QUERY_MARKED, /* with its '?' */
    FC_ATOM_PROTOCOL,
    FC_ATOM_STATUS,
    FC_ATOM_BODY,
    FC_ATOM_BODY_DASHED, /* "-" for none */
    FC_ATOM_BYTES,
    FC_ATOM_SECONDS,
    FC_ATOM_MILLISECONDS,
    FC_ATOM_MICROSECONDS,
    FC_ATOM_DECIMAL, /* seconds with 6 decimals */
    FC_ATOM_PID,
    FC_ATOM_PID_BRACKETED,
    FC_ATOM_SLOT,
    FC_ATOM_FIELD_IN,
    FC_ATOM_FIELD_OUT,
} FcAtom;

typedef struct FcOperation {
    FcAtom atom;
    FcFieldId field;  /* FC_ATOM_FIELD_IN: of a known name */
    const char *text; /* literal or field name, in the format's own copy */
    size_t len;
} FcOperation;

struct FcLogFormat {
    bool json;
    char *text; /* owned copy */
    size_t count;
    FcOperation operations[];
};

/* A line being written; once something did not fit, nothing more is. */
typedef struct FcOut {
    char *at, *end; /* end leaves room for what must follow */
} FcOut;

static inline void
fc_cut(FcOut *out)
{
    out->end = out->at;
}

static inline void
fc_put(FcOut *out, const char *text, size_t len)
{
    size_t room = (size_t)(out->end - out->at);

    memcpy(out->at, text, len < room ? len : room);
    out->at += len < room ? len : room;
    if (len > room)
        fc_cut(out);
}

static inline void
fc_put_number(FcOut *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    fc_put(out, digits + at, sizeof digits - at);
}

static inline bool
fc_is_plain(unsigned char c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* Escaped as \xhh, or as \u00hh for JSON; cut between two characters. */
static inline void
fc_put_escaped(FcOut *out, const char *text, size_t len, const char *prefix)
{
    size_t prefix_len = strlen(prefix);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((size_t)(out->end - out->at) < (fc_is_plain(c) ? 1 : prefix_len + 2)) {
            fc_cut(out);
            return;
        }
        if (fc_is_plain(c)) {
            *out->at++ = (char)c;
            continue;
        }
        memcpy(out->at, prefix, prefix_len);
        out->at[prefix_len] = "0123456789abcdef"[c >> 4];
        out->at[prefix_len + 1] = "0123456789abcdef"[c & 15];
        out->at += prefix_len + 2;
    }
}

/* The text of a second, made anew when it is another one; one of these per thread and kind. */
typedef struct FcSecond {
    time_t second;
    bool made;
    char text[40];
    size_t len;
} FcSecond;

/* The user of Basic credentials (RFC 7617), cut to cap; 0 if there are none. */
size_t fc_basic_user(const FcLogEntry *entry, char *user, size_t cap);

/* One JSON object. out has room for "{" at least, and a byte behind its end for the "}". */
void fc_put_json(FcOut *out, const FcLogEntry *entry);

#endif

/* Access log formats: Apache's and gunicorn's atoms, compiled once into operations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "logformat.h"

static const char common_format[] = "%h %l %u %t \"%r\" %>s %b";
static const char combined_format[] = "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %D";

typedef struct AtomName {
    const char *name;
    FcAtom atom;
} AtomName;

/* Inside %(...)s: gunicorn's. */
static const AtomName long_names[] = {
    {"h", FC_ATOM_REMOTE},       {"l", FC_ATOM_NOTHING},      {"u", FC_ATOM_USER},
    {"t", FC_ATOM_TIME},         {"r", FC_ATOM_REQUEST_LINE}, {"m", FC_ATOM_METHOD},
    {"U", FC_ATOM_PATH},         {"q", FC_ATOM_QUERY},        {"H", FC_ATOM_PROTOCOL},
    {"s", FC_ATOM_STATUS},       {"st", FC_ATOM_STATUS},      {"B", FC_ATOM_BODY},
    {"b", FC_ATOM_BODY_DASHED},  {"T", FC_ATOM_SECONDS},      {"M", FC_ATOM_MILLISECONDS},
    {"D", FC_ATOM_MICROSECONDS}, {"L", FC_ATOM_DECIMAL},      {"p", FC_ATOM_PID_BRACKETED},
    {"slot", FC_ATOM_SLOT},      {NULL, FC_ATOM_LITERAL},
};

/* After a bare %: Apache's. */
static const AtomName short_names[] = {
    {"h", FC_ATOM_REMOTE},       {"a", FC_ATOM_REMOTE},   {"l", FC_ATOM_NOTHING},
    {"u", FC_ATOM_USER},         {"t", FC_ATOM_TIME},     {"r", FC_ATOM_REQUEST_LINE},
    {"m", FC_ATOM_METHOD},       {"U", FC_ATOM_PATH},     {"q", FC_ATOM_QUERY_MARKED},
    {"H", FC_ATOM_PROTOCOL},     {"s", FC_ATOM_STATUS},   {"B", FC_ATOM_BODY},
    {"b", FC_ATOM_BODY_DASHED},  {"O", FC_ATOM_BYTES},    {"T", FC_ATOM_SECONDS},
    {"D", FC_ATOM_MICROSECONDS}, {"L", FC_ATOM_DECIMAL},  {"M", FC_ATOM_MILLISECONDS},
    {"P", FC_ATOM_PID},          {NULL, FC_ATOM_LITERAL},
};

static bool
find_atom(const AtomName *names, const char *text, size_t len, FcAtom *atom)
{
    for (; names->name; names++) {
        if (strlen(names->name) == len && memcmp(names->name, text, len) == 0) {
            *atom = names->atom;
            return true;
        }
    }
    return false;
}

static void
add(FcLogFormat *format, FcAtom atom, const char *text, size_t len)
{
    FcFieldId field = atom == FC_ATOM_FIELD_IN ? fc_field_id(text, len) : FC_FIELD_UNKNOWN;

    format->operations[format->count++] =
        (FcOperation){.atom = atom, .field = field, .text = text, .len = len};
}

/* "{name}i" or "{name}o" at text; the bytes used, 0 if it is neither. */
static size_t
compile_field(FcLogFormat *format, const char *text)
{
    const char *end = strchr(text, '}');

    if (!end || end == text + 1 || (end[1] != 'i' && end[1] != 'o'))
        return 0;
    add(format, end[1] == 'i' ? FC_ATOM_FIELD_IN : FC_ATOM_FIELD_OUT, text + 1, (size_t)(end - text) - 1);
    return (size_t)(end - text) + 2;
}

/* What stands in %(...)s; the bytes used from the opening parenthesis on, or 0. */
static size_t
compile_long(FcLogFormat *format, const char *text)
{
    const char *close = strchr(text, ')');
    size_t len = close ? (size_t)(close - text) - 1 : 0;
    FcAtom atom = FC_ATOM_LITERAL;

    if (!close || close[1] != 's')
        return 0;
    if (text[1] == '{')
        return compile_field(format, text + 1) == len ? len + 3 : 0;
    if (len == 1 && text[1] == 'f')
        add(format, FC_ATOM_FIELD_IN, "referer", 7);
    else if (len == 1 && text[1] == 'a')
        add(format, FC_ATOM_FIELD_IN, "user-agent", 10);
    else if (find_atom(long_names, text + 1, len, &atom))
        add(format, atom, NULL, 0);
    else
        return 0;
    return len + 3;
}

/* What follows a %; the bytes used, or 0. */
static size_t
compile_atom(FcLogFormat *format, const char *text)
{
    size_t chosen =
        text[0] == '>' || text[0] == '<'; /* first or last of internal redirects: there are none */
    FcAtom atom = FC_ATOM_LITERAL;

    if (text[0] == '%') {
        add(format, FC_ATOM_LITERAL, text, 1);
        return 1;
    }
    if (text[0] == '(')
        return compile_long(format, text);
    if (text[0] == '{')
        return compile_field(format, text);
    if (!text[chosen] || !find_atom(short_names, text + chosen, 1, &atom))
        return 0;
    add(format, atom, NULL, 0);
    return chosen + 1;
}

static bool
compile_text(FcLogFormat *format, char *error, size_t error_len)
{
    for (const char *text = format->text; *text;) {
        size_t used = strcspn(text, "%");
        if (used) {
            add(format, FC_ATOM_LITERAL, text, used);
        } else {
            used = 1 + compile_atom(format, text + 1);
            if (used == 1) {
                snprintf(error, error_len, "access log format: '%.20s' is not an atom we know", text);
                return false;
            }
        }
        text += used;
    }
    return true;
}

static bool
has_control_character(const char *text)
{
    for (; *text; text++)
        if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
            return true;
    return false;
}

FcLogFormat *
fc_logformat_compile(const char *text, char *error, size_t error_len)
{
    FcLogFormat *format = NULL;

    if (strcmp(text, "common") == 0)
        text = common_format;
    else if (strcmp(text, "combined") == 0)
        text = combined_format;
    format = calloc(1, sizeof *format + (strlen(text) + 1) * sizeof format->operations[0]);
    if (format)
        format->text = strdup(text);
    if (!format || !format->text) {
        snprintf(error, error_len, "access log format: out of memory");
        goto fail;
    }
    format->json = strcmp(text, "json") == 0;
    if (has_control_character(text)) {
        snprintf(error, error_len, "access log format: a control character would break the line");
        goto fail;
    }
    if (!format->json && !compile_text(format, error, error_len))
        goto fail;
    return format;

fail:
    fc_logformat_free(format);
    return NULL;
}

void
fc_logformat_free(FcLogFormat *format)
{
    if (format)
        free(format->text);
    free(format);
}

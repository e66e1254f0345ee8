/* Access log lines: a format compiled once into operations, then one pass over them for each line.
 *
 * Whatever came from the client or the app is escaped, so that no byte of it can end a line, a quoted part or
 * a JSON string. Knows no descriptor and no thread; the texts of the present second are kept per thread.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "accesslog.h"

typedef enum Atom {
    ATOM_LITERAL,
    ATOM_NOTHING, /* "-" */
    ATOM_REMOTE,
    ATOM_USER,
    ATOM_TIME,
    ATOM_REQUEST_LINE,
    ATOM_METHOD,
    ATOM_PATH,
    ATOM_QUERY,
    ATOM_QUERY_MARKED, /* with its '?' */
    ATOM_PROTOCOL,
    ATOM_STATUS,
    ATOM_BODY,
    ATOM_BODY_DASHED, /* "-" for none */
    ATOM_BYTES,
    ATOM_SECONDS,
    ATOM_MILLISECONDS,
    ATOM_MICROSECONDS,
    ATOM_DECIMAL, /* seconds with 6 decimals */
    ATOM_PID,
    ATOM_PID_BRACKETED,
    ATOM_SLOT,
    ATOM_FIELD_IN,
    ATOM_FIELD_OUT,
} Atom;

typedef struct Operation {
    Atom atom;
    FcFieldId field;  /* ATOM_FIELD_IN: of a known name */
    const char *text; /* literal or field name, in the format's own copy */
    size_t len;
} Operation;

struct FcLogFormat {
    bool json;
    char *text; /* owned copy */
    size_t count;
    Operation operations[];
};

static const char common_format[] = "%h %l %u %t \"%r\" %>s %b";
static const char combined_format[] = "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\" %D";

typedef struct AtomName {
    const char *name;
    Atom atom;
} AtomName;

/* Inside %(...)s: gunicorn's. */
static const AtomName long_names[] = {
    {"h", ATOM_REMOTE},       {"l", ATOM_NOTHING},       {"u", ATOM_USER},         {"t", ATOM_TIME},
    {"r", ATOM_REQUEST_LINE}, {"m", ATOM_METHOD},        {"U", ATOM_PATH},         {"q", ATOM_QUERY},
    {"H", ATOM_PROTOCOL},     {"s", ATOM_STATUS},        {"st", ATOM_STATUS},      {"B", ATOM_BODY},
    {"b", ATOM_BODY_DASHED},  {"T", ATOM_SECONDS},       {"M", ATOM_MILLISECONDS}, {"D", ATOM_MICROSECONDS},
    {"L", ATOM_DECIMAL},      {"p", ATOM_PID_BRACKETED}, {"slot", ATOM_SLOT},      {NULL, ATOM_LITERAL},
};

/* After a bare %: Apache's. */
static const AtomName short_names[] = {
    {"h", ATOM_REMOTE},       {"a", ATOM_REMOTE},       {"l", ATOM_NOTHING}, {"u", ATOM_USER},
    {"t", ATOM_TIME},         {"r", ATOM_REQUEST_LINE}, {"m", ATOM_METHOD},  {"U", ATOM_PATH},
    {"q", ATOM_QUERY_MARKED}, {"H", ATOM_PROTOCOL},     {"s", ATOM_STATUS},  {"B", ATOM_BODY},
    {"b", ATOM_BODY_DASHED},  {"O", ATOM_BYTES},        {"T", ATOM_SECONDS}, {"D", ATOM_MICROSECONDS},
    {"L", ATOM_DECIMAL},      {"M", ATOM_MILLISECONDS}, {"P", ATOM_PID},     {NULL, ATOM_LITERAL},
};

static bool
find_atom(const AtomName *names, const char *text, size_t len, Atom *atom)
{
    for (; names->name; names++) {
        if (strlen(names->name) == len && memcmp(names->name, text, len) == 0) {
            *atom = names->atom;
            return true;
        }
    }
    return false;
}

static FcFieldId
find_field(const char *name, size_t len)
{
    static const char *const names[FC_FIELD_COUNT] = {
#define X(id, text) [FC_FIELD_##id] = text,
        FC_FIELD_LIST(X)
#undef X
    };

    for (unsigned id = 1; id < FC_FIELD_COUNT; id++)
        if (strlen(names[id]) == len && strncasecmp(names[id], name, len) == 0)
            return (FcFieldId)id;
    return FC_FIELD_UNKNOWN;
}

static void
add(FcLogFormat *format, Atom atom, const char *text, size_t len)
{
    FcFieldId field = atom == ATOM_FIELD_IN ? find_field(text, len) : FC_FIELD_UNKNOWN;

    format->operations[format->count++] = (Operation){.atom = atom, .field = field, .text = text, .len = len};
}

/* "{name}i" or "{name}o" at text; the bytes used, 0 if it is neither. */
static size_t
compile_field(FcLogFormat *format, const char *text)
{
    const char *end = strchr(text, '}');

    if (!end || end == text + 1 || (end[1] != 'i' && end[1] != 'o'))
        return 0;
    add(format, end[1] == 'i' ? ATOM_FIELD_IN : ATOM_FIELD_OUT, text + 1, (size_t)(end - text) - 1);
    return (size_t)(end - text) + 2;
}

/* What stands in %(...)s; the bytes used from the opening parenthesis on, or 0. */
static size_t
compile_long(FcLogFormat *format, const char *text)
{
    const char *close = strchr(text, ')');
    size_t len = close ? (size_t)(close - text) - 1 : 0;
    Atom atom = ATOM_LITERAL;

    if (!close || close[1] != 's')
        return 0;
    if (text[1] == '{')
        return compile_field(format, text + 1) == len ? len + 3 : 0;
    if (len == 1 && text[1] == 'f')
        add(format, ATOM_FIELD_IN, "referer", 7);
    else if (len == 1 && text[1] == 'a')
        add(format, ATOM_FIELD_IN, "user-agent", 10);
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
    Atom atom = ATOM_LITERAL;

    if (text[0] == '%') {
        add(format, ATOM_LITERAL, text, 1);
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
            add(format, ATOM_LITERAL, text, used);
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

/* A line being written; once something did not fit, nothing more is. */
typedef struct Out {
    char *at, *end; /* end leaves room for what must follow */
} Out;

static void
cut(Out *out)
{
    out->end = out->at;
}

static void
put(Out *out, const char *text, size_t len)
{
    size_t room = (size_t)(out->end - out->at);

    memcpy(out->at, text, len < room ? len : room);
    out->at += len < room ? len : room;
    if (len > room)
        cut(out);
}

static void
put_number(Out *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    put(out, digits + at, sizeof digits - at);
}

static bool
is_plain(unsigned char c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* Escaped as \xhh, or as \u00hh for JSON; cut between two characters. */
static void
put_escaped(Out *out, const char *text, size_t len, const char *prefix)
{
    size_t prefix_len = strlen(prefix);

    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((size_t)(out->end - out->at) < (is_plain(c) ? 1 : prefix_len + 2)) {
            cut(out);
            return;
        }
        if (is_plain(c)) {
            *out->at++ = (char)c;
            continue;
        }
        memcpy(out->at, prefix, prefix_len);
        out->at[prefix_len] = "0123456789abcdef"[c >> 4];
        out->at[prefix_len + 1] = "0123456789abcdef"[c & 15];
        out->at += prefix_len + 2;
    }
}

static void
put_text(Out *out, const char *text, size_t len)
{
    if (len)
        put_escaped(out, text, len, "\\x");
    else
        put(out, "-", 1);
}

static void
put_span(Out *out, const FcLogEntry *entry, FcSpan span)
{
    put_text(out, entry->buf + span.at, span.len);
}

/* The text of a second, made anew when it is another one; one of these per thread and kind. */
typedef struct Second {
    time_t second;
    bool made;
    char text[40];
    size_t len;
} Second;

/* [23/Nov/2026:09:56:19 +0000], in local time, as httpd has it. */
static const Second *
common_second(uint64_t wall_us)
{
    static _Thread_local Second last;
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t second = (time_t)(wall_us / 1000000);
    struct tm now;

    if (last.made && last.second == second)
        return &last;
    localtime_r(&second, &now);
    long offset = now.tm_gmtoff / 60;
    long distance = offset < 0 ? -offset : offset;
    last.len = (size_t)snprintf(last.text, sizeof last.text, "[%02d/%.3s/%04d:%02d:%02d:%02d %c%02ld%02ld]",
                                now.tm_mday % 100, months + 3 * now.tm_mon, (now.tm_year + 1900) % 10000,
                                now.tm_hour, now.tm_min, now.tm_sec, offset < 0 ? '-' : '+',
                                distance / 60 % 100, distance % 60);
    last.second = second;
    last.made = true;
    return &last;
}

/* 2026-11-23T09:56:19, in UTC (RFC 3339). */
static const Second *
utc_second(uint64_t wall_us)
{
    static _Thread_local Second last;
    time_t second = (time_t)(wall_us / 1000000);
    struct tm now;

    if (last.made && last.second == second)
        return &last;
    gmtime_r(&second, &now);
    last.len = (size_t)snprintf(last.text, sizeof last.text, "%04d-%02d-%02dT%02d:%02d:%02d",
                                (now.tm_year + 1900) % 10000, (now.tm_mon + 1) % 100, now.tm_mday % 100,
                                now.tm_hour % 100, now.tm_min % 100, now.tm_sec % 100);
    last.second = second;
    last.made = true;
    return &last;
}

static bool
matches(const FcLogEntry *entry, const FcField *field, const Operation *operation)
{
    if (operation->field)
        return field->id == operation->field;
    return field->name_len == operation->len &&
           strncasecmp(entry->buf + field->name_at, operation->text, operation->len) == 0;
}

/* A request's field; several lines joined as RFC 9110 section 5.3 joins them. */
static void
put_field_in(Out *out, const FcLogEntry *entry, const Operation *operation)
{
    const FcRequest *request = entry->request;
    bool any = false;

    if (!operation->field || request->known >> operation->field & 1) {
        for (unsigned i = 0; i < request->n_fields; i++) {
            const FcField *field = &request->fields[i];
            if (!matches(entry, field, operation))
                continue;
            if (any)
                put(out, ", ", 2);
            put_escaped(out, entry->buf + field->value_at, field->value_len, "\\x");
            any = true;
        }
    }
    if (!any)
        put(out, "-", 1);
}

/* The answer's field: lines "name: value" CRLF. */
static void
put_field_out(Out *out, const FcLogEntry *entry, const Operation *operation)
{
    const char *at = entry->response_fields;
    const char *end = at ? at + entry->response_fields_len : NULL;
    bool any = false;

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *next = lf ? lf + 1 : end;
        const char *stop = lf ? lf : end;
        if ((size_t)(stop - at) > operation->len && at[operation->len] == ':' &&
            strncasecmp(at, operation->text, operation->len) == 0) {
            at += operation->len + 1;
            while (at < stop && *at == ' ')
                at++;
            while (stop > at && stop[-1] == '\r')
                stop--;
            if (any)
                put(out, ", ", 2);
            put_escaped(out, at, (size_t)(stop - at), "\\x");
            any = true;
        }
        at = next;
    }
    if (!any)
        put(out, "-", 1);
}

static int
base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

/* The user of Basic credentials (RFC 7617), cut to cap; 0 if there are none. */
static size_t
basic_user(const FcLogEntry *entry, char *user, size_t cap)
{
    const FcRequest *request = entry->request;
    const FcField *field = request->fields;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    size_t len = 0;

    if (!(request->known >> FC_FIELD_AUTHORIZATION & 1))
        return 0;
    while (field->id != FC_FIELD_AUTHORIZATION && field < request->fields + request->n_fields)
        field++;
    if (field == request->fields + request->n_fields || field->value_len < 6 ||
        strncasecmp(entry->buf + field->value_at, "basic ", 6) != 0)
        return 0;
    for (uint32_t i = 6; i < field->value_len && len < cap; i++) {
        int digit = base64_digit(entry->buf[field->value_at + i]);
        if (digit < 0)
            break;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits < 8)
            continue;
        n_bits -= 8;
        char c = (char)(bits >> n_bits & 0xff);
        if (c == ':')
            break;
        user[len++] = c;
    }
    return len;
}

static void
put_path(Out *out, const FcLogEntry *entry)
{
    if (entry->request->path.len == 0 && entry->request->form == FC_TARGET_ABSOLUTE &&
        entry->request->target.len)
        put(out, "/", 1);
    else
        put_span(out, entry, entry->request->path);
}

static void
put_protocol(Out *out, const FcLogEntry *entry)
{
    put(out, entry->request->minor ? "HTTP/1.1" : "HTTP/1.0", 8);
}

static void
put_request_line(Out *out, const FcLogEntry *entry)
{
    if (entry->request->method_name.len == 0) {
        put(out, "-", 1);
        return;
    }
    put_span(out, entry, entry->request->method_name);
    put(out, " ", 1);
    put_span(out, entry, entry->request->target);
    put(out, " ", 1);
    put_protocol(out, entry);
}

/* Seconds with 6 decimals. */
static void
put_decimal(Out *out, uint64_t ns)
{
    uint64_t us = ns / 1000;
    char decimals[7] = {'.'};

    put_number(out, us / 1000000);
    us %= 1000000;
    for (int i = 6; i > 0; i--, us /= 10)
        decimals[i] = (char)('0' + us % 10);
    put(out, decimals, sizeof decimals);
}

static void
put_user(Out *out, const FcLogEntry *entry)
{
    char user[128];

    put_text(out, user, basic_user(entry, user, sizeof user));
}

static void
put_time(Out *out, const FcLogEntry *entry)
{
    const Second *second = common_second(entry->wall_us);

    put(out, second->text, second->len);
}

static void
put_atom(Out *out, const FcLogEntry *entry, const Operation *operation)
{
    switch (operation->atom) {
    case ATOM_LITERAL:
        put(out, operation->text, operation->len);
        break;
    case ATOM_NOTHING:
        put(out, "-", 1);
        break;
    case ATOM_REMOTE:
        put_text(out, entry->remote, entry->remote_len);
        break;
    case ATOM_USER:
        put_user(out, entry);
        break;
    case ATOM_TIME:
        put_time(out, entry);
        break;
    case ATOM_REQUEST_LINE:
        put_request_line(out, entry);
        break;
    case ATOM_METHOD:
        put_span(out, entry, entry->request->method_name);
        break;
    case ATOM_PATH:
        put_path(out, entry);
        break;
    case ATOM_QUERY_MARKED:
        if (entry->request->has_query)
            put(out, "?", 1);
        put_escaped(out, entry->buf + entry->request->query.at, entry->request->query.len, "\\x");
        break;
    case ATOM_QUERY:
        put_escaped(out, entry->buf + entry->request->query.at, entry->request->query.len, "\\x");
        break;
    case ATOM_PROTOCOL:
        put_protocol(out, entry);
        break;
    case ATOM_STATUS:
        put_number(out, entry->status);
        break;
    case ATOM_BODY:
        put_number(out, entry->body_sent);
        break;
    case ATOM_BODY_DASHED:
        if (entry->body_sent)
            put_number(out, entry->body_sent);
        else
            put(out, "-", 1);
        break;
    case ATOM_BYTES:
        put_number(out, entry->bytes_sent);
        break;
    case ATOM_SECONDS:
        put_number(out, entry->duration_ns / 1000000000);
        break;
    case ATOM_MILLISECONDS:
        put_number(out, entry->duration_ns / 1000000);
        break;
    case ATOM_MICROSECONDS:
        put_number(out, entry->duration_ns / 1000);
        break;
    case ATOM_DECIMAL:
        put_decimal(out, entry->duration_ns);
        break;
    case ATOM_PID_BRACKETED:
        put(out, "<", 1);
        put_number(out, (uint64_t)entry->pid);
        put(out, ">", 1);
        break;
    case ATOM_PID:
        put_number(out, (uint64_t)entry->pid);
        break;
    case ATOM_SLOT:
        put_number(out, entry->slot);
        break;
    case ATOM_FIELD_IN:
        put_field_in(out, entry, operation);
        break;
    case ATOM_FIELD_OUT:
        put_field_out(out, entry, operation);
        break;
    }
}

/* The name of a member that needs room for a value; false, and nothing written, if there is none. */
static bool
put_name(Out *out, const char *name, size_t need)
{
    size_t len = strlen(name);

    if ((size_t)(out->end - out->at) < len + 4 + need) /* , " " : */
        return false;
    if (out->at[-1] != '{')
        *out->at++ = ',';
    *out->at++ = '"';
    memcpy(out->at, name, len);
    out->at += len;
    *out->at++ = '"';
    *out->at++ = ':';
    return true;
}

static void
put_json_number(Out *out, const char *name, uint64_t number)
{
    if (put_name(out, name, 20))
        put_number(out, number);
}

/* At most half of the room that is left, so that one long value leaves some for the others. */
static void
put_json_text(Out *out, const char *name, const char *text, size_t len)
{
    if (len == 0 || !put_name(out, name, 2 + 12))
        return;
    *out->at++ = '"';
    Out part = {out->at, out->at + (out->end - out->at - 1) / 2};
    put_escaped(&part, text, len, "\\u00");
    out->at = part.at;
    *out->at++ = '"';
}

static void
put_json_span(Out *out, const char *name, const FcLogEntry *entry, FcSpan span)
{
    put_json_text(out, name, entry->buf + span.at, span.len);
}

static void
put_json_field(Out *out, const char *name, const FcLogEntry *entry, FcFieldId id)
{
    const FcRequest *request = entry->request;

    if (!(request->known >> id & 1))
        return;
    for (unsigned i = 0; i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        if (field->id == id) {
            put_json_text(out, name, entry->buf + field->value_at, field->value_len);
            return;
        }
    }
}

static void
put_json_time(Out *out, uint64_t wall_us)
{
    const Second *second = utc_second(wall_us);
    char fraction[9];
    uint64_t us = wall_us % 1000000;

    if (!put_name(out, "time", 2 + second->len + 8))
        return;
    fraction[0] = '.';
    for (int i = 6; i > 0; i--, us /= 10)
        fraction[i] = (char)('0' + us % 10);
    fraction[7] = 'Z';
    fraction[8] = '"';
    *out->at++ = '"';
    put(out, second->text, second->len);
    put(out, fraction, sizeof fraction);
}

static void
put_json(Out *out, const FcLogEntry *entry)
{
    char user[128];

    *out->at++ = '{';
    put_json_time(out, entry->wall_us);
    put_json_number(out, "status", entry->status);
    put_json_number(out, "duration_us", entry->duration_ns / 1000);
    put_json_number(out, "body_bytes", entry->body_sent);
    put_json_number(out, "bytes", entry->bytes_sent);
    put_json_number(out, "slot", entry->slot);
    put_json_number(out, "pid", (uint64_t)entry->pid);
    put_json_text(out, "scheme", entry->https ? "https" : "http", entry->https ? 5 : 4);
    put_json_text(out, "remote", entry->remote, entry->remote_len);
    put_json_span(out, "method", entry, entry->request->method_name);
    put_json_field(out, "request_id", entry, FC_FIELD_X_REQUEST_ID);
    put_json_field(out, "host", entry, FC_FIELD_HOST);
    put_json_text(out, "user", user, basic_user(entry, user, sizeof user));
    put_json_span(out, "path", entry, entry->request->path);
    put_json_span(out, "query", entry, entry->request->query);
    put_json_field(out, "referer", entry, FC_FIELD_REFERER);
    put_json_field(out, "user_agent", entry, FC_FIELD_USER_AGENT);
    *out->at++ = '}'; /* its room was kept */
}

size_t
fc_logformat_line(const FcLogFormat *format, const FcLogEntry *entry, char *out, size_t cap)
{
    size_t kept = format->json ? 2 : 1; /* "}" LF, or LF */
    Out line = {.at = out, .end = out + cap - kept};

    if (cap < kept + format->json)
        return 0;
    if (format->json)
        put_json(&line, entry);
    for (size_t i = 0; i < format->count; i++)
        put_atom(&line, entry, &format->operations[i]);
    *line.at++ = '\n';
    return (size_t)(line.at - out);
}

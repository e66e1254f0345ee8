/* One line of the access log, by one pass over a compiled format.
 *
 * Whatever came from the client or the app is escaped, so that no byte of it can end a line or a quoted part.
 * Knows no descriptor and no lock; the text of the present second is kept per thread.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "logformat.h"

static void
put_text(FcOut *out, const char *text, size_t len)
{
    if (len)
        fc_put_escaped(out, text, len, "\\x");
    else
        fc_put(out, "-", 1);
}

static void
put_span(FcOut *out, const FcLogEntry *entry, FcSpan span)
{
    put_text(out, entry->buf + span.at, span.len);
}

/* [23/Nov/2026:09:56:19 +0000], in local time, as httpd has it. */
static const FcSecond *
common_second(uint64_t wall_us)
{
    static _Thread_local FcSecond last;
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

static bool
matches(const FcLogEntry *entry, const FcField *field, const FcOperation *operation)
{
    if (operation->field)
        return field->id == operation->field;
    return field->name_len == operation->len &&
           strncasecmp(entry->buf + field->name_at, operation->text, operation->len) == 0;
}

/* A request's field; several lines joined as RFC 9110 section 5.3 joins them. */
static void
put_field_in(FcOut *out, const FcLogEntry *entry, const FcOperation *operation)
{
    const FcRequest *request = entry->request;
    bool any = false;

    if (!operation->field || request->known >> operation->field & 1) {
        for (unsigned i = 0; i < request->n_fields; i++) {
            const FcField *field = &request->fields[i];
            if (!matches(entry, field, operation))
                continue;
            if (any)
                fc_put(out, ", ", 2);
            fc_put_escaped(out, entry->buf + field->value_at, field->value_len, "\\x");
            any = true;
        }
    }
    if (!any)
        fc_put(out, "-", 1);
}

/* The answer's field: lines "name: value" CRLF. */
static void
put_field_out(FcOut *out, const FcLogEntry *entry, const FcOperation *operation)
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
                fc_put(out, ", ", 2);
            fc_put_escaped(out, at, (size_t)(stop - at), "\\x");
            any = true;
        }
        at = next;
    }
    if (!any)
        fc_put(out, "-", 1);
}

static int
base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c ? strchr(digits, c) : NULL;

    return found ? (int)(found - digits) : -1;
}

size_t
fc_basic_user(const FcLogEntry *entry, char *user, size_t cap)
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
put_path(FcOut *out, const FcLogEntry *entry)
{
    if (entry->request->path.len == 0 && entry->request->form == FC_TARGET_ABSOLUTE &&
        entry->request->target.len)
        fc_put(out, "/", 1);
    else
        put_span(out, entry, entry->request->path);
}

static void
put_protocol(FcOut *out, const FcLogEntry *entry)
{
    fc_put(out, entry->request->minor ? "HTTP/1.1" : "HTTP/1.0", 8);
}

static void
put_request_line(FcOut *out, const FcLogEntry *entry)
{
    if (entry->request->method_name.len == 0) {
        fc_put(out, "-", 1);
        return;
    }
    put_span(out, entry, entry->request->method_name);
    fc_put(out, " ", 1);
    put_span(out, entry, entry->request->target);
    fc_put(out, " ", 1);
    put_protocol(out, entry);
}

/* Seconds with 6 decimals. */
static void
put_decimal(FcOut *out, uint64_t ns)
{
    uint64_t us = ns / 1000;
    char decimals[7] = {'.'};

    fc_put_number(out, us / 1000000);
    us %= 1000000;
    for (int i = 6; i > 0; i--, us /= 10)
        decimals[i] = (char)('0' + us % 10);
    fc_put(out, decimals, sizeof decimals);
}

static void
put_user(FcOut *out, const FcLogEntry *entry)
{
    char user[128];

    put_text(out, user, fc_basic_user(entry, user, sizeof user));
}

static void
put_time(FcOut *out, const FcLogEntry *entry)
{
    const FcSecond *second = common_second(entry->wall_us);

    fc_put(out, second->text, second->len);
}

static void
put_atom(FcOut *out, const FcLogEntry *entry, const FcOperation *operation)
{
    switch (operation->atom) {
    case FC_ATOM_LITERAL:
        fc_put(out, operation->text, operation->len);
        break;
    case FC_ATOM_NOTHING:
        fc_put(out, "-", 1);
        break;
    case FC_ATOM_REMOTE:
        put_text(out, entry->remote, entry->remote_len);
        break;
    case FC_ATOM_USER:
        put_user(out, entry);
        break;
    case FC_ATOM_TIME:
        put_time(out, entry);
        break;
    case FC_ATOM_REQUEST_LINE:
        put_request_line(out, entry);
        break;
    case FC_ATOM_METHOD:
        put_span(out, entry, entry->request->method_name);
        break;
    case FC_ATOM_PATH:
        put_path(out, entry);
        break;
    case FC_ATOM_QUERY_MARKED:
        if (entry->request->has_query)
            fc_put(out, "?", 1);
        fc_put_escaped(out, entry->buf + entry->request->query.at, entry->request->query.len, "\\x");
        break;
    case FC_ATOM_QUERY:
        fc_put_escaped(out, entry->buf + entry->request->query.at, entry->request->query.len, "\\x");
        break;
    case FC_ATOM_PROTOCOL:
        put_protocol(out, entry);
        break;
    case FC_ATOM_STATUS:
        fc_put_number(out, entry->status);
        break;
    case FC_ATOM_BODY:
        fc_put_number(out, entry->body_sent);
        break;
    case FC_ATOM_BODY_DASHED:
        if (entry->body_sent)
            fc_put_number(out, entry->body_sent);
        else
            fc_put(out, "-", 1);
        break;
    case FC_ATOM_BYTES:
        fc_put_number(out, entry->bytes_sent);
        break;
    case FC_ATOM_SECONDS:
        fc_put_number(out, entry->duration_ns / 1000000000);
        break;
    case FC_ATOM_MILLISECONDS:
        fc_put_number(out, entry->duration_ns / 1000000);
        break;
    case FC_ATOM_MICROSECONDS:
        fc_put_number(out, entry->duration_ns / 1000);
        break;
    case FC_ATOM_DECIMAL:
        put_decimal(out, entry->duration_ns);
        break;
    case FC_ATOM_PID_BRACKETED:
        fc_put(out, "<", 1);
        fc_put_number(out, (uint64_t)entry->pid);
        fc_put(out, ">", 1);
        break;
    case FC_ATOM_PID:
        fc_put_number(out, (uint64_t)entry->pid);
        break;
    case FC_ATOM_SLOT:
        fc_put_number(out, entry->slot);
        break;
    case FC_ATOM_FIELD_IN:
        put_field_in(out, entry, operation);
        break;
    case FC_ATOM_FIELD_OUT:
        put_field_out(out, entry, operation);
        break;
    }
}

size_t
fc_logformat_line(const FcLogFormat *format, const FcLogEntry *entry, char *out, size_t cap)
{
    size_t kept = format->json ? 2 : 1; /* "}" LF, or LF */
    FcOut line = {.at = out, .end = out + cap - kept};

    if (cap < kept + format->json)
        return 0;
    if (format->json)
        fc_put_json(&line, entry);
    for (size_t i = 0; i < format->count; i++)
        put_atom(&line, entry, &format->operations[i]);
    *line.at++ = '\n';
    return (size_t)(line.at - out);
}

/* One line of the access log as a JSON object, which stays one however little room there is. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "logformat.h"

/* 2026-11-23T09:56:19, in UTC (RFC 3339). */
static const FcSecond *
utc_second(uint64_t wall_us)
{
    static _Thread_local FcSecond last;
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

/* The name of a member that needs room for a value; false, and nothing written, if there is none. */
static bool
put_name(FcOut *out, const char *name, size_t need)
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
put_json_number(FcOut *out, const char *name, uint64_t number)
{
    if (put_name(out, name, 20))
        fc_put_number(out, number);
}

/* At most half of the room that is left, so that one long value leaves some for the others. */
static void
put_json_text(FcOut *out, const char *name, const char *text, size_t len)
{
    if (len == 0 || !put_name(out, name, 2 + 12))
        return;
    *out->at++ = '"';
    FcOut part = {out->at, out->at + (out->end - out->at - 1) / 2};
    fc_put_escaped(&part, text, len, "\\u00");
    out->at = part.at;
    *out->at++ = '"';
}

static void
put_json_span(FcOut *out, const char *name, const FcLogEntry *entry, FcSpan span)
{
    put_json_text(out, name, entry->buf + span.at, span.len);
}

static void
put_json_field(FcOut *out, const char *name, const FcLogEntry *entry, FcFieldId id)
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
put_json_time(FcOut *out, uint64_t wall_us)
{
    const FcSecond *second = utc_second(wall_us);
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
    fc_put(out, second->text, second->len);
    fc_put(out, fraction, sizeof fraction);
}

void
fc_put_json(FcOut *out, const FcLogEntry *entry)
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
    put_json_text(out, "user", user, fc_basic_user(entry, user, sizeof user));
    put_json_span(out, "path", entry, entry->request->path);
    put_json_span(out, "query", entry, entry->request->query);
    put_json_field(out, "referer", entry, FC_FIELD_REFERER);
    put_json_field(out, "user_agent", entry, FC_FIELD_USER_AGENT);
    *out->at++ = '}'; /* its room was kept */
}

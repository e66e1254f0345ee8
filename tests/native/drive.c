/* Drive the parser over a byte stream: see drive.h. */
#include "drive.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Stream {
    FILE *out;
    const char *data;
    size_t len, here, done; /* bytes in all, arrived, consumed */
    const FcLimits *limits;
    Arrive arrive;
    void *state;
} Stream;

#define E(name) [FC_HTTP_##name] = #name
static const char *const error_names[] = {
    E(OK),
    E(BARE_LF),
    E(BAD_METHOD),
    E(BAD_REQUEST_LINE),
    E(BAD_TARGET),
    E(BAD_VERSION),
    E(VERSION_UNSUPPORTED),
    E(LINE_TOO_LONG),
    E(FIELD_TOO_LONG),
    E(TOO_MANY_FIELDS),
    E(HEAD_TOO_LONG),
    E(BAD_FIELD_NAME),
    E(BAD_FIELD_VALUE),
    E(OBS_FOLD),
    E(MISSING_HOST),
    E(BAD_HOST),
    E(DUPLICATE_FIELD),
    E(BAD_LENGTH),
    E(LENGTH_AND_CODING),
    E(BAD_CODING),
    E(CODING_UNSUPPORTED),
    E(METHOD_UNSUPPORTED),
    E(BAD_CHUNK),
    E(BAD_TRAILER),
    E(BODY_TOO_LARGE),
    E(TIMEOUT),
    E(EXPECT_UNSUPPORTED),
};
#undef E

static const char *const form_names[] = {"origin", "absolute", "asterisk"};

#define PROMISE(condition)                                                                                   \
    ((condition) ? (void)0                                                                                   \
                 : (fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition), abort()))

size_t
arrive_whole(void *state, size_t left)
{
    (void)state;
    return left;
}

size_t
arrive_bytewise(void *state, size_t left)
{
    (void)state;
    (void)left;
    return 1;
}

size_t
arrive_random(void *state, size_t left)
{
    uint64_t *seed = state;
    size_t most = 0;

    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    most = (*seed & 3) == 0 ? left : 24; /* now and then a long run */
    return 1 + (size_t)(*seed >> 8) % (most < left ? most : left);
}

/* The len bytes at data, copied so that they end at an unmapped page. */
static char *
flush(const char *data, size_t len)
{
    static char *guard = NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    if (guard == NULL) {
        char *map = mmap(NULL, DRIVE_MAX + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        PROMISE(map != MAP_FAILED && mprotect(map + DRIVE_MAX, page, PROT_NONE) == 0);
        guard = map + DRIVE_MAX;
    }
    if (len > 0)
        memcpy(guard - len, data, len);
    return guard - len;
}

static bool
more_arrives(Stream *stream)
{
    size_t left = stream->len - stream->here;

    if (left > 0)
        stream->here += stream->arrive(stream->state, left);
    return left > 0;
}

static void
put_hex(FILE *out, const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fprintf(out, "%02x", (unsigned char)at[i]);
}

static void
put_span(FILE *out, const char *name, const char *head, FcSpan span)
{
    fprintf(out, " %s=", name);
    put_hex(out, head + span.at, span.len);
}

static bool
inside(FcSpan inner, FcSpan outer)
{
    return inner.at >= outer.at && inner.at + inner.len <= outer.at + outer.len;
}

/* What must hold of every accepted head, whatever the bytes were. */
static void
check_request(const FcRequest *request, const char *head, size_t len, const FcLimits *limits)
{
    FcSpan whole = {0, request->head_len};
    unsigned unknown = 0;

    PROMISE(request->head_len <= len && request->head_len <= limits->head);
    PROMISE(memcmp(head + request->head_len - 4, "\r\n\r\n", 4) == 0);
    PROMISE(request->n_fields + request->n_dropped <= limits->fields);
    PROMISE(inside(request->method_name, whole) && inside(request->target, whole));
    PROMISE(inside(request->path, request->target));
    PROMISE(!request->has_query || inside(request->query, request->target));
    PROMISE(request->form != FC_TARGET_ABSOLUTE || inside(request->authority, request->target));
    PROMISE(request->error == FC_HTTP_OK && request->minor <= 1 && request->method < FC_METHOD_COUNT);
    PROMISE(!request->chunked || request->content_length == -1);
    PROMISE(request->content_length >= -1);
    for (unsigned i = 0; i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        PROMISE(field->name_len > 0 && field->name_at + field->name_len < field->value_at);
        PROMISE(field->value_at + field->value_len + 2 < request->head_len);
        PROMISE(field->id == fc_field_id(head + field->name_at, field->name_len));
        PROMISE((request->known >> field->id & 1) != 0);
        PROMISE(memchr(head + field->name_at, '_', field->name_len) == NULL);
        PROMISE(memchr(head + field->value_at, '\0', field->value_len) == NULL);
        PROMISE(memchr(head + field->value_at, '\r', field->value_len) == NULL);
        PROMISE(memchr(head + field->value_at, '\n', field->value_len) == NULL);
        unknown += field->id == FC_FIELD_UNKNOWN;
    }
    PROMISE((request->known & 1) == (unknown > 0));
}

static void
put_request(FILE *out, const FcRequest *request, const char *head)
{
    fputs("request", out);
    put_span(out, "method", head, request->method_name);
    put_span(out, "target", head, request->target);
    put_span(out, "path", head, request->path);
    if (request->has_query)
        put_span(out, "query", head, request->query);
    if (request->form == FC_TARGET_ABSOLUTE)
        put_span(out, "authority", head, request->authority);
    fprintf(out, " id=%u minor=%u form=%s https=%d keep_alive=%d expect_continue=%d upgrade=%d repeated=%d",
            request->method, request->minor, form_names[request->form], request->https, request->keep_alive,
            request->expect_continue, request->upgrade, request->repeated);
    fprintf(out, " dropped=%u length=%lld chunked=%d fields=", request->n_dropped,
            (long long)request->content_length, request->chunked);
    for (unsigned i = 0; i < request->n_fields; i++) {
        put_hex(out, head + request->fields[i].name_at, request->fields[i].name_len);
        fputc(':', out);
        put_hex(out, head + request->fields[i].value_at, request->fields[i].value_len);
        fputc(',', out);
    }
}

static bool
refused(Stream *stream, unsigned error)
{
    PROMISE(error != FC_HTTP_OK && error < sizeof error_names / sizeof *error_names);
    PROMISE(fc_http_status((FcHttpError)error) >= 400 && fc_http_reason((FcHttpError)error)[0] != '\0');
    fprintf(stream->out, "refused %s %d\n", error_names[error], fc_http_status((FcHttpError)error));
    return false;
}

static bool
incomplete(Stream *stream, const char *where)
{
    fprintf(stream->out, "incomplete %s\n", where);
    return false;
}

static bool
drive_head(Stream *stream, FcRequest *request)
{
    const char *head = stream->data + stream->done;
    FcParse result = FC_PARSE_MORE;

    fc_request_init(request);
    for (;;) {
        size_t len = stream->here - stream->done;
        result = fc_parse_head(request, flush(head, len), len, stream->limits);
        PROMISE(result == FC_PARSE_MORE || result == FC_PARSE_DONE || result == FC_PARSE_ERROR);
        PROMISE(result == fc_parse_head(request, flush(head, len), len, stream->limits)); /* says it again */
        if (result != FC_PARSE_MORE || !more_arrives(stream))
            break;
    }
    if (result == FC_PARSE_ERROR)
        return refused(stream, request->error);
    if (result == FC_PARSE_MORE)
        return stream->done == stream->len ? false : incomplete(stream, "head");
    check_request(request, head, stream->here - stream->done, stream->limits);
    put_request(stream->out, request, head);
    stream->done += request->head_len;
    return true;
}

/* The body's bytes are written as they come; a refused one leaves its beginning on the line. */
static bool
drive_chunked(Stream *stream)
{
    FcChunked chunked = {0};
    FcParse result = FC_PARSE_MORE;

    for (;;) {
        size_t len = stream->here - stream->done, used = 0, data_len = 0;
        const char *in = flush(stream->data + stream->done, len), *data = NULL;
        result = fc_parse_chunked(&chunked, in, len, &used, &data, &data_len);
        PROMISE(used <= len);
        PROMISE(result != FC_PARSE_MORE || used == len);
        if (result == FC_PARSE_DATA) {
            PROMISE(data_len > 0 && data >= in && data + data_len == in + used);
            put_hex(stream->out, data, data_len);
        }
        stream->done += used;
        if (result == FC_PARSE_DONE || result == FC_PARSE_ERROR)
            break;
        if (result == FC_PARSE_MORE && !more_arrives(stream))
            break;
    }
    fputc('\n', stream->out);
    if (result == FC_PARSE_ERROR)
        return refused(stream, chunked.error);
    return result == FC_PARSE_DONE ? true : incomplete(stream, "body");
}

static bool
drive_length(Stream *stream, uint64_t length)
{
    size_t left = stream->len - stream->done, take = length < left ? (size_t)length : left;

    put_hex(stream->out, stream->data + stream->done, take);
    fputc('\n', stream->out);
    stream->done += take;
    while (stream->here < stream->done && more_arrives(stream))
        continue;
    return take == length ? true : incomplete(stream, "body");
}

void
drive(FILE *out, const char *data, size_t len, const FcLimits *limits, Arrive arrive, void *state)
{
    Stream stream = {
        .out = out, .data = data, .len = len, .limits = limits, .arrive = arrive, .state = state};
    FcRequest *request =
        malloc(sizeof *request); /* on the heap: address sanitizer sees the ends of fields[] */
    bool open = true;

    PROMISE(request != NULL && len <= DRIVE_MAX);
    memset(request, 0x5a, sizeof *request);
    while (open && drive_head(&stream, request)) {
        fprintf(out, " body=");
        if (request->chunked)
            open = drive_chunked(&stream);
        else
            open = drive_length(&stream, request->content_length > 0 ? (uint64_t)request->content_length : 0);
        if (open && !request->keep_alive) {
            fprintf(out, "closed %zu\n", stream.len - stream.done);
            open = false;
        }
    }
    fprintf(out, "end\n");
    free(request);
}

/* What the fields say about the message and the connection: Host, body framing, Expect, Connection.
 *
 * RFC 9112 sections 3.2, 6 and 9.3; RFC 9110 sections 7.2, 7.6.1, 7.8, 8.6 and 10.1.1. Whatever two readers
 * could frame differently is refused, also where the RFC would allow a repair.
 */
#include "framing.h"

#include "syntax.h"

/* Content-Length = 1*DIGIT. No list, though RFC 9112 section 6.3 would allow one of equal numbers. */
static FcHttpError
content_length(FcRequest *request, const char *value, size_t len)
{
    int64_t length = 0;

    if (len == 0)
        return FC_HTTP_BAD_LENGTH;
    for (size_t i = 0; i < len; i++) {
        int digit = value[i] - '0';
        if (!fc_is_digit(value[i]) || length > (INT64_MAX - digit) / 10)
            return FC_HTTP_BAD_LENGTH;
        length = length * 10 + digit;
    }
    request->content_length = length;
    return FC_HTTP_OK;
}

FcHttpError
fc_field_value(FcRequest *request, FcFieldId id, const char *value, size_t len)
{
    if (id == FC_FIELD_CONTENT_LENGTH)
        return content_length(request, value, len);
    if (id == FC_FIELD_HOST) /* empty: what a client says whose target has no authority */
        return len == 0 || fc_host_valid(value, len) ? FC_HTTP_OK : FC_HTTP_BAD_HOST;
    if (id == FC_FIELD_EXPECT && request->minor == 1) {
        request->expect_continue = fc_same_name(value, len, "100-continue");
        return request->expect_continue ? FC_HTTP_OK : FC_HTTP_EXPECT_UNSUPPORTED;
    }
    return FC_HTTP_OK;
}

/* Codings of the lines met so far. */
typedef struct Codings {
    unsigned other;   /* codings that are not chunked */
    unsigned chunked; /* times chunked was named */
    bool malformed;
    bool last; /* the last one was chunked */
} Codings;

/* One element: token, and parameters that only other codings than chunked have. */
static void
add_coding(Codings *codings, const char *item, size_t len)
{
    size_t name = 0, next = 0;

    while (name < len && fc_is(item[name], FC_CHAR_TOKEN))
        name++;
    for (next = name; next < len && fc_is_blank(item[next]);)
        next++;
    codings->last = fc_same_name(item, name, "chunked");
    if (name == 0 || (next < len && (item[next] != ';' || codings->last)))
        codings->malformed = true;
    for (; next < len; next++) {
        if (item[next] == '"') /* a quoted comma would be read as a separator */
            codings->malformed = true;
    }
    if (codings->last)
        codings->chunked++;
    else
        codings->other++;
}

/* Transfer-Encoding, all its lines in order as one list (RFC 9112 sections 6.1 and 6.3). */
static FcHttpError
transfer_coding(FcRequest *request, const char *buf)
{
    Codings codings = {0};

    if (request->minor == 0)
        return FC_HTTP_BAD_CODING;
    if (request->content_length >= 0)
        return FC_HTTP_LENGTH_AND_CODING;
    for (unsigned i = 0; i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        const char *at = buf + field->value_at, *end = at + field->value_len, *item = NULL;
        size_t len = 0;
        while (field->id == FC_FIELD_TRANSFER_ENCODING && fc_next_item(&at, end, &item, &len))
            add_coding(&codings, item, len);
    }
    if (codings.malformed || codings.chunked != 1 || !codings.last)
        return FC_HTTP_BAD_CODING;
    if (codings.other > 0)
        return FC_HTTP_CODING_UNSUPPORTED;
    request->chunked = true;
    return FC_HTTP_OK;
}

/* Connection, all its lines (RFC 9112 section 9.3): close is stronger than keep-alive. */
static void
connection_options(FcRequest *request, const char *buf)
{
    bool close = false;

    for (unsigned i = 0; i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        const char *at = buf + field->value_at, *end = at + field->value_len, *item = NULL;
        size_t len = 0;
        while (field->id == FC_FIELD_CONNECTION && fc_next_item(&at, end, &item, &len)) {
            close = close || fc_same_name(item, len, "close");
            request->keep_alive = request->keep_alive || fc_same_name(item, len, "keep-alive");
            request->upgrade = request->upgrade || fc_same_name(item, len, "upgrade");
        }
    }
    request->keep_alive = request->keep_alive && !close;
    /* a server must ignore Upgrade in HTTP/1.0: RFC 9110 section 7.8 */
    request->upgrade = request->upgrade && request->minor == 1 && (request->known & FC_BIT(UPGRADE)) != 0;
}

FcHttpError
fc_decide_framing(FcRequest *request, const char *buf)
{
    if (request->minor == 1 && (request->known & FC_BIT(HOST)) == 0)
        return FC_HTTP_MISSING_HOST;
    request->keep_alive = request->minor == 1;
    if ((request->known & FC_BIT(CONNECTION)) != 0)
        connection_options(request, buf);
    if ((request->known & FC_BIT(TRANSFER_ENCODING)) != 0)
        return transfer_coding(request, buf);
    return FC_HTTP_OK;
}

/* The head of a request: lines, limits, fields. See parser.h for the contract.
 *
 * One rule makes the verdict independent of how the bytes arrive: it is a function of the shortest prefix
 * that decides it. A line is searched for its first control byte, which in a sound line is the CR of its
 * CRLF, and never beyond its window: the bytes that the limits leave for it. Only then is it taken apart. The
 * search goes on where it stopped.
 */
#include "parser.h"

#include <string.h>

#include "framing.h"
#include "scan.h"
#include "syntax.h"

enum { STAGE_START, STAGE_REQUEST_LINE, STAGE_FIELDS, STAGE_DONE, STAGE_REFUSED };

/* Fields that may be given once, where two would let two readers act on different values. By their own
 * grammar: RFC 9110 sections 8.3, 8.6, 8.7, 10.1.3, 11.6.2, 11.7.2, 13.1 and 14.2; RFC 6454 section 7.3; RFC
 * 6266; RFC 6455 section 11.3. User-Agent and Date are singletons as well, but nothing is decided by them. */
#define SINGLETONS                                                                                           \
    (FC_BIT(HOST) | FC_BIT(CONTENT_LENGTH) | FC_BIT(CONTENT_TYPE) | FC_BIT(CONTENT_LOCATION) |               \
     FC_BIT(CONTENT_DISPOSITION) | FC_BIT(CONTENT_MD5) | FC_BIT(AUTHORIZATION) |                             \
     FC_BIT(PROXY_AUTHORIZATION) | FC_BIT(REFERER) | FC_BIT(ORIGIN) | FC_BIT(IF_MODIFIED_SINCE) |            \
     FC_BIT(IF_UNMODIFIED_SINCE) | FC_BIT(IF_RANGE) | FC_BIT(RANGE) | FC_BIT(SEC_WEBSOCKET_KEY) |            \
     FC_BIT(SEC_WEBSOCKET_VERSION))

void
fc_request_init(FcRequest *request)
{
    memset(request, 0, offsetof(FcRequest, fields));
    request->content_length = -1;
}

static FcParse
refuse(FcRequest *request, FcHttpError error)
{
    request->stage = STAGE_REFUSED;
    request->error = (uint8_t)error;
    return FC_PARSE_ERROR;
}

/* Which refusal a control byte at bad is, in a line whose sound bytes before it begin at line. */
static FcHttpError
control_error(const FcRequest *request, const char *line, const char *bad)
{
    const char *space = NULL;

    if (*bad == '\n')
        return FC_HTTP_BARE_LF;
    if (request->stage == STAGE_FIELDS) {
        if (fc_is_blank(*line))
            return FC_HTTP_OBS_FOLD;
        return memchr(line, ':', (size_t)(bad - line)) != NULL ? FC_HTTP_BAD_FIELD_VALUE
                                                               : FC_HTTP_BAD_FIELD_NAME;
    }
    space = memchr(line, ' ', (size_t)(bad - line));
    if (space == NULL)
        return FC_HTTP_BAD_METHOD;
    return memchr(space + 1, ' ', (size_t)(bad - space - 1)) == NULL ? FC_HTTP_BAD_TARGET
                                                                     : FC_HTTP_BAD_VERSION;
}

/* Search the present line. FC_PARSE_DONE: *end is its CR, the LF is behind it. */
static FcParse
find_line(FcRequest *request, const char *buf, size_t len, const FcLimits *limits, const char **end)
{
    bool first = request->stage != STAGE_FIELDS;
    size_t window = (size_t)request->line_at + (first ? limits->request_line : limits->field) + 2;
    FcHttpError too_long = first ? FC_HTTP_LINE_TOO_LONG : FC_HTTP_FIELD_TOO_LONG;
    const char *stop = NULL, *at = NULL;

    if (window > limits->head) {
        window = limits->head;
        too_long = FC_HTTP_HEAD_TOO_LONG;
    }
    stop = buf + (len < window ? len : window);
    at = buf + request->scanned;
    if (at < stop)
        at = fc_find_control(buf, at, stop);
    request->scanned = (uint32_t)(at - buf);
    if (at < stop && (*at != '\r' || (at + 1 < stop && at[1] != '\n')))
        return refuse(request, control_error(request, buf + request->line_at, at));
    if (at + 1 >= stop)
        return len >= window ? refuse(request, too_long) : FC_PARSE_MORE;
    *end = at;
    return FC_PARSE_DONE;
}

/* A name that is not interned: a token; *dropped if it has an underscore, which CGI names cannot tell from
 * '-'. */
static FcHttpError
check_name(const char *name, const char *end, bool *dropped)
{
    for (; name < end; name++) {
        if (!fc_is(*name, FC_CHAR_TOKEN))
            return FC_HTTP_BAD_FIELD_NAME;
        *dropped = *dropped || *name == '_';
    }
    return FC_HTTP_OK;
}

/* Store a field whose value lies between value and end, and note what must be known of it. */
static FcHttpError
add_field(FcRequest *request, const char *buf, FcField field, const char *value, const char *end)
{
    uint64_t bit = UINT64_C(1) << field.id;

    while (value < end && fc_is_blank(*value))
        value++;
    while (end > value && fc_is_blank(end[-1]))
        end--;
    if (field.id != FC_FIELD_UNKNOWN && (request->known & bit) != 0) {
        if ((bit & SINGLETONS) != 0)
            return field.id == FC_FIELD_HOST ? FC_HTTP_BAD_HOST : FC_HTTP_DUPLICATE_FIELD;
        request->repeated = true;
    }
    request->known |= bit;
    field.value_at = (uint32_t)(value - buf);
    field.value_len = (uint32_t)(end - value);
    request->fields[request->n_fields++] = field;
    if ((bit & FC_FIELDS_CHECKED) == 0)
        return FC_HTTP_OK;
    return fc_field_value(request, (FcFieldId)field.id, value, field.value_len);
}

/* One field line, without its CRLF and without control bytes. */
static FcHttpError
field_line(FcRequest *request, const char *buf, const char *line, const char *end, const FcLimits *limits)
{
    const char *colon = fc_find_colon(buf, line, end);
    uint32_t most = limits->fields < FC_FIELDS_MAX ? limits->fields : FC_FIELDS_MAX;
    FcField field = {.name_at = (uint32_t)(line - buf)};
    bool dropped = false;

    if (fc_is_blank(*line))
        return FC_HTTP_OBS_FOLD;
    if ((uint32_t)request->n_fields + request->n_dropped >= most)
        return FC_HTTP_TOO_MANY_FIELDS;
    if (colon == end || colon == line)
        return FC_HTTP_BAD_FIELD_NAME;
    if (colon - line > UINT16_MAX)
        return FC_HTTP_FIELD_TOO_LONG;
    field.name_len = (uint16_t)(colon - line);
    field.id = (uint16_t)fc_field_lookup(line, field.name_len);
    if (field.id == FC_FIELD_UNKNOWN && check_name(line, colon, &dropped) != FC_HTTP_OK)
        return FC_HTTP_BAD_FIELD_NAME;
    if (dropped) {
        request->n_dropped++;
        return FC_HTTP_OK;
    }
    return add_field(request, buf, field, colon + 1, end);
}

static bool
same_names(const char *buf, const FcField *a, const FcField *b)
{
    const char *one = buf + a->name_at, *two = buf + b->name_at;

    if (a->name_len != b->name_len)
        return false;
    for (size_t i = 0; i < a->name_len; i++) {
        char x = one[i] >= 'A' && one[i] <= 'Z' ? (char)(one[i] | 0x20) : one[i];
        char y = two[i] >= 'A' && two[i] <= 'Z' ? (char)(two[i] | 0x20) : two[i];
        if (x != y)
            return false;
    }
    return true;
}

/* Whether a name that is not interned occurs twice. Names are compared only where a small filter has met one
 * alike. */
static bool
unknown_repeated(const FcRequest *request, const char *buf)
{
    uint64_t filter = 0;

    for (unsigned i = 0; i < request->n_fields; i++) {
        const FcField *field = &request->fields[i];
        const char *name = buf + field->name_at;
        unsigned alike = 0;
        if (field->id != FC_FIELD_UNKNOWN)
            continue;
        alike = (name[0] | 0x20u) + 7u * (name[field->name_len - 1] | 0x20u) + 29u * field->name_len;
        if ((filter >> (alike & 63) & 1) != 0) {
            for (unsigned j = 0; j < i; j++) {
                if (same_names(buf, field, &request->fields[j]))
                    return true;
            }
        }
        filter |= UINT64_C(1) << (alike & 63);
    }
    return false;
}

static FcParse
finish(FcRequest *request, const char *buf)
{
    FcHttpError error = fc_decide_framing(request, buf);

    if (error != FC_HTTP_OK)
        return refuse(request, error);
    if ((request->known & 1) != 0 && !request->repeated)
        request->repeated = unknown_repeated(request, buf);
    request->head_len = request->line_at;
    request->stage = STAGE_DONE;
    return FC_PARSE_DONE;
}

/* Lines, from the request line to the empty one. */
static FcParse
parse_lines(FcRequest *request, const char *buf, size_t len, const FcLimits *limits)
{
    for (;;) {
        const char *line = buf + request->line_at, *end = NULL;
        FcHttpError error = FC_HTTP_OK;
        FcParse found = find_line(request, buf, len, limits, &end);

        if (found != FC_PARSE_DONE)
            return found;
        request->line_at = request->scanned = (uint32_t)(end - buf) + 2;
        if (request->stage == STAGE_FIELDS && line == end)
            return finish(request, buf);
        if (request->stage == STAGE_FIELDS)
            error = field_line(request, buf, line, end, limits);
        else
            error = fc_request_line(request, buf, line, end);
        if (error != FC_HTTP_OK)
            return refuse(request, error);
        request->stage = STAGE_FIELDS;
    }
}

FcParse
fc_parse_head(FcRequest *request, const char *buf, size_t len, const FcLimits *limits)
{
    if (request->stage == STAGE_DONE)
        return FC_PARSE_DONE;
    if (request->stage == STAGE_REFUSED)
        return FC_PARSE_ERROR;
    if (request->stage == STAGE_START && len > 0) {
        if (buf[0] == '\r') { /* one empty line may stand before a request */
            if (len < 2)
                return FC_PARSE_MORE;
            if (buf[1] != '\n')
                return refuse(request, FC_HTTP_BAD_REQUEST_LINE);
            request->line_at = request->scanned = 2;
        }
        request->stage = STAGE_REQUEST_LINE;
    }
    return len > 0 ? parse_lines(request, buf, len, limits) : FC_PARSE_MORE;
}

/* The chunked transfer coding, decoded byte by byte as a small state machine. RFC 9112 section 7.1.
 *
 * Strict: CRLF and nothing else ends a line, extensions follow their grammar, and so does the trailer
 * section, whose fields are checked and then dropped. Extensions are an attacker's way to send much and have
 * little counted: what they exceed the data by is bounded over the whole body.
 */
#include <string.h>

#include "framing.h"
#include "syntax.h"

#define LINE_MAX_BYTES    4096  /* of a size line, and of the whole trailer section */
#define DIGITS_MAX        16    /* of a chunk size, leading zeros among them */
#define EXCESS_MAX        16384 /* bytes of size lines beyond what the data excuses */
#define LINE_EXCUSED      16
#define NAME_UNREMEMBERED (sizeof((FcChunked *)NULL)->name + 1)

enum {
    STATE_SIZE,
    STATE_AFTER_SIZE, /* blanks before an extension: BWS, so ';' must come */
    STATE_NAME_START, /* behind ';' */
    STATE_NAME,
    STATE_AFTER_NAME,  /* blanks behind an extension's name: ';' or '=' must come */
    STATE_VALUE_START, /* behind '=' */
    STATE_TOKEN,
    STATE_QUOTED,
    STATE_ESCAPED,
    STATE_QUOTE_CLOSED,
    STATE_SIZE_LF,
    STATE_DATA,
    STATE_DATA_CR,
    STATE_DATA_LF,
    STATE_TRAILER_START,
    STATE_TRAILER_NAME,
    STATE_TRAILER_VALUE,
    STATE_TRAILER_LF,
    STATE_END_LF,
    STATE_DONE,
    STATE_REFUSED,
};

/* Names that would change what the head has said: framing, routing, authentication, request modifiers,
 * content format (RFC 9110 section 6.5.1). */
#define FORBIDDEN                                                                                            \
    (FC_BIT(HOST) | FC_BIT(CONNECTION) | FC_BIT(CONTENT_LENGTH) | FC_BIT(CONTENT_TYPE) |                     \
     FC_BIT(TRANSFER_ENCODING) | FC_BIT(EXPECT) | FC_BIT(UPGRADE) | FC_BIT(COOKIE) | FC_BIT(AUTHORIZATION) | \
     FC_BIT(PROXY_AUTHORIZATION) | FC_BIT(PROXY_CONNECTION) | FC_BIT(KEEP_ALIVE) | FC_BIT(CACHE_CONTROL) |   \
     FC_BIT(PRAGMA) | FC_BIT(TE) | FC_BIT(TRAILER) | FC_BIT(FORWARDED) | FC_BIT(X_FORWARDED_FOR) |           \
     FC_BIT(X_FORWARDED_PROTO) | FC_BIT(X_FORWARDED_HOST) | FC_BIT(X_FORWARDED_PORT) | FC_BIT(X_REAL_IP) |   \
     FC_BIT(X_HTTP_METHOD_OVERRIDE) | FC_BIT(IF_MATCH) | FC_BIT(IF_NONE_MATCH) | FC_BIT(IF_MODIFIED_SINCE) | \
     FC_BIT(IF_UNMODIFIED_SINCE) | FC_BIT(IF_RANGE) | FC_BIT(RANGE) | FC_BIT(CONTENT_ENCODING) |             \
     FC_BIT(CONTENT_LANGUAGE) | FC_BIT(CONTENT_LOCATION) | FC_BIT(ORIGIN))

static FcHttpError
trailer_name_end(FcChunked *chunked)
{
    size_t len = chunked->name_len;
    bool remembered = len < NAME_UNREMEMBERED;
    FcFieldId id = remembered ? fc_field_lookup(chunked->name, len) : FC_FIELD_UNKNOWN;

    if (id != FC_FIELD_UNKNOWN && (FORBIDDEN >> id & 1) != 0)
        return FC_HTTP_BAD_TRAILER;
    if (remembered &&
        (fc_same_name(chunked->name, len, "content-range") ||
         fc_same_name(chunked->name, len, "max-forwards") || fc_same_name(chunked->name, len, "set-cookie")))
        return FC_HTTP_BAD_TRAILER;
    chunked->name_len = 0;
    chunked->state = STATE_TRAILER_VALUE;
    return FC_HTTP_OK;
}

static FcHttpError
trailer_name(FcChunked *chunked, char byte)
{
    if (!fc_is(byte, FC_CHAR_TOKEN))
        return FC_HTTP_BAD_TRAILER;
    if (chunked->name_len < sizeof chunked->name)
        chunked->name[chunked->name_len] = byte;
    if (chunked->name_len < NAME_UNREMEMBERED)
        chunked->name_len++;
    chunked->state = STATE_TRAILER_NAME;
    return FC_HTTP_OK;
}

/* The section behind the last chunk: field lines, each with its CRLF, and the empty line. */
static FcHttpError
trailer_byte(FcChunked *chunked, char byte)
{
    if (++chunked->trailer_len > LINE_MAX_BYTES)
        return FC_HTTP_BAD_TRAILER;
    switch (chunked->state) {
    case STATE_TRAILER_START:
        if (byte != '\r')
            return trailer_name(chunked, byte);
        chunked->state = STATE_END_LF;
        return FC_HTTP_OK;
    case STATE_TRAILER_NAME:
        return byte == ':' ? trailer_name_end(chunked) : trailer_name(chunked, byte);
    case STATE_TRAILER_VALUE:
        if (byte == '\r')
            chunked->state = STATE_TRAILER_LF;
        else if (!fc_is(byte, FC_CHAR_VALUE))
            return FC_HTTP_BAD_TRAILER;
        return FC_HTTP_OK;
    default: /* STATE_TRAILER_LF, STATE_END_LF */
        if (byte != '\n')
            return FC_HTTP_BAD_TRAILER;
        chunked->state = chunked->state == STATE_END_LF ? STATE_DONE : STATE_TRAILER_START;
        return FC_HTTP_OK;
    }
}

/* The line of a size is complete; excess is what extensions have cost so far, less what the data excuses. */
static FcHttpError
size_end(FcChunked *chunked)
{
    uint64_t excess = (uint64_t)chunked->excess + chunked->line_len;
    uint64_t excused = LINE_EXCUSED + (chunked->left < EXCESS_MAX ? 2 * chunked->left : 2 * EXCESS_MAX);

    excess = excess > excused ? excess - excused : 0;
    if (excess > EXCESS_MAX)
        return FC_HTTP_BAD_CHUNK;
    chunked->excess = (uint32_t)excess;
    chunked->line_len = 0;
    chunked->digits = 0;
    chunked->state = chunked->left > 0 ? STATE_DATA : STATE_TRAILER_START;
    return FC_HTTP_OK;
}

/* What may stand where a size, an extension's name or its value may end: CR, ';', or blanks before one of
 * those that take them. */
static FcHttpError
part_end(FcChunked *chunked, char byte)
{
    bool blank = fc_is_blank(byte), named = chunked->state == STATE_NAME;

    if (byte == '\r')
        chunked->state = STATE_SIZE_LF;
    else if (byte == ';')
        chunked->state = STATE_NAME_START;
    else if (byte == '=' && named)
        chunked->state = STATE_VALUE_START;
    else if (blank)
        chunked->state = named ? STATE_AFTER_NAME : STATE_AFTER_SIZE;
    else
        return FC_HTTP_BAD_CHUNK;
    return FC_HTTP_OK;
}

static FcHttpError
size_digit(FcChunked *chunked, char byte)
{
    if (!fc_is(byte, FC_CHAR_HEX))
        return chunked->digits > 0 ? part_end(chunked, byte) : FC_HTTP_BAD_CHUNK;
    if (chunked->digits == DIGITS_MAX || chunked->left >> 59 != 0)
        return FC_HTTP_BAD_CHUNK;
    chunked->left = chunked->left << 4 | fc_hex_value(byte);
    chunked->digits++;
    return FC_HTTP_OK;
}

/* chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS value ] ), RFC 9112 section 7.1.1. */
static FcHttpError
extension_byte(FcChunked *chunked, char byte)
{
    switch (chunked->state) {
    case STATE_AFTER_SIZE:
    case STATE_AFTER_NAME:
        if (byte == ';')
            chunked->state = STATE_NAME_START;
        else if (byte == '=' && chunked->state == STATE_AFTER_NAME)
            chunked->state = STATE_VALUE_START;
        else if (!fc_is_blank(byte))
            return FC_HTTP_BAD_CHUNK;
        return FC_HTTP_OK;
    case STATE_NAME_START:
    case STATE_VALUE_START:
        if (fc_is_blank(byte))
            return FC_HTTP_OK;
        if (byte == '"' && chunked->state == STATE_VALUE_START)
            chunked->state = STATE_QUOTED;
        else if (fc_is(byte, FC_CHAR_TOKEN))
            chunked->state = chunked->state == STATE_NAME_START ? STATE_NAME : STATE_TOKEN;
        else
            return FC_HTTP_BAD_CHUNK;
        return FC_HTTP_OK;
    case STATE_NAME:
    case STATE_TOKEN:
        return fc_is(byte, FC_CHAR_TOKEN) ? FC_HTTP_OK : part_end(chunked, byte);
    case STATE_QUOTED:
        if (byte == '"' || byte == '\\')
            chunked->state = byte == '"' ? STATE_QUOTE_CLOSED : STATE_ESCAPED;
        else if (!fc_is(byte, FC_CHAR_QDTEXT))
            return FC_HTTP_BAD_CHUNK;
        return FC_HTTP_OK;
    case STATE_ESCAPED:
        chunked->state = STATE_QUOTED;
        return fc_is(byte, FC_CHAR_VALUE) ? FC_HTTP_OK : FC_HTTP_BAD_CHUNK;
    default: /* STATE_QUOTE_CLOSED */
        return part_end(chunked, byte);
    }
}

/* One byte that is not data. */
static FcHttpError
step(FcChunked *chunked, char byte)
{
    switch (chunked->state) {
    case STATE_SIZE_LF:
        return byte == '\n' ? size_end(chunked) : FC_HTTP_BAD_CHUNK;
    case STATE_DATA_CR:
    case STATE_DATA_LF:
        if (byte != (chunked->state == STATE_DATA_CR ? '\r' : '\n'))
            return FC_HTTP_BAD_CHUNK;
        chunked->state = chunked->state == STATE_DATA_CR ? STATE_DATA_LF : STATE_SIZE;
        return FC_HTTP_OK;
    default:
        break;
    }
    if (chunked->state >= STATE_TRAILER_START)
        return trailer_byte(chunked, byte);
    if (byte != '\r' && ++chunked->line_len > LINE_MAX_BYTES)
        return FC_HTTP_BAD_CHUNK;
    return chunked->state == STATE_SIZE ? size_digit(chunked, byte) : extension_byte(chunked, byte);
}

FcParse
fc_parse_chunked(FcChunked *chunked, const char *in, size_t len, size_t *used, const char **data,
                 size_t *data_len)
{
    FcHttpError error = FC_HTTP_OK;
    size_t at = 0;

    *used = 0;
    while (at < len && chunked->state < STATE_DONE) {
        if (chunked->state == STATE_DATA) {
            size_t run = chunked->left < len - at ? (size_t)chunked->left : len - at;
            *data = in + at;
            *data_len = run;
            *used = at + run;
            chunked->left -= run;
            if (chunked->left == 0)
                chunked->state = STATE_DATA_CR;
            return FC_PARSE_DATA;
        }
        error = step(chunked, in[at++]);
        if (error != FC_HTTP_OK) {
            chunked->state = STATE_REFUSED;
            chunked->error = (uint8_t)error;
        }
    }
    *used = at;
    if (chunked->state == STATE_REFUSED)
        return FC_PARSE_ERROR;
    return chunked->state == STATE_DONE ? FC_PARSE_DONE : FC_PARSE_MORE;
}

/* The request line: method, target in its forms, version. RFC 9112 section 3, RFC 3986 for the target's
 * parts. */
#include <string.h>

#include "framing.h"
#include "syntax.h"

#define METHOD_MAX  32
#define VERSION_LEN 8 /* HTTP/d.d */

static const struct {
    const char *name;
    size_t len;
} methods[FC_METHOD_COUNT] = {
#define X(id) [FC_METHOD_##id] = {#id, sizeof #id - 1},
    FC_METHOD_LIST(X)
#undef X
};

static FcSpan
span(const char *buf, const char *at, const char *end)
{
    return (FcSpan){.at = (uint32_t)(at - buf), .len = (uint32_t)(end - at)};
}

/* Methods are case-sensitive (RFC 9110 section 9.1): "get" is another one. */
static FcMethod
method_of(const char *name, size_t len)
{
    if (len == 3 && memcmp(name, "GET", 3) == 0)
        return FC_METHOD_GET;
    for (unsigned i = FC_METHOD_HEAD; i < FC_METHOD_COUNT; i++) {
        if (methods[i].len == len && memcmp(methods[i].name, name, len) == 0)
            return (FcMethod)i;
    }
    return FC_METHOD_OTHER;
}

static FcHttpError
version(FcRequest *request, const char *text, const char *end)
{
    size_t len = (size_t)(end - text);

    if (len == VERSION_LEN && memcmp(text, "HTTP/1.", 7) == 0 && (text[7] == '1' || text[7] == '0')) {
        request->minor = (uint8_t)(text[7] - '0');
        return FC_HTTP_OK;
    }
    if (len == 0 || memchr(text, ' ', len) != NULL)
        return FC_HTTP_BAD_REQUEST_LINE;
    if (len == VERSION_LEN && memcmp(text, "HTTP/", 5) == 0 && fc_is_digit(text[5]) && text[6] == '.' &&
        fc_is_digit(text[7]))
        return FC_HTTP_VERSION_UNSUPPORTED;
    return FC_HTTP_BAD_VERSION;
}

/* Every '%' of a path begins an escape, and none of them is NUL. */
static bool
escapes_valid(const char *at, const char *end)
{
    while ((at = memchr(at, '%', (size_t)(end - at))) != NULL) {
        if (end - at < 3 || !fc_is(at[1], FC_CHAR_HEX) || !fc_is(at[2], FC_CHAR_HEX) ||
            (at[1] == '0' && at[2] == '0'))
            return false;
        at += 3;
    }
    return true;
}

/* Path and query of [at, end). What follows '?' is the application's: its escapes are not looked at. */
static FcHttpError
path_and_query(FcRequest *request, const char *buf, const char *at, const char *end)
{
    const char *mark = memchr(at, '?', (size_t)(end - at));

    request->has_query = mark != NULL;
    if (mark != NULL)
        request->query = span(buf, mark + 1, end);
    else
        mark = end;
    request->path = span(buf, at, mark);
    return escapes_valid(at, mark) ? FC_HTTP_OK : FC_HTTP_BAD_TARGET;
}

/* http://authority[path][?query] (RFC 9112 section 3.2.2); userinfo is refused (RFC 9110 section 4.2.4). */
static FcHttpError
absolute_form(FcRequest *request, const char *buf, const char *at, const char *end)
{
    size_t len = (size_t)(end - at), scheme = 0;
    const char *from = NULL;

    if (len >= 7 && fc_same_name(at, 7, "http://"))
        scheme = 7;
    else if (len >= 8 && fc_same_name(at, 8, "https://"))
        scheme = 8;
    else
        return FC_HTTP_BAD_TARGET;
    from = at + scheme;
    for (at = from; at < end && *at != '/' && *at != '?';)
        at++;
    if (!fc_host_valid(from, (size_t)(at - from)))
        return FC_HTTP_BAD_TARGET;
    request->form = FC_TARGET_ABSOLUTE;
    request->https = scheme == 8;
    request->authority = span(buf, from, at);
    return path_and_query(request, buf, at, end);
}

/* seen: the classes of all bytes of the target together. */
static FcHttpError
target(FcRequest *request, const char *buf, const char *at, const char *end, unsigned seen)
{
    request->target = span(buf, at, end);
    if (request->method == FC_METHOD_CONNECT)
        return FC_HTTP_METHOD_UNSUPPORTED;
    if (*at == '/') {
        request->form = FC_TARGET_ORIGIN;
        if ((seen & FC_CHAR_MARK) != 0)
            return path_and_query(request, buf, at, end);
        request->path = request->target;
        return FC_HTTP_OK;
    }
    if (*at == '*' && end - at == 1 && request->method == FC_METHOD_OPTIONS) {
        request->form = FC_TARGET_ASTERISK;
        request->path = request->target;
        return FC_HTTP_OK;
    }
    return absolute_form(request, buf, at, end);
}

FcHttpError
fc_request_line(FcRequest *request, const char *buf, const char *line, const char *end)
{
    const char *at = line, *from = NULL;
    unsigned seen = 0;
    FcHttpError error = FC_HTTP_OK;

    while (at < end && fc_is(*at, FC_CHAR_TOKEN))
        at++;
    if (at == line && (at == end || fc_is_blank(*at)))
        return FC_HTTP_BAD_REQUEST_LINE;
    if ((at < end && !fc_is_blank(*at)) || at - line > METHOD_MAX)
        return FC_HTTP_BAD_METHOD;
    if (at == end || *at != ' ')
        return FC_HTTP_BAD_REQUEST_LINE;
    request->method_name = span(buf, line, at);
    request->method = (uint8_t)method_of(line, (size_t)(at - line));

    for (from = ++at; at < end && fc_is(*at, FC_CHAR_TARGET); at++)
        seen |= fc_chars[(unsigned char)*at];
    if (at < end && !fc_is_blank(*at))
        return FC_HTTP_BAD_TARGET;
    if (at == from || at == end || *at != ' ')
        return FC_HTTP_BAD_REQUEST_LINE;
    error = version(request, at + 1, end);
    return error != FC_HTTP_OK ? error : target(request, buf, from, at, seen);
}

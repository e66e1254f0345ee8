/* Character classes and shared grammars: see syntax.h. */
#include "syntax.h"

#include <arpa/inet.h>
#include <string.h>

/* Constant expressions of a byte value, so that the table below is made by the compiler. */
#define DIGIT(c)   ((c) >= '0' && (c) <= '9')
#define ALPHA(c)   (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define HEX(c)     (DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define VISIBLE(c) ((c) > 0x20 && (c) < 0x7f)
#define COMMON(c)                                                                                            \
    ((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' ||      \
     (c) == '.' || (c) == '_' || (c) == '~' || DIGIT(c) || ALPHA(c))
#define TOKEN(c) (COMMON(c) || (c) == '#' || (c) == '%' || (c) == '^' || (c) == '`' || (c) == '|')
#define HOST(c)  (COMMON(c) || (c) == '(' || (c) == ')' || (c) == ';' || (c) == '=')
#define VALUE(c) (VISIBLE(c) || (c) == ' ' || (c) == '\t' || (c) >= 0x80)

#define CLASSES(c)                                                                                           \
    (TOKEN(c) ? FC_CHAR_TOKEN : 0) | (VISIBLE(c) && (c) != '#' ? FC_CHAR_TARGET : 0) |                       \
        ((c) == '?' || (c) == '%' ? FC_CHAR_MARK : 0) | (HEX(c) ? FC_CHAR_HEX : 0) |                         \
        (HOST(c) ? FC_CHAR_HOST : 0) | (VALUE(c) ? FC_CHAR_VALUE : 0) |                                      \
        (VALUE(c) && (c) != '"' && (c) != '\\' ? FC_CHAR_QDTEXT : 0)
#define FOUR(c)    CLASSES(c), CLASSES((c) + 1), CLASSES((c) + 2), CLASSES((c) + 3)
#define SIXTEEN(c) FOUR(c), FOUR((c) + 4), FOUR((c) + 8), FOUR((c) + 12)
#define QUARTER(c) SIXTEEN(c), SIXTEEN((c) + 16), SIXTEEN((c) + 32), SIXTEEN((c) + 48)

const uint8_t fc_chars[256] = {QUARTER(0), QUARTER(64), QUARTER(128), QUARTER(192)};

bool
fc_same_name(const char *text, size_t len, const char *lower)
{
    if (strlen(lower) != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char byte = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
        if (byte != lower[i])
            return false;
    }
    return true;
}

bool
fc_next_item(const char **at, const char *end, const char **item, size_t *len)
{
    const char *from = *at, *to = NULL;

    if (from == NULL)
        return false;
    to = memchr(from, ',', (size_t)(end - from));
    *at = to == NULL ? NULL : to + 1;
    if (to == NULL)
        to = end;
    while (from < to && fc_is_blank(*from))
        from++;
    while (to > from && fc_is_blank(to[-1]))
        to--;
    *item = from;
    *len = (size_t)(to - from);
    return true;
}

/* ":" *DIGIT, or nothing at all. */
static bool
port_valid(const char *text, const char *end)
{
    unsigned port = 0;

    if (text == end)
        return true;
    if (*text++ != ':' || end - text > 5)
        return false;
    for (; text < end; text++) {
        if (!fc_is_digit(*text))
            return false;
        port = port * 10 + (unsigned)(*text - '0');
    }
    return port <= 65535;
}

/* "[" IPv6address "]"; *after is set behind the bracket. */
static bool
ipv6_valid(const char *text, const char *end, const char **after)
{
    char copy[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *close = memchr(text, ']', (size_t)(end - text));
    size_t len = 0;

    if (close == NULL)
        return false;
    len = (size_t)(close - text - 1);
    if (len >= sizeof copy || memchr(text, '\0', len + 1) != NULL)
        return false;
    memcpy(copy, text + 1, len);
    copy[len] = '\0';
    *after = close + 1;
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* How far a reg-name goes. A percent-escape stands for a byte outside ASCII: "%80" to "%ff". */
static const char *
skip_name(const char *text, const char *end)
{
    while (text < end) {
        if (fc_is(*text, FC_CHAR_HOST))
            text++;
        else if (*text == '%' && end - text >= 3 && fc_is(text[1], FC_CHAR_HEX) &&
                 fc_hex_value(text[1]) >= 8 && fc_is(text[2], FC_CHAR_HEX))
            text += 3;
        else
            break;
    }
    return text;
}

bool
fc_host_valid(const char *text, size_t len)
{
    const char *end = text + len, *after = NULL;

    if (len == 0)
        return false;
    if (*text == '[')
        return ipv6_valid(text, end, &after) && port_valid(after, end);
    after = skip_name(text, end);
    return after > text && port_valid(after, end);
}

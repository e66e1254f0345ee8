/* Character classes and the small grammars that the HTTP files share: names compared without case, comma
 * lists, hosts. Owns only constant tables; knows no request, no buffer and no Python.
 */
#ifndef FC_SYNTAX_H
#define FC_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Classes of a byte, as bits. */
enum {
    FC_CHAR_TOKEN = 1,   /* tchar, RFC 9110 section 5.6.2 */
    FC_CHAR_TARGET = 2,  /* visible ASCII without '#' */
    FC_CHAR_MARK = 4,    /* '?' and '%': what a target may need a second look for */
    FC_CHAR_HEX = 8,     /* HEXDIG in both cases */
    FC_CHAR_HOST = 16,   /* plain in a reg-name, RFC 3986 section 3.2.2, but for the comma */
    FC_CHAR_VALUE = 32,  /* field-vchar, SP, HTAB, RFC 9110 section 5.5 */
    FC_CHAR_QDTEXT = 64, /* inside a quoted-string, RFC 9110 section 5.6.4 */
};

extern const uint8_t fc_chars[256];

static inline bool
fc_is(char byte, unsigned classes)
{
    return (fc_chars[(unsigned char)byte] & classes) != 0;
}

static inline bool
fc_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* SP or HTAB: OWS, RFC 9110 section 5.6.3. */
static inline bool
fc_is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* The value of a HEXDIG; the caller has made sure that it is one. */
static inline unsigned
fc_hex_value(char byte)
{
    return fc_is_digit(byte) ? (unsigned)(byte - '0') : (unsigned)((byte | 0x20) - 'a' + 10);
}

/* Whether text is lower, a NUL-terminated lower-case name, in any case of the ASCII letters. Both borrowed.
 */
bool fc_same_name(const char *text, size_t len, const char *lower);

/* Step through a comma list (RFC 9110 section 5.6.1): false at its end, else *item and *len are the next
 * element, without the white space around it; it may be empty. *at begins at the list's start and is moved
 * on. An empty list has one empty element. *at is NULL behind the last. */
bool fc_next_item(const char **at, const char *end, const char **item, size_t *len);

/* Whether text is host [":" port] with a host that is not empty: a reg-name, an IPv4 address or an IPv6
 * address in brackets (RFC 3986 section 3.2.2); a port of at most 65535, which may be empty. Stricter than
 * the RFC where readers differ: no comma, percent-escapes only for bytes outside ASCII, no IPvFuture, no
 * zone. text is borrowed. */
bool fc_host_valid(const char *text, size_t len);

#endif

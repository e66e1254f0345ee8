/* The compiled list of trusted proxies: addresses and networks, compared as bits. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "forwarded.h"

typedef struct Network {
    unsigned bits;     /* of the prefix */
    uint8_t bytes[16]; /* as IPv6; IPv4 is mapped (::ffff:0:0/96) */
} Network;

struct FcTrust {
    bool anyone;
    bool unix_peers;
    FcForwardedKind kind;
    size_t count;
    Network networks[];
};

enum { ITEM_MAX = 63 };

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

__attribute__((format(printf, 3, 4))) static bool
complain(char *error, size_t error_len, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, error_len, format, args);
    va_end(args);
    return false;
}

/* IPv4 or IPv6 text; *most is the number of bits a prefix of it may have, *base what comes before them. */
static bool
parse_address(const char *text, uint8_t bytes[16], unsigned *base, unsigned *most)
{
    memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
    *base = 96;
    *most = 32;
    if (inet_pton(AF_INET, text, bytes + 12) == 1)
        return true;
    *base = 0;
    *most = 128;
    return inet_pton(AF_INET6, text, bytes) == 1;
}

/* 1 to 3 digits, at most `most`. */
static bool
parse_prefix(const char *text, unsigned most, unsigned *bits)
{
    size_t len = strspn(text, "0123456789");

    if (len < 1 || len > 3 || text[len] || (len > 1 && text[0] == '0'))
        return false;
    *bits = (unsigned)atoi(text);
    return *bits <= most;
}

static bool
host_bits_are_zero(const Network *network)
{
    for (unsigned bit = network->bits; bit < 128; bit++)
        if (network->bytes[bit / 8] >> (7 - bit % 8) & 1)
            return false;
    return true;
}

static bool
parse_network(const char *item, Network *network, char *error, size_t error_len)
{
    char address[ITEM_MAX + 1];
    const char *slash = strchr(item, '/');
    unsigned base = 0;
    unsigned most = 0;

    snprintf(address, sizeof address, "%.*s", slash ? (int)(slash - item) : ITEM_MAX, item);
    if (!parse_address(address, network->bytes, &base, &most))
        return complain(error, error_len, "'%s' is not an address, a network, \"unix\" or \"*\"", item);
    network->bits = most;
    if (slash && !parse_prefix(slash + 1, most, &network->bits))
        return complain(error, error_len, "'%s': the prefix length must be from 0 to %u", item, most);
    network->bits += base;
    if (!host_bits_are_zero(network))
        return complain(error, error_len,
                        "'%s' is an address with a prefix, not a network: bits after the prefix are set",
                        item);
    return true;
}

static bool
add_item(FcTrust *trust, const char *item, char *error, size_t error_len)
{
    if (strcmp(item, "*") == 0)
        return trust->anyone = true;
    if (strcmp(item, "unix") == 0)
        return trust->unix_peers = true;
    if (!parse_network(item, &trust->networks[trust->count], error, error_len))
        return false;
    trust->count++;
    return true;
}

/* Copy the next item without the blanks around it; *text moves past its comma, to NULL after the last. */
static bool
next_item(const char **text, char item[ITEM_MAX + 1], char *error, size_t error_len)
{
    const char *start = *text + strspn(*text, " \t\n");
    const char *comma = strchr(start, ',');
    size_t len = comma ? (size_t)(comma - start) : strlen(start);

    *text = comma ? comma + 1 : NULL;
    while (len && strchr(" \t\n", start[len - 1]))
        len--;
    if (len == 0)
        return complain(error, error_len, "an item of the list of trusted proxies is empty");
    if (len > ITEM_MAX)
        return complain(error, error_len, "'%.*s...' is not an address, a network, \"unix\" or \"*\"",
                        ITEM_MAX, start);
    memcpy(item, start, len);
    item[len] = 0;
    return true;
}

FcTrust *
fc_trust_compile(const char *text, char *error, size_t error_len)
{
    size_t most = 1;
    char item[ITEM_MAX + 1];
    FcTrust *trust = NULL;

    for (const char *comma = strchr(text, ','); comma; comma = strchr(comma + 1, ','))
        most++;
    trust = calloc(1, sizeof *trust + most * sizeof trust->networks[0]);
    if (!trust) {
        complain(error, error_len, "out of memory");
        return NULL;
    }
    if (text[strspn(text, " \t\n")] == 0)
        return trust;
    while (text)
        if (!next_item(&text, item, error, error_len) || !add_item(trust, item, error, error_len))
            goto fail;
    return trust;

fail:
    fc_trust_free(trust);
    return NULL;
}

void
fc_trust_free(FcTrust *trust)
{
    free(trust);
}

void
fc_trust_read(FcTrust *trust, FcForwardedKind kind)
{
    trust->kind = kind;
}

FcForwardedKind
fc_trust_reads(const FcTrust *trust)
{
    return trust->kind;
}

static bool
network_contains(const Network *network, const uint8_t bytes[16])
{
    unsigned whole = network->bits / 8;
    unsigned rest = network->bits % 8;

    return memcmp(network->bytes, bytes, whole) == 0 &&
           (rest == 0 || (network->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0);
}

bool
fc_trust_peer(const FcTrust *trust, const void *addr, socklen_t addr_len)
{
    uint8_t bytes[16];
    sa_family_t family = AF_UNIX;

    if (!trust)
        return false;
    if (trust->anyone)
        return true;
    if (addr_len >= sizeof family)
        memcpy(&family, (const char *)addr + offsetof(struct sockaddr, sa_family), sizeof family);
    if (family == AF_UNIX)
        return trust->unix_peers;
    if (family == AF_INET && addr_len >= sizeof(struct sockaddr_in)) {
        memcpy(bytes, mapped_prefix, sizeof mapped_prefix);
        memcpy(bytes + 12, (const char *)addr + offsetof(struct sockaddr_in, sin_addr), 4);
    } else if (family == AF_INET6 && addr_len >= sizeof(struct sockaddr_in6)) {
        memcpy(bytes, (const char *)addr + offsetof(struct sockaddr_in6, sin6_addr), 16);
    } else {
        return false;
    }
    for (size_t i = 0; i < trust->count; i++)
        if (network_contains(&trust->networks[i], bytes))
            return true;
    return false;
}

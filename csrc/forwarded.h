/* Who the client really is, behind trusted proxies: Forwarded (RFC 7239) and X-Forwarded-For/-Proto/-Host.
 *
 * Right to left: the nearest hop is the socket's peer; a field is believed only as long as the hop that added it is
 * trusted. Owns its compiled list; allocation-free afterwards. Knows no Python and no socket.
 */
#ifndef FC_FORWARDED_H
#define FC_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "parser.h"

typedef struct FcTrust FcTrust;

/* Compile a comma-separated list: addresses, networks ("10.0.0.0/8", "fd00::/8"), "unix" (peers of unix sockets), "*"
 * (anyone); empty: nobody. Owned by the caller; NULL with a sentence naming the bad item in error. */
FcTrust *fc_trust_compile(const char *text, char *error, size_t error_len);
void fc_trust_free(FcTrust *trust); /* NULL is fine */

/* Whether the peer is trusted; addr_len 0: a unix peer. IPv4-mapped IPv6 addresses count as IPv4. */
bool fc_trust_peer(const FcTrust *trust, const void *addr, socklen_t addr_len);

typedef struct FcForwarded {
    char client[64]; /* address text of the client, NUL-terminated; empty: unchanged, the socket's peer */
    int client_port; /* 0: unknown */
    int https;       /* 1, 0, or -1: unchanged */
    char host[256];  /* NUL-terminated, valid as a Host value; empty: unchanged */
} FcForwarded;

/* Resolve for a request whose peer is trusted. If Forwarded is there it alone counts; else the X- fields. A malformed
 * element ends the walk: nothing to its left is believed. */
void fc_forwarded_resolve(const FcTrust *trust, const char *buf, const FcRequest *request, FcForwarded *out);

/* True if one of the fields is there at all: the caller skips the rest when not. */
static inline bool
fc_forwarded_present(const FcRequest *request)
{
    return (request->known & (1ull << FC_FIELD_FORWARDED | 1ull << FC_FIELD_X_FORWARDED_FOR |
                              1ull << FC_FIELD_X_FORWARDED_PROTO | 1ull << FC_FIELD_X_FORWARDED_HOST)) != 0;
}

#endif

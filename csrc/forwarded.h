/* Who the client really is, behind trusted proxies: Forwarded (RFC 7239) and X-Forwarded-For/-Proto/-Host.
 *
 * Right to left: the nearest hop is the socket's peer; a field is believed only as long as the hop that added
 * it is trusted. Owns its compiled list; allocation-free afterwards. Knows no Python and no socket.
 */
#ifndef FC_FORWARDED_H
#define FC_FORWARDED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "parser.h"

typedef struct FcTrust FcTrust;

/* Compile a comma-separated list: addresses, networks ("10.0.0.0/8", "fd00::/8"), "unix" (peers of unix
 * sockets), "*" (anyone); empty: nobody. Owned by the caller; NULL with a sentence naming the bad item in
 * error. */
FcTrust *fc_trust_compile(const char *text, char *error, size_t error_len);
void fc_trust_free(FcTrust *trust); /* NULL is fine */

/* Which fields the trusted proxies write. A proxy that writes one kind passes the other on as the client sent
 * it, so reading both lets clients of such a proxy choose who they are: say which one it is. Before the first
 * request. */
typedef enum FcForwardedKind {
    FC_FORWARDED_EITHER,   /* Forwarded if it is there, else the X- fields; only for proxies that remove the
                              other kind */
    FC_FORWARDED_X,        /* X-Forwarded-* alone: nginx, most load balancers */
    FC_FORWARDED_STANDARD, /* Forwarded alone (RFC 7239) */
} FcForwardedKind;
void fc_trust_read(FcTrust *trust, FcForwardedKind kind); /* as compiled: FC_FORWARDED_EITHER */
FcForwardedKind fc_trust_reads(const FcTrust *trust);

/* Whether the peer is trusted; addr_len 0: a unix peer. IPv4-mapped IPv6 addresses count as IPv4. */
bool fc_trust_peer(const FcTrust *trust, const void *addr, socklen_t addr_len);

typedef struct FcForwarded {
    char client[64]; /* address text of the client, NUL-terminated; empty: unchanged, the socket's peer */
    int client_port; /* 0: unknown */
    int https;       /* 1, 0, or -1: unchanged */
    char host[256];  /* NUL-terminated, valid as a Host value; empty: unchanged */
} FcForwarded;

/* Resolve for a request whose peer is trusted. If Forwarded is there it alone counts; else the X- fields; but
 * see fc_trust_read(). A malformed element ends the walk: neither it nor what is to its left is believed.
 *
 * An element that names no address ("unknown", "_hidden", none at all) ends it too, but its scheme and host
 * are believed; the client is then the last address that was (as in "*", where the walk goes on). Of
 * Forwarded the leftmost believed element that has a scheme (host) gives it. An X- list of schemes (hosts) as
 * long as the list of addresses is read at the client's place in it; another one at its right end, the word
 * of the nearest hop. */
void fc_forwarded_resolve(const FcTrust *trust, const char *buf, const FcRequest *request, FcForwarded *out);

/* True if one of the fields is there at all: the caller skips the rest when not. */
static inline bool
fc_forwarded_present(const FcRequest *request)
{
    return (request->known & (1ull << FC_FIELD_FORWARDED | 1ull << FC_FIELD_X_FORWARDED_FOR |
                              1ull << FC_FIELD_X_FORWARDED_PROTO | 1ull << FC_FIELD_X_FORWARDED_HOST)) != 0;
}

#endif

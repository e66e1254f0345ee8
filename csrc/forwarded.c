/* The walk over the hops, from the nearest to the farthest that can be believed.
 *
 * Lists are read from their right end, because only what the trusted hops appended there is known to be well
 * formed: whatever a client sent first, quotes that are never closed among it, stands to the left and cannot
 * swallow it.
 */
#include "forwarded.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

typedef struct Text {
    const char *at;
    size_t len;
} Text;

typedef enum NodeKind { NODE_BAD, NODE_HIDDEN, NODE_UNIX, NODE_ADDRESS } NodeKind;

typedef struct Node {
    NodeKind kind;
    int port; /* 0: unknown */
    socklen_t addr_len;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } addr;
} Node;

static bool
is_alnum(unsigned char c)
{
    return (c | 0x20) - 'a' + 0u < 26 || c - '0' + 0u < 10;
}

static bool
is_in(unsigned char c, const char *set)
{
    return c && strchr(set, c);
}

static bool
is_token_char(unsigned char c)
{
    return is_alnum(c) || is_in(c, "!#$%&'*+-.^_`|~");
}

static bool
equals(Text text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.at, word, text.len) == 0;
}

static Text
trim(Text text)
{
    while (text.len && (text.at[0] == ' ' || text.at[0] == '\t'))
        text.at++, text.len--;
    while (text.len && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* What a field lists, over all its lines, from right to left. */
typedef struct List {
    const char *buf;
    const FcRequest *request;
    FcFieldId id;
    bool quoted;     /* commas inside quoted strings do not count */
    unsigned before; /* fields not yet looked at are those below this index */
    bool inside;     /* rest is what is left of a line's value */
    Text rest;
} List;

static List
list_of(const char *buf, const FcRequest *request, FcFieldId id)
{
    return (List){.buf = buf,
                  .request = request,
                  .id = id,
                  .quoted = id == FC_FIELD_FORWARDED,
                  .before = request->n_fields};
}

/* Where the quoted string that ends at the quote text[close] begins; 0 when it never does. */
static size_t
opening_quote(const char *text, size_t close)
{
    for (size_t at = close; at-- > 0;) {
        size_t slashes = 0;
        if (text[at] != '"')
            continue;
        while (slashes < at && text[at - 1 - slashes] == '\\')
            slashes++;
        if (slashes % 2 == 0)
            return at;
        at -= slashes;
    }
    return 0;
}

/* One past the last comma, or 0. */
static size_t
last_piece(Text text, bool quoted)
{
    for (size_t at = text.len; at-- > 0;) {
        if (text.at[at] == ',')
            return at + 1;
        if (quoted && text.at[at] == '"')
            at = opening_quote(text.at, at);
    }
    return 0;
}

static bool
next_piece(List *list, Text *piece)
{
    while (!list->inside) {
        if (list->before == 0)
            return false;
        const FcField *field = &list->request->fields[--list->before];
        list->inside = field->id == list->id;
        list->rest = (Text){list->buf + field->value_at, field->value_len};
    }
    size_t at = last_piece(list->rest, list->quoted);
    *piece = trim((Text){list->rest.at + at, list->rest.len - at});
    list->inside = at > 0;
    list->rest.len = at > 0 ? at - 1 : 0;
    return true;
}

/* 1 to 5 digits up to 65535, or -1. */
static int
parse_port(Text text)
{
    int port = 0;

    if (text.len < 1 || text.len > 5)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return -1;
        port = port * 10 + (text.at[i] - '0');
    }
    return port <= 65535 ? port : -1;
}

/* "_" and what RFC 7239 section 6.3 lets follow it. */
static bool
is_obfuscated(Text text)
{
    if (text.len < 2 || text.at[0] != '_')
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_alnum((unsigned char)text.at[i]) && !is_in((unsigned char)text.at[i], "._-"))
            return false;
    return true;
}

static NodeKind
parse_ip(Text text, bool v6, Node *node)
{
    char name[INET6_ADDRSTRLEN];

    if (text.len >= sizeof name)
        return NODE_BAD;
    memcpy(name, text.at, text.len);
    name[text.len] = 0;
    memset(&node->addr, 0, sizeof node->addr);
    node->addr.any.sa_family = v6 ? AF_INET6 : AF_INET;
    node->addr_len = v6 ? sizeof node->addr.v6 : sizeof node->addr.v4;
    if (inet_pton(node->addr.any.sa_family, name,
                  v6 ? (void *)&node->addr.v6.sin6_addr : (void *)&node->addr.v4.sin_addr) != 1)
        return NODE_BAD;
    return NODE_ADDRESS;
}

/* The name of a node, without its port. */
static NodeKind
parse_name(Text text, Node *node)
{
    if (text.len >= 2 && text.at[0] == '[' && text.at[text.len - 1] == ']')
        return parse_ip((Text){text.at + 1, text.len - 2}, true, node);
    if (equals(text, "unknown") || is_obfuscated(text))
        return NODE_HIDDEN;
    return parse_ip(text, false, node);
}

/* nodename [ ":" node-port ], RFC 7239 section 6. */
static Node
parse_node(Text text)
{
    Node node = {.kind = NODE_BAD};
    size_t colon = text.len;

    while (colon > 0 && text.at[colon - 1] != ':' && text.at[colon - 1] != ']')
        colon--;
    if (colon > 0 && text.at[colon - 1] == ':') {
        Text port = {text.at + colon, text.len - colon};
        node.port = is_obfuscated(port) ? 0 : parse_port(port);
        text.len = colon - 1;
    }
    if (node.port >= 0)
        node.kind = parse_name(text, &node);
    return node;
}

/* As X-Forwarded-For has it: also IPv6 without brackets, and nginx's word for a unix socket. */
static Node
parse_x_node(Text text)
{
    Node node = {.kind = NODE_BAD};

    if (equals(text, "unix:"))
        node.kind = NODE_UNIX;
    else if (text.len && text.at[0] != '[' &&
             memchr(text.at, ':', text.len) != memrchr(text.at, ':', text.len))
        node.kind = parse_ip(text, true, &node);
    else
        node = parse_node(text);
    return node;
}

static void
write_address(const Node *node, char out[64])
{
    const struct in6_addr *v6 = &node->addr.v6.sin6_addr;

    if (node->addr.any.sa_family == AF_INET)
        inet_ntop(AF_INET, &node->addr.v4.sin_addr, out, 64);
    else if (IN6_IS_ADDR_V4MAPPED(v6))
        inet_ntop(AF_INET, v6->s6_addr + 12, out, 64);
    else
        inet_ntop(AF_INET6, v6, out, 64);
}

/* Believe what a trusted hop says of the one before it; true if that one is trusted too. */
static bool
believe_node(const FcTrust *trust, const Node *node, FcForwarded *out)
{
    if (node->kind == NODE_ADDRESS) {
        write_address(node, out->client);
        out->client_port = node->port;
        return fc_trust_peer(trust, &node->addr, node->addr_len);
    }
    if (node->kind == NODE_UNIX)
        return fc_trust_peer(trust, NULL, 0);
    return fc_trust_peer(trust, &(struct sockaddr){.sa_family = AF_UNSPEC},
                         sizeof(struct sockaddr)); /* "*" */
}

/* 1 https, 0 http, -1 neither. Some proxies name the scheme of a WebSocket. */
static int
parse_scheme(Text text)
{
    if (equals(text, "https") || equals(text, "wss"))
        return 1;
    return equals(text, "http") || equals(text, "ws") ? 0 : -1;
}

/* reg-name of RFC 3986 section 3.2.2, not empty. */
static bool
is_host_name(Text text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c == '%') {
            if (text.len - i < 3 || !is_in((unsigned char)text.at[i + 1], "0123456789abcdefABCDEF") ||
                !is_in((unsigned char)text.at[i + 2], "0123456789abcdefABCDEF"))
                return false;
        } else if (!is_alnum(c) && !is_in(c, "-._~!$&'()*+,;=")) {
            return false;
        }
    }
    return text.len > 0;
}

/* uri-host [ ":" port ], RFC 9110 section 7.2; left alone if it is not. */
static void
believe_host(Text text, char out[256])
{
    Text name = text;
    size_t end = text.len;
    Node node;

    while (end > 0 && text.at[end - 1] >= '0' && text.at[end - 1] <= '9')
        end--;
    if (end > 0 && text.at[end - 1] == ':') {
        if (end < text.len && parse_port((Text){text.at + end, text.len - end}) < 0)
            return;
        name.len = end - 1;
    }
    if (name.len && name.at[0] == '[') {
        if (name.at[name.len - 1] != ']' || parse_name(name, &node) != NODE_ADDRESS)
            return;
    } else if (!is_host_name(name)) {
        return;
    }
    if (text.len < 256) {
        memcpy(out, text.at, text.len);
        out[text.len] = 0;
    }
}

/* One element of Forwarded being read. */
typedef struct Element {
    Node node; /* NODE_HIDDEN without for= */
    int https;
    char host[256];
    bool has_for, has_proto, has_host;
} Element;

/* token or quoted-string at *text, moved past; unescaped into value, whose len may exceed the room: then it
 * was cut. */
static bool
read_value(Text *text, char room[256], size_t *len)
{
    bool quoted = text->len && text->at[0] == '"';
    size_t at = quoted;

    *len = 0;
    for (; at < text->len; at++) {
        unsigned char c = (unsigned char)text->at[at];
        if (quoted ? c == '"' : !is_token_char(c))
            break;
        if (quoted && c == '\\' && ++at < text->len)
            c = (unsigned char)text->at[at];
        if (*len < 256)
            room[*len] = (char)c;
        ++*len;
    }
    if (quoted && at >= text->len)
        return false;
    at += quoted;
    text->at += at;
    text->len -= at;
    return quoted || *len > 0;
}

/* A parameter may be given once (section 4); one we do not know is none of our business. */
static bool
take_parameter(Element *element, Text name, Text value)
{
    bool *seen = equals(name, "for")     ? &element->has_for
                 : equals(name, "proto") ? &element->has_proto
                 : equals(name, "host")  ? &element->has_host
                                         : NULL;

    if (!seen)
        return true;
    if (*seen)
        return false;
    *seen = true;
    if (seen == &element->has_for && value.len <= 256)
        element->node = parse_node(value);
    else if (seen == &element->has_for)
        element->node.kind = NODE_BAD;
    else if (seen == &element->has_proto)
        element->https = value.len <= 256 ? parse_scheme(value) : -1;
    else if (value.len <= 256)
        believe_host(value, element->host);
    return element->node.kind != NODE_BAD;
}

/* forwarded-element of RFC 7239 section 4; blanks around ";" are forgiven. */
static bool
parse_element(Text text, Element *element)
{
    *element = (Element){.node.kind = NODE_HIDDEN, .https = -1};
    while (text.len) {
        char room[256];
        Text name = {text.at, 0};
        size_t len = 0;
        while (name.len < text.len && is_token_char((unsigned char)text.at[name.len]))
            name.len++;
        text = (Text){text.at + name.len, text.len - name.len};
        if (name.len) {
            if (!text.len || text.at[0] != '=')
                return false;
            text = (Text){text.at + 1, text.len - 1};
            if (!read_value(&text, room, &len) || !take_parameter(element, name, (Text){room, len}))
                return false;
        }
        text = trim(text);
        if (text.len && text.at[0] != ';')
            return false;
        if (text.len)
            text = trim((Text){text.at + 1, text.len - 1});
    }
    return true;
}

static void
resolve_standard(const FcTrust *trust, const char *buf, const FcRequest *request, FcForwarded *out)
{
    List list = list_of(buf, request, FC_FIELD_FORWARDED);
    Element element;
    Text piece;
    bool trusted = true;

    while (trusted && next_piece(&list, &piece)) {
        if (piece.len == 0) /* an empty list element says nothing: RFC 9110 section 5.6.1.2 */
            continue;
        if (!parse_element(piece, &element))
            return;
        if (element.https >= 0)
            out->https = element.https;
        if (element.host[0])
            memcpy(out->host, element.host, sizeof out->host);
        trusted = believe_node(trust, &element.node, out);
    }
}

/* The piece of an X- list that goes with the depth-th of n addresses from the right; empty if there is none.
 */
static Text
piece_beside(const char *buf, const FcRequest *request, FcFieldId id, unsigned depth, unsigned n)
{
    List list = list_of(buf, request, id);
    Text piece;
    Text nearest = {"", 0};
    Text beside = {"", 0};
    unsigned count = 0;

    while (next_piece(&list, &piece)) {
        count++;
        if (count == 1)
            nearest = piece;
        if (count == depth)
            beside = piece;
    }
    return count == n && depth ? beside : nearest;
}

static void
resolve_x(const FcTrust *trust, const char *buf, const FcRequest *request, FcForwarded *out)
{
    List list = list_of(buf, request, FC_FIELD_X_FORWARDED_FOR);
    Text piece;
    unsigned depth = 0;
    unsigned n = 0;
    bool trusted = true;

    while (next_piece(&list, &piece)) {
        n++;
        if (!trusted)
            continue;
        Node node = parse_x_node(piece);
        if (node.kind == NODE_BAD) {
            trusted = false;
            continue;
        }
        depth = n;
        trusted = believe_node(trust, &node, out);
    }
    out->https = parse_scheme(piece_beside(buf, request, FC_FIELD_X_FORWARDED_PROTO, depth, n));
    believe_host(piece_beside(buf, request, FC_FIELD_X_FORWARDED_HOST, depth, n), out->host);
}

void
fc_forwarded_resolve(const FcTrust *trust, const char *buf, const FcRequest *request, FcForwarded *out)
{
    bool standard = request->known & 1ull << FC_FIELD_FORWARDED;

    out->client[0] = 0;
    out->client_port = 0;
    out->https = -1;
    memset(out->host, 0, sizeof out->host);
    switch (fc_trust_reads(trust)) {
    case FC_FORWARDED_X:
        standard = false;
        break;
    case FC_FORWARDED_STANDARD:
        standard = true;
        break;
    case FC_FORWARDED_EITHER:
        break;
    }
    if (standard)
        resolve_standard(trust, buf, request, out);
    else
        resolve_x(trust, buf, request, out);
}

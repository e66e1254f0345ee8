/* Strings that come again and again. See py_gateway.h. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "py_gateway.h"

static inline uint64_t
load64(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof word);
    return word;
}

/* Not for adversaries: a collision costs one new str object, nothing else. */
static inline uint32_t
hash(const char *bytes, size_t len)
{
    const uint64_t k = 0x9e3779b97f4a7c15u;
    uint64_t h = len * k;

    if (len >= 8) {
        for (size_t i = 0; i + 8 < len; i += 8)
            h = (h ^ load64(bytes + i)) * k;
        h = (h ^ load64(bytes + len - 8)) * k;
    } else {
        for (size_t i = 0; i < len; i++)
            h = (h ^ (unsigned char)bytes[i]) * k;
    }
    return (uint32_t)(h >> 40);
}

PyObject *
fc_str(FcStrings *strings, const char *bytes, size_t len)
{
    PyObject **entry, *text;

    if (len == 0 || len > FC_CACHE_LONG)
        return PyUnicode_DecodeLatin1(bytes, (Py_ssize_t)len, NULL);
    entry = &strings->values[hash(bytes, len) % FC_CACHE_SIZE];
    text = *entry;
    if (text != NULL && (size_t)PyUnicode_GET_LENGTH(text) == len &&
        memcmp(PyUnicode_DATA(text), bytes, len) == 0) {
        Py_INCREF(text);
        return text;
    }
    text = PyUnicode_DecodeLatin1(bytes, (Py_ssize_t)len, NULL);
    if (text != NULL) {
        Py_INCREF(text);
        Py_XSETREF(*entry, text);
    }
    return text;
}

/* The bytes of an address; IPv4-mapped ones as IPv4. */
static const void *
address_bytes(const FcPeer *peer, uint8_t *len)
{
    if (peer->any.sa_family == AF_INET) {
        *len = 4;
        return &peer->v4.sin_addr;
    }
    if (IN6_IS_ADDR_V4MAPPED(&peer->v6.sin6_addr)) {
        *len = 4;
        return peer->v6.sin6_addr.s6_addr + 12;
    }
    *len = 16;
    return &peer->v6.sin6_addr;
}

PyObject *
fc_str_address(FcStrings *strings, const FcPeer *peer)
{
    char text[INET6_ADDRSTRLEN] = "";
    uint8_t len;
    const void *key;
    uint32_t at;

    if (peer->len == 0)
        return PyUnicode_FromStringAndSize(NULL, 0);
    key = address_bytes(peer, &len);
    at = hash(key, len) % FC_ADDRS;
    if (strings->addrs[at].text == NULL || strings->addrs[at].len != len ||
        memcmp(strings->addrs[at].key, key, len) != 0) {
        PyObject *new;

        inet_ntop(len == 4 ? AF_INET : AF_INET6, key, text, sizeof text);
        new = PyUnicode_FromString(text);
        if (new == NULL)
            return NULL;
        Py_XSETREF(strings->addrs[at].text, new);
        strings->addrs[at].len = len;
        memcpy(strings->addrs[at].key, key, len);
    }
    Py_INCREF(strings->addrs[at].text);
    return strings->addrs[at].text;
}

PyObject *
fc_str_port(FcStrings *strings, const FcPeer *peer)
{
    uint16_t port;
    unsigned at;

    if (peer->len == 0)
        return PyUnicode_FromStringAndSize(NULL, 0);
    port = ntohs(peer->any.sa_family == AF_INET ? peer->v4.sin_port : peer->v6.sin6_port);
    at = port % FC_PORTS;
    if (strings->ports[at].text == NULL || strings->ports[at].port != port) {
        PyObject *new = PyUnicode_FromFormat("%d", (int)port);

        if (new == NULL)
            return NULL;
        Py_XSETREF(strings->ports[at].text, new);
        strings->ports[at].port = port;
    }
    Py_INCREF(strings->ports[at].text);
    return strings->ports[at].text;
}

PyObject *
fc_client(FcStrings *strings, const FcPeer *peer)
{
    int port = ntohs(peer->any.sa_family == AF_INET ? peer->v4.sin_port : peer->v6.sin6_port);
    unsigned at = (unsigned)port % FC_CLIENTS;
    PyObject *host, *pair;

    if (strings->clients[at].pair != NULL && strings->clients[at].peer.len == peer->len &&
        memcmp(&strings->clients[at].peer.any, &peer->any, peer->len) == 0)
        return Py_NewRef(strings->clients[at].pair);
    host = fc_str_address(strings, peer);
    pair = host != NULL ? Py_BuildValue("(Ni)", host, port) : NULL;
    if (pair == NULL)
        return NULL;
    strings->clients[at].peer = *peer;
    Py_XSETREF(strings->clients[at].pair, Py_NewRef(pair));
    return pair;
}

/* Lower-case copy of a field name into out. */
static void
lower(char *out, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
}

static PyObject *
make_pair(PyObject *known, const char *name, size_t name_len, const char *value, size_t value_len)
{
    PyObject *first =
        known != NULL ? Py_NewRef(known) : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)name_len);
    PyObject *second = PyBytes_FromStringAndSize(value, (Py_ssize_t)value_len), *pair = NULL;

    if (first != NULL && known == NULL)
        lower(PyBytes_AS_STRING(first), name, name_len);
    if (first != NULL && second != NULL)
        pair = PyTuple_Pack(2, first, second);
    Py_XDECREF(first);
    Py_XDECREF(second);
    return pair;
}

static bool
is_pair(PyObject *pair, PyObject *known, const char *name, size_t name_len, const char *value,
        size_t value_len)
{
    PyObject *first = PyTuple_GET_ITEM(pair, 0), *second = PyTuple_GET_ITEM(pair, 1);

    if ((size_t)PyBytes_GET_SIZE(second) != value_len ||
        memcmp(PyBytes_AS_STRING(second), value, value_len) != 0)
        return false;
    if (known != NULL)
        return first == known;
    return (size_t)PyBytes_GET_SIZE(first) == name_len &&
           strncasecmp(PyBytes_AS_STRING(first), name, name_len) == 0;
}

PyObject *
fc_pair(FcStrings *strings, PyObject *known, const char *name, size_t name_len, const char *value,
        size_t value_len)
{
    PyObject **entry, *pair;

    if (value_len > FC_CACHE_LONG)
        return make_pair(known, name, name_len, value, value_len);
    entry = &strings->pairs[(hash(value, value_len) ^ (uint32_t)(uintptr_t)known >> 5 ^ (uint32_t)name_len) %
                            FC_PAIRS];
    if (*entry != NULL && is_pair(*entry, known, name, name_len, value, value_len))
        return Py_NewRef(*entry);
    pair = make_pair(known, name, name_len, value, value_len);
    if (pair != NULL)
        Py_XSETREF(*entry, Py_NewRef(pair));
    return pair;
}

void
fc_strings_clear(FcStrings *strings)
{
    for (unsigned i = 0; i < FC_CACHE_SIZE; i++)
        Py_CLEAR(strings->values[i]);
    for (unsigned i = 0; i < FC_ADDRS; i++)
        Py_CLEAR(strings->addrs[i].text);
    for (unsigned i = 0; i < FC_PORTS; i++)
        Py_CLEAR(strings->ports[i].text);
    for (unsigned i = 0; i < FC_PAIRS; i++)
        Py_CLEAR(strings->pairs[i]);
    for (unsigned i = 0; i < FC_CLIENTS; i++)
        Py_CLEAR(strings->clients[i].pair);
}

/* Says what csrc/forwarded.c and csrc/trust.c make of a request.
 *
 * forwarded_run resolve either|x|standard TRUST "Name: value" ...   prints client, port, https, host
 * forwarded_run peer TRUST ADDRESS|unix                             prints 1 or 0
 * forwarded_run compile TRUST                                       prints the complaint, or nothing
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "forwarded.h"
#include "head.h"

static FcTrust *
compile(const char *text)
{
    char error[256] = "";
    FcTrust *trust = fc_trust_compile(text, error, sizeof error);

    if (!trust)
        printf("%s\n", error);
    return trust;
}

static void
resolve(FcTrust *trust, const char *kind, int count, char **fields)
{
    Head head = {.buf = NULL};
    FcForwarded out;

    for (int i = 0; i < count; i++) {
        char *colon = strchr(fields[i], ':');
        *colon = 0;
        const char *value = colon + 1 + strspn(colon + 1, " ");
        head_add_field(&head, fields[i], value, strlen(value));
    }
    fc_trust_read(trust, strcmp(kind, "x") == 0        ? FC_FORWARDED_X
                         : strcmp(kind, "either") == 0 ? FC_FORWARDED_EITHER
                                                       : FC_FORWARDED_STANDARD);
    fc_forwarded_resolve(trust, head.buf, &head.request, &out);
    printf("%s %d %d %s\n", out.client[0] ? out.client : "-", out.client_port, out.https,
           out.host[0] ? out.host : "-");
    free(head.buf);
}

static bool
ask(const FcTrust *trust, const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_un path = {.sun_family = AF_UNIX};

    if (strcmp(text, "unix") == 0)
        return fc_trust_peer(trust, NULL, 0) && fc_trust_peer(trust, &path, sizeof path.sun_family);
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return fc_trust_peer(trust, &v4, sizeof v4);
    return inet_pton(AF_INET6, text, &v6.sin6_addr) == 1 && fc_trust_peer(trust, &v6, sizeof v6);
}

int
main(int argc, char **argv)
{
    const char *what = argc > 2 ? argv[1] : "";
    bool resolves = strcmp(what, "resolve") == 0;
    FcTrust *trust = argc > 2 ? compile(argv[resolves ? 3 : 2]) : NULL;

    if (trust && resolves)
        resolve(trust, argv[2], argc - 4, argv + 4);
    else if (trust && strcmp(what, "peer") == 0)
        printf("%d\n", ask(trust, argv[3]));
    fc_trust_free(trust);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Names to addresses, and addresses to text. The program is linked with --wrap=getaddrinfo, so that the resolver answers
 * as the test says; numbers go to the real one.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>

#include "channel/socket.h"
#include "helpers.h"

#include <linux/vm_sockets.h>

#define FAILING_COUNTDOWN
#include "../../failing.h"

static struct {
    int code, code_errno;
    unsigned addresses;
    unsigned strange; /* of them: longer than any address can be */
    bool hangs;
} answer;
static struct gw_cancel go_on = {.fd = -1};
static bool asked, answered;

int __real_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret);
void __real_freeaddrinfo(struct addrinfo *list);
void __wrap_freeaddrinfo(struct addrinfo *list);

int __wrap_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    struct addrinfo *list = NULL;

    if (!host || strcmp(host, "a-name") != 0)
        return __real_getaddrinfo(host, service, hints, ret);
    if (hints->ai_flags & AI_NUMERICHOST)
        return EAI_NONAME;
    __atomic_store_n(&asked, true, __ATOMIC_SEQ_CST);
    if (answer.hangs)
        gw_wait_ready(go_on.fd, POLLIN, NULL, NULL, 0);
    for (unsigned i = answer.addresses; i-- > 0 && !answer.code;) {
        struct addrinfo *one = calloc(1, sizeof *one);
        struct sockaddr_in *in = calloc(1, 200);

        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)(100 + i));
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        one->ai_family = AF_INET;
        one->ai_addrlen = i < answer.strange ? 200 : sizeof *in;
        one->ai_addr = (struct sockaddr *)in;
        one->ai_next = list;
        one->ai_canonname = (char *)"ours";
        list = one;
    }
    *ret = list;
    errno = answer.code_errno;
    __atomic_store_n(&answered, true, __ATOMIC_SEQ_CST);
    return answer.code;
}

void __wrap_freeaddrinfo(struct addrinfo *list)
{
    if (!list->ai_canonname) {
        __real_freeaddrinfo(list);
        return;
    }
    while (list) {
        struct addrinfo *next = list->ai_next;

        free(list->ai_addr);
        free(list);
        list = next;
    }
}

static int resolve(const char *text, bool listening, struct gw_sockaddr to[GW_SOCKET_ADDRESSES], unsigned *n,
                   struct gw_error *err)
{
    struct gw_uri uri;

    assert_int_equal(gw_uri_parse(text, &uri, err), 0);
    return gw_socket_resolve(&uri, listening, NULL, 0, to, n, err);
}

static const struct gw_uri a_name = {.kind = GW_URI_TCP, .host = "a-name", .service = "4444"};

static void numbers(void **state)
{
    static const struct {
        const char *uri, *text;
    } rows[] = {
        {"tcp:127.0.0.1:0", "127.0.0.1:0"},
        {"tcp:127.0.0.1:65535", "127.0.0.1:65535"},
        {"tcp:[::1]:4444", "[::1]:4444"},
        {"unix:/run/x", "/run/x"},
        {"vsock:2:1024", "2:1024"},
        {"vsock:4294967295:4294967295", "4294967295:4294967295"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
        char text[GW_SOCKADDR_TEXT];
        unsigned n = 0;
        int r = resolve(rows[i].uri, false, to, &n, &err);

        assert_ok(r, err);
        assert_int_equal(n, 1);
        gw_sockaddr_text(&to[0], text);
        assert_string_equal(text, rows[i].text);
    }
    assert_false(asked);
}

/* Nobody in particular: all addresses when listening, loopback when connecting. A port that the system chooses. */
static void listening(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
    unsigned n = 0;

    for (int listens = 0; listens < 2; listens++) {
        assert_ok(resolve("tcp::4444", listens, to, &n, &err), err);
        assert_true(n >= 1);
        for (unsigned i = 0; i < n; i++) {
            char text[GW_SOCKADDR_TEXT];
            bool v4 = to[i].storage.ss_family == AF_INET;

            gw_sockaddr_text(&to[i], text);
            assert_string_equal(text, listens ? (v4 ? "0.0.0.0:4444" : "[::]:4444")
                                              : (v4 ? "127.0.0.1:4444" : "[::1]:4444"));
        }
    }
    assert_ok(resolve("vsock:1:0", true, to, &n, &err), err);
    assert_int_equal(((struct sockaddr_vm *)&to->storage)->svm_port, VMADDR_PORT_ANY);
    assert_ok(resolve("vsock:1:0", false, to, &n, &err), err);
    assert_int_equal(((struct sockaddr_vm *)&to->storage)->svm_port, 0);
}

static void paths(void **state)
{
    struct gw_uri uri = {.kind = GW_URI_UNIX};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
    char text[GW_SOCKADDR_TEXT];
    unsigned n = 0;

    memset(uri.path, 'p', 107);
    assert_ok(gw_socket_resolve(&uri, false, NULL, 0, to, &n, &err), err);
    gw_sockaddr_text(to, text);
    assert_string_equal(text, uri.path);
    uri.path[107] = 'p';
    assert_int_equal(gw_socket_resolve(&uri, false, NULL, 0, to, &n, &err), -ENAMETOOLONG);
    assert_int_equal(err.blame, GW_BLAME_CALLER);
    assert_string_equal(err.text, "a socket's path has at most 107 bytes");
    uri = (struct gw_uri){.kind = GW_URI_FILE};
    assert_int_equal(gw_socket_resolve(&uri, false, NULL, 0, to, &n, &err), -EINVAL);
    assert_string_equal(err.text, "this is not the address of a socket");
}

static void texts(void **state)
{
    struct gw_sockaddr a = {.bytes = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a.storage;
    struct sockaddr_un *un = (struct sockaddr_un *)&a.storage;
    char text[GW_SOCKADDR_TEXT];

    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(77);
    inet_pton(AF_INET6, "::ffff:10.1.2.3", &v6->sin6_addr);
    gw_sockaddr_text(&a, text);
    assert_string_equal(text, "10.1.2.3:77");
    inet_pton(AF_INET6, "fe80::1:2:3:4", &v6->sin6_addr);
    gw_sockaddr_text(&a, text);
    assert_string_equal(text, "[fe80::1:2:3:4]:77");
    /* A path that fills its place has no end of its own. */
    memset(&a, 0, sizeof a);
    un->sun_family = AF_UNIX;
    memset(un->sun_path, 'q', sizeof un->sun_path);
    gw_sockaddr_text(&a, text);
    assert_int_equal(strlen(text), 107);
    a.storage.ss_family = AF_UNSPEC;
    gw_sockaddr_text(&a, text);
    assert_string_equal(text, "address family 0");
}

/* As many as are asked for and no more; one that is longer than an address can be is left out. */
static void many(void **state)
{
    static const unsigned counts[] = {1, GW_SOCKET_ADDRESSES, GW_SOCKET_ADDRESSES + 1, 40};

    for (size_t i = 0; i < GW_ARRAY_LEN(counts); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_sockaddr *to = calloc(GW_SOCKET_ADDRESSES, sizeof *to);
        unsigned n = 0, strange = counts[i] > 2 ? 2 : 0;
        char text[GW_SOCKADDR_TEXT];

        answer.code = 0;
        answer.addresses = counts[i];
        answer.strange = strange;
        assert_ok(gw_socket_resolve(&a_name, false, NULL, 0, to, &n, &err), err);
        assert_int_equal(n, GW_MIN(counts[i] - strange, GW_SOCKET_ADDRESSES));
        gw_sockaddr_text(&to[0], text);
        assert_string_equal(text, strange ? "127.0.0.1:102" : "127.0.0.1:100");
        free(to);
    }
}

static void failures(void **state)
{
    static const struct {
        int code, code_errno, want;
        enum gw_blame blame;
        const char *text;
    } rows[] = {
        {EAI_NONAME, 0, -EHOSTUNREACH, GW_BLAME_CHANNEL, "looking up 'a-name': "},
        {EAI_FAIL, 0, -EHOSTUNREACH, GW_BLAME_CHANNEL, "looking up 'a-name': "},
        {EAI_AGAIN, 0, -EAGAIN, GW_BLAME_CHANNEL, "looking up 'a-name': "},
        {EAI_MEMORY, 0, -ENOMEM, GW_BLAME_LOCAL, "out of memory (address lookup)"},
        {EAI_SYSTEM, EMFILE, -EMFILE, GW_BLAME_CHANNEL, "looking up 'a-name': Too many open files"},
        {EAI_SYSTEM, 0, -EIO, GW_BLAME_CHANNEL, "looking up 'a-name': "},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
        unsigned n = 55;

        answer.code = rows[i].code;
        answer.code_errno = rows[i].code_errno;
        assert_int_equal(gw_socket_resolve(&a_name, false, NULL, 0, to, &n, &err), rows[i].want);
        assert_int_equal(err.code, rows[i].want);
        assert_int_equal(err.blame, rows[i].blame);
        assert_text(err, rows[i].text);
        assert_int_equal(n, 55);
    }
    answer.code = 0;
}

/* A resolver that does not answer is left to itself, and does no harm when it answers at last. */
static void left_alone(void **state)
{
    for (int cancelled = 0; cancelled < 2; cancelled++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
        struct gw_cancel *cancel;
        unsigned n = 55, tasks = entries("/proc/self/task");
        int r;

        assert_ok(gw_cancel_init(&go_on, &err), err);
        assert_ok(gw_cancel_new(&cancel, &err), err);
        answer.hangs = true;
        answer.addresses = 3;
        answer.strange = 0;
        __atomic_store_n(&answered, false, __ATOMIC_SEQ_CST);
        if (cancelled)
            gw_cancel_trigger(cancel);
        r = gw_socket_resolve(&a_name, false, cancel, cancelled ? 0 : gw_deadline(MS), to, &n, &err);
        assert_int_equal(r, cancelled ? -ECANCELED : -ETIMEDOUT);
        assert_int_equal(err.blame, GW_BLAME_CHANNEL);
        assert_string_equal(err.text, cancelled ? "looking up 'a-name': cancelled"
                                                : "looking up 'a-name': no answer in time");
        assert_int_equal(n, 55);
        gw_cancel_trigger(&go_on);
        while (!__atomic_load_n(&answered, __ATOMIC_SEQ_CST))
            pass_ns(MS);
        /* Its thread frees what it has and ends. */
        while (entries("/proc/self/task") > tasks)
            pass_ns(MS);
        gw_cancel_fini(&go_on);
        gw_cancel_free(cancel);
    }
    answer.hangs = false;
}

static void out_of_memory(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_sockaddr to[GW_SOCKET_ADDRESSES];
    unsigned n = 55, fds = entries("/proc/self/fd");

    answer.addresses = 1;
    countdown = 1;
    assert_int_equal(gw_socket_resolve(&a_name, false, NULL, 0, to, &n, &err), -ENOMEM);
    countdown = 0;
    assert_string_equal(err.text, "out of memory (address lookup)");
    assert_int_equal(err.blame, GW_BLAME_LOCAL);
    assert_int_equal(n, 55);
    assert_int_equal(entries("/proc/self/fd"), fds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        channel_test(numbers), channel_test(listening), channel_test(paths),      channel_test(texts),
        channel_test(many),    channel_test(failures),  channel_test(left_alone), channel_test(out_of_memory),
    };

    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

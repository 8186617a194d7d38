/* SPDX-License-Identifier: MIT */
#include "helpers.h"

static struct gw_uri parsed(const char *text)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_uri uri;

    assert_ok(gw_uri_parse(text, &uri, &err), err);
    return uri;
}

/* What is read and written again reads the same. */
static void round_trip(const char *text, const char *written)
{
    struct gw_uri uri = parsed(text), again;
    char buf[GW_URI_TEXT];

    gw_uri_format(&uri, buf, sizeof buf);
    assert_string_equal(buf, written ? written : text);
    again = parsed(buf);
    assert_memory_equal(&uri, &again, sizeof uri);
}

static void forms(void **state)
{
    struct gw_uri u;

    u = parsed("tcp:example.org:4444");
    assert_int_equal(u.kind, GW_URI_TCP);
    assert_string_equal(u.host, "example.org");
    assert_string_equal(u.service, "4444");
    u = parsed("tcp::0");
    assert_string_equal(u.host, "");
    assert_string_equal(u.service, "0");
    u = parsed("tcp:[fe80::1%eth0]:65535");
    assert_string_equal(u.host, "fe80::1%eth0");
    assert_string_equal(u.service, "65535");
    u = parsed("unix:/run/x:y,z");
    assert_int_equal(u.kind, GW_URI_UNIX);
    assert_string_equal(u.path, "/run/x:y,z");
    u = parsed("vsock:2:4294967295");
    assert_int_equal(u.kind, GW_URI_VSOCK);
    assert_int_equal(u.cid, 2);
    assert_int_equal(u.port, 4294967295u);
    u = parsed("fd:7");
    assert_int_equal(u.kind, GW_URI_FD);
    assert_int_equal(u.fd, 7);
    u = parsed("exec:gzip -c > /tmp/x:1, y");
    assert_int_equal(u.kind, GW_URI_EXEC);
    assert_string_equal(u.path, "gzip -c > /tmp/x:1, y");
    u = parsed("file:/tmp/f");
    assert_int_equal(u.kind, GW_URI_FILE);
    assert_string_equal(u.path, "/tmp/f");
    assert_int_equal(u.offset, 0);
    u = parsed("file:a,offset=1,offset=0x10");
    assert_string_equal(u.path, "a,offset=1");
    assert_int_equal(u.offset, 16);
}

static void sizes(void **state)
{
    assert_int_equal(parsed("file:f,offset=0").offset, 0);
    assert_int_equal(parsed("file:f,offset=4096").offset, 4096);
    assert_int_equal(parsed("file:f,offset=0x1000").offset, 4096);
    assert_int_equal(parsed("file:f,offset=0XfF").offset, 255);
    assert_int_equal(parsed("file:f,offset=4K").offset, 4096);
    assert_int_equal(parsed("file:f,offset=4k").offset, 4096);
    assert_int_equal(parsed("file:f,offset=0x10M").offset, 16 * GW_MIB);
    assert_int_equal(parsed("file:f,offset=3G").offset, 3 * GW_GIB);
    assert_int_equal(parsed("file:f,offset=2T").offset, 2048 * GW_GIB);
    assert_int_equal(parsed("file:f,offset=9223372036854775807").offset, INT64_MAX);
    assert_int_equal(parsed("file:f,offset=8388607T").offset, 8388607ull << 40);
}

static void formats(void **state)
{
    round_trip("tcp:127.0.0.1:4444", NULL);
    round_trip("tcp::4444", NULL);
    round_trip("tcp:[::1]:1", NULL);
    round_trip("tcp:h:0004444", "tcp:h:4444");
    round_trip("unix:/a b", NULL);
    round_trip("vsock:1:2", NULL);
    round_trip("fd:0", NULL);
    round_trip("exec:cat", NULL);
    round_trip("file:x", NULL);
    round_trip("file:x,offset=1K", "file:x,offset=1024");
    round_trip("file:x,offset=0", "file:x");
    round_trip("file:x,offset=y,offset=0", NULL);
}

static void refusals(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "must begin with"},
        {"127.0.0.1:4444", "must begin with"},
        {"tcp", "must begin with"},
        {"TCP:h:1", "must begin with"},
        {"rdma:h:1", "tcp: unix: vsock: fd: exec: or file:"},
        {"tcp:host", "':PORT' is missing"},
        {"tcp:", "':PORT' is missing"},
        {"tcp:host:", "port ''"},
        {"tcp:host:http", "port 'http'"},
        {"tcp:host:65536", "port '65536' is not a number from 0 to 65535"},
        {"tcp:host:99999999999999999999999", "port"},
        {"tcp:host:+1", "port"},
        {"tcp:host: 1", "port"},
        {"tcp:host:1,to=5", "port '1,to=5'"},
        {"tcp:::1:4444", "brackets"},
        {"tcp:[::1:4444", "'[' without ']'"},
        {"tcp:[::1]4444", "':PORT' is missing"},
        {"tcp:[::1]", "':PORT' is missing"},
        {"tcp:[1.2.3.4]:1", "'1.2.3.4' is not an IPv6 address"},
        {"tcp:[::g]:1", "not an IPv6 address"},
        {"tcp:[::1%]:1", "not an IPv6 address"},
        {"tcp:[]:1", "not an IPv6 address"},
        {"tcp:a b:1", "no host name"},
        {"unix:", "the path is empty"},
        {"vsock:2", "':PORT' is missing"},
        {"vsock:x:1", "CID 'x'"},
        {"vsock:4294967296:1", "CID"},
        {"vsock:2:", "port ''"},
        {"vsock:2:4294967296", "port"},
        {"vsock:-1:3", "CID '-1'"},
        {"fd:", "descriptor"},
        {"fd:-1", "descriptor"},
        {"fd:stdin", "'stdin' is not a descriptor's number"},
        {"fd:2147483648", "descriptor"},
        {"exec:", "the command is empty"},
        {"exec:   ", "the command is empty"},
        {"file:", "the path is empty"},
        {"file:,offset=3", "the path is empty"},
        {"file:x,offset=", "offset ''"},
        {"file:x,offset=-1", "offset '-1'"},
        {"file:x,offset=1Q", "offset '1Q'"},
        {"file:x,offset=1KK", "offset"},
        {"file:x,offset=0x", "offset"},
        {"file:x,offset=0xg", "offset"},
        {"file:x,offset=9223372036854775808", "offset"},
        {"file:x,offset=8388608T", "offset"},
        {"file:x,offset=18446744073709551616", "offset"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(bad); i++) {
        struct gw_error err = GW_ERROR_INIT;
        struct gw_uri uri, before;

        memset(&uri, 0x5a, sizeof uri);
        before = uri;
        if (gw_uri_parse(bad[i].text, &uri, &err) != -EINVAL)
            fail_msg("'%s' was not refused", bad[i].text);
        assert_text(err, bad[i].why);
        assert_text(err, bad[i].text);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_memory_equal(&uri, &before, sizeof uri);
        assert_int_equal(gw_uri_parse(bad[i].text, &uri, NULL), -EINVAL);
    }
}

static void too_long(void **state)
{
    static const struct {
        const char *head, *tail, *why;
        size_t fits;
    } cases[] = {
        {"unix:", "", "path of 108 bytes: a socket's path has at most 107", 107},
        {"tcp:", ":1", "host name longer than 255 bytes", 255},
        {"exec:", "", "command longer than 4095 bytes", 4095},
        {"file:", ",offset=1", "path longer than 4095 bytes", 4095},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        struct gw_error err = GW_ERROR_INIT;
        char text[5000], name[4200], buf[GW_URI_TEXT];
        struct gw_uri uri;

        memset(name, 'x', sizeof name);
        name[cases[i].fits] = 0;
        snprintf(text, sizeof text, "%s%s%s", cases[i].head, name, cases[i].tail);
        assert_ok(gw_uri_parse(text, &uri, &err), err);
        gw_uri_format(&uri, buf, sizeof buf);
        assert_string_equal(buf, text);
        name[cases[i].fits] = 'x';
        name[cases[i].fits + 1] = 0;
        snprintf(text, sizeof text, "%s%s%s", cases[i].head, name, cases[i].tail);
        assert_int_equal(gw_uri_parse(text, &uri, &err), -EINVAL);
        assert_text(err, cases[i].why);
    }
}

/* Nothing that is fed in reads outside of it, and what is taken can be written and read again. */
static void noise(void **state)
{
    static const char *const heads[] = {"tcp:", "unix:", "vsock:", "fd:", "exec:", "file:", ""};
    static const char letters[] = ":[]%,=0123456789abcfFxXKMGToffset/ -";
    uint64_t seed = 7;

    for (int i = 0; i < 200000; i++) {
        size_t n = chance(&seed) % 30;
        const char *head = heads[chance(&seed) % GW_ARRAY_LEN(heads)];
        char *text = malloc(strlen(head) + n + 1), buf[GW_URI_TEXT];
        struct gw_uri uri, again;

        memcpy(text, head, strlen(head));
        for (size_t k = 0; k < n; k++)
            text[strlen(head) + k] = letters[chance(&seed) % (sizeof letters - 1)];
        text[strlen(head) + n] = 0;
        if (gw_uri_parse(text, &uri, NULL) == 0) {
            gw_uri_format(&uri, buf, sizeof buf);
            if (gw_uri_parse(buf, &again, NULL) != 0 || memcmp(&uri, &again, sizeof uri))
                fail_msg("'%s' became '%s'", text, buf);
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),    cmocka_unit_test(sizes),    cmocka_unit_test(formats),
        cmocka_unit_test(refusals), cmocka_unit_test(too_long), cmocka_unit_test(noise),
    };

    return cmocka_run_group_tests_name("uri", tests, NULL, NULL);
}

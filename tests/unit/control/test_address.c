/* SPDX-License-Identifier: MIT
 *
 * QMP's arguments uri and channels as one address, and an address as a SocketAddress: each kind, each member that is missing or
 * of another type, quotes for a shell, and the longest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "control/internal.h"

static int convert(const char *args, char **ret, struct gw_error *err)
{
    json_t *value = NULL;
    int r;

    *err = (struct gw_error)GW_ERROR_INIT;
    if (gw_json_load(args, strlen(args), &value, err) < 0)
        fail_msg("%s: %s", args, err->text);
    *ret = NULL;
    r = gw_address_from_args(value, ret, err);
    json_decref(value);
    return r;
}

#define CHANNEL(addr) "{'channels': [{'channel-type': 'main', 'addr': {" addr "}}]}"
#define SOCKET(more)  CHANNEL("'transport': 'socket', " more)

static void test_good(void **state)
{
    static const char *const rows[][2] = {
        {"{'uri': 'tcp:a:1'}", "tcp:a:1"},
        {"{'uri': ''}", ""},
        {SOCKET("'type': 'inet', 'host': 'a', 'port': '1'"), "tcp:a:1"},
        {SOCKET("'type': 'inet', 'host': '', 'port': '1', 'ipv4': true, 'to': 5"), "tcp::1"},
        {SOCKET("'type': 'inet', 'host': 'fe80::1', 'port': '1'"), "tcp:[fe80::1]:1"},
        {SOCKET("'type': 'unix', 'path': '/run/x'"), "unix:/run/x"},
        {SOCKET("'type': 'unix', 'path': '/run/x', 'abstract': false"), "unix:/run/x"},
        {SOCKET("'type': 'vsock', 'cid': '2', 'port': '1234'"), "vsock:2:1234"},
        {SOCKET("'type': 'fd', 'str': 'name'"), "fd:name"},
        {CHANNEL("'transport': 'exec', 'args': ['/bin/sh', '-c', 'cat > x']"), "exec:cat > x"},
        {CHANNEL("'transport': 'exec', 'args': ['cat']"), "exec:exec 'cat'"},
        {CHANNEL("'transport': 'exec', 'args': ['/bin/sh', '-c', 'a', 'b']"), "exec:exec '/bin/sh' '-c' 'a' 'b'"},
        /* Nothing of it means anything to the shell. */
        {CHANNEL("'transport': 'exec', 'args': ['a b', \"it's\", '$(x)', '']"), "exec:exec 'a b' 'it'\\''s' '$(x)' ''"},
        {CHANNEL("'transport': 'file', 'filename': '/a', 'offset': 0"), "file:/a"},
        {CHANNEL("'transport': 'file', 'filename': '/a', 'offset': 4096"), "file:/a,offset=4096"},
        {CHANNEL("'transport': 'file', 'filename': '/a', 'offset': 9223372036854775807"), "file:/a,offset=9223372036854775807"},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err;
        char *uri;

        if (convert(rows[i][0], &uri, &err) < 0)
            fail_msg("%s: %s", rows[i][0], err.text);
        assert_string_equal(uri, rows[i][1]);
        free(uri);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *args, *why;
        int code;
    } rows[] = {
        {"{}", "argument 'uri' is missing", -EINVAL},
        {"{'uri': 'a', 'channels': []}", "arguments 'uri' and 'channels' both give the address", -EINVAL},
        {"{'channels': []}", "argument 'channels' must list one channel, of type 'main'", -EINVAL},
        {"{'channels': [{}, {}]}", "must list one channel", -EINVAL},
        {"{'channels': [5]}", "argument 'channels[0]' must have type object", -EINVAL},
        {"{'channels': [{}]}", "argument 'channels[0].channel-type' is missing", -EINVAL},
        {"{'channels': [{'channel-type': 'main'}]}", "argument 'channels[0].addr' is missing", -EINVAL},
        {"{'channels': [{'channel-type': 'main', 'addr': 5}]}", "'channels[0].addr' must have type object", -EINVAL},
        {"{'channels': [{'channel-type': 'cpr', 'addr': {}}]}", "of type 'main'", -EINVAL},
        {"{'channels': [{'channel-type': 'main', 'addr': {}, 'x': 1}]}", "there is no argument 'channels[0].x'", -EINVAL},
        {CHANNEL(""), "argument 'channels[0].addr.transport' is missing", -EINVAL},
        {CHANNEL("'transport': 5"), "argument 'channels[0].addr.transport' is missing", -EINVAL},
        {CHANNEL("'transport': 'rdma'"), "argument 'transport' cannot be 'rdma'", -EINVAL},
        {CHANNEL("'transport': 'socket'"), "argument 'channels[0].addr.type' is missing", -EINVAL},
        {SOCKET("'type': 'x'"), "argument 'type' cannot be 'x'", -EINVAL},
        {SOCKET("'type': 'inet', 'port': '1'"), "argument 'channels[0].addr.host' is missing", -EINVAL},
        {SOCKET("'type': 'inet', 'host': 'a', 'port': 1"), "'channels[0].addr.port' must have type string", -EINVAL},
        {SOCKET("'type': 'inet', 'host': 'a', 'port': 1e99"), "must have type string", -EINVAL},
        {SOCKET("'type': 'inet', 'host': 'a', 'port': '1', 'z': 1"), "there is no argument 'channels[0].addr.z'", -EINVAL},
        {SOCKET("'type': 'unix'"), "argument 'channels[0].addr.path' is missing", -EINVAL},
        {SOCKET("'type': 'unix', 'path': 'x', 'abstract': true"), "abstract socket names are not supported", -ENOTSUP},
        {SOCKET("'type': 'vsock', 'cid': 2, 'port': '1'"), "'channels[0].addr.cid' must have type", -EINVAL},
        {SOCKET("'type': 'fd'"), "argument 'channels[0].addr.str' is missing", -EINVAL},
        {CHANNEL("'transport': 'exec', 'args': []"), "argument 'channels[0].addr.args' is empty", -EINVAL},
        {CHANNEL("'transport': 'exec', 'args': 'cat'"), "'channels[0].addr.args' must have type array", -EINVAL},
        {CHANNEL("'transport': 'exec', 'args': ['cat', 5]"), "'channels[0].addr.args[1]' must have type string", -EINVAL},
        {CHANNEL("'transport': 'exec', 'args': ['/bin/sh', '-c', 1e99]"), "'channels[0].addr.args[2]'", -EINVAL},
        {CHANNEL("'transport': 'file', 'filename': '/a'"), "argument 'channels[0].addr.offset' is missing", -EINVAL},
        {CHANNEL("'transport': 'file', 'filename': '/a', 'offset': -1"), "the file's offset is negative, or", -EINVAL},
        {CHANNEL("'transport': 'file', 'filename': '/a', 'offset': 9223372036854775808"), "must have type integer", -EINVAL},
        {CHANNEL("'transport': 'file', 'filename': '/a,offset=1', 'offset': 0"), "the file's offset is negative, or", -EINVAL},
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        struct gw_error err;
        char *uri;

        assert_int_equal(convert(rows[i].args, &uri, &err), rows[i].code);
        assert_int_equal(err.blame, GW_BLAME_CALLER);
        assert_null(uri);
        if (!strstr(err.text, rows[i].why))
            fail_msg("%s: '%s' is not in '%s'", rows[i].args, rows[i].why, err.text);
    }
}

/* 4095 bytes, quotes and all, and one more. */
static void test_longest(void **state)
{
    for (size_t n = 4090; n <= 4097; n++)
        for (int exec = 0; exec < 2; exec++) {
            /* "exec:exec '" and a quote; "tcp:" of 4. */
            const size_t extra = exec ? 12 : 0;
            char text[5000], name[4200];
            struct gw_error err;
            char *uri;
            int r;

            memset(name, 'x', n - extra);
            name[n - extra] = 0;
            snprintf(text, sizeof text, exec ? CHANNEL("'transport': 'exec', 'args': ['%s']") : "{'uri': '%s'}", name);
            r = convert(text, &uri, &err);
            assert_int_equal(r, n < 4096 ? 0 : -EINVAL);
            if (r == 0)
                assert_int_equal(strlen(uri), n);
            else
                assert_string_equal(err.text, "the address is longer than 4095 bytes");
            free(uri);
        }
    /* A quote becomes four bytes. */
    char text[5000], name[1100];
    struct gw_error err;
    char *uri;
    memset(name, '\'', 1030);
    name[1030] = 0;
    snprintf(text, sizeof text, "{\"channels\": [{\"channel-type\": \"main\", \"addr\": {\"transport\": \"exec\", \"args\": [\"%s\"]}}]}", name);
    assert_int_equal(convert(text, &uri, &err), -EINVAL);
    assert_string_equal(err.text, "the address is longer than 4095 bytes");
}

static void test_to_json(void **state)
{
    static const char *const rows[][2] = {
        {"tcp:127.0.0.1:4444", "{\"type\":\"inet\",\"host\":\"127.0.0.1\",\"port\":\"4444\"}"},
        {"tcp:[::1]:4444", "{\"type\":\"inet\",\"host\":\"::1\",\"port\":\"4444\"}"},
        {"unix:/run/x", "{\"type\":\"unix\",\"path\":\"/run/x\"}"},
        {"vsock:4294967295:7", "{\"type\":\"vsock\",\"cid\":\"4294967295\",\"port\":\"7\"}"},
        {"file:/a", NULL},
        {"fd:3", NULL},
        {"exec:cat", NULL},
        {"nonsense", NULL},
        {"unix:/\xff", NULL}, /* is no text of JSON */
    };

    for (size_t i = 0; i < GW_ARRAY_LEN(rows); i++) {
        json_t *v = gw_address_to_json(rows[i][0]);
        char *text = gw_json_text(v);

        if (rows[i][1])
            assert_string_equal(text, rows[i][1]);
        else
            assert_null(v);
        free(text);
        json_decref(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_to_json),
    };

    return cmocka_run_group_tests_name("address", tests, NULL, NULL);
}

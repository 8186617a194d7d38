/* SPDX-License-Identifier: MIT
 *
 * Images by path: chains, what is refused of them, and images that are handed from one process to another.
 */
#include "qcow2_rig.h"

#include <fcntl.h>

static char folder[64];

static int up(void **state)
{
    strcpy(folder, "/tmp/gw-chain-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int down(void **state)
{
    char command[100];

    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *at(const char *name)
{
    static char path[4][128];
    static unsigned i;

    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", folder, name);
    return path[i];
}

static void make(const char *name, const char *backing, const char *format)
{
    struct gw_qcow2_config c = {.bytes = 1 << 20, .backing = backing, .backing_format = format};
    struct gw_node_options raw = {.format = "raw"};
    struct gw_node *n;

    assert_int_equal(close(open(at(name), O_CREAT | O_WRONLY, 0600)), 0);
    rig_ok(gw_node_open(at(name), &raw, &n, &err));
    rig_ok(gw_qcow2_create(n, &c, &err));
    rig_ok(gw_node_free(n, &err));
}

static void refused(const char *name, int code, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *n;

    assert_int_equal(gw_node_open(at(name), NULL, &n, &err), code);
    if (!strstr(err.text, word))
        fail_msg("%s", err.text);
}

static void test_chain(void **state)
{
    struct gw_node *n;
    char name[16], below[16];

    make("0", NULL, NULL);
    rig_ok(gw_node_open(at("0"), NULL, &n, &err));
    assert_string_equal(gw_node_format(n), "qcow2");
    rig_fill(n, 7, 100, 5000);
    rig_ok(gw_node_free(n, &err));
    for (unsigned i = 1; i < 66; i++) {
        snprintf(name, sizeof name, "%u", i);
        snprintf(below, sizeof below, "%u", i - 1);
        make(name, below, "qcow2");
    }
    rig_ok(gw_node_open(at("63"), NULL, &n, &err));
    assert_int_equal(rig_byte(n, 5099), 7);
    rig_fill(n, 8, 1, 5000);
    rig_ok(gw_node_free(n, &err));
    rig_ok(gw_node_open(at("63"), &(struct gw_node_options){.read_only = true}, &n, &err));
    assert_int_equal(rig_byte(n, 5000), 8);
    assert_int_equal(rig_byte(n, 5001), 7);
    rig_ok(gw_node_free(n, &err));
    refused("64", -ELOOP, "more than 64");
}

static void test_refused(void **state)
{
    make("a", "b", "qcow2");
    make("b", "a", "qcow2");
    refused("a", -ELOOP, "its own backing");
    make("rbd", "rbd:pool/x", "raw");
    refused("rbd", -ENOTSUP, "protocol rbd");
    make("json", "json:{}", "raw");
    refused("json", -EPROTO, "filename is missing");
    make("driver", "json:{'driver':'luks','file':{'driver':'file','filename':'b'}}", "raw");
    refused("driver", -ENOTSUP, "driver luks");
    make("vmdk", "b", "vmdk");
    refused("vmdk", -ENOTSUP, "vmdk");
    make("gone", "nowhere", "raw");
    refused("gone", -ENOENT, "nowhere");
}

/* A description names a file of the chain as well; and a backing that is to be read without its own. */
static void test_json(void **state)
{
    struct gw_node *n;
    char name[300];

    make("0", NULL, NULL);
    rig_ok(gw_node_open(at("0"), NULL, &n, &err));
    rig_fill(n, 7, 100, 5000);
    rig_ok(gw_node_free(n, &err));
    make("1", "0", "qcow2");
    snprintf(name, sizeof name, "json:{'driver':'qcow2','file':{'driver':'file','filename':'%s'}}", at("1"));
    make("2", name, "qcow2");
    rig_ok(gw_node_open(at("2"), NULL, &n, &err));
    assert_int_equal(rig_byte(n, 5099), 7);
    rig_fill(n, 8, 1, 5000);
    rig_ok(gw_node_free(n, &err));
    snprintf(name, sizeof name, "json:{'driver':'qcow2','backing':null,'file':{'driver':'file','filename':'%s'}}", at("1"));
    make("3", name, "qcow2");
    rig_ok(gw_node_open(at("3"), NULL, &n, &err));
    assert_int_equal(rig_byte(n, 5099), 0);
    rig_ok(gw_node_free(n, &err));
    snprintf(name, sizeof name, "json:{'driver':'qcow2','file.filename':'%s'}", at("own"));
    make("own", name, "qcow2");
    refused("own", -ELOOP, "its own backing");
}

static void test_no_format_recorded(void **state)
{
    int fd;

    make("0", NULL, NULL);
    make("1", "0", "qcow2");
    fd = open(at("1"), O_WRONLY);
    assert_int_equal(pwrite(fd, "\0\0\0\1", 4, 112), 4); /* another extension */
    close(fd);
    refused("1", -EINVAL, "rebase");
}

/* One writes, hands over, and the other sees what was written; then back. */
static void test_handed_over(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_node *a, *b;

    make("disk", NULL, NULL);
    rig_ok(gw_node_open(at("disk"), NULL, &a, &err));
    rig_ok(gw_node_open(at("disk"), &(struct gw_node_options){.inactive = true}, &b, &err));
    assert_int_equal(gw_node_bytes(b), 1 << 20);
    assert_int_equal(gw_node_write(b, "x", 1, 0, 0, &err), -EPERM);
    for (unsigned i = 1; i < 6; i++) {
        struct gw_node *swap = a;

        rig_fill(a, (int)i, 70000, 1000 * i);
        rig_ok(gw_node_inactivate(a, &err));
        rig_ok(gw_node_activate(b, &err));
        assert_int_equal(rig_byte(b, 1000 * i), i);
        assert_int_equal(rig_byte(b, 1000 * i + 69999), i);
        rig_clean(b);
        a = b;
        b = swap;
    }
    rig_ok(gw_node_free(b, &err));
    rig_clean(a);
    rig_ok(gw_node_free(a, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chain, up, down),
        cmocka_unit_test_setup_teardown(test_refused, up, down),
        cmocka_unit_test_setup_teardown(test_json, up, down),
        cmocka_unit_test_setup_teardown(test_no_format_recorded, up, down),
        cmocka_unit_test_setup_teardown(test_handed_over, up, down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

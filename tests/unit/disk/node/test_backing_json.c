/* SPDX-License-Identifier: MIT
 *
 * "json:" names of backings: the drivers that are known, objects and keys with dots, what is refused by name, and texts that end
 * anywhere.
 */
#include "backing_rig.h"

#include "disk/node/backing_json.h"

static void test_files(void **state)
{
    is("/disks/image", "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"/base\"}}", false, "/base", "qcow2");
    is("/disks/image", "json:{\"driver\":\"raw\",\"file.driver\":\"file\",\"file.filename\":\"base\"}", false, "base", "raw");
    is("/disks/image", "json:{'driver':'qcow2','file.filename':'/base'}", false, "/base", "qcow2");
    is("/disks/image", "json:{'driver':'file','filename':'nbd://a'}", false, "nbd://a", "");
    is("/disks/image", "json:{'filename':'file:/base'}", false, "/base", "");
    is("/disks/image", "json:{'file':{'driver':'host_device','filename':'/dev/x'}}", false, "/dev/x", "");
    is("/disks/image", "json:{'driver':'qcow2','file':{'driver':'raw','file':{'driver':'file','filename':'/base'}}}", false, "/base", "qcow2");
    is("/disks/image", "json:{'driver':'raw','node-name':'x','read-only':true,'file':{'driver':'file','filename':'/b','cache':{'direct':true}}}",
       false, "/b", "raw");
}

static void test_servers(void **state)
{
    is("i", "json:{'driver':'nbd','server':{'type':'unix','path':'/s'},'export':'x'}", true, "nbd+unix:///x?socket=/s", "");
    is("i", "json:{'driver':'raw','file':{'driver':'nbd','server.type':'inet','server.host':'h','server.port':'99'}}", true, "nbd://h:99/", "raw");
    is("i", "json:{'driver':'qcow2','file.driver':'nbd','file.host':'fe80::1','file.port':99,'file.export':'a/b?'}", true,
       "nbd://[fe80::1]:99/a/b%3F", "qcow2");
    is("i", "json:{'driver':'nbd','path':'/s'}", true, "nbd+unix:///?socket=/s", "");
    is("i", "json:{'driver':'qcow2','file':{'filename':'nbd://h/x'}}", true, "nbd://h/x", "qcow2");
    is("i", "json:{'driver':'nbd','host':'h/x'}", true, "nbd://h%2Fx/", "");
}

static void test_alone(void **state)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_backing_name b = {0};

    assert_int_equal(gw_backing_name_get("i", "json:{'driver':'qcow2','backing':null,'file.filename':'/b'}", &b, &err), 0);
    assert_true(b.alone);
    free(b.where);
}

static void test_refused(void **state)
{
    static const struct {
        const char *json, *word;
        int code;
    } cases[] = {
        {"{'driver':'https','url':'https://h/x'}", "driver https is not supported", -ENOTSUP},
        {"{'driver':'qcow2','file':{'driver':'rbd','pool':'x'}}", "driver rbd is not supported", -ENOTSUP},
        {"{'driver':'luks','file':{'driver':'file','filename':'/b'}}", "driver luks", -ENOTSUP},
        {"{'driver':'raw','offset':512,'file.filename':'/b'}", "option offset is not supported", -ENOTSUP},
        {"{'driver':'qcow2','file':'node0'}", "option file refers to a node", -ENOTSUP},
        {"{'driver':'qcow2','backing':'node0','file.filename':'/b'}", "option backing, another backing", -ENOTSUP},
        {"{'driver':'qcow2','file':{'driver':'qcow2','file.filename':'/b'}}", "qcow2 inside one of driver qcow2", -ENOTSUP},
        {"{'driver':'nbd','path':'/s','tls-creds':'x'}", "option tls-creds", -ENOTSUP},
        {"{'driver':'nbd','server':{'type':'vsock','cid':'1','port':'2'}}", "server of type vsock", -ENOTSUP},
        {"{'driver':'nbd','path':'/s','host':'h'}", "two servers", -EPROTO},
        {"{'driver':'nbd'}", "no server", -EPROTO},
        {"{'driver':'nbd','host':'h','port':'1@x'}", "the port is not a number: 1@x", -EPROTO},
        {"{'driver':'nbd','host':'h','port':''}", "the port is", -EPROTO},
        {"{'driver':'file'}", "filename is missing", -EPROTO},
        {"{}", "filename is missing", -EPROTO},
        {"{'driver':'raw'}", "file. filename is missing", -EPROTO},
        {"{'filename':'json:{}'}", "inside another one", -ENOTSUP},
        {"{'driver':'file','driver':'raw'}", "option driver is given twice", -EPROTO},
        {"{'driver':'raw','file':{'driver':'file','filename':'/a'},'file.filename':'/b'}", "file.filename is given twice", -EPROTO},
        {"{'driver':'raw','file':{'driver':'raw','file':{'driver':'raw','file':{'driver':'raw','file':{'driver':'raw','file':{'driver':'raw',"
         "'file':{'driver':'raw','file':{'driver':'raw','file.filename':'x'}}}}}}}}", "nodes are nested deeper than 8", -EPROTO},
        {"{'driver':'raw','file':[1]}", "option file is a list", -ENOTSUP},
        {"[]", "not a JSON object", -EPROTO},
        {"", "", -EPROTO},
    };
    char name[600];

    for (size_t i = 0; i < GW_ARRAY_LEN(cases); i++) {
        snprintf(name, sizeof name, "json:%s", cases[i].json);
        refused(name, cases[i].code, cases[i].word);
    }
}

/* Too many options, too deep, names that are too long; and every beginning of a good text. */
static void test_hostile(void **state)
{
    static const char good[] = "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"/s\"}}}";
    static char text[20000];
    size_t n = (size_t)sprintf(text, "json:{");

    for (unsigned i = 0; i < 100; i++)
        n += (size_t)sprintf(text + n, "'a%u':1,", i);
    strcpy(text + n, "'b':1}");
    refused(text, -EPROTO, "more than 64 options");
    n = (size_t)sprintf(text, "json:");
    for (unsigned i = 0; i < 20; i++)
        n += (size_t)sprintf(text + n, "{'a':");
    n += (size_t)sprintf(text + n, "1");
    memset(text + n, '}', 20);
    text[n + 20] = 0;
    refused(text, -EPROTO, "nodes are nested deeper than 8");
    n = (size_t)sprintf(text, "json:{'");
    memset(text + n, 'x', 300);
    strcpy(text + n + 300, "':1}");
    refused(text, -EPROTO, "an option with a name of 300 bytes");
    for (size_t i = 5; i < sizeof good - 1; i++) {
        memcpy(text, good, i);
        text[i] = 0;
        refused(text, -EPROTO, "");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_servers), cmocka_unit_test(test_alone),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_hostile)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

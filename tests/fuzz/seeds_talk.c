/* SPDX-License-Identifier: MIT
 *
 * What is said to us: answers of a destination, clients of the QMP server, addresses.
 */
#include <stdio.h>
#include <string.h>

#include "base/base.h"
#include "seeds.h"

static int put_texts(const char *prefix, const char *const *texts, size_t count)
{
    char name[16];
    int r = 0;

    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%s%zu", prefix, i);
        r |= seeds_put(name, texts[i], strlen(texts[i]));
    }
    return r;
}

int seeds_return_path(void)
{
#define PONG(v)  0, 2, 0, 4, v
#define COOKIE   0x67, 0x64, 0x77, 0x74
#define ONE      0, 0, 0, 1
#define HELLO    0x67, 0x77, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1
#define LOADED   0x67, 0x78, 0, 0
#define SHUT(v)  0, 1, 0, 4, 0, 0, 0, v
    static const uint8_t good[] = {0, 0, 32, PONG(COOKIE), HELLO, PONG(ONE), 0, 16, PONG(ONE), PONG(ONE), 255, 4, LOADED,
                                   255, 8, SHUT(0)};
    static const uint8_t bad[] = {0, 0, 32, PONG(COOKIE), HELLO, PONG(ONE), 0, 16, PONG(ONE), PONG(ONE), 255, 4, LOADED,
                                  255, 8, SHUT(1)};
    static const uint8_t plain[] = {1, 0, 16, PONG(ONE), PONG(ONE), 255, 8, SHUT(0)};
    static const uint8_t ack[] = {1, 0, 4, 0, 7, 0, 0, 0, 16, PONG(ONE), PONG(ONE), 255, 8, SHUT(1)};
    static const uint8_t requests[] = {2, 0, 18, 0, 3, 0, 14, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 1, 'r',
                                       0, 16, 0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0};

    /* It loads the package, asks for pages, the last time for what there is not; and one that could not load it. */
    static const uint8_t postcopy[] = {5,   0,   16, PONG(ONE), PONG(ONE), 255, 8, 0, 2, 0, 4, 0, 0, 0, 3,
                                       255, 18, 0, 3, 0, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 2, 'l', 'o',
                                       255, 16, 0, 4, 0, 12, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 255, 8, SHUT(0)};
    static const uint8_t unloaded[] = {5, 0, 16, PONG(ONE), PONG(ONE), 255, 8, SHUT(1)};
    static const uint8_t runs[] = {5, 0, 16, PONG(ONE), PONG(ONE), 255, 8, 0, 2, 0, 4, 0, 0, 0, 3, 255, 8, SHUT(0)};

    return seeds_put("postcopy", postcopy, sizeof postcopy) | seeds_put("unloaded", unloaded, sizeof unloaded) |
           seeds_put("runs", runs, sizeof runs) | seeds_put("good", good, sizeof good) |
           seeds_put("bad", bad, sizeof bad) | seeds_put("plain", plain, sizeof plain) |
           seeds_put("ack", ack, sizeof ack) | seeds_put("requests", requests, sizeof requests);
}

/* The first byte says in which pieces it comes (fuzz_qmp.c). */
int seeds_qmp(void)
{
#define HELLO_QMP "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}"
#define RUN(name, args) "{'execute':'" name "','arguments':" args ",'id':[1.5,{'a':18446744073709551615}]}\n"
    static const char *const texts[] = {
        "\x20" HELLO_QMP RUN("query-commands", "{}") RUN("query-version", "{}") RUN("query-status", "{}") RUN("stop", "{}")
            RUN("cont", "{'x-godwit-force':true}") RUN("query-yank", "{}"),
        "\x06" HELLO_QMP RUN("migrate", "{'uri':'tcp:127.0.0.1:1','x-godwit-peer':'7.2','x-godwit-timeout-ms':5}")
            RUN("query-migrate", "{}") RUN("migrate_cancel", "{}") RUN("yank", "{'instances':[{'type':'migration'}]}") RUN("quit", "{}"),
        "\x40" HELLO_QMP RUN("migrate", "{'channels':[{'channel-type':'main','addr':{'transport':'socket','type':'inet','host':'::1',"
                                        "'port':'4'}}]}")
            RUN("migrate", "{'channels':[{'channel-type':'main','addr':{'transport':'exec','args':['/bin/sh','-c','true']}}]}"),
        "\x41" HELLO_QMP RUN("migrate-incoming", "{'uri':'unix:x'}") RUN("query-migrate", "{}") RUN("x-godwit-claim", "{}")
            RUN("migrate-continue", "{'state':'pre-switchover'}"),
        "\x02" HELLO_QMP RUN("migrate-set-parameters", "{'max-bandwidth':18446744073709551615,'tls-creds':null,'direct-io':false}")
            RUN("query-migrate-parameters", "{}") RUN("query-migrate-capabilities", "{}")
                RUN("migrate-set-capabilities", "{'capabilities':[{'capability':'events','state':true}]}"),
        "\x10{'a\\'\":\"\\u0001\\ud83d\\ude00\"} [[[\xff{\"exec-oob\":\"migrate-pause\"}}]'x\n{\"execute\":\"getfd\",'id':'\\u00015'}",
    };

    return put_texts("qmp-", texts, GW_ARRAY_LEN(texts));
}

int seeds_uri(void)
{
    static const char *const texts[] = {"tcp:127.0.0.1:4444", "tcp:[::1]:0", "tcp:[fe80::1%eth0]:1", "unix:/tmp/x",
                                        "vsock:2:1024", "fd:3", "exec:cat", "file:/x,offset=0x10", "file:a,offset=1M", "tcp::1"};

    return put_texts("", texts, GW_ARRAY_LEN(texts));
}

int seeds_backing(void)
{
    static const char *const texts[] = {
        "base", "/disks/base", "file:base", "nbd://h:1/x", "nbd+unix:///x?socket=/s", "nbd:unix:/s:exportname=x", "nbd:h:1",
        "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"/base\"}}",
        "json:{'driver':'raw','read-only':true,'file.driver':'file','file.filename':'b','file.cache.direct':true}",
        "json:{'driver':'nbd','server':{'type':'unix','path':'/s'},'export':'x'}",
        "json:{'driver':'raw','file':{'driver':'nbd','server.type':'inet','server.host':'fe80::1','server.port':'99'}}",
        "json:{'driver':'qcow2','backing':null,'file':{'driver':'host_device','filename':'/dev/x'}}"};

    return put_texts("", texts, GW_ARRAY_LEN(texts));
}

/* What a monitor says to the three commands of fuzz_monitor.c. */
int seeds_monitor(void)
{
#define GREETING                                                                                                       \
    "{\"QMP\":{\"version\":{\"qemu\":{\"micro\":0,\"minor\":2,\"major\":7},\"package\":\"\"},\"capabilities\":[\"oob\"]}}\r\n"
#define EVENT    "{\"timestamp\":{\"seconds\":1,\"microseconds\":2},\"event\":\"STOP\",\"data\":{\"n\":18446744073709551615}}\r\n"
    static const char all[] = GREETING "{\"return\":{},\"id\":1}\r\n" EVENT "{\"id\":2,\"return\":{\"status\":\"paused\"}}\n"
                                       "{\"return\":{},\"id\":3}\n" EVENT;
    static const char refused[] = GREETING "{\"return\":{},\n\"id\":1}"
                                           "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"\\u001b[2J\"},\"id\":2}";

    return seeds_put("all", all, sizeof all - 1) | seeds_put("refused", refused, sizeof refused - 1);
}

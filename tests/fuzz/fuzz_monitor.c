/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a QMP server says to `godwit ctl`, which opens it, runs a command, one out of band, and waits for events. The
 * server says all of it at once, and closes. Accepted: it was opened, and both commands were answered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../cli/qmp_client.h"
#include "verdict.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HOUR_NS 3600000000000ull

static void check(bool ok, const char *what, const struct gw_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "%s: %d %s\n", what, err->code, err->text);
    abort();
}

static void event(void *opaque, const json_t *e)
{
    if (!json_object_get(e, "event"))
        abort();
}

/* A failure has a reason, on one line. */
static int said(int r, const struct gw_error *err)
{
    check(r >= 0 || (err->code == r && err->text[0] && !strpbrk(err->text, "\n\x1b")), "no reason", err);
    check(r != -ETIMEDOUT, "waits for a server that is gone", err);
    return r;
}

static bool commands(struct gw_qmp *q)
{
    struct gw_error err[3] = {GW_ERROR_INIT, GW_ERROR_INIT, GW_ERROR_INIT};
    json_t *result = NULL;
    int r = said(gw_qmp_execute(q, "query-status", json_pack("{sI}", "a", (json_int_t)1), &result, &err[0]), &err[0]);
    const char *refusal = gw_qmp_refusal(q);

    check((r >= 0) == (result != NULL), "a result, or none, against what is said", &err[0]);
    check(r >= 0 || r == -ECONNRESET || r == -EPROTO || refusal, "refused, and by nothing", &err[0]);
    json_decref(result);
    if (r >= 0)
        r = said(gw_qmp_execute_urgent(q, "yank", NULL, &err[1]), &err[1]);
    said(gw_qmp_wait(q, HOUR_NS, &err[2]), &err[2]);
    return r >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_qmp_config config = {.timeout_ns = HOUR_NS, .event = event, .urgent = true};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_qmp *q = NULL;
    int ends[2], room = 8 << 20;
    bool answered = false;
    char address[32];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        abort();
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    if (send(ends[0], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && size)
        abort();
    shutdown(ends[0], SHUT_WR);
    snprintf(address, sizeof address, "fd:%d", ends[1]);
    config.address = address;
    if (said(gw_qmp_open(&config, &q, &err), &err) >= 0)
        answered = commands(q);
    FUZZ_VERDICT(answered);
    gw_qmp_free(q);
    close(ends[0]);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Any bytes of a client to the QMP server, with an engine that does nothing (fake_engine.h): framing, JSON, dispatch, commands.
 * The first byte says in which pieces the rest comes. What comes back are lines of JSON, each an answer or an event, and the
 * answers are the same in whatever pieces the request came. A server that was asked anything still answers the next one.
 */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "control/internal.h"
#include "../unit/control/fake_engine.h"
#include "state/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LAST "\xff{\"execute\":\"query-name\",\"id\":\"the last\"}\n"

static struct gw_control *server(struct gw_vm *vm, bool waits)
{
    struct gw_control *c = calloc(1, sizeof *c);

    if (!c || gw_options_new(&vm->options, NULL) < 0)
        abort();
    c->vm = vm;
    c->waits = waits;
    c->name = strdup("fuzz");
    c->events = json_array();
    c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&c->queue, NULL);
    pthread_mutex_init(&c->sessions, NULL);
    for (size_t i = 0; i < GW_CONTROL_CLIENTS; i++)
        c->clients[i].fd = -1;
    return c;
}

static void check_line(const char *line, size_t bytes, struct gw_text *answers)
{
    json_error_t wrong;
    json_t *o = json_loadb(line, bytes, 0, &wrong);

    /* Numbers come back as they were, larger than jansson can have. */
    if (!o && json_error_code(&wrong) != json_error_numeric_overflow)
        abort();
    if (o && json_object_size(o) < 1)
        abort();
    if (!json_object_get(o, "event"))
        gw_text_add(answers, line, bytes + 1);
    json_decref(o);
}

/* Whatever has been answered: whole lines. */
static bool take_answers(int fd, struct gw_text *answers)
{
    struct gw_text all = {0};
    char buf[65536], *line, *end;
    ssize_t n;

    while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
        gw_text_add(&all, buf, (size_t)n);
    for (line = all.data; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end)
            abort(); /* the socket has room for all of it */
        check_line(line, (size_t)(end - line), answers);
    }
    n = (ssize_t)all.bytes;
    gw_text_free(&all);
    return n > 0;
}

/* One turn of the server for a client that reads all that it gets. */
static void serve(struct gw_control *c, struct gw_client *cl, int fd, struct gw_text *answers)
{
    do {
        gw_client_work(c, cl);
        gw_control_deliver(c);
        gw_client_flush(cl);
    } while (take_answers(fd, answers) && cl->fd >= 0);
}

static void converse(const uint8_t *data, size_t size, size_t piece, bool waits, struct gw_text *answers)
{
    int ends[2], room = 8 << 20;
    struct gw_vm vm = {0};
    struct gw_control *c = server(&vm, waits);
    struct gw_client *cl = &c->clients[0];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        abort();
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    gw_client_open(cl, ends[0]);
    gw_control_greet(cl);
    serve(c, cl, ends[1], answers);
    for (size_t at = 0; at < size && cl->fd >= 0; at += piece) {
        size_t n = GW_MIN(piece, size - at);

        if (send(ends[1], data + at, n, MSG_NOSIGNAL) != (ssize_t)n)
            abort();
        gw_client_read(c, cl);
        serve(c, cl, ends[1], answers);
    }
    if (cl->fd < 0 || send(ends[1], LAST, sizeof LAST - 1, MSG_NOSIGNAL) < 0)
        abort(); /* nothing that a client says ends the connection */
    gw_client_read(c, cl);
    serve(c, cl, ends[1], answers);
    if (!answers->data || !strstr(answers->data, "\"the last\""))
        abort();
    gw_client_close(cl);
    close(ends[1]);
    gw_control_free(c);
    gw_options_free(vm.options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gw_text whole = {0}, pieces = {0};

    if (size < 1)
        return 0;
    fake = (struct fake_engine){0};
    converse(data + 1, size - 1, 8192, data[0] & 1, &whole);
    fake = (struct fake_engine){0};
    converse(data + 1, size - 1, 1 + (data[0] >> 1), data[0] & 1, &pieces);
    if (whole.bytes != pieces.bytes || memcmp(whole.data, pieces.data, whole.bytes) != 0)
        abort();
    gw_text_free(&whole);
    gw_text_free(&pieces);
    return 0;
}

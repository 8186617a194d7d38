/* SPDX-License-Identifier: MIT */
#include "served.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Called on the session's thread. */
static void on_event(void *opaque, const struct gw_event *event)
{
    struct gw_served *d = opaque;

    if (event->type != GW_EVENT_STATUS)
        return;
    if (event->status == GW_STATUS_POSTCOPY_ACTIVE && !d->runs_ns)
        d->runs_ns = now_ns();
    gw_transfer_wake(d->by->transfer);
}

static int start(struct gw_served *d, uint64_t *ret_dropped, struct gw_error *err)
{
    const struct gw_served_by *by = d->by;
    struct gw_send_config config = {.uri = d->uri,
                                    .resume = d->resume,
                                    .postcopy = !d->resume,
                                    .peer = by->peer,
                                    .progress_timeout_ns = by->transfer->timeout_ns,
                                    .on_event = on_event,
                                    .opaque = d};
    struct gw_vm *vm = NULL;
    int r = gw_shared_view(by->shared, &d->view, err);

    if (r >= 0)
        r = gw_image_vm(d->view, NULL, NULL, &vm, err);
    if (r >= 0) /* before the capabilities that need it */
        r = gw_options_set_bool(gw_vm_options(vm), "postcopy-ram", true, err);
    if (r >= 0)
        r = gw_transfer_configure(by->transfer, vm, err);
    if (r >= 0)
        r = gw_working_set_up(by->working, vm, &d->recorded, ret_dropped, err);
    if (r >= 0)
        r = gw_options_get_capability(gw_vm_options(vm), "postcopy-preempt", &d->preempt, err);
    if (r >= 0)
        r = gw_send_start(vm, &config, &d->send, err);
    return r;
}

int gw_served_start(const struct gw_served_by *by, unsigned id, const char *uri, bool resume, struct gw_served **ret,
                    uint64_t *ret_dropped, struct gw_error *err)
{
    struct gw_served *d = calloc(1, sizeof *d);
    int r;

    if (d)
        *d = (struct gw_served){.by = by, .id = id, .uri = strdup(uri), .resume = resume, .began_ns = now_ns(), .owner = GW_OWNER_SOURCE};
    if (!d || !d->uri) {
        gw_served_free(d);
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "out of memory (destination)");
    }
    r = start(d, ret_dropped, err);
    if (r < 0)
        gw_served_free(d);
    else
        *ret = d;
    return r;
}

bool gw_served_look(struct gw_served *d)
{
    if (d->ended)
        return false;
    d->status = gw_send_status(d->send);
    gw_send_stats(d->send, &d->stats);
    if (!gw_transfer_source_ended(d->status))
        return false;
    gw_send_wait(d->send, &d->error);
    gw_send_stats(d->send, &d->stats);
    d->owner = gw_send_owner(d->send);
    d->resumable = d->error.code && d->owner == GW_OWNER_DESTINATION;
    d->ended_ns = now_ns();
    d->ended = true;
    d->send = gw_send_free(d->send);
    d->view = gw_image_free(d->view);
    return true;
}

bool gw_served_connected(const struct gw_served *d)
{
    if (d->preempt && (d->status == GW_STATUS_ACTIVE || d->status == GW_STATUS_POSTCOPY_RECOVER))
        return d->ended;
    return d->ended || (d->status != GW_STATUS_NONE && d->status != GW_STATUS_SETUP && d->status != GW_STATUS_POSTCOPY_RECOVER_SETUP);
}

void gw_served_stop(struct gw_served *d, bool now)
{
    if (!d->ended && gw_send_cancel(d->send, NULL) < 0 && now)
        gw_send_yank(d->send);
}

const char *gw_served_guest(const struct gw_served *d)
{
    if (d->runs_ns || (d->ended && d->owner == GW_OWNER_DESTINATION))
        return "running";
    return d->ended && d->owner == GW_OWNER_SOURCE ? "not-started" : d->ended ? "unknown" : "starting";
}

static double seconds(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) / 1e9 : 0;
}

json_t *gw_served_describe(const struct gw_served *d, const char *event)
{
    uint64_t runs = d->runs_ns;
    json_t *o = json_pack("{s:I, s:s, s:s, s:s, s:f, s:I, s:I, s:I}", "id", (json_int_t)d->id, "uri", d->uri, "status",
                          gw_status_name(d->status), "guest", gw_served_guest(d), "seconds",
                          seconds(d->began_ns, d->ended ? d->ended_ns : now_ns()), "sent-bytes",
                          (json_int_t)d->stats.transferred_bytes, "remaining-bytes", (json_int_t)d->stats.remaining_bytes, "requests",
                          (json_int_t)d->stats.postcopy_requests);

    if (o && event)
        json_object_set_new(o, "event", json_string(event));
    if (o && d->stats.total_bytes)
        json_object_set_new(o, "total-bytes", json_integer((json_int_t)d->stats.total_bytes));
    if (o && runs)
        json_object_set_new(o, "runs-after-seconds", json_real(seconds(d->began_ns, runs)));
    if (o && d->error.code) {
        json_object_set_new(o, "error", json_string(d->error.text));
        json_object_set_new(o, "resumable", json_boolean(d->resumable));
    }
    return o;
}

struct gw_served *gw_served_free(struct gw_served *d)
{
    if (!d)
        return NULL;
    gw_send_free(d->send);
    gw_working_set_free(d->recorded);
    gw_image_free(d->view);
    free(d->uri);
    free(d);
    return NULL;
}

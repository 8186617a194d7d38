/* SPDX-License-Identifier: MIT
 *
 * `godwit salvage --listen`: the source is still waiting and resumes here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "salvage.h"
#include "shown.h"

#define ASIDE_MAX 1000u /* limit of files kept aside */

/* All pages have arrived. Called on the session's thread; the source is acknowledged when they are in the file. */
static int park(void *opaque, struct gw_error *err)
{
    struct gw_salvage *s = opaque;
    const struct gw_salvage_options how = {0};
    int r = gw_image_salvage(s->image, s->rest, &how, err);

    return r < 0 ? r : gw_image_write(s->image, s->output, &s->write, err);
}

static bool progress(void *opaque, uint64_t done_bytes, uint64_t total_bytes)
{
    struct gw_transfer *t = opaque;

    atomic_store(&t->done_bytes, done_bytes);
    atomic_store(&t->total_bytes, total_bytes);
    return false; /* the source has given the machine up and all pages are here: the write must not be cancelled now */
}

/* The source may not come again (QEMU does not once it has sent all), and the received pages exist nowhere else. */
static void keep_part(struct gw_salvage *s, uint64_t before)
{
    const size_t size = strlen(s->output) + 32;
    const struct gw_salvage_options how = {0};
    struct gw_error why = GW_ERROR_INIT;
    bool far = gw_path_is_far(s->output);
    char *path = malloc(size);
    int r = gw_image_salvage(s->image, s->rest, &how, NULL);
    uint64_t after = gw_salvage_lacking(s->image);

    if ((r < 0 && r != -EALREADY) || !path || after == before) {
        free(path);
        return;
    }
    s->write.replace &= far; /* on a server the part replaces what is at the same place */
    r = -EEXIST;
    for (unsigned n = 1; r == -EEXIST && n <= (far ? 1 : ASIDE_MAX); n++) {
        snprintf(path, size, far ? "%s" : n == 1 ? "%s.%s" : "%s.%s.%u", s->output, after ? "incomplete" : "salvaged", n);
        r = gw_image_write(s->image, path, &s->write, &why);
    }
    if (r >= 0 && !after)
        fprintf(stderr, "godwit salvage: all has come, and the machine is whole in %s\n", gw_shown(path));
    else if (r >= 0)
        fprintf(stderr, "godwit salvage: with what came meanwhile it is in %s, and lacks %" PRIu64 " bytes\n", gw_shown(path), after);
    else
        fprintf(stderr, "godwit salvage: what came meanwhile could not be written: %s\n", gw_shown(why.text));
    free(path);
}

static int start(struct gw_salvage *s, struct gw_recv **ret_recv, struct gw_error *err)
{
    struct gw_recv_config config = {.uri = s->listen, .progress_timeout_ns = s->transfer.timeout_ns, .on_event = gw_transfer_event,
                                    .opaque = &s->transfer};
    struct gw_vm *vm = NULL;
    int r = gw_image_new(s->ram_folder, &s->rest, err);

    if (r >= 0)
        r = gw_image_await(s->rest, s->image, err);
    if (r >= 0)
        r = gw_image_vm(s->rest, park, s, &vm, err);
    if (r >= 0)
        r = gw_transfer_begin(&s->transfer, vm, err);
    if (r >= 0)
        r = gw_recv_start(vm, &config, ret_recv, err);
    if (r >= 0)
        r = gw_confine(&s->confine, gw_confine_kind_of(&s->write), err);
    return r;
}

int gw_salvage_listen(struct gw_salvage *s, struct gw_error *err)
{
    struct gw_transfer *t = &s->transfer;
    uint64_t before = gw_salvage_lacking(s->image);
    struct gw_recv *recv = NULL;
    struct gw_stats stats = {0};
    char address[512];
    int r;

    s->write.progress = progress;
    s->write.opaque = t;
    r = start(s, &recv, err);
    if (r < 0) {
        gw_recv_free(recv);
        return gw_transfer_failed(t, s->listen, err);
    }
    gw_recv_address(recv, address, sizeof address);
    gw_transfer_tell(t, "listening", "uri", address);
    while (!gw_transfer_ended(gw_recv_status(recv))) {
        gw_recv_stats(recv, &stats);
        stats.status = gw_recv_status(recv);
        if (gw_transfer_turn(t, &stats))
            gw_recv_yank(recv);
    }
    *err = (struct gw_error)GW_ERROR_INIT;
    r = gw_recv_wait(recv, err);
    gw_transfer_clear(t);
    if (r < 0 && t->interrupts)
        gw_fail(err, -ECANCELED, GW_BLAME_CALLER, "interrupted; the source waits as before");
    if (r < 0) {
        gw_transfer_failed(t, s->listen, err);
        keep_part(s, before);
    }
    gw_recv_free(recv);
    return r < 0 ? GW_EXIT_FAILED : GW_EXIT_DONE;
}

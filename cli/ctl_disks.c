/* SPDX-License-Identifier: MIT */
#include "ctl_disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mirrors.h"

#define POLL_NS  200000000ull
#define NBD_PORT "10809"

struct gw_ctl_disks {
    bool by_stream; /* a godwit: no mirrors */
    struct gw_qmp *destination;
    struct gw_mirrors *mirrors;
    struct gw_mirrors_figures figures;
    bool handed_over, failed, told_slow;
    /* Capabilities that this command turned on. */
    bool set_pause, set_zeros;
    bool waits; /* pause-before-switchover was on before: the user continues the migration */
};

/* ---- a godwit's -------------------------------------------------------------------------------------------------- */

static int with_stream(struct gw_ctl *ctl)
{
    bool zeros = false;
    int r = gw_ctl_capability(ctl, "zero-blocks", &zeros);

    ctl->mirrored->by_stream = true;
    if (r == GW_EXIT_DONE && !zeros) {
        r = gw_ctl_turn(ctl, "zero-blocks", true);
        ctl->mirrored->set_zeros = r == GW_EXIT_DONE;
    }
    return r;
}

void gw_ctl_disks_arguments(const struct gw_ctl *ctl, json_t *args)
{
    if (ctl->mirrored && ctl->mirrored->by_stream)
        json_object_set_new(args, ctl->top ? "inc" : "blk", json_true());
}

/* ---- a QEMU's ---------------------------------------------------------------------------------------------------- */

/* The NBD address: --nbd, else on the machine's destination host. */
static int nbd_address(struct gw_ctl *ctl, const char *uri, struct gw_uri *ret)
{
    struct gw_error err = GW_ERROR_INIT;
    size_t n;

    if (gw_uri_parse(ctl->nbd ? ctl->nbd : uri, ret, &err) < 0)
        return ctl->nbd ? gw_ctl_usage("--nbd: %s", err.text) : gw_ctl_failed("migrate", &err);
    if (ret->kind != GW_URI_TCP && ret->kind != GW_URI_UNIX)
        return gw_ctl_usage(ctl->nbd ? "--nbd: tcp:HOST:PORT or unix:PATH is needed" : "--disks: --nbd is needed: the "
            "address for the disks at the destination");
    if (ctl->nbd)
        return GW_EXIT_DONE;
    snprintf(ret->service, sizeof ret->service, NBD_PORT);
    n = strlen(ret->path);
    if (ret->kind == GW_URI_UNIX)
        snprintf(ret->path + n, sizeof ret->path - n, ".nbd");
    return GW_EXIT_DONE;
}

/* Refuses options that conflict with mirrors, before anything is changed. */
static int judge(struct gw_ctl *ctl)
{
    bool postcopy = false;
    int r;

    if (!ctl->destination)
        return gw_ctl_usage("--disks: the source is a %s: the destination's monitor is needed, --destination SOCKET", gw_qmp_server(ctl->qmp));
    r = gw_ctl_capability(ctl, "postcopy-ram", &postcopy);
    if (r == GW_EXIT_DONE && postcopy)
        return gw_ctl_usage("--disks: with postcopy-ram a QEMU may leave before its disks are handed over; turn it off "
                            "(--capability postcopy-ram=off)");
    return r;
}

/* The data that the machine sends besides its disks. */
static json_t *memory_ahead(struct gw_ctl *ctl)
{
    json_t *memory = NULL;
    double bytes;

    if (gw_qmp_execute(ctl->qmp, "query-memory-size-summary", NULL, &memory, NULL) < 0)
        return NULL;
    bytes = gw_ctl_number(memory, "base-memory") + gw_ctl_number(memory, "plugged-memory");
    json_decref(memory);
    return json_pack("{sfsfsf}", "transferred", 0.0, "remaining", bytes, "total", bytes);
}

static void put_figures(const struct gw_ctl_disks *d, json_t *info)
{
    const struct gw_mirrors_figures *f = &d->figures;

    json_object_set_new(info, "disk", json_pack("{sIsIsI}", "transferred", (json_int_t)(f->total_bytes - f->left_bytes), "remaining",
                                                (json_int_t)f->left_bytes, "total", (json_int_t)f->total_bytes));
}

static void tell_slow(struct gw_ctl *ctl, struct gw_ctl_progress *p)
{
    if (!ctl->mirrored->figures.slow || ctl->mirrored->told_slow || ctl->quiet)
        return;
    ctl->mirrored->told_slow = true;
    gw_progress_clear(&p->line);
    fprintf(stderr, "godwit ctl: the disks do not converge: the guest writes them as fast as they are copied. Raise "
                    "the bandwidth "
                    "(`param max-bandwidth=BYTES`) or slow the guest's disks down (block_set_io_throttle)\n");
}

static int look_after(struct gw_ctl *ctl, struct gw_ctl_progress *p, struct gw_error *err)
{
    struct gw_ctl_disks *d = ctl->mirrored;
    json_t *parameters = NULL;
    int r = gw_qmp_execute(ctl->qmp, "query-migrate-parameters", NULL, &parameters, err);

    if (r == 0)
        r = gw_mirrors_step(d->mirrors, (uint64_t)gw_ctl_number(parameters, "max-bandwidth"), &d->figures, err);
    json_decref(parameters);
    tell_slow(ctl, p);
    return r;
}

/* Waits until all disks are copied. */
static int copy(struct gw_ctl *ctl, struct gw_ctl_progress *p, struct gw_error *err)
{
    json_t *info = json_pack("{ss}", "status", "disks"), *memory = memory_ahead(ctl);
    int r;

    if (memory)
        json_object_set_new(info, "ram", memory);
    while ((r = look_after(ctl, p, err)) == 0 && !ctl->mirrored->figures.ready) {
        put_figures(ctl->mirrored, info);
        gw_ctl_progress_draw(p, info);
        r = gw_qmp_wait(ctl->qmp, POLL_NS, err);
        if (r < 0)
            break;
    }
    gw_progress_clear(&p->line);
    json_decref(info);
    return r;
}

/* A godwit has no NBD server: libnbd only has a client. QEMU up to 9.0 has another method. */
static int refuse_godwit(struct gw_ctl *ctl)
{
    json_t *all = NULL, *one;
    bool by_stream = false;
    int r = gw_ctl_run(ctl, "query-migrate-capabilities", NULL, &all);
    size_t i;

    json_array_foreach(all, i, one)
        by_stream |= !strcmp(gw_ctl_text(one, "capability", ""), "block");
    json_decref(all);
    if (r != GW_EXIT_DONE)
        return r;
    return gw_ctl_usage(by_stream ? "--disks: the destination is a godwit, which serves no disks for a QEMU to copy to. Have this QEMU send "
                                    "them in its stream (block migration): --capability block=on instead of --disks"
                                  : "--disks: the destination is a godwit, which serves no disks for a QEMU to copy to, and this QEMU "
                                    "cannot send them in its stream (block migration ended with 9.0): use storage that both hosts see");
}

static int with_mirrors(struct gw_ctl *ctl, const char *uri, struct gw_ctl_progress *p)
{
    struct gw_ctl_disks *d = ctl->mirrored;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_uri nbd;
    int r = judge(ctl), e;

    if (r == GW_EXIT_DONE)
        r = nbd_address(ctl, uri, &nbd);
    if (r == GW_EXIT_DONE && gw_ctl_open(ctl, ctl->destination, &d->destination, &err) < 0)
        r = gw_ctl_failed("--destination", &err);
    if (r == GW_EXIT_DONE && gw_qmp_is_godwit(d->destination))
        r = refuse_godwit(ctl);
    if (r == GW_EXIT_DONE)
        r = gw_ctl_capability(ctl, "pause-before-switchover", &d->waits);
    if (r == GW_EXIT_DONE && !d->waits) {
        r = gw_ctl_turn(ctl, "pause-before-switchover", true);
        d->set_pause = r == GW_EXIT_DONE;
    }
    if (r != GW_EXIT_DONE)
        return r;
    e = gw_mirrors_new(&(struct gw_mirrors_config){ctl->qmp, d->destination, &nbd, ctl->top}, &d->mirrors, &err);
    if (e == 0)
        e = copy(ctl, p, &err);
    if (e == -EINTR || ctl->interrupts) {
        fprintf(stderr, "godwit ctl: interrupted: the disks are no longer copied, the machine stays here\n");
        return GW_EXIT_FAILED;
    }
    return e < 0 ? gw_ctl_failed("disks", &err) : GW_EXIT_DONE;
}

static int hand_over(struct gw_ctl *ctl, struct gw_error *err)
{
    struct gw_ctl_disks *d = ctl->mirrored;
    int r = gw_mirrors_hand_over(d->mirrors, err);

    if (r < 0)
        return r;
    d->handed_over = true;
    d->figures.left_bytes = 0;
    return d->waits ? 0
                    : gw_qmp_execute(ctl->qmp, "migrate-continue", json_pack("{ss}", "state", "pre-switchover"), NULL, err);
}

void gw_ctl_disks_step(struct gw_ctl *ctl, struct gw_ctl_progress *p, json_t *info)
{
    struct gw_ctl_disks *d = ctl->mirrored;
    const char *state = gw_ctl_text(info, "status", "");
    struct gw_error err = GW_ERROR_INIT;
    int r = 0;

    if (!d || d->by_stream)
        return;
    if (!d->handed_over && !d->failed && !strcmp(state, "pre-switchover"))
        r = hand_over(ctl, &err);
    else if (!d->handed_over && !d->failed && (!strcmp(state, "active") || !strcmp(state, "setup")))
        r = look_after(ctl, p, &err);
    put_figures(d, info);
    if (r == 0 || r == -EINTR) /* an interrupt cancels the migration */
        return;
    d->failed = true;
    gw_progress_clear(&p->line);
    gw_ctl_failed("disks", &err);
    gw_qmp_execute(ctl->qmp, "migrate_cancel", NULL, NULL, NULL);
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

int gw_ctl_disks_begin(struct gw_ctl *ctl, const char *uri, struct gw_ctl_progress *p)
{
    if (!ctl->disks)
        return GW_EXIT_DONE;
    if (ctl->detach || ctl->resume)
        return gw_ctl_usage("--disks: not with --%s", ctl->detach ? "detach" : "resume");
    ctl->mirrored = calloc(1, sizeof *ctl->mirrored);
    if (!ctl->mirrored) {
        fprintf(stderr, "godwit ctl: out of memory\n");
        return GW_EXIT_FAILED;
    }
    return gw_qmp_is_godwit(ctl->qmp) ? with_stream(ctl) : with_mirrors(ctl, uri, p);
}

void gw_ctl_disks_end(struct gw_ctl *ctl)
{
    struct gw_ctl_disks *d = ctl->mirrored;
    struct gw_error err = GW_ERROR_INIT;

    if (!d)
        return;
    d->mirrors = gw_mirrors_free(d->mirrors, &err);
    if (err.code)
        gw_ctl_failed("disks: cleaning up", &err);
    if (d->set_pause)
        gw_ctl_turn(ctl, "pause-before-switchover", false);
    if (d->set_zeros)
        gw_ctl_turn(ctl, "zero-blocks", false);
    gw_qmp_free(d->destination);
    free(d);
    ctl->mirrored = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "godwit/park.h"

#include <stdio.h>

#include "base/sized.h"
#include "engine/recv.h"
#include "image/image.h"

#define ASIDE_MAX 1000u /* undecided files that are kept under names of their own, at most */

struct gw_park {
    struct gw_park_config config;
    struct gw_image_write_options options;
    char *path, *aside;
    struct gw_image *image;
    struct gw_vm *vm;
    struct gw_recv *recv;
    /* Set on the session's thread; read when the thread has ended. */
    bool whole;  /* the machine is complete */
    bool staged; /* the file was written while the machine came in, and is compressed afterwards */
    bool parked; /* the file is complete */
    bool settled;
};

/* The image's `park` (image.h). */
static int keep(void *opaque, struct gw_error *err)
{
    struct gw_park *p = opaque;
    struct gw_error local = GW_ERROR_INIT;
    int r;

    p->whole = true;
    if (p->config.early)
        return 0;
    r = p->staged ? gw_image_stage_commit(p->image, &local) : -ENOTSUP;
    p->staged = r >= 0;
    if (r < 0) {
        if (local.code && local.code != -EEXIST && p->config.told)
            p->config.told(p->config.opaque, local.text);
        r = gw_image_write(p->image, p->path, &p->options, err);
    }
    p->parked = r >= 0;
    return r;
}

static bool is_far(const struct gw_park *p)
{
    return gw_path_is_far(p->path);
}

/* A file on a server cannot be replaced afterwards: it is compressed before the source is told, if that was asked
 * for. */
static bool packs_before(const struct gw_image_write_options *o)
{
    return o->level || (o->compress && strcmp(o->compress, "none"));
}

static int open_image(struct gw_park *p, struct gw_error *err)
{
    int r = gw_image_check_options(&p->options, err);

    if (r >= 0)
        r = gw_image_new(p->config.ram_folder, &p->image, err);
    if (r < 0)
        return r;
    gw_image_set_ram_limit(p->image, p->config.memory_max_bytes);
    p->staged = !p->config.early && p->options.format == GW_IMAGE_PARKED && !(is_far(p) && packs_before(&p->options));
    if (p->staged)
        r = gw_image_stage(p->image, p->path, &p->options, err);
    return r < 0 ? r : gw_image_vm(p->image, keep, p, &p->vm, err);
}

int gw_park_new_sized(const struct gw_park_config *config, size_t config_bytes, struct gw_park **ret_park,
                      struct gw_error *err)
{
    struct gw_park *p = calloc(1, sizeof *p);
    int r;

    if (!p)
        return gw_nomem(err, "parking");
    r = gw_sized_in(&p->config, sizeof p->config, config, config_bytes,
                    GW_SIZED_UNTIL(struct gw_park_config, write_bytes), "struct gw_park_config", err);
    if (r >= 0)
        r = gw_sized_in(&p->options, sizeof p->options, p->config.write, p->config.write_bytes,
                        GW_SIZED_UNTIL(struct gw_image_write_options, format), "struct gw_image_write_options", err);
    if (r >= 0 && (!p->config.path || !p->config.write))
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "give both a path and options: where and how the machine is parked");
    if (r >= 0) {
        p->path = strdup(p->config.path);
        p->options.revertible = !p->config.early;
        r = p->path ? open_image(p, err) : gw_nomem(err, "parking");
    }
    if (r < 0) {
        gw_park_free(p);
        return r;
    }
    *ret_park = p;
    return 0;
}

struct gw_vm *gw_park_vm(struct gw_park *park)
{
    return park->vm;
}

struct gw_image *gw_park_image(struct gw_park *park)
{
    return park->image;
}

struct gw_recv *gw_park_session(struct gw_park *park)
{
    return park->recv;
}

int gw_park_start_sized(struct gw_park *park, const struct gw_recv_config *config, size_t config_bytes,
                        struct gw_error *err)
{
    if (park->recv) /* gw_recv_start refuses it, and takes the channel */
        return gw_recv_start_sized(park->vm, config, config_bytes, &(struct gw_recv *){NULL}, err);
    return gw_recv_start_sized(park->vm, config, config_bytes, &park->recv, err);
}

int gw_park_wait(struct gw_park *park, struct gw_error *err)
{
    return park->recv ? gw_recv_wait(park->recv, err)
                      : gw_fail(err, -EINVAL, GW_BLAME_CALLER, "parking was not started");
}

/* Gives the file of an undecided machine a unique name. Returns the name that it has then; NULL: the file is not where
 * it was. */
static const char *put_aside(struct gw_park *p, struct gw_error *err)
{
    const size_t size = strlen(p->path) + 32;
    struct gw_error why = GW_ERROR_INIT;
    int r = -EEXIST;

    p->aside = malloc(size);
    if (!p->aside)
        r = gw_nomem(&why, "file name");
    for (unsigned n = 1; r == -EEXIST && n <= ASIDE_MAX; n++) {
        snprintf(p->aside, size, n == 1 ? "%s.undecided" : "%s.undecided.%u", p->path, n);
        r = gw_image_revert(p->image, p->aside, &why);
    }
    if (r == -ENOENT || r == -ESTALE)
        gw_context(err, "%s", why.text);
    else if (r < 0 && is_far(p))
        gw_context(err, "the machine is whole in %s: keep it if the source has given its own away, else write over it", p->path);
    else if (r < 0)
        gw_context(err,
                   "the machine is whole in %s, which could not be renamed to %s (%s): keep it if the source has given "
                   "its own away, else remove it",
                   p->path, p->aside ? p->aside : "another name", why.text);
    else
        gw_context(err, "the machine is whole in %s: keep it if the source has given its own away, else remove it",
                   p->aside);
    return r == -ENOENT || r == -ESTALE ? NULL : r < 0 ? p->path : p->aside;
}

/* The source has given the machine away, and some of its memory never came: the only copy of the machine is here. */
static void keep_part(struct gw_park *p, struct gw_park_outcome *o, struct gw_error *err)
{
    const size_t size = strlen(p->path) + 32;
    struct gw_error why = GW_ERROR_INIT;
    uint64_t lacking = gw_image_lacking(p->image);
    int r = -EEXIST;

    o->result = lacking ? GW_PARK_INCOMPLETE : GW_PARK_LOST;
    if (!lacking) {
        gw_context(err, "all of the machine arrived, but it could not be written: the source has stopped it for good, and still "
                   "has all of it");
        return;
    }
    p->options.format = GW_IMAGE_PARKED; /* only this format can record what is lacking */
    p->options.compress = NULL;
    p->options.level = 0;
    /* on a server it is written under its own name, so it may replace the file there */
    p->options.replace &= is_far(p);
    p->aside = malloc(size);
    if (!p->aside)
        r = gw_nomem(&why, "file name");
    for (unsigned n = 1; r == -EEXIST && n <= (is_far(p) ? 1 : ASIDE_MAX); n++) {
        snprintf(p->aside, size, is_far(p) ? "%s" : n == 1 ? "%s.incomplete" : "%s.incomplete.%u", p->path, n);
        why = (struct gw_error)GW_ERROR_INIT;
        r = gw_image_write(p->image, p->aside, &p->options, &why);
    }
    o->file = r >= 0 ? p->aside : NULL;
    if (r >= 0)
        gw_context(err, "the part of the machine that arrived is in %s: %" PRIu64 " bytes of its memory are missing, so it cannot "
                   "run; keep the file",
                   p->aside, lacking);
    else
        gw_context(err, "%" PRIu64 " bytes of the machine's memory did not arrive, and what did could not be written: %s", lacking,
            why.text);
}

/* The session failed. */
static void settle_failure(struct gw_park *p, struct gw_park_outcome *o, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;

    o->result = GW_PARK_STAYED;
    if (gw_recv_owner(p->recv) == GW_OWNER_DESTINATION) {
        keep_part(p, o, err);
        return;
    }
    if (!p->parked)
        return;
    if (gw_recv_owner(p->recv) == GW_OWNER_UNDECIDED) {
        o->result = GW_PARK_UNDECIDED;
        o->file = put_aside(p, err);
    } else if (gw_image_revert(p->image, NULL, &why) < 0) {
        gw_context(err, "the machine stays at its source: do not start the one in the file, which could not be removed: "
                   "%s", why.text);
        o->result = GW_PARK_LEFTOVER;
    }
}

/* With `early`, and undecided: this copy may be the only one. */
static void write_undecided(struct gw_park *p, struct gw_error *err)
{
    struct gw_error why = GW_ERROR_INIT;

    p->options.revertible = true; /* the file gets a name of its own */
    p->parked = gw_image_write(p->image, p->path, &p->options, &why) >= 0;
    if (!p->parked)
        gw_context(err, "it is not in a file either: %s", why.text);
}

static int write_late(struct gw_park *p, struct gw_park_outcome *o, struct gw_error *err)
{
    int r = gw_image_write(p->image, p->path, &p->options, err);

    if (r >= 0)
        return 0;
    gw_context(err,
               "the source was told that its machine is here, but it could not be written: let it go on there (QEMU: "
               "cont)");
    o->result = GW_PARK_LOST;
    return r;
}

int gw_park_outcome_sized(struct gw_park *park, struct gw_park_outcome *ret_outcome, size_t outcome_bytes,
                          struct gw_error *err)
{
    struct gw_park_outcome o = {.result = GW_PARK_KEPT};
    struct gw_error local = GW_ERROR_INIT;
    int r;

    if (park->settled)
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER, "the outcome was asked for already");
    r = gw_park_wait(park, &local);
    if (!park->recv) {
        if (err)
            *err = local;
        return r;
    }
    park->settled = true;
    if (r < 0 && park->config.early && gw_recv_owner(park->recv) == GW_OWNER_UNDECIDED)
        write_undecided(park, &local);
    if (r < 0)
        settle_failure(park, &o, &local);
    else if (park->config.early)
        r = write_late(park, &o, &local);
    if (o.result == GW_PARK_KEPT)
        o.file = park->path;
    if (r >= 0 && park->recv->unclosed && park->config.told)
        park->config.told(park->config.opaque,
                          "the source was told that its machine is here, but keeps its connection open: "
                          "see that the machine does not run there (QEMU: query-status)");
    o.whole = park->whole;
    o.packs = o.result == GW_PARK_KEPT && park->staged && !is_far(park);
    o.far_bytes = park->image->far_bytes;
    gw_sized_out(ret_outcome, outcome_bytes, &o, sizeof o);
    if (r < 0 && err)
        *err = local;
    return r;
}

int gw_park_pack(struct gw_park *park, struct gw_error *err)
{
    return gw_image_stage_pack(park->image, park->options.progress, park->options.opaque, err);
}

struct gw_park *gw_park_free(struct gw_park *park)
{
    struct gw_park_outcome o = {.result = GW_PARK_KEPT};

    if (!park)
        return NULL;
    if (park->recv && !park->settled) {
        if (gw_recv_cancel(park->recv, NULL) < 0)
            gw_recv_yank(park->recv);
        if (gw_recv_wait(park->recv, NULL) < 0)
            settle_failure(park, &o, NULL);
    }
    gw_recv_free(park->recv);
    gw_image_free(park->image);
    free(park->path);
    free(park->aside);
    free(park);
    return NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * block-dirty-bitmap-*, the disks with their bitmaps in query-block and query-named-block-nodes, and the parameter
 * block-bitmap-mapping.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control/internal.h"
#include "godwit/bitmap.h"
#include "godwit/vm_snapshot.h"

int gw_control_find_disk(struct gw_control *c, const char *name, struct gw_disk **ret, struct gw_error *err)
{
    *ret = gw_vm_find_disk(c->vm, name);
    return *ret
               ? 0
               : gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no disk with the device or node name '%.255s'", name);
}

static const char *text(json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

struct gw_bitmap_config gw_control_bitmap_config(json_t *args)
{
    json_int_t granularity = json_integer_value(json_object_get(args, "granularity"));
    struct gw_bitmap_config config = {.name = text(args, "name"),
                                      .granularity = granularity < 0 ? 1 : (uint64_t)granularity,
                                      .persistent = json_is_true(json_object_get(args, "persistent")),
                                      .disabled = json_is_true(json_object_get(args, "disabled"))};

    if (json_object_get(args, "granularity") && !granularity)
        config.granularity = 1; /* an explicit 0 must be an error; the default applies only if the argument is absent */
    return config;
}

int gw_cmd_bitmap_add(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct gw_bitmap_config config = gw_control_bitmap_config(args);
    struct gw_disk *disk;
    int r = gw_control_find_disk(c, text(args, "node"), &disk, err);

    return r < 0 ? r : gw_disk_bitmap_add(disk, &config, err);
}

typedef int (*change_fn)(struct gw_disk *disk, const char *name, struct gw_error *err);

static int change(struct gw_control *c, json_t *args, change_fn fn, struct gw_error *err)
{
    struct gw_disk *disk;
    int r = gw_control_find_disk(c, text(args, "node"), &disk, err);

    return r < 0 ? r : fn(disk, text(args, "name"), err);
}

int gw_cmd_bitmap_remove(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    return change(c, args, gw_disk_bitmap_remove, err);
}

int gw_cmd_bitmap_clear(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    return change(c, args, gw_disk_bitmap_clear, err);
}

int gw_cmd_bitmap_enable(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    return change(c, args, gw_disk_bitmap_enable, err);
}

int gw_cmd_bitmap_disable(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    return change(c, args, gw_disk_bitmap_disable, err);
}

int gw_control_merge_source(struct gw_control *c, json_t *item, size_t i, struct gw_disk *own, struct gw_disk **ret_disk,
                            const char **ret_name, struct gw_error *err)
{
    char where[48];
    int r;

    *ret_disk = own;
    *ret_name = json_string_value(item);
    if (gw_json_is_string(item))
        return 0;
    snprintf(where, sizeof where, "bitmaps[%zu].", i);
    if (!json_is_object(item))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'bitmaps[%zu]' must be a name, or have node and name",
                       i);
    r = gw_json_check(item, "node:s name:s", where, err);
    if (r >= 0)
        r = gw_control_find_disk(c, text(item, "node"), ret_disk, err);
    if (r >= 0)
        *ret_name = text(item, "name");
    return r;
}

int gw_cmd_bitmap_merge(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_object_get(args, "bitmaps"), *item;
    struct gw_bitmap_action a = {.change = GW_BITMAP_MERGE, .config.name = text(args, "target")}, *actions;
    size_t i;
    int r = gw_control_find_disk(c, text(args, "node"), &a.disk, err);

    actions = calloc(json_array_size(list) + 1, sizeof *actions);
    if (r >= 0 && !actions)
        r = gw_nomem(err, "merge of bitmaps");
    json_array_foreach(list, i, item)
    {
        if (r >= 0)
            r = gw_control_merge_source(c, item, i, a.disk, &a.from_disk, &a.from, err);
        if (r >= 0)
            actions[i] = a;
    }
    if (r >= 0) /* all of them are applied, or none */
        r = gw_disk_bitmaps_change(actions, i, NULL, err);
    free(actions);
    return r;
}

/* ---- queries ------------------------------------------------------------------------------------------------------
 */

static json_t *bitmaps_of(struct gw_disk *disk)
{
    struct gw_bitmap_info info;
    json_t *list = json_array();
    bool bad = !list;

    for (unsigned i = 0; !gw_disk_bitmap_at(disk, i, &info); i++) {
        json_t *o = json_object();

        bad |= gw_json_put_text(o, "name", info.name);
        bad |= gw_json_put_int(o, "granularity", info.granularity);
        bad |= gw_json_put_int(o, "count", info.dirty_bytes);
        bad |= gw_json_put_bool(o, "recording", info.recording);
        bad |= gw_json_put_bool(o, "busy", info.busy);
        bad |= gw_json_put_bool(o, "persistent", info.persistent);
        if (info.inconsistent)
            bad |= gw_json_put_bool(o, "inconsistent", true);
        bad |= json_array_append_new(list, o) != 0;
    }
    if (!bad)
        return list;
    json_decref(list);
    return NULL;
}

/* The known properties of the image. *ret_bad: no memory. */
static json_t *image_of(struct gw_disk *disk, const struct gw_disk_info *info, bool *ret_bad)
{
    json_t *o = json_pack("{sI}", "virtual-size", (json_int_t)info->length), *list = NULL;
    struct gw_disk_snapshot s;

    if (info->format[0])
        *ret_bad |= gw_json_put_text(o, "format", info->format);
    for (unsigned i = 0; gw_disk_snapshot_at(disk, i, &s) >= 0; i++) {
        json_t *name = json_string(s.name), *id = json_string(s.id);

        list = list ? list : json_array();
        *ret_bad |= json_array_append_new(
            list, json_pack("{so so sI sI sI sI sI}", "id", id ? id : json_string("?"), "name", name ? name : json_string("?"), "date-sec",
                            (json_int_t)s.seconds, "date-nsec", (json_int_t)s.nanoseconds, "vm-clock-sec",
                            (json_int_t)(s.ran_ns / 1000000000u), "vm-clock-nsec", (json_int_t)(s.ran_ns % 1000000000u), "vm-state-size",
                            (json_int_t)s.state_bytes)) != 0;
    }
    if (list)
        *ret_bad |= gw_json_put(o, "snapshots", list);
    return o;
}

/* The known properties of a disk, and its bitmaps. */
static json_t *node_of(struct gw_disk *disk)
{
    struct gw_disk_info info;
    json_t *o = json_object();
    bool bad = false;

    gw_disk_describe(disk, &info);
    if (info.node[0])
        bad |= gw_json_put_text(o, "node-name", info.node);
    bad |= gw_json_put_bool(o, "ro", info.read_only);
    if (info.format[0])
        bad |= gw_json_put_text(o, "drv", info.format);
    bad |= gw_json_put(o, "image", image_of(disk, &info, &bad));
    bad |= gw_json_put(o, "dirty-bitmaps", bitmaps_of(disk));
    if (!bad)
        return o;
    json_decref(o);
    return NULL;
}

int gw_cmd_query_block(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_array();
    struct gw_disk_info info;
    struct gw_disk *disk;
    bool bad = !list;

    for (unsigned i = 0; (disk = gw_vm_disk_at(c->vm, i)); i++) {
        json_t *o;

        gw_disk_describe(disk, &info);
        if (!info.device[0])
            continue;
        o = json_object();
        bad |= gw_json_put_text(o, "device", info.device);
        bad |= gw_json_put_bool(o, "locked", false);
        bad |= gw_json_put_bool(o, "removable", false);
        bad |= gw_json_put_text(o, "type", "unknown");
        bad |= gw_json_put(o, "inserted", node_of(disk));
        bad |= json_array_append_new(list, o) != 0;
    }
    return gw_json_finish(list, bad, ret_result, err);
}

int gw_cmd_query_nodes(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_array();
    struct gw_disk *disk;
    bool bad = !list;

    for (unsigned i = 0; (disk = gw_vm_disk_at(c->vm, i)); i++)
        bad |= json_array_append_new(list, node_of(disk)) != 0;
    return gw_json_finish(list, bad, ret_result, err);
}

/* ---- the mapping --------------------------------------------------------------------------------------------------
 */

struct aliases {
    struct gw_bitmap_alias *list;
    size_t count;
};

static int take_alias(struct aliases *a, json_t *node, json_t *bitmap, const char *where, struct gw_error *err)
{
    json_t *transform = json_object_get(bitmap, "transform"), *persistent = json_object_get(transform, "persistent");
    struct gw_bitmap_alias *list = realloc(a->list, (a->count + 1) * sizeof *list);

    if (!list)
        return gw_nomem(err, "block-bitmap-mapping");
    a->list = list;
    list[a->count++] = (struct gw_bitmap_alias){.disk = text(node, "node-name"),
                                                .disk_alias = text(node, "alias"),
                                                .bitmap = text(bitmap, "name"),
                                                .alias = text(bitmap, "alias"),
                                                .set_persistent = persistent != NULL,
                                                .persistent = json_is_true(persistent)};
    return transform ? gw_json_check(transform, "persistent?b", where, err) : 0;
}

static int take_node(struct aliases *a, json_t *node, size_t i, struct gw_error *err)
{
    char where[80];
    json_t *bitmap;
    size_t k;
    int r;

    snprintf(where, sizeof where, "block-bitmap-mapping[%zu].", i);
    if (!json_is_object(node))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'block-bitmap-mapping[%zu]' must have type object", i);
    r = gw_json_check(node, "node-name:s alias:s bitmaps:a", where, err);
    json_array_foreach(json_object_get(node, "bitmaps"), k, bitmap)
    {
        snprintf(where, sizeof where, "block-bitmap-mapping[%zu].bitmaps[%zu].", i, k);
        if (r >= 0 && !json_is_object(bitmap))
            r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument '%.60s' must have type object", where);
        if (r >= 0)
            r = gw_json_check(bitmap, "name:s alias:s transform?o", where, err);
        if (r >= 0)
            r = take_alias(a, node, bitmap, where, err);
    }
    return r;
}

int gw_control_map_bitmaps(struct gw_control *c, json_t *mapping, struct gw_error *err)
{
    static const struct gw_bitmap_alias none;
    struct aliases a = {0};
    json_t *node;
    size_t i;
    int r = 0;

    if (json_is_null(mapping))
        return gw_vm_map_bitmaps(c->vm, NULL, 0, err);
    if (!json_is_array(mapping))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'block-bitmap-mapping' must have type array");
    json_array_foreach(mapping, i, node)
    {
        if (r >= 0)
            r = take_node(&a, node, i, err);
    }
    if (r >= 0)
        r = gw_vm_map_bitmaps(c->vm, a.list ? a.list : &none, a.count, err);
    free(a.list);
    return r;
}

struct mapped {
    json_t *list;
    bool bad;
};

/* The list of this disk's bitmaps; the disk is appended if it is missing. NULL: no memory. */
static json_t *mapped_of(json_t *list, const struct gw_bitmap_alias *a)
{
    json_t *node, *o = NULL;
    size_t i;

    json_array_foreach(list, i, node)
    {
        if (!strcmp(text(node, "node-name"), a->disk))
            return json_object_get(node, "bitmaps");
    }
    o = json_pack("{s:s, s:s, s:[]}", "node-name", a->disk, "alias", a->disk_alias, "bitmaps");
    return json_array_append_new(list, o) ? NULL : json_object_get(o, "bitmaps");
}

static void put_alias(void *opaque, const struct gw_bitmap_alias *a)
{
    struct mapped *m = opaque;
    json_t *list = mapped_of(m->list, a), *o = json_pack("{s:s, s:s}", "name", a->bitmap, "alias", a->alias);

    if (a->set_persistent)
        m->bad |= gw_json_put(o, "transform", json_pack("{s:b}", "persistent", a->persistent));
    m->bad |= !list || json_array_append_new(list, o);
    if (!list)
        json_decref(o);
}

bool gw_control_mapped_bitmaps(struct gw_control *c, json_t **ret)
{
    struct mapped m = {.list = json_array()};
    bool is = gw_vm_for_each_bitmap_alias(c->vm, put_alias, &m);

    *ret = m.list;
    if (is && !m.bad)
        return true;
    json_decref(m.list);
    *ret = NULL;
    return is;
}

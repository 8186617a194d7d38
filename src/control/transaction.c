/* SPDX-License-Identifier: MIT
 *
 * transaction: several changes of dirty bitmaps at one moment, all of them or none. (QEMU's other actions concern block
 * jobs and snapshots of disks, which this server does not have.)
 */
#include <stdio.h>
#include <stdlib.h>

#include "control/internal.h"
#include "godwit/bitmap.h"

static const struct action {
    const char *type;
    enum gw_bitmap_change change;
    const char *spec; /* arguments in the action's data */
} known[] = {
    {"block-dirty-bitmap-add", GW_BITMAP_ADD, "node:s name:s granularity?i persistent?b disabled?b"},
    {"block-dirty-bitmap-remove", GW_BITMAP_REMOVE, "node:s name:s"},
    {"block-dirty-bitmap-clear", GW_BITMAP_CLEAR, "node:s name:s"},
    {"block-dirty-bitmap-enable", GW_BITMAP_ENABLE, "node:s name:s"},
    {"block-dirty-bitmap-disable", GW_BITMAP_DISABLE, "node:s name:s"},
    {"block-dirty-bitmap-merge", GW_BITMAP_MERGE, "node:s target:s bitmaps:a"},
};

struct transaction {
    struct gw_control *control;
    struct gw_bitmap_action *list;
    size_t *from; /* the index of the command's action that each one came from */
    size_t count;
};

static int append(struct transaction *t, size_t i, const struct gw_bitmap_action *a, struct gw_error *err)
{
    struct gw_bitmap_action *list = realloc(t->list, (t->count + 1) * sizeof *list);
    size_t *from = realloc(t->from, (t->count + 1) * sizeof *from);

    t->list = list ? list : t->list;
    t->from = from ? from : t->from;
    if (!list || !from)
        return gw_nomem(err, "transaction");
    list[t->count] = *a;
    from[t->count++] = i;
    return 0;
}

static int take_merge(struct transaction *t, size_t i, json_t *data, struct gw_bitmap_action *a, struct gw_error *err)
{
    json_t *item;
    size_t k;
    int r = 0;

    a->config.name = json_string_value(json_object_get(data, "target"));
    json_array_foreach(json_object_get(data, "bitmaps"), k, item)
    {
        if (r >= 0)
            r = gw_control_merge_source(t->control, item, k, a->disk, &a->from_disk, &a->from, err);
        if (r >= 0)
            r = append(t, i, a, err);
    }
    return r;
}

static int take(struct transaction *t, size_t i, json_t *item, struct gw_error *err)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    json_t *data = json_object_get(item, "data");
    struct gw_bitmap_action a = {0};
    size_t k = 0;
    char where[48];
    int r;

    snprintf(where, sizeof where, "actions[%zu].", i);
    if (!json_is_object(item))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'actions[%zu]' must have type object", i);
    r = gw_json_check(item, "type:s data:o", where, err);
    if (r < 0)
        return r;
    while (k < GW_ARRAY_LEN(known) && strcmp(known[k].type, type))
        k++;
    if (k == GW_ARRAY_LEN(known))
        return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER,
                       "actions[%zu]: a transaction cannot do '%.64s' here: only block-dirty-bitmap-add, -remove, -clear, -enable, "
                       "-disable and -merge", i, type);
    snprintf(where, sizeof where, "actions[%zu].data.", i);
    r = gw_json_check(data, known[k].spec, where, err);
    if (r >= 0)
        r = gw_control_find_disk(t->control, json_string_value(json_object_get(data, "node")), &a.disk, err);
    if (r < 0)
        return r;
    a.change = known[k].change;
    a.config = gw_control_bitmap_config(data);
    return a.change == GW_BITMAP_MERGE ? take_merge(t, i, data, &a, err) : append(t, i, &a, err);
}

int gw_cmd_transaction(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    struct transaction t = {.control = c};
    json_t *item, *properties = json_object_get(args, "properties");
    size_t i, failed = 0;
    int r = properties ? gw_json_check(properties, "completion-mode?s", "properties.", err) : 0; /* the property concerns jobs;
                                                                                                  * this server's actions have
                                                                                                  * none */

    json_array_foreach(json_object_get(args, "actions"), i, item)
    {
        if (r >= 0)
            r = take(&t, i, item, err);
    }
    if (r >= 0) {
        r = gw_disk_bitmaps_change(t.list, t.count, &failed, err);
        if (r < 0)
            gw_context(err, "actions[%zu]: nothing was changed", failed < t.count ? t.from[failed] : 0);
    }
    free(t.list);
    free(t.from);
    return r;
}

/* SPDX-License-Identifier: MIT
 *
 * The command announce-self, as in QEMU. Naming a network card that the machine does not have is an error here.
 */
#include "control/internal.h"
#include "godwit/nic.h"

static uint64_t number(json_t *args, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(args, name));

    return n < 0 ? UINT64_MAX : (uint64_t)n; /* the library reports values out of range */
}

static int take_names(json_t *list, const char ***ret_names, struct gw_error *err)
{
    const char **names = calloc(json_array_size(list) + 1, sizeof *names);
    json_t *name;
    size_t i;

    if (!names)
        return gw_nomem(err, "interfaces");
    json_array_foreach(list, i, name) {
        if (!gw_json_is_string(name)) {
            free(names);
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'interfaces[%zu]' must have type string", i);
        }
        names[i] = json_string_value(name);
    }
    *ret_names = names;
    return 0;
}

int gw_cmd_announce_self(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_object_get(args, "interfaces");
    struct gw_announce_config config = {.initial_ms = number(args, "initial"),
                                        .max_ms = number(args, "max"),
                                        .rounds = number(args, "rounds"),
                                        .step_ms = number(args, "step"),
                                        .id = json_string_value(json_object_get(args, "id")),
                                        .interface_count = json_array_size(list)};
    const char **names = NULL;
    int r = list ? take_names(list, &names, err) : 0;

    config.interfaces = names;
    if (r >= 0)
        r = gw_vm_announce(c->vm, &config, err);
    free(names);
    return r;
}

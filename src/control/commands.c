/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "control/internal.h"

/* ---- the machine ------------------------------------------------------------------------------------------------- */

int gw_cmd_query_name(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *o = json_object();

    return gw_json_finish(o, c->name && gw_json_put_text(o, "name", c->name), ret_result, err);
}

static const char *run_state(struct gw_control *c)
{
    const char *state = c->ops.run_state ? c->ops.run_state(c->config.opaque) : NULL;

    return state ? state : "running";
}

int gw_cmd_query_status(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    const struct gw_job_kind *job = gw_jobs_running(c);
    const char *state = run_state(c);
    json_t *o = json_object();
    bool bad;

    if (job && job->state && strcmp(state, "running"))
        state = job->state;
    else if (gw_vm_place(c->vm) == GW_VM_SPOILED)
        state = "restore-vm"; /* the load that stopped the machine is over */
    bad = gw_json_put_text(o, "status", state);

    bad |= gw_json_put_bool(o, "singlestep", false);
    bad |= gw_json_put_bool(o, "running", !strcmp(state, "running"));
    return gw_json_finish(o, bad, ret_result, err);
}

/* The event is sent for a change of state, not for the request. */
static int switch_machine(struct gw_control *c, int (*op)(void *opaque, struct gw_error *err), const char *event,
                          struct gw_error *err)
{
    bool before = !strcmp(run_state(c), "running");
    int r;

    if (!op)
        return gw_fail(err, -ENOTSUP, GW_BLAME_EMBEDDER, "this machine cannot do that");
    r = op(c->config.opaque, err);
    if (r == 0 && before != !strcmp(run_state(c), "running"))
        gw_control_emit(c, event, NULL);
    return r;
}

/* A job that stops the machine also restores its state, so nobody else may change it meanwhile. */
static int check_jobs(struct gw_control *c, struct gw_error *err)
{
    const struct gw_job_kind *job = gw_jobs_running(c);

    return job ? gw_fail(err, -EBUSY, GW_BLAME_CALLER, "a job is under way that stops and starts the machine (%s)", job->type) : 0;
}

int gw_cmd_stop(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    if (check_jobs(c, err) < 0)
        return -EBUSY;
    return switch_machine(c, c->ops.stop, "STOP", err);
}

int gw_cmd_cont(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    int r = check_jobs(c, err);

    if (r < 0)
        return r;
    if (gw_vm_place(c->vm) == GW_VM_SPOILED)
        return gw_fail(err, -ENODATA, GW_BLAME_CALLER,
                       "a snapshot was loaded into this machine only in part: it cannot run until one was loaded whole");
    if (gw_vm_runs_elsewhere(c->vm) && !json_is_true(json_object_get(args, "x-godwit-force")))
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                       "the destination said that it has this machine, and a second one here would write to the same disks. "
                       "Only if it does not run there and never will, use x-godwit-force");
    if (gw_vm_memory_given(c->vm))
        return gw_fail(err, -ENODATA, GW_BLAME_CALLER,
                       "memory of this machine was given back to the host when the destination had it (release-ram): it cannot "
                       "run here");
    if (!c->ops.run_state || strcmp(run_state(c), "running")) {
        r = gw_control_may_run(c, err);
        if (r == 0)
            r = switch_machine(c, c->ops.cont, "RESUME", err);
    } else {
        r = gw_control_may_run_on(c, err);
    }
    /* On a machine that has migrated away, this means that the client wants to run it here again. */
    if (r == 0)
        gw_vm_came_back(c->vm, NULL);
    return r;
}

int gw_cmd_quit(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    if (!c->ops.quit)
        return gw_fail(err, -ENOTSUP, GW_BLAME_EMBEDDER, "this machine cannot do that");
    gw_control_emit(c, "SHUTDOWN", "{\"guest\": false, \"reason\": \"host-qmp-quit\"}");
    c->quitting = true;
    return 0;
}

/* ---- capabilities ------------------------------------------------------------------------------------------------ */

int gw_cmd_query_capabilities(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_array();
    const char *name;
    bool bad = !list, on = false;

    for (size_t i = 0; gw_options_capability_at(i, &name, NULL); i++) {
        gw_options_get_capability(gw_vm_options(c->vm), name, &on, NULL);
        bad |= json_array_append_new(list, json_pack("{sbss}", "state", (int)on, "capability", name)) != 0;
    }
    return gw_json_finish(list, bad, ret_result, err);
}

int gw_cmd_set_capabilities(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_object_get(args, "capabilities"), *item;
    size_t count = json_array_size(list), i;
    GW_AUTOFREE const char **names = calloc(count + 1, sizeof *names);
    GW_AUTOFREE bool *on = calloc(count + 1, sizeof *on);
    char where[48];
    int r = 0;

    if (!names || !on)
        return gw_nomem(err, "capabilities");
    json_array_foreach(list, i, item) {
        snprintf(where, sizeof where, "capabilities[%zu]", i);
        if (!json_is_object(item))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument '%s' must have type object", where);
        snprintf(where, sizeof where, "capabilities[%zu].", i);
        r = gw_json_check(item, "capability:s state:b", where, err);
        if (r < 0)
            return r;
        names[i] = json_string_value(json_object_get(item, "capability"));
        on[i] = json_is_true(json_object_get(item, "state"));
    }
    gw_control_settle(c);
    return gw_options_set_capabilities(gw_vm_options(c->vm), names, on, count, err);
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static json_t *parameter_value(enum gw_parameter_type type, const char *text)
{
    if (type == GW_PARAMETER_INT)
        return gw_json_u64(strtoull(text, NULL, 10));
    if (type == GW_PARAMETER_BOOL)
        return json_boolean(!strcmp(text, "on"));
    return json_string(text);
}

int gw_cmd_query_parameters(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    enum gw_parameter_type type;
    json_t *o = json_object(), *mapping;
    bool bad = !o;
    const char *name;
    char text[1024];

    for (size_t i = 0; gw_options_parameter_at(i, &name, &type, NULL); i++)
        if (gw_options_get_parameter(gw_vm_options(c->vm), name, text, sizeof text, NULL) == 0)
            bad |= gw_json_put(o, name, parameter_value(type, text));
    if (gw_control_mapped_bitmaps(c, &mapping))
        bad |= gw_json_put(o, "block-bitmap-mapping", mapping);
    return gw_json_finish(o, bad, ret_result, err);
}

static int find_type(const char *name, enum gw_parameter_type *ret_type, struct gw_error *err)
{
    const char *at;

    for (size_t i = 0; gw_options_parameter_at(i, &at, ret_type, NULL); i++)
        if (!strcmp(at, name))
            return 0;
    return gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no argument '%.100s'", name);
}

/* The value as gw_options_set_parameter reads it: in place, or printed to buf. */
static int value_text(const char *name, json_t *value, char *buf, size_t size, const char **ret_text,
                      struct gw_error *err)
{
    static const char *const expected[] = {"integer", "boolean", "StrOrNull", "string"};
    enum gw_parameter_type type;
    int r = find_type(name, &type, err);

    if (r < 0)
        return r;
    *ret_text = buf;
    if (type == GW_PARAMETER_INT && json_is_integer(value))
        snprintf(buf, size, "%lld", (long long)json_integer_value(value));
    else if (type == GW_PARAMETER_INT && gw_json_large(value))
        *ret_text = gw_json_large(value);
    else if (type == GW_PARAMETER_BOOL && json_is_boolean(value))
        snprintf(buf, size, "%s", json_is_true(value) ? "on" : "off");
    else if (type == GW_PARAMETER_STRING && json_is_null(value))
        buf[0] = 0;
    else if ((type == GW_PARAMETER_STRING || type == GW_PARAMETER_ENUM) && gw_json_is_string(value))
        *ret_text = json_string_value(value);
    else
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument '%s' must have type %s", name,
                       expected[type]);
    return 0;
}

int gw_cmd_set_parameters(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    size_t count = json_object_size(args), i = 0;
    GW_AUTOFREE const char **names = calloc(count + 1, sizeof *names), **values = calloc(count + 1, sizeof *values);
    GW_AUTOFREE char(*texts)[24] = calloc(count + 1, sizeof *texts);
    const char *name;
    json_t *value;
    int r;

    if (!names || !values || !texts)
        return gw_nomem(err, "parameters");
    json_object_foreach(args, name, value) {
        if (!strcmp(name, "block-bitmap-mapping"))
            continue;
        r = value_text(name, value, texts[i], sizeof texts[i], &values[i], err);
        if (r < 0)
            return r;
        names[i++] = name;
    }
    r = gw_options_set_parameters(gw_vm_options(c->vm), names, values, i, err);
    value = json_object_get(args, "block-bitmap-mapping");
    return r < 0 || !value ? r : gw_control_map_bitmaps(c, value, err);
}

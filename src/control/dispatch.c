/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "control/internal.h"

struct command {
    const char *name;
    gw_command_fn fn;
    const char *args;
    bool oob;
};

static int query_commands(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err);

static const struct command commands[] = {
    {"query-version", gw_cmd_query_version, ""},
    {"query-name", gw_cmd_query_name, ""},
    {"query-commands", query_commands, ""},
    {"query-status", gw_cmd_query_status, ""},
    {"stop", gw_cmd_stop, ""},
    {"cont", gw_cmd_cont, "x-godwit-force?b"},
    {"quit", gw_cmd_quit, ""},
    {"migrate", gw_cmd_migrate, "uri?s channels?a blk?b inc?b detach?b resume?b x-godwit-peer?s x-godwit-timeout-ms?i"},
    {"migrate-incoming", gw_cmd_migrate_incoming, "uri?s channels?a exit-on-error?b x-godwit-timeout-ms?i"},
    {"getfd", gw_cmd_getfd, "fdname:s"},
    {"closefd", gw_cmd_closefd, "fdname:s"},
    {"migrate_cancel", gw_cmd_migrate_cancel, ""},
    {"migrate-continue", gw_cmd_migrate_continue, "state:s"},
    {"migrate-start-postcopy", gw_cmd_migrate_start_postcopy, ""},
    {"migrate-pause", gw_cmd_migrate_pause, "", true},
    {"migrate-recover", gw_cmd_migrate_recover, "uri:s", true},
    {"migrate-set-capabilities", gw_cmd_set_capabilities, "capabilities:a"},
    {"query-migrate-capabilities", gw_cmd_query_capabilities, ""},
    {"migrate-set-parameters", gw_cmd_set_parameters, "*"},
    {"query-migrate-parameters", gw_cmd_query_parameters, ""},
    {"query-migrate", gw_cmd_query_migrate, ""},
    {"yank", gw_cmd_yank, "instances:a", true},
    {"query-yank", gw_cmd_query_yank, "", true},
    {"xen-save-devices-state", gw_cmd_save_devices, "filename:s live?b"},
    {"xen-load-devices-state", gw_cmd_load_devices, "filename:s"},
    {"announce-self", gw_cmd_announce_self, "initial:i max:i rounds:i step:i interfaces?a id?s"},
    {"block-dirty-bitmap-add", gw_cmd_bitmap_add, "node:s name:s granularity?i persistent?b disabled?b"},
    {"block-dirty-bitmap-remove", gw_cmd_bitmap_remove, "node:s name:s"},
    {"block-dirty-bitmap-clear", gw_cmd_bitmap_clear, "node:s name:s"},
    {"block-dirty-bitmap-enable", gw_cmd_bitmap_enable, "node:s name:s"},
    {"block-dirty-bitmap-disable", gw_cmd_bitmap_disable, "node:s name:s"},
    {"block-dirty-bitmap-merge", gw_cmd_bitmap_merge, "node:s target:s bitmaps:a"},
    {"transaction", gw_cmd_transaction, "actions:a properties?o"},
    {"query-block", gw_cmd_query_block, ""},
    {"query-named-block-nodes", gw_cmd_query_nodes, "flat?b"},
    {"snapshot-save", gw_cmd_snapshot_save, "job-id:s tag:s vmstate:s devices:a"},
    {"snapshot-load", gw_cmd_snapshot_load, "job-id:s tag:s vmstate:s devices:a"},
    {"snapshot-delete", gw_cmd_snapshot_delete, "job-id:s tag:s devices:a"},
    {"query-jobs", gw_cmd_query_jobs, ""},
    {"job-dismiss", gw_cmd_job_dismiss, "id:s"},
    {"job-cancel", gw_cmd_job_cancel, "id:s"},
    {"calc-dirty-rate", gw_cmd_calc_dirty_rate, "calc-time:i calc-time-unit?s sample-pages?i mode?s"},
    {"query-dirty-rate", gw_cmd_query_dirty_rate, "calc-time-unit?s"},
    {"set-vcpu-dirty-limit", gw_cmd_set_vcpu_dirty_limit, "cpu-index?i dirty-rate:i"},
    {"cancel-vcpu-dirty-limit", gw_cmd_cancel_vcpu_dirty_limit, "cpu-index?i"},
    {"query-vcpu-dirty-limit", gw_cmd_query_vcpu_dirty_limit, ""},
    {"x-godwit-claim", gw_cmd_claim, ""},
    {"x-godwit-query-history", gw_cmd_query_history, ""},
    {"x-godwit-survey", gw_cmd_survey, "time-ms?i sample-pages?i probe?s"},
    {"x-godwit-query-survey", gw_cmd_query_survey, ""},
};

/* QEMU's commands for parts that godwit does not have. query-commands does not list them, as clients use it to find
 * supported commands. An embedder can add such a command. */
static const char *const absent[] = {
    "client_migrate_info",
    "x-colo-lost-heartbeat",
};

static bool is_absent(const char *name)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(absent); i++)
        if (!strcmp(absent[i], name))
            return true;
    return false;
}

static int query_commands(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    json_t *list = json_array();
    bool bad = !list;

    bad |= json_array_append_new(list, json_pack("{ss}", "name", "qmp_capabilities")) != 0;
    for (size_t i = 0; i < GW_ARRAY_LEN(commands); i++)
        bad |= json_array_append_new(list, json_pack("{ss}", "name", commands[i].name)) != 0;
    pthread_mutex_lock(&c->queue);
    for (struct gw_control_command *e = c->commands; e; e = e->next)
        bad |= json_array_append_new(list, json_pack("{ss}", "name", e->name)) != 0;
    pthread_mutex_unlock(&c->queue);
    return gw_json_finish(list, bad, ret_result, err);
}

bool gw_control_has_command(const char *name)
{
    for (size_t i = 0; i < GW_ARRAY_LEN(commands); i++)
        if (!strcmp(commands[i].name, name))
            return true;
    return !strcmp(name, "qmp_capabilities");
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

static void put_json(struct gw_client *cl, json_t *take, bool failed)
{
    char *text = failed || !take ? NULL : gw_json_text(take);

    json_decref(take);
    gw_client_put(cl, text);
    free(text);
}

static void put_error(struct gw_client *cl, json_t *id, const char *class, const char *desc)
{
    /* The description may quote the client's text, cut anywhere, so it may be invalid UTF-8. */
    json_t *text = json_string(desc), *error = json_object(), *reply = json_object();
    bool bad = !reply || !error;

    if (!text)
        text = json_string("the error's text is not UTF-8");
    bad |= gw_json_put_text(error, "class", class);
    bad |= gw_json_put(error, "desc", text);
    if (id)
        bad |= gw_json_put(reply, "id", json_incref(id));
    bad |= gw_json_put(reply, "error", error);
    put_json(cl, reply, bad);
}

static void put_return(struct gw_client *cl, json_t *id, json_t *take_result)
{
    json_t *reply = json_object();
    bool bad = gw_json_put(reply, "return", take_result ? take_result : json_object());

    if (id)
        bad |= gw_json_put(reply, "id", json_incref(id));
    put_json(cl, reply, bad);
}

void gw_control_complain(struct gw_client *cl, const char *desc)
{
    put_error(cl, NULL, "GenericError", desc);
}

static json_t *version(void)
{
    int major = 0, minor = 0, micro = 0;

    sscanf(GW_VERSION_TEXT, "%d.%d.%d", &major, &minor, &micro);
    return json_pack("{s{sisisi}ss}", "qemu", "micro", micro, "minor", minor, "major", major, "package",
                     "godwit " GW_VERSION_TEXT);
}

int gw_cmd_query_version(struct gw_control *c, json_t *args, json_t **ret_result, struct gw_error *err)
{
    return gw_json_finish(version(), false, ret_result, err);
}

void gw_control_greet(struct gw_client *cl)
{
    json_t *v = version();

    put_json(cl, v ? json_pack("{s{sos[s]}}", "QMP", "version", v, "capabilities", "oob") : NULL, false);
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

static int negotiate(struct gw_client *cl, json_t *args, struct gw_error *err)
{
    bool oob = false;
    json_t *word;
    size_t i;
    int r = gw_json_check(args, "enable?a", "", err);

    if (r < 0)
        return r;
    json_array_foreach(json_object_get(args, "enable"), i, word) {
        if (!gw_json_is_string(word) || strcmp(json_string_value(word), "oob"))
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "argument 'enable' cannot be '%.100s'",
                           gw_json_is_string(word) ? json_string_value(word) : "?");
        oob = true;
    }
    cl->oob = oob;
    cl->negotiated = true;
    return 0;
}

/* The embedder's commands are never removed, so the pointer stays valid. */
static int run_added(struct gw_control *c, const struct gw_control_command *e, json_t *args, json_t **ret_result,
                     struct gw_error *err)
{
    GW_AUTOFREE char *text = gw_json_text(args), *answer = NULL;
    int r;

    if (!text)
        return gw_nomem(err, "arguments");
    r = e->fn(e->opaque, text, &answer, err);
    if (r < 0)
        return r;
    if (!answer)
        return 0;
    r = gw_json_load(answer, strlen(answer), ret_result, err);
    if (r < 0)
        gw_context(err, "%s: the answer", e->name);
    return r;
}

static void execute(struct gw_control *c, struct gw_client *cl, const char *name, bool oob, json_t *args, json_t *id)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_control_command *added = NULL;
    const struct command *cmd = NULL;
    json_t *result = NULL;
    char text[256];
    int r;

    for (size_t i = 0; i < GW_ARRAY_LEN(commands) && !cmd; i++)
        if (!strcmp(commands[i].name, name))
            cmd = &commands[i];
    if (!cmd) {
        pthread_mutex_lock(&c->queue);
        for (added = c->commands; added && strcmp(added->name, name);)
            added = added->next;
        pthread_mutex_unlock(&c->queue);
    }
    if (!cmd && !added && is_absent(name)) {
        snprintf(text, sizeof text, "command %s is not supported by this build of godwit", name);
        put_error(cl, id, "GenericError", text);
        return;
    }
    if (!cmd && !added) {
        snprintf(text, sizeof text, "there is no command %.100s", name);
        put_error(cl, id, "CommandNotFound", text);
        return;
    }
    if (oob && !(cmd && cmd->oob)) {
        snprintf(text, sizeof text, "command %.100s cannot be executed out of band", name);
        put_error(cl, id, "GenericError", text);
        return;
    }
    c->asking = cl;
    r = cmd ? gw_json_check(args, cmd->args, "", &err) : 0;
    if (r == 0)
        r = cmd ? cmd->fn(c, args, &result, &err) : run_added(c, added, args, &result, &err);
    /* Events that the command caused are delivered before its reply, as clients expect. */
    gw_control_deliver(c);
    if (r == 0) {
        put_return(cl, id, result);
    } else {
        json_decref(result);
        put_error(cl, id, r == -ENODEV ? "DeviceNotFound" : "GenericError", err.text[0] ? err.text : strerror(-r));
    }
}

/* Checks the message's members; returns the command's name, or NULL after sending an error. */
static const char *open_envelope(struct gw_client *cl, json_t *msg, json_t *id, bool *ret_oob, json_t **ret_args)
{
    const char *name = NULL, *wrong = NULL, *key;
    char text[256];
    json_t *value;

    json_object_foreach(msg, key, value) {
        if (!strcmp(key, "execute") || (cl->oob && !strcmp(key, "exec-oob"))) {
            if (name)
                wrong = "a command has 'execute' or 'exec-oob', not both";
            else if (!gw_json_is_string(value))
                wrong = !strcmp(key, "execute") ? "member 'execute' of a command must be a string"
                                                               : "member 'exec-oob' of a command must be a string";
            else
                name = json_string_value(value);
            *ret_oob = !strcmp(key, "exec-oob");
        } else if (!strcmp(key, "arguments")) {
            if (!json_is_object(value))
                wrong = "member 'arguments' of a command must be an object";
            *ret_args = value;
        } else if (strcmp(key, "id")) {
            snprintf(text, sizeof text, "a command has no member '%.100s'", key);
            wrong = text;
        }
        if (wrong)
            break;
    }
    if (!wrong && !name)
        wrong = "a command needs a member 'execute'";
    if (!wrong)
        return name;
    put_error(cl, id, "GenericError", wrong);
    return NULL;
}

void gw_control_message(struct gw_control *c, struct gw_client *cl, const char *text, size_t bytes)
{
    struct gw_error err = GW_ERROR_INIT;
    json_t *msg = NULL, *args = NULL, *id;
    const char *name;
    bool oob = false;

    if (gw_json_load(text, bytes, &msg, &err) < 0) {
        gw_context(&err, "the message is not JSON");
        gw_control_complain(cl, err.text);
        return;
    }
    if (!json_is_object(msg)) {
        gw_control_complain(cl, "a command must be a JSON object");
        json_decref(msg);
        return;
    }
    id = json_object_get(msg, "id");
    name = open_envelope(cl, msg, id, &oob, &args);
    args = args ? json_incref(args) : json_object();
    if (name && !args)
        gw_client_close(cl);
    else if (name && !cl->negotiated && strcmp(name, "qmp_capabilities"))
        put_error(cl, id, "CommandNotFound", "the first command must be qmp_capabilities");
    else if (name && cl->negotiated && !strcmp(name, "qmp_capabilities"))
        put_error(cl, id, "CommandNotFound", "qmp_capabilities was executed already and can be executed only once");
    else if (name && cl->negotiated)
        execute(c, cl, name, oob, args, id);
    else if (name && negotiate(cl, args, &err) == 0)
        put_return(cl, id, NULL);
    else if (name)
        put_error(cl, id, "GenericError", err.text);
    json_decref(args);
    json_decref(msg);
}

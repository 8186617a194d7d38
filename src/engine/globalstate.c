/* SPDX-License-Identifier: MIT */
#include "engine/vm.h"

struct gw_globalstate {
    uint32_t size; /* bytes of the text, with its NUL */
    uint8_t text[100];
};

static int check(const void *device, uint32_t version, struct gw_error *err)
{
    const struct gw_globalstate *g = device;

    if (!g->size || g->size > sizeof g->text || !memchr(g->text, 0, sizeof g->text))
        return gw_fail(err, -EPROTO, GW_BLAME_PEER, "the run state has %u bytes and must have 1 to %zu with its NUL",
                       g->size, sizeof g->text);
    return 0;
}

static const struct gw_field fields[] = {
    GW_FIELD(struct gw_globalstate, size),
    {.name = "runstate", .type = GW_T_BUFFER, .offset = offsetof(struct gw_globalstate, text), .size = 100},
    GW_END,
};

static const struct gw_state state = {
    .name = "globalstate",
    .version = 1,
    .oldest = 1,
    .size = sizeof(struct gw_globalstate),
    .priority = -1, /* saved and loaded last */
    .fields = fields,
    .check = check,
};

int gw_globalstate_new(struct gw_registry *reg, struct gw_globalstate **ret, struct gw_error *err)
{
    struct gw_globalstate *g = calloc(1, sizeof *g);
    int r;

    if (!g)
        return gw_nomem(err, "run state");
    gw_globalstate_set(g, true);
    r = gw_registry_add(reg, &state, "globalstate", 0, g, err);
    if (r < 0) {
        free(g);
        return r;
    }
    *ret = g;
    return 0;
}

struct gw_globalstate *gw_globalstate_free(struct gw_globalstate *g)
{
    free(g);
    return NULL;
}

void gw_globalstate_set(struct gw_globalstate *g, bool running)
{
    const char *text = running ? "running" : "paused";

    memset(g->text, 0, sizeof g->text);
    memcpy(g->text, text, strlen(text));
    g->size = (uint32_t)strlen(text) + 1;
    /* Newer versions read a flag and a value after the first 32 bytes: the machine was not suspended. */
    g->text[32] = 1;
}

bool gw_globalstate_running(const struct gw_globalstate *g)
{
    return !strcmp((const char *)g->text, "running");
}

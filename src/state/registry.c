/* SPDX-License-Identifier: MIT */
#include "state/registry_inner.h"

#include "state/codec.h"

int gw_registry_new(struct gw_registry **ret_registry, struct gw_error *err)
{
    struct gw_registry *reg = calloc(1, sizeof *reg);

    if (!reg)
        return gw_nomem(err, "device registry");
    pthread_mutex_init(&reg->lock, NULL);
    pthread_cond_init(&reg->idle, NULL);
    *ret_registry = reg;
    return 0;
}

static void free_entry(struct gw_registry_entry *e)
{
    while (e->aliases) {
        struct gw_registry_alias *next = e->aliases->next;

        free(e->aliases);
        e->aliases = next;
    }
    free(e);
}

struct gw_registry *gw_registry_free(struct gw_registry *reg)
{
    if (!reg)
        return NULL;
    while (reg->first) {
        struct gw_registry_entry *next = reg->first->next;

        free_entry(reg->first);
        reg->first = next;
    }
    pthread_cond_destroy(&reg->idle);
    pthread_mutex_destroy(&reg->lock);
    free(reg);
    return NULL;
}

/* ---- the device phase -------------------------------------------------------------------------------------------- */

static struct gw_registry *writable(const struct gw_registry *reg)
{
    return (struct gw_registry *)reg; /* the cast is for its lock */
}

void gw_registry_phase_begin(struct gw_registry *reg)
{
    pthread_mutex_lock(&reg->lock);
    while (reg->busy)
        pthread_cond_wait(&reg->idle, &reg->lock);
    reg->busy = true;
    reg->user = pthread_self();
    pthread_mutex_unlock(&reg->lock);
}

static void drop_removed(struct gw_registry *reg)
{
    for (struct gw_registry_entry **p = &reg->first; *p;) {
        struct gw_registry_entry *e = *p;

        if (!e->removed) {
            p = &e->next;
            continue;
        }
        *p = e->next;
        free_entry(e);
    }
}

void gw_registry_phase_end(struct gw_registry *reg)
{
    pthread_mutex_lock(&reg->lock);
    reg->busy = false;
    drop_removed(reg);
    pthread_cond_broadcast(&reg->idle);
    pthread_mutex_unlock(&reg->lock);
}

/* ---- adding and removing ----------------------------------------------------------------------------------------- */

struct gw_registry_entry *gw_registry_find(const struct gw_registry *reg, const char *id, uint32_t instance)
{
    for (struct gw_registry_entry *e = reg->first; e; e = e->next)
        if (!e->removed && e->instance == instance && !strcmp(e->id, id))
            return e;
    for (struct gw_registry_entry *e = reg->first; e; e = e->next) {
        if (e->removed)
            continue;
        for (struct gw_registry_alias *a = e->aliases; a; a = a->next)
            if (a->instance == instance && !strcmp(a->id, id))
                return e;
    }
    return NULL;
}

static int check_id(const char *id, int instance, struct gw_error *err)
{
    size_t n = id ? strlen(id) : 0;

    if (n < 1 || n > 255)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "a device's id has 1 to 255 bytes, not %zu", n);
    if (instance < 0 && instance != GW_INSTANCE_AUTO)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "device %s: instance %d", id, instance);
    return 0;
}

/* One more than the highest, so that the number of a removed device is not used again while a later device exists. */
static uint32_t count_instance(const struct gw_registry *reg, const char *id)
{
    uint32_t next = 0;

    for (struct gw_registry_entry *e = reg->first; e; e = e->next) {
        if (e->removed)
            continue;
        if (!strcmp(e->id, id))
            next = GW_MAX(next, e->instance + 1);
        for (struct gw_registry_alias *a = e->aliases; a; a = a->next)
            if (!strcmp(a->id, id))
                next = GW_MAX(next, a->instance + 1);
    }
    return next;
}

static void insert(struct gw_registry *reg, struct gw_registry_entry *e)
{
    struct gw_registry_entry **p = &reg->first;

    while (*p && (*p)->priority >= e->priority)
        p = &(*p)->next;
    e->next = *p;
    *p = e;
}

static int add_locked(struct gw_registry *reg, struct gw_registry_entry *e, int instance, struct gw_error *err)
{
    if (reg->busy)
        return gw_fail(err, -EBUSY, GW_BLAME_CALLER, "device %s cannot be added while devices are saved or loaded",
                       e->id);
    e->instance = instance == GW_INSTANCE_AUTO ? count_instance(reg, e->id) : (uint32_t)instance;
    if (gw_registry_find(reg, e->id, e->instance))
        return gw_fail(err, -EEXIST, GW_BLAME_CALLER, "device %s/%u exists", e->id, e->instance);
    e->order = reg->added++;
    e->section_id = reg->next_section++;
    insert(reg, e);
    return 0;
}

static int add(struct gw_registry *reg, const struct gw_registry_entry *what, const char *id, int instance, struct gw_error *err)
{
    struct gw_registry_entry *e;
    int r = check_id(id, instance, err);

    if (r < 0)
        return r;
    e = malloc(sizeof *e + strlen(id) + 1);
    if (!e)
        return gw_nomem(err, "registered device");
    *e = *what;
    strcpy(e->id, id);
    pthread_mutex_lock(&reg->lock);
    r = add_locked(reg, e, instance, err);
    pthread_mutex_unlock(&reg->lock);
    if (r < 0)
        free(e);
    return r;
}

static int check_abi(unsigned abi, const char *id, struct gw_error *err)
{
    if (abi == GW_STATE_ABI)
        return 0;
    return gw_fail(err, -ENOTSUP, GW_BLAME_CALLER, "device %s: its tables have layout %u, this library reads layout %u",
                   id ? id : "", abi, GW_STATE_ABI);
}

int gw_registry_add_abi(struct gw_registry *reg, unsigned abi, const struct gw_state *state, const char *id,
                        int instance, void *device, struct gw_error *err)
{
    struct gw_registry_entry e = {.state = state, .device = device};
    int r = check_abi(abi, id, err);

    if (r < 0)
        return r;
    if (!state || !device)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "device %s: its description or the pointer to it is missing "
                       "(NULL)", id ? id : "");
    r = gw_state_validate(state, err);
    if (r < 0) {
        gw_context(err, "device %s", id ? id : "");
        return r;
    }
    e.version = state->version;
    e.priority = state->priority;
    return add(reg, &e, id, instance, err);
}

int gw_registry_add_legacy_abi(struct gw_registry *reg, unsigned abi, const struct gw_legacy_ops *ops, const char *id,
                               int instance, uint32_t version, void *device, struct gw_error *err)
{
    struct gw_registry_entry e = {.legacy = ops, .device = device, .version = version};
    int r = check_abi(abi, id, err);

    if (r < 0)
        return r;
    if (!ops || !ops->save || !ops->load)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "device %s: callbacks are missing", id ? id : "");
    return add(reg, &e, id, instance, err);
}

int gw_registry_add_alias(struct gw_registry *reg, void *device, const char *old_id, int old_instance,
                          struct gw_error *err)
{
    struct gw_registry_entry *last = NULL;
    struct gw_registry_alias *a;
    int r = check_id(old_id, old_instance, err);

    if (r < 0)
        return r;
    a = malloc(sizeof *a + strlen(old_id) + 1);
    if (!a)
        return gw_nomem(err, "registered device");
    strcpy(a->id, old_id);
    pthread_mutex_lock(&reg->lock);
    for (struct gw_registry_entry *e = reg->first; e; e = e->next)
        if (e->device == device && !e->removed && (!last || e->order > last->order))
            last = e;
    a->instance = old_instance == GW_INSTANCE_AUTO ? count_instance(reg, old_id) : (uint32_t)old_instance;
    if (!last) {
        r = gw_fail(err, -ENOENT, GW_BLAME_CALLER, "alias %s: the device is not registered", old_id);
    } else if (reg->busy) {
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "alias %s cannot be added while devices are saved or loaded", old_id);
    } else if (gw_registry_find(reg, old_id, a->instance)) {
        r = gw_fail(err, -EEXIST, GW_BLAME_CALLER, "device %s/%u exists", old_id, a->instance);
    } else {
        a->next = last->aliases;
        last->aliases = a;
    }
    pthread_mutex_unlock(&reg->lock);
    if (r < 0)
        free(a);
    return r;
}

int gw_registry_require(struct gw_registry *reg, void *device, struct gw_error *err)
{
    bool found = false;
    int r = 0;

    pthread_mutex_lock(&reg->lock);
    for (struct gw_registry_entry *e = reg->first; e && r >= 0; e = e->next) {
        if (e->device != device || e->removed)
            continue;
        found = true;
        if (e->state && e->state->needed)
            r = gw_fail(err, -EINVAL, GW_BLAME_CALLER,
                        "device %s/%u is left out when it is not needed, so a stream without it cannot be refused", e->id, e->instance);
    }
    if (!found)
        r = gw_fail(err, -ENOENT, GW_BLAME_CALLER, "a device that is required is not registered");
    else if (reg->busy)
        r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "no device can become required while devices are saved or loaded");
    for (struct gw_registry_entry *e = reg->first; e && r >= 0; e = e->next)
        e->required |= e->device == device;
    pthread_mutex_unlock(&reg->lock);
    return r;
}

void gw_registry_remove(struct gw_registry *reg, void *device)
{
    pthread_mutex_lock(&reg->lock);
    while (reg->busy && !pthread_equal(reg->user, pthread_self()))
        pthread_cond_wait(&reg->idle, &reg->lock);
    for (struct gw_registry_entry *e = reg->first; e; e = e->next)
        if (e->device == device)
            e->removed = true;
    if (!reg->busy)
        drop_removed(reg);
    pthread_mutex_unlock(&reg->lock);
}

uint32_t gw_registry_take_id(struct gw_registry *reg)
{
    uint32_t id;

    pthread_mutex_lock(&reg->lock);
    id = reg->next_section++;
    pthread_mutex_unlock(&reg->lock);
    return id;
}

int gw_registry_migratable(const struct gw_registry *reg, struct gw_error *err)
{
    int r = 0;

    pthread_mutex_lock(&writable(reg)->lock);
    for (struct gw_registry_entry *e = reg->first; e && r == 0; e = e->next)
        if (!e->removed && e->state && e->state->unmigratable)
            r = gw_fail(err, -EBUSY, GW_BLAME_CALLER, "device %s cannot be migrated: its description says so (.unmigratable)",
                        e->id);
    pthread_mutex_unlock(&writable(reg)->lock);
    return r;
}

bool gw_registry_knows(const struct gw_registry *reg, const char *id, uint32_t instance)
{
    bool known;

    pthread_mutex_lock(&writable(reg)->lock);
    known = gw_registry_find(reg, id, instance) != NULL;
    pthread_mutex_unlock(&writable(reg)->lock);
    return known;
}

int gw_registry_each(const struct gw_registry *reg, int (*fn)(void *opaque, const struct gw_registered *device),
                     void *opaque)
{
    int r = 0;

    pthread_mutex_lock(&writable(reg)->lock);
    for (struct gw_registry_entry *e = reg->first; e && r >= 0; e = e->next) {
        struct gw_registered device = {.id = e->id,
                                       .instance = e->instance,
                                       .version = e->version,
                                       .section_id = e->section_id,
                                       .state = e->state,
                                       .device = e->device,
                                       .aliases = e->aliases};

        if (!e->removed)
            r = fn(opaque, &device);
    }
    pthread_mutex_unlock(&writable(reg)->lock);
    return r;
}

bool gw_registry_described(const struct gw_registry *reg, const char *id, uint32_t instance)
{
    const struct gw_registry_entry *e;
    bool described;

    pthread_mutex_lock(&writable(reg)->lock);
    e = gw_registry_find(reg, id, instance);
    described = e && e->state;
    pthread_mutex_unlock(&writable(reg)->lock);
    return described;
}

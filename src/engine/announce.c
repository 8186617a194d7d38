/* SPDX-License-Identifier: MIT */
#include "engine/announce.h"


#include "base/sized.h"
#include "base/thread.h"
#include "engine/vm.h"
#include "policy/announce.h"
#include "wire/rarp.h"

#define ID_BYTES   128u
#define MOST       64u
#define INTERFACES 1024u
/* the id of the announcement of an arrival; ids of the embedder have no line ends, so it is unique */
#define ARRIVAL    "\n"
#define SLEEP_NS   (100 * GW_NS_PER_MS)

struct gw_nic {
    struct gw_nic *next;
    char id[ID_BYTES];
    struct gw_nic_config config;
};

struct gw_announcement {
    struct gw_announcement *next;
    char id[ID_BYTES];
    struct gw_announce_timing timing;
    uint64_t round;   /* rounds that were sent */
    uint64_t next_ns; /* when the next round is due */
    bool all;
    size_t count; /* number of names in `only` */
    char only[][ID_BYTES];
};

void gw_announcer_init(struct gw_announcer *a)
{
    pthread_condattr_t attr;

    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
}

/* ---- cards ------------------------------------------------------------------------------------------------------- */

/* The link that points to the card, or the end of the list. Under the lock. */
static struct gw_nic **find_nic(struct gw_announcer *a, const char *id)
{
    struct gw_nic **at = &a->nics;

    while (*at && strcmp((*at)->id, id))
        at = &(*at)->next;
    return at;
}

static int check_nic(const struct gw_nic_config *c, struct gw_error *err)
{
    static const uint8_t nobody[6];
    size_t n = c->id ? strlen(c->id) : 0;

    if (!n || n >= ID_BYTES)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the id of a network card has 1 to %u bytes, not %zu", ID_BYTES - 1, n);
    if (c->mac[0] & 1 || !memcmp(c->mac, nobody, sizeof nobody))
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "network card %s: %02x:%02x:%02x:%02x:%02x:%02x is a group address or all "
                       "zeros; a card has an address of its own",
                       c->id, c->mac[0], c->mac[1], c->mac[2], c->mac[3], c->mac[4], c->mac[5]);
    if (!c->send)
        return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "network card %s: the call send is missing", c->id);
    return 0;
}

int gw_vm_add_nic_sized(struct gw_vm *vm, const struct gw_nic_config *config, size_t config_bytes, struct gw_error *err)
{
    struct gw_announcer *a = &vm->announcer;
    struct gw_nic_config own;
    struct gw_nic *nic, **at;
    int r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_nic_config, opaque),
                        "struct gw_nic_config", err);

    if (r >= 0)
        r = check_nic(&own, err);
    if (r < 0)
        return r;
    nic = calloc(1, sizeof *nic);
    if (!nic)
        return gw_nomem(err, "network card");
    gw_strcopy(nic->id, sizeof nic->id, own.id);
    own.id = nic->id;
    nic->config = own;
    pthread_mutex_lock(&a->lock);
    at = find_nic(a, nic->id);
    if (*at)
        r = gw_fail(err, -EEXIST, GW_BLAME_CALLER, "there is a network card %s already", nic->id);
    else
        *at = nic;
    pthread_mutex_unlock(&a->lock);
    if (r < 0)
        free(nic);
    return r;
}

int gw_vm_remove_nic(struct gw_vm *vm, const char *id, struct gw_error *err)
{
    struct gw_announcer *a = &vm->announcer;
    struct gw_nic *nic, **at;

    pthread_mutex_lock(&a->lock);
    at = find_nic(a, id);
    nic = *at;
    if (nic)
        *at = nic->next;
    pthread_mutex_unlock(&a->lock);
    free(nic);
    return nic ? 0 : gw_fail(err, -ENOENT, GW_BLAME_CALLER, "there is no network card %.127s", id);
}

/* ---- rounds. All under the lock ---------------------------------------------------------------------------------- */

static bool is_meant(const struct gw_announcement *n, const char *id)
{
    bool found = n->all;

    for (size_t i = 0; i < n->count && !found; i++)
        found = !strcmp(n->only[i], id);
    return found;
}

static void send_round(struct gw_vm *vm, struct gw_announcement *n)
{
    uint8_t frame[GW_RARP_BYTES];

    n->round++;
    for (struct gw_nic *nic = vm->announcer.nics; nic; nic = nic->next) {
        struct gw_error err = GW_ERROR_INIT;
        int r;

        if (!is_meant(n, nic->id))
            continue;
        gw_rarp_put(frame, nic->config.mac);
        r = nic->config.send(nic->config.opaque, frame, sizeof frame, &err);
        gw_trace_announce(&vm->trace, nic->id, n->round, r >= 0 ? "sent" : err.text[0] ? err.text : strerror(-r));
    }
    n->next_ns = gw_now_ns(&vm->clock) + gw_announce_wait_ns(&n->timing, n->round);
}

static void drop(struct gw_announcer *a, struct gw_announcement **at)
{
    struct gw_announcement *n = *at;

    *at = n->next;
    a->count--;
    free(n);
}

static struct gw_announcement **find(struct gw_announcer *a, const char *id)
{
    struct gw_announcement **at = &a->under_way;

    while (*at && strcmp((*at)->id, id))
        at = &(*at)->next;
    return at;
}

/* The machine has left: frames from here would lead its traffic to the wrong host. */
static bool has_left(struct gw_vm *vm)
{
    enum gw_vm_place place = gw_vm_place(vm);
    bool outgoing;

    pthread_mutex_lock(&vm->lock);
    outgoing = vm->outgoing;
    pthread_mutex_unlock(&vm->lock);
    return place == GW_VM_LEFT || (place == GW_VM_UNDECIDED && outgoing);
}

/* Sends the rounds that are due. Returns when the next one is due, or UINT64_MAX. */
static uint64_t work(struct gw_vm *vm)
{
    struct gw_announcer *a = &vm->announcer;
    uint64_t next_ns = UINT64_MAX;
    bool left = has_left(vm);

    for (struct gw_announcement **at = &a->under_way; *at;) {
        struct gw_announcement *n = *at;

        if (!left && gw_now_ns(&vm->clock) >= n->next_ns)
            send_round(vm, n);
        if (left || n->round >= n->timing.rounds) {
            drop(a, at);
            continue;
        }
        next_ns = GW_MIN(next_ns, n->next_ns);
        at = &n->next;
    }
    return next_ns;
}

/* Waits until then, or until something has changed. An embedder's clock may advance only while it is slept on. */
static void wait_until(struct gw_vm *vm, uint64_t until_ns)
{
    struct timespec t = {.tv_sec = (time_t)(until_ns / GW_NS_PER_S), .tv_nsec = (long)(until_ns % GW_NS_PER_S)};
    struct gw_announcer *a = &vm->announcer;
    uint64_t now_ns = gw_now_ns(&vm->clock);

    if (now_ns >= until_ns)
        return;
    if (vm->clock.now_ns == gw_clock_real.now_ns) {
        pthread_cond_timedwait(&a->changed, &a->lock, &t);
        return;
    }
    pthread_mutex_unlock(&a->lock);
    vm->clock.sleep_ns(vm->clock.opaque, GW_MIN(until_ns - now_ns, SLEEP_NS));
    pthread_mutex_lock(&a->lock);
}

static void *announce(void *arg)
{
    struct gw_vm *vm = arg;
    struct gw_announcer *a = &vm->announcer;

    pthread_mutex_lock(&a->lock);
    while (!a->ends) {
        uint64_t next_ns = work(vm);

        if (next_ns == UINT64_MAX)
            break;
        wait_until(vm, next_ns);
    }
    a->runs = false;
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* A thread that has ended its work does not take the lock again, so it can be joined while the lock is held. */
static int run_thread(struct gw_vm *vm, struct gw_error *err)
{
    struct gw_announcer *a = &vm->announcer;
    int r;

    pthread_cond_signal(&a->changed);
    if (a->runs)
        return 0;
    if (a->made)
        pthread_join(a->thread, NULL);
    r = gw_thread_start(&a->thread, announce, vm, err);
    a->made = a->runs = r >= 0;
    if (r < 0)
        gw_context(err, "repeating an announcement");
    return r;
}

/* Takes n. */
static int begin(struct gw_vm *vm, struct gw_announcement *n, struct gw_error *err)
{
    struct gw_announcer *a = &vm->announcer;
    struct gw_announcement **at = find(a, n->id);
    int r = 0;

    if (*at)
        drop(a, at);
    if (n->timing.rounds && a->count == MOST)
        r = gw_fail(err, -ENOSPC, GW_BLAME_CALLER, "%u announcements are under way: wait, or give the id of one of them", MOST);
    if (r < 0 || !n->timing.rounds) {
        free(n);
        return r;
    }
    send_round(vm, n);
    if (n->round >= n->timing.rounds) {
        free(n);
        return 0;
    }
    n->next = a->under_way;
    a->under_way = n;
    a->count++;
    r = run_thread(vm, err);
    if (r < 0)
        drop(a, &a->under_way);
    return r;
}

/* ---- starts of an announcement ----------------------------------------------------------------------------------- */

int gw_announce_arrival(struct gw_vm *vm, struct gw_error *err)
{
    struct gw_announcement *n = calloc(1, sizeof *n);
    int r;

    if (!n)
        return gw_nomem(err, "announcement");
    gw_strcopy(n->id, sizeof n->id, ARRIVAL);
    n->all = true;
    n->timing = (struct gw_announce_timing){
        .initial_ms = gw_options_param(vm->options, GW_PARAM_ANNOUNCE_INITIAL),
        .max_ms = gw_options_param(vm->options, GW_PARAM_ANNOUNCE_MAX),
        .step_ms = gw_options_param(vm->options, GW_PARAM_ANNOUNCE_STEP),
        .rounds = gw_options_param(vm->options, GW_PARAM_ANNOUNCE_ROUNDS),
    };
    pthread_mutex_lock(&vm->announcer.lock);
    if (!vm->announcer.nics) /* no card to announce */
        n->timing.rounds = 0;
    r = begin(vm, n, err);
    pthread_mutex_unlock(&vm->announcer.lock);
    return r;
}

void gw_announce_revoke(struct gw_vm *vm)
{
    struct gw_announcer *a = &vm->announcer;

    pthread_mutex_lock(&a->lock);
    while (a->under_way)
        drop(a, &a->under_way);
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static int check_range(const char *name, uint64_t value, uint64_t min, uint64_t max, struct gw_error *err)
{
    if (value >= min && value <= max)
        return 0;
    return gw_fail(err, -ERANGE, GW_BLAME_CALLER,
                   "argument '%s' is a whole number from %" PRIu64 " to %" PRIu64, name, min, max);
}

static int check(const struct gw_announce_config *c, struct gw_error *err)
{
    int r = check_range("initial", c->initial_ms, 0, 100000, err);

    if (r >= 0)
        r = check_range("max", c->max_ms, 0, 100000, err);
    if (r >= 0)
        r = check_range("rounds", c->rounds, 0, 1000, err);
    if (r >= 0)
        r = check_range("step", c->step_ms, 1, 10000, err);
    if (r >= 0 && c->interfaces && c->interface_count > INTERFACES)
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%zu interfaces are named, %u are possible", c->interface_count, INTERFACES);
    if (r >= 0 && c->id && (strlen(c->id) >= ID_BYTES || strchr(c->id, '\n')))
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "the id of an announcement has up to %u bytes and no line ends", ID_BYTES - 1);
    return r;
}

/* Looks up the named cards now; a card that is removed later is left out. Under the lock. */
static int take_interfaces(struct gw_announcer *a, const struct gw_announce_config *c, struct gw_announcement *n,
                           struct gw_error *err)
{
    for (; n->count < c->interface_count; n->count++) {
        const char *id = c->interfaces[n->count];

        if (!*find_nic(a, id))
            return gw_fail(err, -ENODEV, GW_BLAME_CALLER, "there is no network card %.127s", id);
        gw_strcopy(n->only[n->count], ID_BYTES, id);
    }
    return 0;
}

static int announce_as(struct gw_vm *vm, const struct gw_announce_config *c, struct gw_error *err)
{
    size_t count = c->interfaces ? c->interface_count : 0;
    struct gw_announcement *n;
    int r;

    n = calloc(1, sizeof *n + count * ID_BYTES);
    if (!n)
        return gw_nomem(err, "announcement");
    gw_strcopy(n->id, sizeof n->id, c->id ? c->id : "");
    n->all = !c->interfaces;
    n->timing = (struct gw_announce_timing){c->initial_ms, c->max_ms, c->step_ms, c->rounds};
    pthread_mutex_lock(&vm->announcer.lock);
    r = n->all ? 0 : take_interfaces(&vm->announcer, c, n, err);
    if (r >= 0)
        r = begin(vm, n, err);
    else
        free(n);
    pthread_mutex_unlock(&vm->announcer.lock);
    return r;
}

int gw_vm_announce_sized(struct gw_vm *vm, const struct gw_announce_config *config, size_t config_bytes, struct gw_error *err)
{
    struct gw_announce_config own;
    int r;

    if (has_left(vm))
        return gw_fail(err, -EALREADY, GW_BLAME_CALLER,
                       "the machine does not run here: announcing it would draw its network traffic to the wrong host");
    if (!config)
        return gw_announce_arrival(vm, err);
    r = gw_sized_in(&own, sizeof own, config, config_bytes, GW_SIZED_UNTIL(struct gw_announce_config, interface_count),
                    "struct gw_announce_config", err);
    if (r >= 0)
        r = check(&own, err);
    return r < 0 ? r : announce_as(vm, &own, err);
}

void gw_announcer_close(struct gw_vm *vm)
{
    struct gw_announcer *a = &vm->announcer;

    pthread_mutex_lock(&a->lock);
    a->ends = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
    if (a->made)
        pthread_join(a->thread, NULL);
    while (a->under_way)
        drop(a, &a->under_way);
    while (a->nics) {
        struct gw_nic *nic = a->nics;

        a->nics = nic->next;
        free(nic);
    }
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->changed);
}

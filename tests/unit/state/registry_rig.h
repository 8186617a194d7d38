/* SPDX-License-Identifier: MIT
 *
 * A registry, and descriptions of small devices to put into it.
 */
#ifndef STATE_REGISTRY_RIG_H
#define STATE_REGISTRY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/endian.h"
#include "state/registry.h"
#include "zoo.h"

struct dev {
    uint32_t v, w;
    bool here;
    unsigned loaded;
    struct gw_registry *reg;
};

static inline bool is_here(const void *p)
{
    return ((const struct dev *)p)->here;
}

static inline int check_v(const void *p, uint32_t version, struct gw_error *err)
{
    if (((const struct dev *)p)->v == 13)
        return gw_fail(err, -EINVAL, GW_BLAME_PEER, "13 is no good");
    return ((const struct dev *)p)->v == 14 ? -EIO : 0;
}

static inline void count_loaded(void *p, uint32_t version)
{
    ((struct dev *)p)->loaded++;
}

static __attribute__((unused)) const struct gw_field dev_fields[] = {GW_FIELD(struct dev, v), GW_FIELD_SINCE(2, struct dev, w), GW_END};
static __attribute__((unused)) const struct gw_state dev_state = {
    .name = "dev", .version = 2, .fields = dev_fields, .check = check_v, .loaded = count_loaded};
static __attribute__((unused)) const struct gw_state high_state = {.name = "high", .version = 2, .fields = dev_fields, .priority = 5};
static __attribute__((unused)) const struct gw_state low_state = {.name = "low", .version = 2, .fields = dev_fields, .priority = -5};
static __attribute__((unused)) const struct gw_state early_state = {.name = "early", .version = 2, .fields = dev_fields, .early = true};
static __attribute__((unused)) const struct gw_state bad_state = {.name = "bad", .version = 2, .fields = dev_fields, .unmigratable = true};
static __attribute__((unused)) const struct gw_state some_state = {.name = "some", .version = 2, .fields = dev_fields, .needed = is_here};

static inline struct gw_registry *new_registry(void)
{
    struct gw_registry *reg = NULL;

    assert_int_equal(gw_registry_new(&reg, NULL), 0);
    return reg;
}

static inline int load(struct gw_registry *reg, const char *id, uint32_t instance, uint32_t version, uint32_t v, uint32_t w,
                struct gw_error *err)
{
    uint8_t body[8];
    struct gw_reader r;

    gw_store_be32(body, v);
    gw_store_be32(body + 4, w);
    gw_reader_init_memory(&r, body, sizeof body, 1000);
    return gw_registry_load(reg, id, instance, version, &r, err);
}

#endif

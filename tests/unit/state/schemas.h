/* SPDX-License-Identifier: MIT
 *
 * schemas: schemas of one small device, and what is said of two of them.
 */
#ifndef TEST_SCHEMAS_H
#define TEST_SCHEMAS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "state/json.h"
#include "state/registry.h"
#include "zoo.h"

struct box {
    uint8_t u8, list8[4], n;
    uint16_t u16;
    uint32_t u32, other32;
    int32_t i32;
    uint64_t u64;
    int64_t when;
    uint16_t many[8];
    struct cage cage;
};

static inline char *dump(const struct gw_state *st, const char *id, const char *alias)
{
    struct gw_registry *reg = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct box box;
    char *json = NULL;

    assert_int_equal(gw_registry_new(&reg, &err), 0);
    if (st && gw_registry_add(reg, st, id, 0, &box, &err) < 0)
        fail_msg("%s", err.text);
    if (alias)
        assert_int_equal(gw_registry_add_alias(reg, &box, alias, 0, &err), 0);
    assert_int_equal(gw_schema_dump(reg, "m", &json, &err), 0);
    gw_registry_free(reg);
    return json;
}

struct said {
    char text[4000];
};

static inline void note(void *opaque, bool breaking, const char *where, const char *what)
{
    struct said *s = opaque;
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof s->text - n, "%s %s: %s\n", breaking ? "BREAKS" : "note", where, what);
}

static inline void compare(char *from, char *to, const char *want)
{
    struct said said = {""};
    struct gw_error err = GW_ERROR_INIT;
    int breaking = 0, r = gw_schema_check(from, to, note, &said, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    assert_string_equal(said.text, want);
    for (const char *p = want; (p = strstr(p, "BREAKS ")); p++)
        breaking++;
    assert_int_equal(r, breaking);
    free(from);
    free(to);
}

#define STATE(v, ...)                                                                                                  \
    (&(struct gw_state){.name = "d", .version = (v), .fields = (const struct gw_field[]){__VA_ARGS__, GW_END}})
#define BOX(m, ...) GW_FIELD(struct box, m, __VA_ARGS__)

static inline void states(const struct gw_state *from, const struct gw_state *to, const char *want)
{
    compare(dump(from, "d", NULL), dump(to, "d", NULL), want);
}

#endif

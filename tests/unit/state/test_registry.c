/* SPDX-License-Identifier: MIT
 *
 * The registry: who may be in it, under which names, and what it tells of them.
 */
#include "registry_rig.h"

static void test_refused(void **state)
{
    struct dev a = {.v = 1, .w = 2}, before = a;
    struct gw_registry *reg = new_registry();
    struct gw_error err = GW_ERROR_INIT;
    char id[300];

    assert_int_equal(gw_registry_add(reg, &dev_state, "uart", 0, &a, &err), 0);
    assert_int_equal(load(reg, "uart", 0, 2, 13, 0, &err), -EINVAL);
    assert_string_equal(err.text, "device uart/0: 13 is no good");
    assert_int_equal(load(reg, "uart", 0, 2, 14, 0, &err), -EIO);
    assert_string_equal(err.text, "device uart/0: callback check of description dev failed (Input/output error)");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    assert_int_equal(load(reg, "uart", 0, 3, 1, 0, &err), -EPROTO);
    assert_string_equal(err.text, "device uart/0: version 3, only 0 to 2 are known here");
    assert_memory_equal(&a, &before, sizeof a);
    assert_int_equal(load(reg, "uart", 0, 2, 5, 6, NULL), 0); /* a refused section is not a loaded one */
    memset(id, 'x', sizeof id);
    id[256] = 0;
    assert_int_equal(gw_registry_add(reg, &dev_state, id, 0, &a, &err), -EINVAL);
    id[255] = 0;
    assert_int_equal(gw_registry_add(reg, &dev_state, id, 0, &a, &err), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "", 0, &a, &err), -EINVAL);
    assert_int_equal(gw_registry_add(reg, &dev_state, "x", -2, &a, &err), -EINVAL);
    assert_int_equal(gw_registry_migratable(reg, &err), 0);
    assert_int_equal(gw_registry_add(reg, &bad_state, "gpu", 2, &before, &err), 0);
    assert_int_equal(gw_registry_migratable(reg, &err), -EBUSY);
    assert_string_equal(err.text, "device gpu cannot be migrated: its description says so (.unmigratable)");
    gw_registry_remove(reg, &before);
    assert_int_equal(gw_registry_migratable(reg, &err), 0);
    gw_registry_free(reg);
}

/* ---- tables that cannot be right ----------------------------------------------------------------------------------
 */

static void refuse(const struct gw_state *st, const char *text)
{
    struct gw_registry *reg = new_registry();
    struct gw_error err = GW_ERROR_INIT;
    char full[300];

    snprintf(full, sizeof full, "device d: %s", text);
    assert_int_equal(gw_registry_add(reg, st, "d", 0, &reg, &err), -EINVAL);
    assert_string_equal(err.text, full);
    gw_registry_free(reg);
}

static const struct gw_state endless_state;
static const struct gw_field endless_fields[] = {
    {.name = "self", .type = GW_T_STRUCT, .size = 8, .within = 8, .state = &endless_state}, GW_END};
static const struct gw_state endless_state = {.name = "endless", .version = 1, .fields = endless_fields};

static void test_tables(void **state)
{
    const struct gw_field far[] = {{.name = "f", .type = GW_T_U32, .offset = 6, .size = 4, .within = 8}, GW_END};
    const struct gw_field list[] = {{.name = "l", .type = GW_T_LIST, .within = 8, .state = &dev_state}, GW_END};
    const struct gw_field big[] = {GW_STRUCT(struct dev, v, &dev_state), GW_END};
    const struct gw_field good[] = {GW_FIELD(struct dev, v), GW_END};
    const struct gw_state sub = {.name = "d2/x", .version = 1, .fields = good};
    const struct gw_state *const subs[] = {&sub, NULL};

    refuse(&(struct gw_state){.name = "d", .fields = far}, "description d, field f: outside the structure of 8 bytes");
    refuse(&(struct gw_state){.name = "d", .fields = list},
           "description d, field l: a list needs all its functions and a maximum");
    refuse(&(struct gw_state){.name = "d", .fields = big},
           "description d, field v: description dev is of a structure of 24 bytes, the member has 4");
    refuse(&(struct gw_state){.name = "d/x", .fields = good, .subsections = subs},
           "subsection d2/x must have a name that begins with d/x/");
    refuse(&(struct gw_state){.name = "d", .fields = good, .oldest = 2, .version = 1},
           "description d reads versions from 2 on but writes 1");
    refuse(&(struct gw_state){.name = "d"}, "description d has no fields");
    assert_true(gw_registry_add(NULL, &endless_state, "d", 0, &refuse, NULL) == -EINVAL);
}

/* Static, for it must be there for as long as the threads, which the teardown waits for. */
static struct {
    struct gw_registry *reg;
    unsigned threads, wrong;
    pthread_t thread[3];
} plugs;

static void *plug(void *arg)
{
    for (int i = 0; i < 300; i++) {
        struct dev *d = calloc(1, sizeof *d);
        int r = gw_registry_add(plugs.reg, &dev_state, "dev", GW_INSTANCE_AUTO, d, NULL);

        if (r != 0 && r != -EBUSY)
            __atomic_fetch_add(&plugs.wrong, 1, __ATOMIC_RELAXED);
        if (r == 0)
            gw_registry_remove(plugs.reg, d); /* after it nobody looks at the device */
        free(d);
    }
    return NULL;
}

static int plugged(void **state)
{
    while (plugs.threads)
        pthread_join(plugs.thread[--plugs.threads], NULL);
    return 0;
}

static void test_threads(void **state)
{
    static struct dev a;
    struct gw_registry *reg = plugs.reg = new_registry();

    assert_int_equal(gw_registry_add(reg, &dev_state, "a", 0, &a, NULL), 0);
    for (; plugs.threads < 3; plugs.threads++)
        assert_int_equal(pthread_create(&plugs.thread[plugs.threads], NULL, plug, NULL), 0);
    for (int i = 0; i < 200; i++) {
        struct gw_writer w;

        assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
        assert_int_equal(gw_registry_save(reg, false, true, &w, NULL, NULL), 0);
        assert_true(gw_registry_knows(reg, "a", 0));
        assert_int_equal(gw_registry_migratable(reg, NULL), 0);
        gw_writer_close(&w);
    }
    plugged(NULL);
    assert_int_equal(plugs.wrong, 0);
    gw_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_tables),
        cmocka_unit_test_teardown(test_threads, plugged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

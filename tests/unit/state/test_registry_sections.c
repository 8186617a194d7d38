/* SPDX-License-Identifier: MIT
 *
 * Which devices are saved, in which order, under which names; and who is loaded from which section.
 */
#include "registry_rig.h"

/* Saves and returns "id/instance=section " of each section. */
static void order_of(struct gw_registry *reg, bool early, char *text, size_t size)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_writer w;
    const uint8_t *p, *end;
    size_t n;

    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_registry_save(reg, early, true, &w, NULL, &err), 0);
    p = gw_writer_data(&w, &n);
    end = p + n;
    text[0] = 0;
    while (p < end) {
        unsigned len = p[5], version = gw_load_be32(p + 10 + len);
        size_t at = strlen(text);

        assert_int_equal(p[0], 4);
        snprintf(text + at, size - at, "%.*s/%u=%u ", (int)len, (const char *)p + 6, gw_load_be32(p + 6 + len),
                 gw_load_be32(p + 1));
        p += 14 + len + (version == 2 ? 8 : 4);
        assert_int_equal(p[0], 0x7e);
        p += 5;
    }
    gw_writer_close(&w);
}

static void test_order(void **state)
{
    struct dev a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {.here = false};
    struct gw_registry *reg = new_registry();
    char text[300];

    assert_int_equal(gw_registry_take_id(reg), 0);
    assert_int_equal(gw_registry_add(reg, &low_state, "low", 0, &a, NULL), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "dev", GW_INSTANCE_AUTO, &b, NULL), 0);
    assert_int_equal(gw_registry_add(reg, &high_state, "high", 7, &c, NULL), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "dev", GW_INSTANCE_AUTO, &d, NULL), 0);
    assert_int_equal(gw_registry_add(reg, &early_state, "early", 0, &e, NULL), 0);
    assert_int_equal(gw_registry_add(reg, &some_state, "some", 0, &f, NULL), 0);
    order_of(reg, false, text, sizeof text);
    assert_string_equal(text, "high/7=3 dev/0=2 dev/1=4 low/0=1 ");
    order_of(reg, true, text, sizeof text);
    assert_string_equal(text, "early/0=5 ");
    f.here = true;
    gw_registry_remove(reg, &b);
    order_of(reg, false, text, sizeof text);
    assert_string_equal(text, "high/7=3 dev/1=4 some/0=6 low/0=1 ");
    assert_int_equal(gw_registry_take_id(reg), 7);
    /* The number of the one that went is not given again. */
    assert_int_equal(gw_registry_add(reg, &dev_state, "dev", GW_INSTANCE_AUTO, &b, NULL), 0);
    assert_true(gw_registry_knows(reg, "dev", 2) && !gw_registry_knows(reg, "dev", 0));
    gw_registry_free(reg);
}

/* A stream written before "uart" became "serial": two instances, one renamed device. */
static void test_renamed(void **state)
{
    struct dev a = {0}, b = {0}, c = {0};
    struct gw_registry *reg = new_registry();
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_registry_add(reg, &dev_state, "port", GW_INSTANCE_AUTO, &a, &err), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "port", GW_INSTANCE_AUTO, &b, &err), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "0000:00:01.0/serial", 0, &c, &err), 0);
    assert_int_equal(gw_registry_add_alias(reg, &c, "uart", 3, &err), 0);
    assert_int_equal(gw_registry_add_alias(reg, &c, "port", 1, &err), -EEXIST);
    assert_int_equal(gw_registry_add_alias(reg, &reg, "x", 1, &err), -ENOENT);
    assert_int_equal(gw_registry_add(reg, &dev_state, "uart", 3, &a, &err), -EEXIST);
    gw_registry_load_begin(reg);
    assert_int_equal(load(reg, "port", 1, 2, 101, 102, &err), 0);
    assert_int_equal(load(reg, "uart", 3, 1, 301, 302, &err), 0);
    assert_int_equal(load(reg, "port", 0, 2, 1, 2, &err), 0);
    assert_true(a.v == 1 && a.w == 2 && b.v == 101 && b.w == 102 && c.v == 301 && c.w == 0 && c.loaded == 1);
    /* The same device by either name is the same device. */
    assert_int_equal(load(reg, "0000:00:01.0/serial", 0, 2, 1, 2, &err), -EPROTO);
    assert_string_equal(err.text, "device 0000:00:01.0/serial/0: the device has a second section at byte 1000");
    gw_registry_load_begin(reg);
    assert_int_equal(load(reg, "0000:00:01.0/serial", 0, 2, 1, 2, &err), 0);
    assert_int_equal(load(reg, "uart", 2, 1, 301, 302, &err), -ENOENT);
    assert_string_equal(err.text, "device uart/2 is not known here");
    gw_registry_free(reg);
}

/* What has to come is missed at the end, by its first registration; what comes under an old name has come. */
static void test_required(void **state)
{
    struct dev a = {0}, b = {0}, c = {0};
    struct gw_registry *reg = new_registry();
    struct gw_error err = GW_ERROR_INIT;

    assert_int_equal(gw_registry_add(reg, &dev_state, "cpu", 0, &a, &err), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "cpu", 1, &b, &err), 0);
    assert_int_equal(gw_registry_add_alias(reg, &b, "old", 1, &err), 0);
    assert_int_equal(gw_registry_add(reg, &some_state, "some", 0, &c, &err), 0);
    gw_registry_load_begin(reg);
    assert_int_equal(gw_registry_load_end(reg, &err), 0);
    assert_int_equal(gw_registry_require(reg, &a, &err), 0);
    assert_int_equal(gw_registry_require(reg, &b, &err), 0);
    assert_int_equal(gw_registry_require(reg, &reg, &err), -ENOENT);
    assert_int_equal(gw_registry_require(reg, &c, &err), -EINVAL);
    assert_string_equal(err.text, "device some/0 is left out when it is not needed, so a stream without it cannot be refused");
    assert_int_equal(load(reg, "cpu", 0, 2, 1, 2, &err), 0);
    err = (struct gw_error)GW_ERROR_INIT;
    assert_int_equal(gw_registry_load_end(reg, &err), -EPROTO);
    assert_string_equal(err.text, "section cpu/1 is missing, without which this machine cannot run: give this machine the same devices "
                                  "as the one that was sent");
    assert_int_equal(load(reg, "old", 1, 2, 1, 2, &err), 0);
    assert_int_equal(gw_registry_load_end(reg, &err), 0);
    gw_registry_load_begin(reg);
    assert_int_equal(gw_registry_load_end(reg, &err), -EPROTO);
    gw_registry_remove(reg, &a);
    gw_registry_remove(reg, &b);
    assert_int_equal(gw_registry_load_end(reg, &err), 0);
    gw_registry_free(reg);
}

static int old_save(void *device, struct gw_sink *sink, struct gw_error *err)
{
    struct dev *d = device;

    gw_sink_put(sink, &d->v, 3);
    return d->v == 99 ? -EIO : 0;
}

static int old_load(void *device, uint32_t version, struct gw_supply *supply, struct gw_error *err)
{
    struct dev *d = device;
    int r = gw_supply_get(supply, &d->v, 3, err);

    return r < 0 ? r : d->v == 98 ? gw_fail(err, -EPROTO, GW_BLAME_NONE, "98") : 0;
}

static const struct gw_legacy_ops old_ops = {old_save, old_load};

static void test_legacy(void **state)
{
    static const uint8_t want[] = {4, 0, 0, 0, 0, 3, 'o', 'l', 'd', 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 0x7e, 0, 0, 0, 0};
    struct dev a = {.v = 0x00030201}, b = {.v = 7};
    struct gw_registry *reg = new_registry();
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vmdesc *desc;
    struct gw_writer w;
    struct gw_reader r;
    const uint8_t *p;
    const char *text;
    size_t n;

    assert_int_equal(gw_registry_add_legacy(reg, &old_ops, "old", GW_INSTANCE_AUTO, 5, &a, &err), 0);
    assert_int_equal(gw_registry_add(reg, &dev_state, "new", 0, &b, &err), 0);
    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_vmdesc_new(4096, &desc, &err), 0);
    gw_writer_cause(&w, GW_CAUSE_HEAD);
    assert_int_equal(gw_registry_save(reg, false, true, &w, desc, &err), 0);
    assert_true(gw_writer_cause(&w, GW_CAUSE_HEAD) == GW_CAUSE_HEAD);
    p = gw_writer_data(&w, &n);
    assert_int_equal(n, sizeof want + 1 + 4 + 4 + 8 + 8 + 5);
    assert_int_equal(w.out.by[GW_CAUSE_DEVICE], n);
    assert_memory_equal(p, want, sizeof want);
    assert_int_equal(gw_vmdesc_finish(desc, &text, &n, &err), 0);
    assert_int_equal(
        strncmp(text,
                "{\"page_size\": 4096, \"devices\": [{\"name\": \"old\", \"instance_id\": 0, \"size\": 3, "
                "\"fields\": [{\"name\": \"data\", \"size\": 3, \"type\": \"buffer\"}]}, {\"name\": \"new\", ",
                153),
        0);
    gw_vmdesc_free(desc);

    a.v = 0;
    gw_reader_init_memory(&r, want + 17, 3, 0);
    assert_int_equal(gw_registry_load(reg, "old", 0, 6, &r, &err), -EPROTO);
    assert_int_equal(gw_registry_load(reg, "old", 0, 5, &r, &err), 0);
    assert_int_equal(a.v, 0x00030201);
    gw_registry_load_begin(reg);
    gw_reader_init_memory(&r, "\x62\0\0", 3, 0);
    assert_int_equal(gw_registry_load(reg, "old", 0, 5, &r, &err), -EPROTO);
    assert_string_equal(err.text, "device old/0: 98");
    assert_int_equal(err.blame, GW_BLAME_EMBEDDER);
    a.v = 99;
    assert_int_equal(gw_registry_save(reg, false, true, &w, NULL, &err), -EIO);
    assert_string_equal(err.text, "saving device old/0: the device's callback failed (Input/output error)");
    gw_writer_close(&w);
    gw_registry_free(reg);
}

static int add_in_hook(void *p, struct gw_error *err)
{
    struct dev *d = p;

    assert_int_equal(gw_registry_add(d->reg, &dev_state, "more", 0, d, NULL), -EBUSY);
    gw_registry_remove(d->reg, d);
    return 0;
}

static const struct gw_state self_state = {.name = "self", .version = 2, .fields = dev_fields, .pre_save = add_in_hook};

static void test_hook_changes_registry(void **state)
{
    struct dev a = {0};
    struct gw_registry *reg = new_registry();
    struct gw_writer w;

    a.reg = reg;
    assert_int_equal(gw_registry_add(reg, &self_state, "self", 0, &a, NULL), 0);
    assert_int_equal(gw_writer_init_memory(&w, NULL), 0);
    assert_int_equal(gw_registry_save(reg, false, true, &w, NULL, NULL), 0);
    assert_false(gw_registry_knows(reg, "self", 0));
    assert_int_equal(gw_registry_add(reg, &dev_state, "more", 0, &a, NULL), 0);
    gw_writer_close(&w);
    gw_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order), cmocka_unit_test(test_renamed), cmocka_unit_test(test_required), cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_hook_changes_registry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

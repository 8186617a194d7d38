/* SPDX-License-Identifier: MIT
 *
 * Every device of every capture through our own encoder: from the peer's description a table of fields is made, the
 * peer's bytes are loaded by it, and saved again. Bytes and JSON must be the peer's, to the last comma; but 10.0 leaves
 * the number out of the last entry of an array that has an entry for each element, where 7.2 and we have it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "state/describe.h"
#include "state/registry.h"
#include "state/vmdesc_read.h"

struct maker {
    struct gw_arena arena;
};

static bool always(const void *device, uint32_t version)
{
    return true;
}

static const struct gw_state *make_state(struct maker *m, const struct gw_vmdesc_state *d, size_t *offset,
                                         bool versioned);

static bool begins(const char *s, const char *with)
{
    return !strncmp(s, with, strlen(with));
}

/* The value's type; what is not a number is bytes. */
static void make_value(struct gw_field *f, const struct gw_vmdesc_field *d)
{
    static const struct {
        const char *type;
        enum gw_type kind;
        size_t bytes;
    } known[] = {
        {"bool", GW_T_BOOL, 1},  {"uint8", GW_T_U8, 1},    {"uint16", GW_T_U16, 2},          {"uint32", GW_T_U32, 4},
        {"uint64", GW_T_U64, 8}, {"int8", GW_T_I8, 1},     {"int16", GW_T_I16, 2},           {"int32", GW_T_I32, 4},
        {"int64", GW_T_I64, 8},  {"timer", GW_T_TIMER, 8}, {"unused_buffer", GW_T_UNUSED, 0}};

    f->type = GW_T_BUFFER;
    f->size = d->bytes;
    for (size_t i = 0; i < GW_ARRAY_LEN(known); i++)
        if (begins(d->type, known[i].type))
            f->type = known[i].kind;
    if (strcmp(gw_field_type_name(f), d->type) != 0)
        f->type_name = d->type; /* "pci config", "uint32 equal" */
}

/* Entries with an index are one array, which has a test so that it is described that way. Returns entries used. */
static uint32_t entries_of(const struct gw_vmdesc_state *d, uint32_t i)
{
    uint32_t n = 1;

    if (d->fields[i].index != 0)
        return 1;
    while (i + n < d->field_count && d->fields[i + n].index == n && !strcmp(d->fields[i + n].name, d->fields[i].name))
        n++;
    return n;
}

static uint32_t make_field(struct maker *m, const struct gw_vmdesc_state *d, uint32_t i, struct gw_field *f,
                           size_t *offset)
{
    const struct gw_vmdesc_field *e = &d->fields[i];
    uint32_t used = entries_of(d, i);

    f->name = e->name;
    if (e->inside) {
        size_t inner = 0;

        f->type = GW_T_STRUCT;
        f->state = make_state(m, e->inside, &inner, false);
        f->size = (inner + 7) / 8 * 8;
        if (strcmp(e->type, "struct") != 0)
            f->type_name = e->type;
    } else {
        make_value(f, e);
    }
    if (used > 1)
        f->when = always;
    if (used > 1 || e->count > 1) {
        f->flags = GW_F_ARRAY;
        f->count = used > 1 ? used : e->count;
    }
    *offset = (*offset + 7) / 8 * 8;
    f->offset = *offset;
    if (f->type != GW_T_UNUSED)
        *offset += f->size * GW_MAX(f->count, 1);
    return used;
}

/* Members of subsections lie behind those of their parent, in the same structure. */
static const struct gw_state *make_state(struct maker *m, const struct gw_vmdesc_state *d, size_t *offset, bool sub)
{
    struct gw_state *st = gw_arena_take(&m->arena, sizeof *st);
    struct gw_field *fields = gw_arena_take(&m->arena, (d->field_count + 1) * sizeof *fields);
    const struct gw_state **subs = gw_arena_take(&m->arena, (d->subsection_count + 1) * sizeof *subs);
    uint32_t n = 0;

    for (uint32_t i = 0; i < d->field_count; n++)
        i += make_field(m, d, i, &fields[n], offset);
    *st = (struct gw_state){.name = d->name, .version = d->version, .fields = fields, .subsections = subs};
    for (uint32_t i = 0; i < d->subsection_count; i++)
        subs[i] = make_state(m, &d->subsections[i], offset, true);
    if (!sub)
        st->size = *offset;
    return st;
}

/* Returns how many numbers of last elements are missing in theirs. */
static unsigned compare_text(const char *name, const char *ours, size_t our_bytes, const char *theirs,
                             size_t their_bytes)
{
    const char *end = ours + our_bytes, *their_end = theirs + their_bytes;
    unsigned missing = 0;

    while (ours < end && theirs < their_end) {
        if (*ours == *theirs) {
            ours++;
            theirs++;
        } else if (begins(ours, "index\": ") && begins(theirs, "type\": ")) {
            ours = strstr(ours, "\"type") + 1;
            missing++;
        } else {
            fail_msg("%s: description differs:\n%.200s\n%.200s", name, ours, theirs);
        }
    }
    assert_true(ours == end && theirs == their_end);
    return missing;
}

static void check(const char *name, unsigned unnumbered)
{
    struct gw_vmdesc_section *sections;
    struct gw_vmdesc_tree *tree = NULL;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_registry *reg = NULL;
    struct gw_vmdesc *desc = NULL;
    struct maker maker = {0};
    struct gw_writer w;
    struct capture c;
    const uint8_t *ours;
    const char *text;
    size_t bytes, first;

    assert_true(capture_open(&c, name));
    assert_int_equal(gw_vmdesc_parse(c.text, c.text_bytes, &tree, &err), 0);
    sections = calloc(tree->device_count, sizeof *sections);
    assert_int_equal(gw_vmdesc_locate(tree, c.data, c.eof, true, NULL, sections, &err), 0);
    first = sections[0].start;
    assert_int_equal(gw_writer_init_memory(&w, &err), 0);
    assert_int_equal(gw_vmdesc_new(tree->page_bytes, &desc, &err), 0);
    if (tree->configuration)
        gw_vmdesc_configuration(desc,
                                strstr(name, "none") ? "none"
                                : strstr(name, "pc") ? "pc-i440fx-10.0"
                                                     : "microvm",
                                NULL, NULL);
    /* One registry per device, so that it has the peer's section id. */
    for (uint32_t i = 0; i < tree->device_count; i++) {
        const struct gw_vmdesc_device *d = &tree->devices[i];
        size_t size = 0;
        const struct gw_state *st = make_state(&maker, &d->state, &size, false);
        uint8_t *device = calloc(1, GW_MAX(size, 1));
        struct gw_reader r;

        assert_int_equal(gw_registry_new(&reg, &err), 0);
        for (uint32_t k = 0; k < sections[i].section_id; k++)
            gw_registry_take_id(reg);
        if (gw_registry_add(reg, st, d->name, (int)d->instance, device, &err) < 0)
            fail_msg("%s: %s", name, err.text);
        gw_reader_init_memory(&r, c.data + sections[i].body, sections[i].body_bytes + 5, sections[i].body);
        if (gw_registry_load(reg, d->name, d->instance, sections[i].version, &r, &err) < 0)
            fail_msg("%s: %s", name, err.text);
        assert_int_equal(gw_reader_buffered(&r), 5);
        assert_int_equal(gw_registry_save(reg, false, true, &w, desc, &err), 0);
        ours = gw_writer_data(&w, &bytes);
        if (bytes != sections[i].body + sections[i].body_bytes + 5 - first || memcmp(ours, c.data + first, bytes) != 0)
            fail_msg("%s: %s differs", name, d->name);
        gw_registry_free(reg);
        free(device);
    }
    assert_int_equal(gw_vmdesc_finish(desc, &text, &bytes, &err), 0);
    assert_int_equal(compare_text(name, text, bytes, c.text, c.text_bytes), unnumbered);
    gw_vmdesc_free(desc);
    gw_writer_close(&w);
    gw_arena_free(&maker.arena);
    gw_vmdesc_tree_free(tree);
    free(sections);
    capture_close(&c);
}

static void test_none(void **state)
{
    check("precopy-none-7.2.bin", 0);
    check("precopy-none-10.0.bin", 0);
}

static void test_microvm(void **state)
{
    check("precopy-microvm-7.2.bin.gz", 0);
    check("precopy-microvm-10.0.bin.gz", 0);
}

static void test_pc(void **state)
{
    check("precopy-pc-7.2.bin.gz", 0);
    check("precopy-pc-10.0.bin.gz", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_none), cmocka_unit_test(test_microvm),
                                       cmocka_unit_test(test_pc)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

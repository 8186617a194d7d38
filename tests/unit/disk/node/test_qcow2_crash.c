/* SPDX-License-Identifier: MIT
 *
 * A writer that is killed at each of its writes, and a power failure there, after which of the writes behind the last
 * flush any may be missing. What is left has leaks at most; all that was flushed is there, and the rest is as it was
 * before the call or after it.
 */
#include "qcow2_model.h"

struct crash {
    struct model m;
    struct rig_file base, left;
    uint8_t *safe; /* the disk as it was when it was flushed last */
    uint64_t safe_bytes;
    bool *touched; /* bytes that were written since */
};

static bool says_dirty(const struct rig_file *f)
{
    return f->data[7] == 3 && (f->data[79] & 1);
}

/* What may be wrong while the refcounts of snapshots change: flags that cost a copy; with the dirty bit also counts
 * that the next who opens the image counts again. */
static void check_left(struct crash *c, bool snapshots)
{
    struct gw_node *n = rig_open(&c->left, NULL, GW_QCOW2_READ_ONLY | GW_QCOW2_ALONE);
    struct gw_qcow2_report report;
    bool dirty = says_dirty(&c->left);

    rig_ok(gw_qcow2_check(n, &report, &err));
    if ((report.corruptions && !(dirty && snapshots)) || (report.missing_copied && !snapshots))
        fail_msg("%" PRIu64 " corruptions, %" PRIu64 " flags: %s", report.corruptions, report.missing_copied,
                 report.first);
    gw_node_free(n, NULL);
}

static void check_bytes(struct crash *c, struct gw_node *n)
{
    uint64_t bytes = GW_MIN(n->bytes, c->safe_bytes);

    rig_ok(gw_node_read(n, c->m.room, bytes, 0, &err));
    for (uint64_t i = 0; i < bytes; i++)
        if (!c->touched[i] && c->m.room[i] != c->safe[i])
            fail_msg("byte %" PRIu64 " is %02x, and %02x was flushed", i, c->m.room[i], c->safe[i]);
}

/* Opened again for writing, it is whole after a repair. */
static void check_use(struct crash *c)
{
    struct gw_node *n = rig_open(&c->left, model_backing(&c->m), 0);

    check_bytes(c, n);
    rig_fill(n, 0x77, n->bytes, 0);
    rig_ok(gw_qcow2_repair(n, &err));
    rig_clean(n);
    rig_ok(gw_node_read(n, c->m.room, n->bytes, 0, &err));
    for (uint64_t i = 0; i < n->bytes; i++)
        assert_int_equal(c->m.room[i], 0x77);
    gw_node_free(n, NULL);
}

static void mark_safe(struct crash *c)
{
    memcpy(c->safe, c->m.bytes, MODEL_MOST);
    c->safe_bytes = c->m.node->bytes;
    memset(c->touched, 0, MODEL_MOST);
    rig_forget_events(&c->m.file);
    rig_empty(&c->base);
    memcpy(c->base.data, c->m.file.data, c->m.file.bytes);
    c->base.bytes = c->m.file.bytes;
}

static void crash_everywhere(struct crash *c, bool snapshots)
{
    uint64_t seed = c->m.seed | 1;
    struct rig_file log = c->m.file;

    for (unsigned i = 0; i <= log.count; i++) {
        bool lost = rig_random(&seed) % 2;

        rig_crash(&c->base, &log, i, lost, &seed, &c->left);
        check_left(c, snapshots);
        if (rig_random(&seed) % 8 == 0)
            check_use(c);
    }
}

/* A call of another kind than model_step makes: all that it changes is touched. */
static void step(struct crash *c)
{
    static uint8_t before[MODEL_MOST];
    uint64_t bytes = c->m.node->bytes;

    memcpy(before, c->m.bytes, MODEL_MOST);
    model_step(&c->m, false);
    for (uint64_t i = 0; i < bytes; i++)
        c->touched[i] |= before[i] != c->m.bytes[i];
}

static void begin(struct crash *c, uint64_t seed)
{
    model_begin(&c->m, seed);
    for (unsigned k = 0; k < 12; k++)
        model_step(&c->m, true);
    rig_ok(gw_node_flush(c->m.node, &err));
    c->m.file.record = true;
    mark_safe(c);
}

static void new_crash(struct crash *c)
{
    model_new(&c->m);
    rig_new(&c->base);
    rig_new(&c->left);
    c->safe = malloc(MODEL_MOST);
    c->touched = calloc(1, MODEL_MOST * sizeof *c->touched);
}

static void done_crash(struct crash *c)
{
    rig_done(&c->base);
    rig_done(&c->left);
    free(c->safe);
    free(c->touched);
    model_done(&c->m);
}

static unsigned sequences(unsigned usual)
{
    const char *wanted = getenv("QCOW2_SEQUENCES");

    return wanted ? (unsigned)atoi(wanted) : RIG_FEWER(usual);
}

static void test_calls(void **state)
{
    struct crash c;

    new_crash(&c);
    for (unsigned i = 0; i < sequences(40); i++) {
        begin(&c, 1000 + i);
        for (unsigned k = 0; k < 6; k++)
            step(&c);
        rig_ok(gw_node_flush(c.m.node, &err));
        crash_everywhere(&c, false);
        model_end(&c.m);
    }
    done_crash(&c);
}

static void test_snapshots(void **state)
{
    struct crash c;

    new_crash(&c);
    for (unsigned i = 0; i < sequences(40); i++) {
        begin(&c, 2000 + i);
        if (i % 3 == 0)
            model_take(&c.m);
        else if (i % 3 == 1)
            model_delete(&c.m);
        else
            model_apply(&c.m);
        memset(c.touched, i % 3 == 2, MODEL_MOST); /* apply: either disk */
        crash_everywhere(&c, true);
        model_end(&c.m);
    }
    done_crash(&c);
}

/* What cannot be written is told, and what was flushed before stays. */
static void test_writes_fail(void **state)
{
    struct crash c;

    new_crash(&c);
    for (unsigned i = 0; i < sequences(200); i++) {
        struct gw_error err = GW_ERROR_INIT;
        uint64_t offset, bytes;
        int r = 0;

        begin(&c, 3000 + i);
        c.m.file.record = false;
        c.m.file.fail_after = 1 + (unsigned)(rig_random(&c.m.seed) % 8);
        for (unsigned k = 0; k < 10 && r >= 0; k++) {
            model_range(&c.m, &offset, &bytes);
            memset(c.touched + offset, 1, bytes);
            memset(c.m.room, 0x99, bytes);
            r = rig_random(&c.m.seed) % 2 ? gw_node_write(c.m.node, c.m.room, bytes, offset, 0, &err)
                                          : gw_node_zero(c.m.node, bytes, offset, GW_NODE_UNMAP, &err);
            if (r >= 0)
                r = gw_node_flush(c.m.node, &err);
        }
        if (r < 0)
            assert_true(r == -EIO && err.text[0]);
        gw_node_free(c.m.node, NULL);
        c.m.file.fail_after = 0;
        rig_empty(&c.left);
        memcpy(c.left.data, c.m.file.data, c.m.file.bytes);
        c.left.bytes = c.m.file.bytes;
        check_left(&c, false);
        check_use(&c);
        for (unsigned k = 0; k < c.m.shot_count; k++)
            free(c.m.shots[k].bytes);
        c.m.shot_count = 0;
    }
    done_crash(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_writes_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

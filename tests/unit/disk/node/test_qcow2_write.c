/* SPDX-License-Identifier: MIT
 *
 * Many threads at once, to clusters of their own and to parts of the same ones.
 */
#include "qcow2_rig.h"

#define THREADS 4u
#define PART    1000u /* bytes: several in a cluster, and over its edges */

struct writer {
    struct gw_node *n;
    unsigned number;
    pthread_t thread;
    bool failed;
};

static void *run(void *opaque)
{
    struct writer *w = opaque;
    uint8_t room[PART];
    uint64_t seed = w->number + 1;

    for (unsigned round = 0; round < 3; round++)
        for (uint64_t part = w->number; (part + 1) * PART <= w->n->bytes; part += THREADS) {
            memset(room, (int)(round * 64 + part % 61 + 1), sizeof room);
            if (rig_random(&seed) % 16 == 0 && gw_node_flush(w->n, NULL) < 0)
                w->failed = true;
            if (rig_random(&seed) % 4 == 0 && gw_node_zero(w->n, PART, part * PART, GW_NODE_UNMAP, NULL) < 0)
                w->failed = true;
            if (gw_node_write(w->n, room, PART, part * PART, 0, NULL) < 0 ||
                gw_node_read(w->n, room, PART, part * PART, NULL) < 0)
                w->failed = true;
            for (unsigned i = 0; i < PART; i++)
                if (room[i] != (uint8_t)(round * 64 + part % 61 + 1))
                    w->failed = true;
        }
    return NULL;
}

static void test_threads(void **state)
{
    for (unsigned bits = 9; bits < 15; bits += 3) {
        struct writer w[THREADS];
        struct rig_file f;
        struct gw_node *n = rig_image(&f, 300032, bits);

        for (unsigned i = 0; i < THREADS; i++) {
            w[i] = (struct writer){.n = n, .number = i};
            assert_int_equal(pthread_create(&w[i].thread, NULL, run, &w[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(w[i].thread, NULL);
            assert_false(w[i].failed);
        }
        for (uint64_t part = 0; (part + 1) * PART <= n->bytes; part++)
            assert_int_equal(rig_byte(n, part * PART + 999), (uint8_t)(128 + part % 61 + 1));
        rig_clean(n);
        rig_ok(gw_node_free(n, &err));
        rig_done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT
 *
 * Each allocation of making, attaching and freeing a machine fails in turn: an error, nothing left behind.
 */
#include "box.h"

#include "../../failing.h"

static atomic_bool armed;
static _Atomic long countdown;

static bool fails(void)
{
    return atomic_load(&armed) && atomic_fetch_sub(&countdown, 1) == 0;
}

static unsigned closes;

static void count_close(void *disk)
{
    closes++;
}

static int nothing(void *disk, struct gw_error *err)
{
    return 0;
}

static int read_nothing(void *disk, void *to, uint64_t bytes, uint64_t offset, struct gw_error *err)
{
    return 0;
}

static const struct gw_disk_ops no_disk = {GW_SIZED(struct gw_disk_ops), .read = read_nothing, .flush = nothing};

static void each(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        struct gw_machine_config c = box_config("uniform,set=1M", accels[a]);
        unsigned made = 0;
        long k;

        c.cpus = 2;
        c.disk_count = 2;
        for (unsigned i = 0; i < 2; i++)
            c.disk[i].take = (struct gw_machine_disk){.ops = &no_disk, .opaque = &c, .close = count_close, .bytes = 4096};
        closes = 0;
        for (k = 0;; k++) {
            struct gw_error err = GW_ERROR_INIT;
            struct gw_machine *m = NULL;

            atomic_store(&countdown, k);
            atomic_store(&armed, true);
            int r = gw_machine_new(&c, &m, &err);
            if (!r)
                r = gw_machine_attach(m, &err);
            atomic_store(&armed, false);
            bool failed = atomic_load(&countdown) < 0;
            if (r)
                assert_int_equal(r, -ENOMEM);
            if (r && m) { /* attach failed: it still runs, and can be attached */
                box_must(gw_machine_attach(m, &err), &err);
                box_start(m);
                box_runs_clean(m, 5);
            }
            gw_machine_free(m);
            made++;
            assert_int_equal(closes, 2 * made);
            if (!failed) {
                assert_int_equal(r, 0);
                break;
            }
        }
        print_message("%ld allocations\n", k);
        assert_true(k > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

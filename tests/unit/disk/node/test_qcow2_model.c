/* SPDX-License-Identifier: MIT
 *
 * Random calls to images of all kinds; a disk of plain bytes says what must be read. An image is clean whenever it was
 * flushed. QCOW2_SEQUENCES in the environment: how many.
 */
#include "qcow2_model.h"

static void test_sequences(void **state)
{
    const char *wanted = getenv("QCOW2_SEQUENCES");
    unsigned sequences = wanted ? (unsigned)atoi(wanted) : RIG_FEWER(2000);
    struct model m;

    model_new(&m);
    m.odd = true;
    for (unsigned i = 0; i < sequences; i++) {
        model_begin(&m, i);
        for (unsigned k = 0; k < 40; k++)
            model_step(&m, true);
        model_whole(&m);
        rig_clean(m.node);
        model_reopen(&m);
        model_whole(&m);
        rig_clean(m.node);
        model_end(&m);
    }
    model_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sequences)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

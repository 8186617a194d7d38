/* SPDX-License-Identifier: MIT
 *
 * One wrong byte anywhere is found: the guest tells where and what, and ends the machine with status 4.
 */
#include "box.h"
#include "machine/image.h"

/* Runs until the guest has found it; the serial port's text is returned. */
static void found(struct gw_machine *m, char *text, size_t size)
{
    struct gw_error err = GW_ERROR_INIT;
    int status = -1, r;

    box_start(m);
    r = gw_machine_wait(m, 3600 * BOX_S, &status, &err);
    gw_machine_serial_tail(m, text, size);
    if (r || status != GW_GUEST_EXIT_CORRUPT)
        print_error("%d status %d %s\n%s", r, status, err.text, text);
    assert_int_equal(r, 0);
    assert_int_equal(status, GW_GUEST_EXIT_CORRUPT);
    assert_non_null(strstr(text, "corrupt: "));
    assert_int_equal(gw_machine_start(m, &err), -ESHUTDOWN);
    assert_false(gw_machine_running(m));
}

static void corrupt(const char *workload, enum gw_machine_accel accel, uint64_t gpa, const char *what)
{
    struct gw_machine_config c = box_config(workload, accel);
    char text[2000], where[40];

    c.cpus = 2;
    struct gw_machine *m = box_new(&c);
    box_start(m);
    box_runs(m);
    box_runs_clean(m, 150);
    box_stop(m);
    uint8_t *byte = gw_machine_memory_at(m, gpa, 1);
    *byte ^= 0x10;
    found(m, text, sizeof(text));
    if (!strstr(text, what))
        print_error("%s, %s at %#llx: %s", workload, what, (unsigned long long)gpa, text);
    assert_non_null(strstr(text, what));
    if (!strcmp(what, "memory at ")) {
        snprintf(where, sizeof(where), "at 0x%016llx expected ", (unsigned long long)gpa);
        if (!strstr(text, where))
            print_error("%s: %s", where, text);
        assert_non_null(strstr(text, where));
        struct gw_guest_mailbox mail = box_mail(m, strstr(text, "vcpu 1") ? 1 : 0);
        assert_int_equal(mail.errors, 1);
        assert_int_equal(mail.error_address, gpa);
        assert_int_equal(mail.error_expected ^ mail.error_found, 0x10);
    }
    box_free(m);
}

static void everywhere(void **state)
{
    static const char *const workloads[] = {"idle",           "uniform,rate=4M", "hotset,rate=4M", "sequential,rate=4M",
                                            "sparse,rate=4M", "zero,rate=4M"};
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        for (unsigned w = 0; w < sizeof(workloads) / sizeof(workloads[0]); w++) {
            struct gw_machine_config c = box_config(workloads[w], accels[a]);
            struct gw_guest_slice s;
            /* Where things are does not depend on the accelerator: ask a machine that never runs. */
            c.cpus = 2;
            struct gw_machine *m = box_new(&c);
            s = gw_guest_slice_of(gw_machine_memory_at(m, GW_GUEST_PARAMS_GPA, GW_GUEST_PAGE), 0, 1);
            box_free(m);
            corrupt(workloads[w], accels[a], s.data_gpa + s.data_pages / 2 * GW_GUEST_PAGE + 777, "memory at ");
            corrupt(workloads[w], accels[a], s.table_gpa + 8 * (s.data_pages / 3) + (w & 7), "table of generations");
        }
        /* The start is not executed again, nor is this text ever printed: the guest lives to tell. */
        const unsigned char *text = memmem(gw_guest_image, gw_guest_image_bytes, "page tables (sum)", 17);
        assert_non_null(text);
        corrupt("uniform,rate=8M", accels[a], GW_GUEST_TEXT_GPA + 8, "program text");
        corrupt("idle", accels[a], GW_GUEST_TEXT_GPA + (uint64_t)(text - gw_guest_image), "program text");
        corrupt("idle", accels[a], GW_GUEST_PARAMS_GPA + offsetof(struct gw_guest_params, rate_bytes_per_s),
                "parameter page");
        corrupt("idle", accels[a], GW_GUEST_PD_GPA + 0x900, "page tables");
    }
}

/* A page and its entry in the table that went back in time together. */
static void rollback(void **state)
{
    struct gw_machine_config c = box_config("sequential,rate=40M", GW_MACHINE_ACCEL_AUTO);
    struct gw_machine *m = box_new(&c);
    const struct gw_guest_params *p = gw_machine_memory_at(m, GW_GUEST_PARAMS_GPA, GW_GUEST_PAGE);
    struct gw_guest_slice s = gw_guest_slice_of(p, 0, 0);
    uint64_t *entry = gw_machine_memory_at(m, s.table_gpa, GW_GUEST_PAGE);
    uint8_t *page = gw_machine_memory_at(m, s.data_gpa + 5 * GW_GUEST_PAGE, GW_GUEST_PAGE);
    char text[2000];

    box_start(m);
    do
        box_runs_clean(m, 50);
    while ((uint32_t)entry[5] < 2);
    box_stop(m);
    uint32_t generation = (uint32_t)entry[5] - 1;
    entry[5] = gw_guest_entry(p->seed, s.data_gpa + 5 * GW_GUEST_PAGE, generation);
    for (unsigned i = 0; i < GW_GUEST_PAGE_WORDS; i++) {
        uint64_t word = gw_guest_word(p->workload, p->seed, s.data_gpa + 5 * GW_GUEST_PAGE, generation, i);
        memcpy(page + 8 * i, &word, 8);
    }
    found(m, text, sizeof(text));
    assert_non_null(strstr(text, "sum of generations"));
    box_free(m);
}

/* A guest that does what it must not is a crash, and told as such. */
static void crash(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        struct gw_machine_config c = box_config("idle", accels[a]);
        struct gw_machine *m = box_new(&c);
        struct gw_error err = GW_ERROR_INIT;
        int status;

        /* mov (unmapped address), %rax */
        memcpy(gw_machine_memory_at(m, GW_GUEST_TEXT_GPA, 16), "\x48\xa1\x00\x00\x00\x00\x50\x00\x00\x00", 10);
        box_start(m);
        assert_int_equal(gw_machine_wait(m, 3600 * BOX_S, &status, &err), -EFAULT);
        print_message("%s\n", err.text);
        assert_non_null(strstr(err.text, "vCPU 0"));
        box_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(everywhere),
        box_test(rollback),
        box_test(crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

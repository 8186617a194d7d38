/* SPDX-License-Identifier: MIT
 *
 * Stops are exact and prompt: a program that counts in registers, in memory and on the serial port is stopped and
 * started again and again, and none of the counts may ever differ from the others.
 */
#include "box.h"

/* rbx counts; 0x500000 counts in memory; each time round a letter goes to the serial port, rdx says which.
 *
 *          mov $0x500000, %rdi
 *          xor %ebx, %ebx
 *   again: inc %rbx
 *          incq (%rdi)
 *          cmp (%rdi), %rbx        memory and register agree
 *          jne wrong
 *          lea -1(%rbx), %rax ; the letter: 'a' + (count - 1) % 25, a newline as the 26th
 *          ...
 *          call yield
 *          jmp again
 */
static const uint8_t counter[] = {
    0x48, 0xc7, 0xc7, 0x00, 0x00, 0x50, 0x00, /* 30: mov $0x500000,%rdi */
    0x31, 0xdb,                               /* 37: xor %ebx,%ebx */
    0x31, 0xc9,                               /* 39: xor %ecx,%ecx */
    0x48, 0xff, 0xc3,                         /* 3b: again: inc %rbx */
    0x48, 0xff, 0x07,                         /* 3e: incq (%rdi) */
    0x48, 0x3b, 0x1f,                         /* 41: cmp (%rdi),%rbx */
    0x75, 0x26,                               /* 44: jne wrong (6c) */
    0x8d, 0x41, 0x61,                         /* 46: lea 0x61(%rcx),%eax */
    0xff, 0xc1,                               /* 49: inc %ecx */
    0x83, 0xf9, 0x1a,                         /* 4b: cmp $26,%ecx */
    0x75, 0x07,                               /* 4e: jne out (57) */
    0xb8, 0x0a, 0x00, 0x00, 0x00,             /* 50: mov $10,%eax */
    0x31, 0xc9,                               /* 55: xor %ecx,%ecx */
    0x66, 0xba, 0xf8, 0x03,                   /* 57: out: mov $0x3f8,%dx */
    0xee,                                     /* 5b: out %al,(%dx) */
    0xe8, 0xaf, 0xff, 0xff, 0xff,             /* 5c: call 10 (yield) */
    0xf3, 0x0f, 0x1e, 0xfa,                   /* 61: endbr64, a nop */
    0xeb, 0xd4,                               /* 65: jmp again */
    0x90, 0x90, 0x90, 0x90, 0x90,             /* 67 */
    0xb8, 0x04, 0x00, 0x00, 0x00,             /* 6c: wrong: mov $4,%eax */
    0x66, 0xba, 0x20, 0x05,                   /* 71: mov $0x520,%dx */
    0xef,                                     /* 75: out %eax,(%dx) */
    0xe8, 0x95, 0xff, 0xff, 0xff,             /* 76: call yield */
    0xeb, 0xef,                               /* 7b: jmp wrong */
};

static void counts(struct gw_machine *m, unsigned cycles)
{
    struct gw_error err = GW_ERROR_INIT;
    uint64_t *memory = gw_machine_memory_at(m, 0x500000, 8), longest_ns = 0, total_ns = 0;
    uint8_t *text = gw_machine_memory_at(m, GW_GUEST_TEXT_GPA, 4096);
    const struct gw_cpu_state *cpu = &m->vcpu[0].cpu;
    char tail[400];
    int status;

    text[0] = 0xeb;
    text[1] = 0x2e; /* jmp 30 */
    memcpy(text + 0x30, counter, sizeof(counter));
    srand(1);
    for (unsigned i = 0; i < cycles; i++) {
        uint64_t before = *memory;
        box_start(m);
        for (int spin = rand() % 3000; spin; spin--)
            __asm__ volatile("");
        if (i % 16 == 0) /* now and then to a place far into the program */
            while (*(volatile uint64_t *)memory == before && !m->ended)
                ;
        uint64_t began = gw_clock_monotonic_ns();
        box_stop(m);
        uint64_t took = gw_clock_monotonic_ns() - began;
        total_ns += took;
        longest_ns = took > longest_ns ? took : longest_ns;
        /* The counts as seen from outside, wherever it stands: memory is at most one behind. */
        uint64_t rbx = cpu->gpr[GW_CPU_RBX];
        assert_true(*memory == rbx || *memory + 1 == rbx);
        assert_true(gw_machine_wait(m, 0, &status, &err) == -ETIMEDOUT);
    }
    /* What was printed is what was counted: the last letters, and how many are in the line that is not whole. */
    uint64_t printed = *memory;
    if (m->vcpu[0].port.line_bytes % 26 != printed % 26)
        printed--; /* it stands before the out */
    assert_int_equal(m->vcpu[0].port.line_bytes, printed % 26);
    size_t n = gw_machine_serial_tail(m, tail, sizeof(tail));
    for (size_t i = 0; i < n; i++) {
        uint64_t number = printed - m->vcpu[0].port.line_bytes - n + i;
        assert_int_equal(tail[i], number % 26 == 25 ? '\n' : 'a' + (int)(number % 26));
    }
    print_message("%s: %u stops, %llu rounds, stop %.1f us on average, %.1f us at most\n", gw_machine_accel_name(m),
                  cycles, (unsigned long long)*memory, (double)total_ns / 1e3 / cycles, (double)longest_ns / 1e3);
    assert_true(*memory > cycles / 32);
}

static void exact(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels), cycles = getenv("GW_SOAK") ? 1000000 : 10000;

    for (unsigned a = 0; a < n; a++) {
        struct gw_machine_config c = box_config("idle", accels[a]);
        struct gw_machine *m = box_new(&c);
        counts(m, cycles);
        box_free(m);
    }
}

/* The real program under stops, with several vCPUs. */
static void hammered(void **state)
{
    static const char *const workloads[] = {"uniform", "idle,verify=4G", "zero", "sparse"};
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        for (unsigned w = 0; w < 4; w++) {
            struct gw_machine_config c = box_config(workloads[w], accels[a]);
            c.cpus = 2;
            struct gw_machine *m = box_new(&c);
            for (unsigned i = 0; i < 1000; i++) {
                box_start(m);
                box_runs_clean(m, i % 4 ? 0 : 1);
                assert_true(gw_machine_running(m));
                box_stop(m);
                assert_false(gw_machine_running(m));
            }
            box_start(m);
            box_runs_clean(m, 300);
            box_free(m);
        }
    }
}

/* A stop that comes before the first instruction. */
static void unborn(void **state)
{
    enum gw_machine_accel accels[2];
    unsigned n = box_accels(accels);

    for (unsigned a = 0; a < n; a++) {
        struct gw_machine_config c = box_config("uniform", accels[a]);
        c.cpus = 4;
        for (unsigned i = 0; i < 20; i++) {
            struct gw_machine *m = box_new(&c);
            box_start(m);
            box_stop(m);
            box_start(m);
            box_runs_clean(m, 10);
            box_free(m);
        }
    }
}

/* Virtual time stands while the machine does, the wall's goes on and the guest sees the gap. */
static void clocks(void **state)
{
    struct gw_machine_config c = box_config("idle,verify=64M", GW_MACHINE_ACCEL_AUTO);
    struct gw_machine *m = box_new(&c);
    const uint64_t stood_ns = 690000000; /* the wall's clock may be corrected while the machine stands for 700 ms */
    struct gw_guest_mailbox before, after;

    do {
        box_start(m);
        box_runs(m);
        box_runs_clean(m, 300);
        box_stop(m);
        before = box_mail(m, 0);
        uint64_t virtual_ns = gw_clock_virtual_ns(&m->clock);
        box_sleep_ms(700);
        assert_int_equal(gw_clock_virtual_ns(&m->clock), virtual_ns);
        box_start(m);
        while (box_mail(m, 0).polls < before.polls + 3)
            box_runs_clean(m, 5);
        box_stop(m);
        after = box_mail(m, 0);
        assert_true(after.max_gap_ns >= stood_ns);
    } while (after.gaps - before.gaps > GW_GUEST_GAPS); /* a busy host made so many that the one we look for is lost */
    uint64_t noted_ns = 0; /* the longest since; a busy host may have made a longer one before */
    for (uint64_t i = after.gaps; i > before.gaps; i--) {
        uint64_t ns = after.gap[(i - 1) % GW_GUEST_GAPS].ns;
        noted_ns = ns > noted_ns ? ns : noted_ns;
    }
    assert_true(noted_ns >= stood_ns && noted_ns <= after.max_gap_ns);
    /* A vCPU that is not let run while it reads both clocks sees them apart, until it reads them again. */
    while (after.wall_ns - before.wall_ns < after.virtual_ns - before.virtual_ns + stood_ns) {
        box_start(m);
        box_runs_clean(m, 20);
        box_stop(m);
        after = box_mail(m, 0);
    }
    box_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        box_test(exact),
        box_test(hammered),
        box_test(unborn),
        box_test(clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

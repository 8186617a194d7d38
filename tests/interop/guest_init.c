/* SPDX-License-Identifier: MIT
 *
 * guest_init: the only program in the Linux guests of these tests (/init of their initramfs; guest.py boots them).
 *
 * It fills a work area with words that are a function of (seed, address, generation), rewrites page after page of it,
 * checks all of it continuously, and reports on the console:
 *
 *     ready pages 4096 seed 1
 *     beat 7 mono_us 2100345 boot_us 2100350 written 5300 passes 3
 *     WRONG address 0x1230 generation 4: found 0x0 expected 0x9e3779b97f4a7c15
 *
 * How often a page was written follows from one counter, so a page that is a whole generation old is wrong as well.
 * Some generations of a page are all zeros, or one word again and again: a zero page that has to overwrite something is
 * what a migration forgets most easily. After WRONG the guest stands still, for somebody to look at it.
 *
 * Settings from the kernel's command line, which hands what it does not know to init's environment:
 * gw_mib (work area), gw_rate (MiB of pages written each second), gw_seed, gw_beat_ms.
 *
 * No C library, no file system, no driver beyond the console: nothing that a distribution could do differently.
 */
#include <stddef.h>
#include <stdint.h>

enum { SYS_WRITE = 1, SYS_MMAP = 9, SYS_PAUSE = 34, SYS_NANOSLEEP = 35, SYS_CLOCK_GETTIME = 228 };
enum { CLOCK_MONOTONIC = 1, CLOCK_BOOTTIME = 7 };
enum { PROT_RW = 3, MAP_PRIVATE_ANONYMOUS_POPULATE = 0x8022 };
enum { PAGE_WORDS = 512, TICK_NS = 5 * 1000 * 1000, NS_PER_S = 1000 * 1000 * 1000 };

struct timespec {
    int64_t s, ns;
};

struct guest {
    uint64_t *area;
    uint64_t pages, seed;
    uint64_t checked; /* total pages */
    uint64_t mono_ns, boot_ns;
};

/* The counter that determines all contents, stored twice, on two pages: losing a write of either is detected. */
static struct {
    uint64_t written; /* total pages */
    uint64_t fill[PAGE_WORDS - 1];
    uint64_t inverse;
} counter __attribute__((aligned(4096)));

void guest_main(const long *stack);

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call guest_main\n"
        "    hlt\n");

static long call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* ---- words on the console ---- */

struct line {
    size_t used;
    char text[256];
};

static void add(struct line *line, const char *text)
{
    while (*text && line->used < sizeof line->text - 1)
        line->text[line->used++] = *text++;
}

static void add_number(struct line *line, uint64_t value, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    add(line, base == 16 ? "0x" : "");
    add(line, digits + at);
}

static void add_pair(struct line *line, const char *name, uint64_t value)
{
    add(line, name);
    add_number(line, value, 10);
}

static void say(struct line *line)
{
    line->text[line->used++] = '\n';
    call(SYS_WRITE, 1, (long)line->text, (long)line->used, 0, 0, 0);
    line->used = 0;
}

static void stand_still(void)
{
    for (;;)
        call(SYS_PAUSE, 0, 0, 0, 0, 0, 0);
}

static void wrong(const char *where, uint64_t address, uint64_t generation, uint64_t found, uint64_t expected)
{
    struct line line;
    line.used = 0;
    add(&line, "WRONG ");
    add(&line, where);
    add_number(&line, address, 16);
    add_pair(&line, " generation ", generation);
    add(&line, ": found ");
    add_number(&line, found, 16);
    add(&line, " expected ");
    add_number(&line, expected, 16);
    say(&line);
    stand_still();
}

/* ---- the work area ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    return x ^ x >> 31;
}

/* Contents of a page in a generation: *first, then each word *step more than the one before. */
static void contents(const struct guest *guest, uint64_t page, uint64_t generation, uint64_t *first, uint64_t *step)
{
    uint64_t h = mix(guest->seed * 0x9E3779B97F4A7C15 + page * 0xD1B54A32D192ED03 + generation);
    *first = (h & 7) == 0 ? 0 : h;
    *step = (h & 7) <= 1 ? 0 : h | 1;
}

static uint64_t generation_of(const struct guest *guest, uint64_t page)
{
    return counter.written / guest->pages + (page < counter.written % guest->pages);
}

static void check_page(const struct guest *guest, uint64_t page)
{
    volatile const uint64_t *words = guest->area + page * PAGE_WORDS;
    uint64_t generation = generation_of(guest, page), expected, step;
    contents(guest, page, generation, &expected, &step);
    for (unsigned i = 0; i < PAGE_WORDS; i++, expected += step) {
        uint64_t found = words[i];
        if (found != expected)
            wrong("address ", (page * PAGE_WORDS + i) * 8, generation, found, expected);
    }
}

static void write_page(const struct guest *guest, uint64_t page, uint64_t generation)
{
    volatile uint64_t *words = guest->area + page * PAGE_WORDS;
    uint64_t value, step;
    contents(guest, page, generation, &value, &step);
    for (unsigned i = 0; i < PAGE_WORDS; i++, value += step)
        words[i] = value;
}

static void write_next(const struct guest *guest)
{
    uint64_t page = counter.written % guest->pages;
    if (counter.written != ~counter.inverse)
        wrong("counter", 0, 0, counter.written, ~counter.inverse);
    check_page(guest, page);
    write_page(guest, page, counter.written / guest->pages + 1);
    counter.written++;
    counter.inverse = ~counter.written;
}

/* ---- time ---- */

static uint64_t clock_ns(long which, uint64_t last_ns)
{
    struct timespec t;
    call(SYS_CLOCK_GETTIME, which, (long)&t, 0, 0, 0, 0);
    uint64_t now = (uint64_t)t.s * NS_PER_S + (uint64_t)t.ns;
    if (now < last_ns)
        wrong("clock ", (uint64_t)which, 0, now, last_ns);
    return now;
}

static void look_at_clocks(struct guest *guest)
{
    guest->mono_ns = clock_ns(CLOCK_MONOTONIC, guest->mono_ns);
    guest->boot_ns = clock_ns(CLOCK_BOOTTIME, guest->boot_ns);
}

static void beat(const struct guest *guest, uint64_t number)
{
    struct line line;
    line.used = 0;
    add_pair(&line, "beat ", number);
    add_pair(&line, " mono_us ", guest->mono_ns / 1000);
    add_pair(&line, " boot_us ", guest->boot_ns / 1000);
    add_pair(&line, " written ", counter.written);
    add_pair(&line, " passes ", guest->checked / guest->pages);
    say(&line);
}

/* The number of `name=` in the environment. */
static uint64_t setting(const long *environment, const char *name, uint64_t usual)
{
    for (; *environment; environment++) {
        const char *text = (const char *)*environment;
        size_t i = 0;
        while (name[i] && text[i] == name[i])
            i++;
        if (name[i] || text[i] != '=')
            continue;
        uint64_t value = 0;
        for (text += i + 1; *text >= '0' && *text <= '9'; text++)
            value = value * 10 + (uint64_t)(*text - '0');
        return value;
    }
    return usual;
}

void guest_main(const long *stack)
{
    const long *environment = stack + 1 + stack[0] + 1;
    struct guest guest = {.pages = setting(environment, "gw_mib", 16) * 256,
                          .seed = setting(environment, "gw_seed", 1)};
    uint64_t pages_per_s = setting(environment, "gw_rate", 8) * 256;
    uint64_t beat_ns = setting(environment, "gw_beat_ms", 100) * 1000 * 1000;
    const struct timespec tick = {.ns = TICK_NS};
    struct line line;
    line.used = 0;

    long area = call(SYS_MMAP, 0, (long)(guest.pages * PAGE_WORDS * 8), PROT_RW, MAP_PRIVATE_ANONYMOUS_POPULATE, -1, 0);
    if (guest.pages == 0 || (area < 0 && area > -4096)) {
        add_pair(&line, "WRONG settings: no work area of pages ", guest.pages);
        say(&line);
        stand_still();
    }
    guest.area = (uint64_t *)area;
    counter.inverse = ~counter.written;
    for (uint64_t page = 0; page < guest.pages; page++)
        write_page(&guest, page, 0);
    add_pair(&line, "ready pages ", guest.pages);
    add_pair(&line, " seed ", guest.seed);
    say(&line);

    look_at_clocks(&guest);
    uint64_t last_ns = guest.mono_ns, next_beat_ns = guest.mono_ns, beats = 0, credit_ns = 0;
    for (;;) {
        look_at_clocks(&guest);
        /* After a long stop or delay, missed writes are not made up for. */
        uint64_t passed_ns = guest.mono_ns - last_ns;
        last_ns = guest.mono_ns;
        credit_ns += passed_ns < NS_PER_S / 10 ? passed_ns : NS_PER_S / 10;
        for (; pages_per_s && credit_ns >= NS_PER_S / pages_per_s; credit_ns -= NS_PER_S / pages_per_s)
            write_next(&guest);
        for (uint64_t n = guest.pages / 40 + 1; n; n--) /* everything twice a second; a tick is about 10 ms */
            check_page(&guest, guest.checked++ % guest.pages);
        if (guest.mono_ns >= next_beat_ns) {
            beat(&guest, ++beats);
            next_beat_ns = guest.mono_ns + beat_ns;
        }
        call(SYS_NANOSLEEP, (long)&tick, 0, 0, 0, 0, 0);
    }
}

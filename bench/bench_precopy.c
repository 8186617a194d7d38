/* SPDX-License-Identifier: MIT
 *
 * bench_precopy: one migration between two processes of this host, through the public API. One JSON line.
 *
 *   bench_precopy --image FILE [--mem 2G] [--transport unix|tcp] [--dest fresh|zeroed|used] [--small-pages] [--peer NAME]
 *                 [--file PATH [--cold]]
 *                 [--write RATE --set SIZE] [--parameter NAME=VALUE]... [--capability NAME]... [--no-verify]
 *
 * The machine is RAM and one small device. It is idle, or a thread writes 8 bytes into page after page of a set of --set
 * bytes at --write bytes of pages a second (1M counts 256 pages a second), as long as the machine runs.
 *
 * The destination's memory is fresh (never touched), zeroed (resident, and known to be zeros), or used (resident, and full
 * of something else).
 *
 * --file: the machine goes into this file, and when it is complete another machine is made from it: save_ms and
 * restore_ms. --cold: the file is dropped from the page cache in between.
 *
 * gap_ms:  from the last instruction that the guest can have executed here (the writer's last write, or the call of stop)
 *          to its start there. The clock is the same on both sides.
 * slowed_percent: the largest share of the writer's time that the migration took (it is throttled like a vCPU);
 * limit_ms: the downtime
 *          limit that held in the end, where x-godwit-tended-convergence is on; written_per_s: bytes of pages a second.
 * cpu:     user and system time of each process from before the start until the end was reported; without the writer's.
 * over:    the peak of resident memory over what it was before, less what the guest's own memory grew by.
 * verified: a hash over all of RAM on both sides, taken after the end.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#include "bench.h"
#include "godwit/godwit.h"

struct config {
    const char *image, *peer, *file;
    size_t mem, write_per_s, set;
    enum { FRESH, ZEROED, USED } dest;
    bool tcp, huge, verify, cold;
    const char *parameter[32], *capability[32];
    unsigned parameters, capabilities;
};

static const char *const dest_name[] = {"fresh", "zeroed", "used"};

struct side_result {
    uint64_t cpu_ns, over_bytes, end_ns, hash;
    int code;
    char error[GW_ERROR_TEXT];
};

struct shared {
    int loaded, listening, saved;
    char address[4200];
    uint64_t start_ns, restore_ns, last_write_ns, stop_ns, stopped_ns, run_ns, written_per_s;
    unsigned slowed_percent;
    struct side_result src, dst;
    struct gw_stats stats;
};

struct machine {
    const struct config *c;
    struct shared *s;
    uint8_t *ram;
    bool source;
    atomic_bool runs, quit;
    atomic_uint percent; /* share of the writer's time that is taken */
    pthread_mutex_t lock; /* held while the guest writes */
    pthread_t writer;
    uint64_t writer_cpu_ns;
    uint32_t device[1024];
};

static int machine_stop(void *opaque, struct gw_error *err)
{
    struct machine *m = opaque;

    (void)err;
    m->s->stop_ns = bench_now_ns();
    m->runs = false;
    pthread_mutex_lock(&m->lock);
    pthread_mutex_unlock(&m->lock);
    m->s->stopped_ns = bench_now_ns();
    return 0;
}

static int machine_start(void *opaque, struct gw_error *err)
{
    struct machine *m = opaque;

    (void)err;
    if (!m->source)
        m->s->run_ns = bench_now_ns();
    m->runs = true;
    return 0;
}

static bool machine_running(void *opaque)
{
    return ((struct machine *)opaque)->runs;
}

static void machine_throttle(void *opaque, unsigned percent)
{
    struct machine *m = opaque;

    m->percent = percent;
    m->s->slowed_percent = percent > m->s->slowed_percent ? percent : m->s->slowed_percent;
}

static const struct gw_vm_ops machine_ops = {
    GW_SIZED(struct gw_vm_ops), .stop = machine_stop,
    .start = machine_start,
    .running = machine_running,
    .throttle = machine_throttle,
};

static const struct gw_field device_fields[] = {
    GW_ARRAY(struct machine, device),
    GW_END,
};
static const struct gw_state device_state = {.name = "bench-device", .version = 1, .oldest = 1, .fields = device_fields};

static void *write_memory(void *opaque)
{
    struct machine *m = opaque;
    uint64_t pages = m->c->set / 4096, begin = bench_now_ns(), last = begin, k = 0;
    double rate = (double)m->c->write_per_s / 4096 / 1e9, due = 0;
    struct timespec t;

    while (!m->quit) {
        uint64_t t_ns = bench_now_ns();

        due += (double)(t_ns - last) * rate * (100 - m->percent) / 100;
        last = t_ns;
        pthread_mutex_lock(&m->lock);
        for (; m->runs && k < (uint64_t)due; k++)
            memcpy(m->ram + k % pages * 4096 + 8 * (k & 63), &k, 8);
        if (m->runs)
            m->s->last_write_ns = bench_now_ns();
        pthread_mutex_unlock(&m->lock);
        usleep(500);
    }
    m->s->written_per_s = (uint64_t)((double)k * 4096e9 / (double)(m->s->last_write_ns - begin + 1));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    m->writer_cpu_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
    return NULL;
}

static void fail(struct side_result *r, const struct gw_error *err)
{
    r->code = err->code ? err->code : -EIO;
    snprintf(r->error, sizeof r->error, "%s", err->text);
}

static int build(struct machine *m, struct gw_vm **ret_vm, struct gw_error *err)
{
    const struct config *c = m->c;
    struct gw_vm_config config = {.machine = "bench", .page_bytes = 4096, .ops = &machine_ops, .opaque = m};
    struct gw_ram_desc ram = {
        .name = "ram", .host = m->ram, .used_bytes = c->mem, .flags = !m->source && c->dest != USED ? GW_RAM_FRESH : 0};
    int r = gw_vm_new(&config, ret_vm, err);

    if (r)
        return r;
    r = gw_vm_add_ram(*ret_vm, &ram, err);
    if (!r)
        r = gw_registry_add(gw_vm_registry(*ret_vm), &device_state, "bench-device", 0, m, err);
    if (!r)
        r = gw_options_set_parameter(gw_vm_options(*ret_vm), "max-bandwidth", "0", err);
    for (unsigned i = 0; !r && i < c->capabilities; i++)
        r = gw_options_set_capability(gw_vm_options(*ret_vm), c->capability[i], true, err);
    for (unsigned i = 0; !r && i < c->parameters; i++) {
        const char *eq = strchr(c->parameter[i], '=');
        char name[128] = "";

        snprintf(name, sizeof name, "%.*s", (int)(eq ? eq - c->parameter[i] : 0), c->parameter[i]);
        r = gw_options_set_parameter(gw_vm_options(*ret_vm), name, eq ? eq + 1 : "", err);
    }
    return r;
}

static uint64_t over(const struct machine *m, uint64_t before, uint64_t ram_before)
{
    uint64_t grown = bench_resident_bytes(m->ram, m->c->mem) - ram_before, peak = bench_status_bytes("VmHWM");

    return peak > before + grown ? peak - before - grown : 0;
}

/* Makes the host read the file from the disk the next time. */
static void forget(const char *path)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0 || fdatasync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
        bench_die(path);
    close(fd);
}

static void receive(struct machine *m)
{
    struct shared *s = m->s;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_recv_config config = {0};
    struct gw_recv *recv = NULL;
    struct gw_vm *vm = NULL;
    char uri[4200];
    uint64_t cpu, before, ram_before;
    int r;

    bench_wait_for(&s->loaded); /* else the source would use the pages that are warmed here */
    if (m->c->dest == FRESH)
        bench_warm_host(m->c->mem + (256u << 20));
    m->ram = bench_memory(m->c->mem, m->c->huge);
    if (m->c->dest != FRESH)
        memset(m->ram, m->c->dest == USED, m->c->mem);
    if (m->c->file)
        snprintf(uri, sizeof uri, "file:%s", m->c->file);
    else if (m->c->tcp)
        snprintf(uri, sizeof uri, "tcp:127.0.0.1:0");
    else
        snprintf(uri, sizeof uri, "unix:/tmp/godwit-bench-%d.sock", (int)getpid());
    config.uri = uri;
    r = build(m, &vm, &err);
    if (m->c->file) {
        snprintf(s->address, sizeof s->address, "%s", uri);
        bench_raise(&s->listening);
        bench_wait_for(&s->saved);
        if (m->c->cold)
            forget(m->c->file);
    }
    prctl(PR_SET_NAME, m->source ? "source" : "destination"); /* for perf; threads inherit it */
    bench_reset_peak();
    before = bench_status_bytes("VmRSS");
    ram_before = bench_resident_bytes(m->ram, m->c->mem);
    cpu = bench_cpu_ns();
    s->restore_ns = bench_now_ns();
    if (!r)
        r = gw_recv_start(vm, &config, &recv, &err);
    if (!r && !m->c->file)
        gw_recv_address(recv, s->address, sizeof s->address);
    else if (r)
        fail(&s->dst, &err);
    bench_raise(&s->listening);
    if (!r) {
        r = gw_recv_wait(recv, &err);
        s->dst.end_ns = bench_now_ns();
        s->dst.cpu_ns = bench_cpu_ns() - cpu;
        s->dst.over_bytes = over(m, before, ram_before);
        if (r)
            fail(&s->dst, &err);
        prctl(PR_SET_NAME, "bench");
        if (!r && m->c->verify)
            s->dst.hash = bench_hash(m->ram, m->c->mem);
    }
    gw_recv_free(recv);
    gw_vm_free(vm);
}

static void send_it(struct machine *m)
{
    struct shared *s = m->s;
    struct gw_error err = GW_ERROR_INIT;
    struct gw_send_config config = {.uri = s->address, .peer = m->c->peer};
    struct gw_send *send = NULL;
    struct gw_vm *vm = NULL;
    uint64_t cpu, before, ram_before;
    int r;

    m->ram = bench_memory(m->c->mem, m->c->huge);
    bench_load(m->c->image, m->ram, m->c->mem);
    bench_raise(&s->loaded);
    m->runs = true;
    r = build(m, &vm, &err);
    if (!r && m->c->write_per_s && pthread_create(&m->writer, NULL, write_memory, m))
        bench_die("pthread_create");
    bench_wait_for(&s->listening);
    if (!r && m->c->write_per_s)
        usleep(300000);
    prctl(PR_SET_NAME, m->source ? "source" : "destination"); /* for perf; threads inherit it */
    bench_reset_peak();
    before = bench_status_bytes("VmRSS");
    ram_before = bench_resident_bytes(m->ram, m->c->mem);
    cpu = bench_cpu_ns();
    s->start_ns = bench_now_ns();
    if (!r)
        r = gw_send_start(vm, &config, &send, &err);
    if (!r)
        r = gw_send_wait(send, &err);
    s->src.end_ns = bench_now_ns();
    bench_raise(&s->saved);
    s->src.cpu_ns = bench_cpu_ns() - cpu;
    s->src.over_bytes = over(m, before, ram_before);
    if (r)
        fail(&s->src, &err);
    if (send)
        gw_send_stats(send, &s->stats);
    if (m->c->write_per_s) {
        m->quit = true;
        pthread_join(m->writer, NULL);
        s->src.cpu_ns -= m->writer_cpu_ns < s->src.cpu_ns ? m->writer_cpu_ns : 0;
    }
    prctl(PR_SET_NAME, "bench");
    if (!r && m->c->verify)
        s->src.hash = bench_hash(m->ram, m->c->mem);
    gw_send_free(send);
    gw_vm_free(vm);
}

static pid_t run(struct machine *m, bool source)
{
    pid_t p = fork();

    if (p < 0)
        bench_die("fork");
    if (!p) {
        m->source = source;
        if (source)
            send_it(m);
        else
            receive(m);
        _exit(0);
    }
    return p;
}

static double ms(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) / 1e6 : 0;
}

static void print(const struct config *c, const struct shared *s)
{
    const struct gw_stats *st = &s->stats;
    uint64_t end = s->src.end_ns > s->dst.end_ns ? s->src.end_ns : s->dst.end_ns;
    uint64_t last = s->last_write_ns && s->last_write_ns < s->stop_ns ? s->last_write_ns : s->stop_ns;

    printf("{\"what\": \"godwit\", \"transport\": \"%s\", \"dest\": \"%s\", \"mem\": %zu, ", c->file ? "file" : c->tcp ? "tcp" : "unix",
           dest_name[c->dest], c->mem);
    if (s->src.code || s->dst.code) {
        printf("\"error\": \"source: %s; destination: %s\"}\n", s->src.code ? s->src.error : "-",
               s->dst.code ? s->dst.error : "-");
        return;
    }
    printf("\"bytes\": %" PRIu64 ", \"wall_ms\": %.2f, \"total_ms\": %" PRIu64 ", \"gap_ms\": %.3f, "
           "\"downtime_us\": %" PRIu64 ", \"stop_us\": %.0f, ",
           st->transferred_bytes, ms(s->start_ns, end), st->total_time_ns / 1000000, ms(last, s->run_ns), st->downtime_ns / 1000,
           ms(s->stop_ns, s->stopped_ns) * 1e3);
    printf("\"resume_ms\": %.2f, \"src_cpu_s\": %.3f, \"dst_cpu_s\": %.3f, \"src_over\": %" PRIu64
           ", \"dst_over\": %" PRIu64 ", ",
           ms(s->start_ns, s->run_ns), (double)s->src.cpu_ns / 1e9, (double)s->dst.cpu_ns / 1e9, s->src.over_bytes,
           s->dst.over_bytes);
    if (c->file)
        printf("\"save_ms\": %.2f, \"restore_ms\": %.2f, ", ms(s->start_ns, s->src.end_ns), ms(s->restore_ns, s->dst.end_ns));
    if (c->write_per_s)
        printf("\"slowed_percent\": %u, \"limit_ms\": %" PRIu64 ", \"written_per_s\": %" PRIu64 ", ", s->slowed_percent,
               st->downtime_limit_ns / 1000000, s->written_per_s);
    printf("\"pages_normal\": %" PRIu64 ", \"pages_zero\": %" PRIu64 ", \"passes\": %" PRIu64 ", \"verified\": %s}\n",
           st->normal_pages, st->duplicate_pages, st->dirty_sync_count,
           !c->verify ? "null" : s->src.hash == s->dst.hash ? "true" : "false");
}

static int parse(int argc, char **argv, struct config *c)
{
    for (int i = 1; i < argc; i++) {
        const char *k = argv[i], *next = i + 1 < argc ? argv[i + 1] : "";

        if (!strcmp(k, "--small-pages"))
            c->huge = false;
        else if (!strcmp(k, "--cold"))
            c->cold = true;
        else if (!strcmp(k, "--no-verify"))
            c->verify = false;
        else if (++i >= argc)
            return -EINVAL;
        else if (!strcmp(k, "--image"))
            c->image = next;
        else if (!strcmp(k, "--file"))
            c->file = next;
        else if (!strcmp(k, "--peer"))
            c->peer = next;
        else if (!strcmp(k, "--mem"))
            c->mem = bench_parse_size(next);
        else if (!strcmp(k, "--write"))
            c->write_per_s = bench_parse_size(next);
        else if (!strcmp(k, "--set"))
            c->set = bench_parse_size(next);
        else if (!strcmp(k, "--dest"))
            c->dest = !strcmp(next, "fresh") ? FRESH : !strcmp(next, "used") ? USED : ZEROED;
        else if (!strcmp(k, "--transport"))
            c->tcp = !strcmp(next, "tcp");
        else if (!strcmp(k, "--parameter") && c->parameters < 32)
            c->parameter[c->parameters++] = next;
        else if (!strcmp(k, "--capability") && c->capabilities < 32)
            c->capability[c->capabilities++] = next;
        else
            return -EINVAL;
    }
    return c->image && c->set && c->set <= c->mem ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
    struct config c = {.mem = 2ul << 30, .set = 256ul << 20, .dest = ZEROED, .huge = true, .verify = true};
    struct shared *s = bench_shared(sizeof *s);
    struct machine m = {.c = &c, .s = s, .lock = PTHREAD_MUTEX_INITIALIZER};
    pid_t child[2];
    int ok = 1, status;

    if (parse(argc, argv, &c)) {
        fprintf(stderr, "bench_precopy: wrong usage, see the head of bench/bench_precopy.c\n");
        return 2;
    }
    child[0] = run(&m, false);
    child[1] = run(&m, true);
    /* When one side has ended, the other has 10 s left. */
    for (unsigned left = 2, waited = 0; left; waited++) {
        pid_t p = waitpid(-1, &status, WNOHANG);

        if (p > 0) {
            ok &= WIFEXITED(status) && !WEXITSTATUS(status);
            child[p == child[1]] = 0;
            left--;
            waited = 0;
        } else if (waited > (left == 2 ? 120000u : 10000u)) {
            for (int i = 0; i < 2; i++)
                if (child[i])
                    kill(child[i], SIGKILL);
        } else {
            usleep(1000);
        }
    }
    if (!ok) {
        snprintf(s->src.error, sizeof s->src.error, "a process died or hung");
        s->src.code = -EIO;
    }
    print(&c, s);
    return s->src.code || s->dst.code || (c.verify && s->src.hash != s->dst.hash);
}

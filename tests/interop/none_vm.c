/* SPDX-License-Identifier: MIT
 *
 * none_vm: the machine `none`, embedded in a test program: RAM, the sections `timer` and `globalstate`, and a writer in
 * place of a CPU. It uses the public API only, and is controlled by the command line and standard input.
 *
 *     none_vm [options] send URI | recv URI | save FILE | load FILE
 *
 * save and load concern device state alone; afterwards one line has the machine's state.
 *
 * Standard output is one JSON object per line: {"event": "status" | "pass" | "stop" | "resume" | "log" | "listening" |
 * "state" | "paused" | "end", ...}. Standard input is one word per line: cancel, continue, postcopy, pause, recover URI, yank, claim, state, quit,
 * resume URI behind "paused", or NAME=VALUE for a parameter. After the session's end it goes on only with --stay, until quit or the end of input; then it writes its RAM to --dump.
 *
 * The writer: write k (from 1) goes to page (k - 1) mod W of the first block, W the pages of --set, and to a page of each --image. Exit status 0 when the
 * session completed, 1 when not, 2 for wrong usage. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "none_vm.h"

#define BATCH_PAGES 64

static const struct gw_field timer_fields[] = {
    GW_FIELD(struct timer, cpu_ticks_offset),
    GW_UNUSED_BYTES(8),
    GW_FIELD(struct timer, cpu_clock_offset),
    GW_END,
};

static const struct gw_state timer_state = {.name = "timer", .version = 2, .oldest = 1, .fields = timer_fields};

/* ---- the machine ------------------------------------------------------------------------------------------------- */

/* A CPU writes while the library reads, which dirty tracking handles; so TSan must ignore it. */
__attribute__((no_sanitize("thread"))) static void write_page(struct machine *m, uint64_t k)
{
    uint64_t page = (k - 1) % m->set_pages;
    volatile uint64_t *p = (volatile uint64_t *)(m->block[0].host + page * PAGE);
    p[0] = k;
    p[256] = k * 0x9E3779B97F4A7C15u;
    gw_vm_mark_dirty(m->vm, m->block[0].gpa + page * PAGE, PAGE);
    images_change(m, k);
}

static void *writer(void *opaque)
{
    struct machine *m = opaque;
    struct timespec start;
    uint64_t done = 0;
    clock_gettime(CLOCK_MONOTONIC, &start);
    pthread_mutex_lock(&m->lock);
    while (!m->quit) {
        if (!m->running) {
            pthread_cond_wait(&m->changed, &m->lock);
            clock_gettime(CLOCK_MONOTONIC, &start);
            done = 0;
            continue;
        }
        m->writing = true;
        uint64_t k = m->written;
        pthread_mutex_unlock(&m->lock);
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        double seconds = (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
        uint64_t due = (uint64_t)(seconds * (double)m->rate_pages), n = due > done ? due - done : 0;
        n = n > BATCH_PAGES ? BATCH_PAGES : n;
        for (uint64_t i = 0; i < n; i++)
            write_page(m, ++k);
        done += n;
        pthread_mutex_lock(&m->lock);
        m->written = k;
        m->writing = false;
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
        if (!n)
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
        pthread_mutex_lock(&m->lock);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static int machine_stop(void *opaque, struct gw_error *err)
{
    struct machine *m = opaque;
    pthread_mutex_lock(&m->lock);
    m->running = false;
    while (m->writing)
        pthread_cond_wait(&m->changed, &m->lock);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int machine_start(void *opaque, struct gw_error *err)
{
    struct machine *m = opaque;
    pthread_mutex_lock(&m->lock);
    m->running = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

bool machine_running(void *opaque)
{
    struct machine *m = opaque;
    pthread_mutex_lock(&m->lock);
    bool running = m->running;
    pthread_mutex_unlock(&m->lock);
    return running;
}

static const struct gw_vm_ops machine_ops = {GW_SIZED(struct gw_vm_ops), .stop = machine_stop, .start = machine_start, .running = machine_running};

static int map_block(struct block *b, struct gw_error *err)
{
    int fd = b->private ? -1 : b->file ? open(b->file, O_RDWR | O_CREAT, 0600) : memfd_create("none_vm", MFD_CLOEXEC);
    if (!b->private && (fd < 0 || ftruncate(fd, (off_t)b->bytes)))
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "memory of %s: %s", b->name, strerror(errno));
    b->host = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE, b->private ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (b->host == MAP_FAILED)
        return gw_fail(err, -errno, GW_BLAME_LOCAL, "map memory of %s: %s", b->name, strerror(errno));
    return 0;
}

static int copy_file(const struct block *b, const char *path, bool out)
{
    FILE *f = fopen(path, out ? "wb" : "rb");
    if (!f)
        return -errno;
    size_t n = out ? fwrite(b->host, 1, b->bytes, f) : fread(b->host, 1, b->bytes, f);
    if (fclose(f) || n != b->bytes)
        return -EIO;
    return 0;
}

static int add_ram(struct machine *m, const char *load, struct gw_error *err)
{
    uint64_t gpa = 0;
    for (unsigned i = 0; i < m->blocks; i++) {
        struct block *b = &m->block[i];
        int r = map_block(b, err);
        if (!r && load && !i && copy_file(b, load, false))
            r = gw_fail(err, -EIO, GW_BLAME_LOCAL, "cannot load %s", load);
        if (r)
            return r;
        b->gpa += gpa;
        gpa = b->gpa + b->bytes;
        struct gw_ram_desc desc = {
            .name = b->name,
            .host = b->host,
            .used_bytes = b->bytes,
            .gpa = b->gpa,
            .flags = b->file ? GW_RAM_SHARED | GW_RAM_NAMED_FILE : load && !i ? 0 : GW_RAM_FRESH,
        };
        r = gw_vm_add_ram(m->vm, &desc, err);
        if (r)
            return r;
    }
    return 0;
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

static int set_parameter(struct machine *m, const char *word, struct gw_error *err)
{
    const char *equals = strchr(word, '=');
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)(equals - word), word);
    return gw_options_set_parameter(gw_vm_options(m->vm), name, equals + 1, err);
}

static void obey(struct machine *m, const char *word)
{
    struct gw_error err = GW_ERROR_INIT;
    int r = 0;

    if (!strncmp(word, "resume ", 7)) {
        pthread_mutex_lock(&m->lock);
        snprintf(m->resume, sizeof m->resume, "%s", word + 7);
        pthread_cond_broadcast(&m->changed);
        pthread_mutex_unlock(&m->lock);
        return;
    }
    pthread_mutex_lock(&m->session);
    if (!strcmp(word, "cancel"))
        r = m->send ? gw_send_cancel(m->send, &err) : gw_recv_cancel(m->recv, &err);
    else if (!strcmp(word, "continue") && m->send)
        r = gw_send_continue(m->send, &err);
    else if (!strcmp(word, "postcopy") && m->send)
        r = gw_send_start_postcopy(m->send, &err);
    else if (!strcmp(word, "pause") && m->send)
        r = gw_send_pause(m->send, &err);
    else if (!strcmp(word, "claim") && m->recv)
        r = gw_recv_claim(m->recv, &err);
    else if (!strcmp(word, "pause") && m->recv)
        r = gw_recv_pause(m->recv, &err);
    else if (!strncmp(word, "recover ", 8) && m->recv)
        r = gw_recv_recover(m->recv, word + 8, &err);
    else if (!strcmp(word, "yank") && m->send)
        gw_send_yank(m->send);
    else if (!strcmp(word, "yank"))
        gw_recv_yank(m->recv);
    else if (!strcmp(word, "state"))
        say_state(m);
    else if (disks_word(m, word, &r, &err))
        ;
    else if (strchr(word, '='))
        r = set_parameter(m, word, &err);
    else
        r = gw_fail(&err, -EINVAL, GW_BLAME_CALLER, "no such word: %s", word);
    pthread_mutex_unlock(&m->session);
    if (r)
        say("refused", "text", err.text);
}

static void *reader(void *opaque)
{
    struct machine *m = opaque;
    char line[256];
    size_t n = 0;
    for (;;) {
        struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = m->wake[0], .events = POLLIN}};
        if (poll(p, 2, -1) < 0 || p[1].revents || n == sizeof(line) || read(STDIN_FILENO, line + n, 1) != 1)
            break;
        if (line[n] != '\n') {
            n++;
            continue;
        }
        line[n] = 0;
        n = 0;
        if (!strcmp(line, "quit"))
            break;
        obey(m, line);
    }
    pthread_mutex_lock(&m->lock);
    m->said_quit = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static int set_up(struct machine *m, struct request *q, struct gw_error *err)
{
    struct gw_vm_config config = {.machine = q->machine, .page_bytes = PAGE, .ops = &machine_ops, .opaque = m,
                                  .without = q->without};
    memcpy(config.uuid, q->uuid, 16);
    int r = gw_vm_new(&config, &m->vm, err);
    if (!r)
        r = add_ram(m, q->load, err);
    if (!r)
        r = images_add(m, err);
    if (!r)
        r = disks_make(m, q, err);
    if (!r)
        r = gw_registry_add(gw_vm_registry(m->vm), &timer_state, "timer", 0, &m->timer, err);
    if (!r)
        r = gw_vm_set_tracker(m->vm, &(struct gw_tracker_config){.kind = m->tracker}, err);
    for (unsigned i = 0; !r && i < q->cap_count; i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s", q->caps[i]);
        char *eq = strchr(name, '=');
        if (eq)
            *eq = 0;
        r = gw_options_set_capability(gw_vm_options(m->vm), name, !eq || strcmp(eq + 1, "off"), err);
    }
    for (unsigned i = 0; !r && i < q->param_count; i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s", q->params[i]);
        char *eq = strchr(name, '=');
        if (!eq)
            return gw_fail(err, -EINVAL, GW_BLAME_CALLER, "NAME=VALUE wanted: %s", name);
        *eq = 0;
        r = gw_options_set_parameter(gw_vm_options(m->vm), name, eq + 1, err);
    }
    return r;
}

static int start_send(struct machine *m, const struct request *q, const char *uri, bool resume, struct gw_error *err)
{
    struct gw_send_config config = {.uri = uri, .peer = q->peer, .progress_timeout_ns = q->timeout_ns ? q->timeout_ns : UINT64_MAX,
                                    .on_event = on_event, .opaque = m, .resume = resume};
    int r;

    pthread_mutex_lock(&m->session);
    m->send = gw_send_free(m->send);
    r = gw_send_start(m->vm, &config, &m->send, err);
    pthread_mutex_unlock(&m->session);
    return r;
}

/* The session ended as paused: resumes it as requested, any number of times. Returns the final result. */
static int resume(struct machine *m, const struct request *q, int r, struct gw_error *err)
{
    char uri[sizeof m->resume];

    while (m->send && gw_send_status(m->send) == GW_STATUS_POSTCOPY_PAUSED) {
        say("paused", "text", err->text);
        pthread_mutex_lock(&m->lock);
        while (!*m->resume && !m->said_quit)
            pthread_cond_wait(&m->changed, &m->lock);
        snprintf(uri, sizeof uri, "%s", m->resume);
        *m->resume = 0;
        pthread_mutex_unlock(&m->lock);
        if (!*uri)
            break;
        *err = (struct gw_error)GW_ERROR_INIT;
        r = start_send(m, q, uri, true, err);
        if (!r)
            r = gw_send_wait(m->send, err);
    }
    return r;
}

static int start(struct machine *m, const struct request *q, struct gw_error *err)
{
    uint64_t patience_ns = q->timeout_ns ? q->timeout_ns : UINT64_MAX;
    if (q->send)
        return start_send(m, q, q->uri, false, err);
    struct gw_recv_config config = {.uri = q->uri, .hello_timeout_ns = q->hello_ns ? q->hello_ns : 3600 * 1000000000ull,
                                    .progress_timeout_ns = patience_ns, .on_event = on_event, .opaque = m};
    int r = gw_recv_start(m->vm, &config, &m->recv, err);
    if (!r) {
        char address[4200];
        gw_recv_address(m->recv, address, sizeof(address));
        say("listening", "address", address);
    }
    return r;
}

/* Saves the running machine's device state to a file, or loads a file's into a stopped machine. */
static int state_alone(struct machine *m, struct request *q)
{
    struct gw_error err = GW_ERROR_INIT;
    char whole[65536];
    size_t n = 0;
    void *blob;
    FILE *f;
    int r = set_up(m, q, &err);

    m->running = q->save;
    if (!r && q->save && !(r = gw_state_save(m->vm, &blob, &n, &err))) {
        f = fopen(q->uri, "wb");
        r = f && fwrite(blob, 1, n, f) == n && !fclose(f) ? 0 : -EIO;
        free(blob);
    } else if (!r && !q->save) {
        f = fopen(q->uri, "rb");
        n = f ? fread(whole, 1, sizeof whole, f) : 0;
        if (f)
            fclose(f);
        r = gw_state_load(m->vm, whole, n, &err);
    }
    printf("{\"ok\": %s, \"running\": %s, \"ticks\": %" PRId64 ", \"clock\": %" PRId64 ", \"error\": ", r ? "false" : "true",
           m->running ? "true" : "false", m->timer.cpu_ticks_offset, m->timer.cpu_clock_offset);
    json_text(err.text);
    printf("}\n");
    return r;
}

static int run(struct machine *m, struct request *q)
{
    struct gw_error err = GW_ERROR_INIT;
    pthread_t writes, reads;
    int r = set_up(m, q, &err);
    m->running = !r && q->send && !q->paused;
    bool has_writer = !r && m->rate_pages && !pthread_create(&writes, NULL, writer, m);
    if (!r)
        r = start(m, q, &err);
    if (r) {
        say("refused", "text", err.text);
    } else {
        bool has_reader = !pthread_create(&reads, NULL, reader, m);
        r = m->send ? gw_send_wait(m->send, &err) : gw_recv_wait(m->recv, &err);
        r = resume(m, q, r, &err);
        say_end(m, r, &err);
        pthread_mutex_lock(&m->lock);
        while (q->stay && has_reader && !m->said_quit)
            pthread_cond_wait(&m->changed, &m->lock);
        pthread_mutex_unlock(&m->lock);
        if (has_reader) {
            close(m->wake[1]);
            pthread_join(reads, NULL);
        }
        machine_stop(m, NULL);
        if (q->dump && copy_file(&m->block[0], q->dump, true))
            say("refused", "text", "cannot write the dump");
    }
    pthread_mutex_lock(&m->lock);
    m->quit = true;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
    if (has_writer)
        pthread_join(writes, NULL);
    m->send = gw_send_free(m->send);
    m->recv = gw_recv_free(m->recv);
    return r;
}

int main(int argc, char **argv)
{
    struct machine m = {.tracker = GW_TRACKER_EXPLICIT};
    struct request q = {.machine = "none"};
    if (!request_parse(argc, argv, &m, &q))
        return request_usage();
    if (pipe2(m.wake, O_CLOEXEC))
        return 1;
    if (q.send || q.save)
        m.timer = (struct timer){.cpu_ticks_offset = 0x1122334455, .cpu_clock_offset = 0x66778899};
    signal(SIGPIPE, SIG_IGN);
    pthread_mutex_init(&m.lock, NULL);
    pthread_mutex_init(&m.session, NULL);
    pthread_cond_init(&m.changed, NULL);
    int r = q.alone ? state_alone(&m, &q) : run(&m, &q);
    gw_vm_free(m.vm);
    images_close(&m);
    for (unsigned i = 0; i < m.blocks; i++)
        if (m.block[i].host && m.block[i].host != MAP_FAILED)
            munmap(m.block[i].host, m.block[i].bytes);
    pthread_cond_destroy(&m.changed);
    pthread_mutex_destroy(&m.session);
    pthread_mutex_destroy(&m.lock);
    return r ? 1 : 0;
}

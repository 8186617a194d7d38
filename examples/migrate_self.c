/* SPDX-License-Identifier: MIT
 *
 * migrate_self: a program with memory and two devices of its own that migrates to another instance of itself.
 *
 *     migrate_self recv unix:/tmp/m.sock          waits for a machine, runs it for a second, checks it
 *     migrate_self send unix:/tmp/m.sock          runs a machine for a second, then sends it there
 *
 * The "machine" is a thread that fills RAM with a sequence, repeatedly: word n is n times a constant. docs/embedding.md
 * walks through this file.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <godwit/godwit.h>

#define RAM_BYTES (64u << 20)
#define WORDS     (RAM_BYTES / 8)

/* the machine */
struct counter { /* a device: its position in the sequence */
    uint64_t next;
};
struct uart { /* another device, with a queue */
    uint8_t ier;
    uint16_t divisor;
    uint32_t rx_len;
    uint8_t rx[16];
};
struct machine {
    uint64_t *ram;
    struct counter counter;
    struct uart uart;
    pthread_mutex_t lock; /* held by the vCPU while it does a step */
    atomic_bool runs;
};

/* Guests write while their memory is being read, which dirty tracking handles. So the thread sanitizer must ignore
 * this. */
__attribute__((no_sanitize("thread"))) static void *vcpu(void *arg)
{
    for (struct machine *m = arg;; usleep(100)) {
        pthread_mutex_lock(&m->lock);
        for (int i = 0; m->runs && i < 100; i++, m->counter.next++)
            m->ram[m->counter.next % WORDS] = m->counter.next * 0x9E3779B97F4A7C15ull;
        pthread_mutex_unlock(&m->lock);
    }
    return NULL;
}

/* Every word of the newest round must match the sequence. */
static uint64_t wrong_words(const struct machine *m)
{
    uint64_t n = m->counter.next, wrong = 0;

    for (uint64_t i = n > WORDS ? n - WORDS : 0; i < n; i++)
        wrong += m->ram[i % WORDS] != i * 0x9E3779B97F4A7C15ull;
    return wrong;
}

/* what godwit asks of it */
static int set_running(struct machine *m, bool runs)
{
    pthread_mutex_lock(&m->lock); /* when this returns the vCPU is between two steps */
    m->runs = runs;
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int stop(void *opaque, struct gw_error *err)
{
    return set_running(opaque, false);
}

static int start(void *opaque, struct gw_error *err)
{
    return set_running(opaque, true);
}

static bool running(void *opaque)
{
    return ((struct machine *)opaque)->runs;
}

static const struct gw_vm_ops ops = {GW_SIZED(struct gw_vm_ops), .stop = stop, .start = start, .running = running};
/* what its devices consist of */
static const struct gw_field counter_fields[] = {GW_FIELD(struct counter, next), GW_END};
static const struct gw_state counter_state = {.name = "counter", .version = 1, .oldest = 1, .fields = counter_fields};
static const struct gw_field uart_fields[] = {
    GW_FIELD(struct uart, ier),
    GW_FIELD(struct uart, divisor),
    GW_FIELD(struct uart, rx_len),
    GW_ARRAY_N(struct uart, rx, rx_len), /* load refuses more than 16 */
    GW_END,
};
static const struct gw_state uart_state = {.name = "uart", .version = 1, .oldest = 1, .fields = uart_fields};

int main(int argc, char **argv)
{
    static struct machine m = {.lock = PTHREAD_MUTEX_INITIALIZER};
    const struct gw_vm_config config = {.machine = "migrate-self-1", .page_bytes = 4096, .ops = &ops, .opaque = &m};
    struct gw_ram_desc ram = {.name = "ram", .used_bytes = RAM_BYTES, .flags = GW_RAM_FRESH};
    struct gw_error err = GW_ERROR_INIT;
    struct gw_vm *vm = NULL;
    pthread_t thread;
    bool sends = argc == 3 && !strcmp(argv[1], "send");
    int r;

    if (!sends && (argc != 3 || strcmp(argv[1], "recv")))
        return fprintf(stderr, "usage: migrate_self send|recv URI\n"), 2;
    m.ram = ram.host = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r = gw_vm_new(&config, &vm, &err);
    if (r >= 0)
        r = gw_vm_add_ram(vm, &ram, &err);
    if (r >= 0)
        r = gw_registry_add(gw_vm_registry(vm), &counter_state, "counter", 0, &m.counter, &err);
    if (r >= 0)
        r = gw_registry_add(gw_vm_registry(vm), &uart_state, "uart", 0, &m.uart, &err);
    if (r < 0 || pthread_create(&thread, NULL, vcpu, &m))
        return fprintf(stderr, "migrate_self: %s\n", err.text), 1;
    if (sends) {
        struct gw_send *s = NULL;
        m.uart = (struct uart){.ier = 3, .divisor = 12, .rx_len = 5, .rx = "hello"};
        start(&m, NULL);
        sleep(1);
        r = gw_send_start(vm, &(struct gw_send_config){.uri = argv[2]}, &s, &err);
        if (r >= 0)
            r = gw_send_wait(s, &err);
        gw_send_free(s);
        printf(r < 0 ? "not sent: %s\n" : "sent; the machine runs there\n", err.text);
    } else {
        struct gw_recv *v;
        r = gw_recv_start(vm, &(struct gw_recv_config){.uri = argv[2]}, &v, &err);
        if (r >= 0)
            r = gw_recv_wait(v, &err);
        if (r < 0)
            return printf("not received: %s\n", err.text), 1;
        gw_recv_free(v);
        sleep(1);
        stop(&m, NULL);
        printf("received; %lu words, %lu wrong, uart says %.5s\n", m.counter.next, wrong_words(&m), m.uart.rx);
        r = wrong_words(&m) ? -1 : 0;
    }
    gw_vm_free(vm);
    return r < 0;
}

/* SPDX-License-Identifier: MIT
 *
 * small_vmm [--old] --qmp URI [--incoming URI]
 *
 *     small_vmm --qmp unix:/tmp/here.qmp &
 *     small_vmm --qmp unix:/tmp/there.qmp --incoming unix:/tmp/there.sock &
 *     godwit ctl /tmp/here.qmp migrate unix:/tmp/there.sock
 *
 * --old: behaves as the first release of this program. A machine can migrate from it to the present one, but not back.
 */
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "small_vmm.h"

/* ---- what the library asks of the machine ---------------------------------------------------------------------------------- */

static int stop(void *opaque, struct gw_error *err)
{
    struct small_vmm *v = opaque;

    pthread_mutex_lock(&v->lock); /* while we hold this the processor is between two steps */
    if (v->runs)
        clock_advance(&v->clock); /* the clock stops here until the machine runs again */
    v->runs = false;
    pthread_mutex_unlock(&v->lock);
    return 0;
}

static int start(void *opaque, struct gw_error *err)
{
    struct small_vmm *v = opaque;

    pthread_mutex_lock(&v->lock);
    if (!v->runs)
        clock_run(&v->clock);
    v->runs = v->had_guest = true;
    pthread_mutex_unlock(&v->lock);
    return 0;
}

static bool running(void *opaque)
{
    return ((struct small_vmm *)opaque)->runs;
}

static const struct gw_vm_ops vm_ops = {GW_SIZED(struct gw_vm_ops), .stop = stop, .start = start, .running = running};

/* ---- what the QMP server asks of the program ------------------------------------------------------------------------------- */

struct program {
    struct small_vmm machine;
    struct gw_vm *vm;
    sem_t quit;
};

static const char *run_state(void *opaque)
{
    struct program *p = opaque;

    if (p->machine.runs)
        return "running";
    if (gw_vm_place(p->vm) == GW_VM_LEFT)
        return "postmigrate";
    return p->machine.had_guest ? "paused" : "inmigrate";
}

static int qmp_stop(void *opaque, struct gw_error *err)
{
    return stop(&((struct program *)opaque)->machine, err);
}

static int qmp_cont(void *opaque, struct gw_error *err)
{
    return start(&((struct program *)opaque)->machine, err);
}

/* Only requests the end: this is the server's own thread, which must not wait for its own end. */
static void qmp_quit(void *opaque)
{
    sem_post(&((struct program *)opaque)->quit);
}

static const struct gw_control_ops control_ops = {
    GW_SIZED(struct gw_control_ops), .run_state = run_state, .stop = qmp_stop, .cont = qmp_cont, .quit = qmp_quit};

/* A custom command of this program. */
static int report(void *opaque, const char *arguments_json, char **ret_json, struct gw_error *err)
{
    struct small_vmm *v = &((struct program *)opaque)->machine;
    char *text = malloc(200);

    if (!text)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "no memory for the report");
    pthread_mutex_lock(&v->lock);
    snprintf(text, 200, "{\"steps\": %llu, \"wrong\": %llu, \"ms\": %llu, \"rang\": %u, \"mcr\": %u, \"break\": %s}",
             (unsigned long long)v->cpu.step, (unsigned long long)(v->cpu.wrong + guest_wrong_words(v)),
             (unsigned long long)v->clock.now_ns / 1000000, v->clock.rang, v->uart.mcr, v->uart.break_pending ? "true" : "false");
    pthread_mutex_unlock(&v->lock);
    *ret_json = text;
    return 0;
}

/* A client holds the line down. The state of that is saved in a subsection. */
static int hold_line(void *opaque, const char *arguments_json, char **ret_json, struct gw_error *err)
{
    struct small_vmm *v = &((struct program *)opaque)->machine;

    pthread_mutex_lock(&v->lock);
    v->uart.break_pending = true;
    v->uart.break_ns = v->clock.now_ns;
    v->uart.mcr = 11;
    pthread_mutex_unlock(&v->lock);
    return 0;
}

/* ---- putting it together ----------------------------------------------------------------------------------------------------- */

static int add_machine(struct program *p, bool old, struct gw_error *err)
{
    struct gw_ram_desc ram = {.name = "ram", .used_bytes = RAM_BYTES, .flags = GW_RAM_FRESH};
    struct gw_vm_config config = {.machine = "small-vmm-1", .page_bytes = 4096, .ops = &vm_ops, .opaque = &p->machine};
    int r;

    ram.host = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ram.host == MAP_FAILED)
        return gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "no memory for the guest");
    p->machine.ram = ram.host;
    r = gw_vm_new(&config, &p->vm, err);
    if (r >= 0)
        r = gw_vm_add_ram(p->vm, &ram, err);
    if (r >= 0)
        r = devices_add(&p->machine, gw_vm_registry(p->vm), old, err);
    return r;
}

static int serve(struct program *p, const char *qmp, const char *incoming, struct gw_error *err)
{
    struct gw_control_config config = {.uri = qmp, .ops = &control_ops, .opaque = p, .name = "small", .waits = incoming};
    struct gw_control *control = NULL;
    int r = gw_control_start(p->vm, &config, &control, err);

    if (r >= 0)
        r = gw_control_add_command(control, "x-report", report, p, err);
    if (r >= 0)
        r = gw_control_add_command(control, "x-hold-line", hold_line, p, err);
    if (r >= 0 && incoming)
        r = gw_control_incoming(control, incoming, err);
    else if (r >= 0)
        r = start(&p->machine, err);
    while (r >= 0 && sem_wait(&p->quit) < 0)
        ;
    gw_control_free(control); /* ends a migration that is still running */
    return r;
}

static int usage(FILE *to)
{
    fprintf(to, "usage: small_vmm [--old] --qmp URI [--incoming URI]\n");
    return to == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    static struct program p = {.machine.lock = PTHREAD_MUTEX_INITIALIZER};
    struct gw_error err = GW_ERROR_INIT;
    const char *qmp = NULL, *incoming = NULL;
    bool old = false;
    int r;

    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help"))
            return usage(stdout);
        else if (!strcmp(argv[i], "--old"))
            old = true;
        else if (!strcmp(argv[i], "--qmp") && i + 1 < argc)
            qmp = argv[++i];
        else if (!strcmp(argv[i], "--incoming") && i + 1 < argc)
            incoming = argv[++i];
        else
            return usage(stderr);
    if (!qmp)
        return usage(stderr);
    sem_init(&p.quit, 0, 0);
    clock_reset(&p.machine.clock);
    p.machine.uart = (struct uart_device){.ier = 1, .mcr = 3, .divisor = 12};
    r = add_machine(&p, old, &err);
    if (r >= 0 && pthread_create(&p.machine.thread, NULL, guest_thread, &p.machine) != 0)
        r = gw_fail(&err, -EAGAIN, GW_BLAME_LOCAL, "no thread for the processor");
    else if (r >= 0) {
        r = serve(&p, qmp, incoming, &err);
        p.machine.ends = true;
        pthread_join(p.machine.thread, NULL);
    }
    gw_vm_free(p.vm);
    if (r < 0)
        fprintf(stderr, "small_vmm: %s\n", err.text);
    return r < 0;
}

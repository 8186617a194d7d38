/* SPDX-License-Identifier: MIT
 *
 * host: finds the capabilities of this host, one fact after the other. Each is found out by trying it on memory and
 * sockets of this process, or by asking the kernel. Nothing is changed, and nothing is left behind.
 *
 * A new fact is a row in the table of its kind (host_memory.c, host_kvm.c, host_io.c).
 */
#ifndef GODWIT_CLI_HOST_H
#define GODWIT_CLI_HOST_H

#include <stdbool.h>
#include <stddef.h>

struct gw_host_answer {
    bool there;
    char detail[240]; /* the detailed result, or why the feature is missing: one line */
    char advice[240]; /* the recommended action; "": none */
};

struct gw_host_fact {
    const char *name; /* the name that --need accepts */
    const char *use;  /* its purpose */
    /* directory: where files would be created. The answer is zero on entry. */
    void (*probe)(const char *directory, struct gw_host_answer *a);
}; /* {0}: the end */

extern const struct gw_host_fact gw_host_memory[], gw_host_kvm[], gw_host_io[];

#define GW_HOST_SAY(text, ...) ((void)snprintf((text), sizeof(text), __VA_ARGS__))

/* The first line of a kernel file; false: it cannot be read. */
bool gw_host_line(const char *path, char *line, size_t size);
/* `there` stays false. Sets "WHAT: No such file or directory", from errno. */
void gw_host_failed(struct gw_host_answer *a, const char *what, const char *advice);

#endif

/* SPDX-License-Identifier: MIT
 *
 * none_vm: its machine, and its command-line options.
 */
#ifndef TESTS_NONE_VM_H
#define TESTS_NONE_VM_H

#include <pthread.h>

#include "godwit/godwit.h"

#define PAGE 4096u
#define BLOCKS_MAX 8
#define IMAGES_MAX 4

struct timer { /* QEMU's section `timer`, version 2 */
    int64_t cpu_ticks_offset, cpu_clock_offset;
};

struct block {
    char name[256];
    const char *file; /* a shared mapping of this file; NULL: a memfd */
    bool private; /* anonymous memory instead of a shared mapping */
    uint64_t bytes, gpa;
    uint8_t *host;
};

struct image { /* a disk that is an image */
    const char *name, *path;
    struct gw_node *node;
    uint64_t bytes;
    struct gw_disk *disk;
};

struct machine {
    struct block block[BLOCKS_MAX];
    unsigned blocks;
    struct image image[IMAGES_MAX];
    unsigned images;
    struct timer timer;
    struct gw_vm *vm;
    enum gw_tracker_kind tracker;
    uint64_t rate_pages; /* per second; 0: no writer */
    uint64_t set_pages;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool running, writing, quit, said_quit;
    uint64_t written; /* generation of the last write */
    char resume[256]; /* address for resuming; "": not given */
    pthread_mutex_t session; /* protects `send` while a resumed session replaces it */
    struct gw_send *send;
    struct gw_recv *recv;
    int wake[2]; /* a pipe: closed to end the reader of standard input */
};

#define WORDS_MAX 64

enum { DISK_OPTION = 256, BITMAP_OPTION, WROTE_OPTION, MAP_OPTION };

struct request {
    struct {
        int option;
        char *text;
    } disk_word[WORDS_MAX]; /* none_vm_disks.c */
    unsigned disk_words;
    const char *load, *dump, *machine, *peer, *uri, *caps[32], *params[32];
    unsigned cap_count, param_count;
    uint8_t uuid[16];
    uint64_t timeout_ns, hello_ns;
    unsigned without; /* enum gw_stream_parts */
    bool paused, stay, send, save, alone;
};

/* False: wrong usage. Borrows texts of argv. */
bool request_parse(int argc, char **argv, struct machine *m, struct request *q);
/* none_vm_images.c: parses NAME=FILE of the command line (false: invalid); adds the images to the vm; makes write k to
 * each. */
bool image_parse(struct machine *m, char *text);
int images_add(struct machine *m, struct gw_error *err);
void images_change(struct machine *m, uint64_t k);
/* Called after the vm was freed. */
void images_close(struct machine *m);
/* none_vm_disks.c: makes the disks of the command line; executes a word of standard input if it concerns disks. */
int disks_make(struct machine *m, struct request *q, struct gw_error *err);
bool disks_word(struct machine *m, const char *word, int *ret_result, struct gw_error *err);
/* none_vm_says.c: prints a JSON string; an event in one line, with a text if key is not NULL; the events of a session;
 * the machine's state; the session's result. */
void json_text(const char *s);
void say(const char *event, const char *key, const char *text);
void on_event(void *opaque, const struct gw_event *e);
void say_state(struct machine *m);
void say_end(struct machine *m, int r, const struct gw_error *err);
/* none_vm.c: gw_vm_ops.running. */
bool machine_running(void *opaque);
/* Prints the usage; returns its exit status. */
int request_usage(void);

#endif

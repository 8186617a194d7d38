/* SPDX-License-Identifier: MIT
 *
 * none_vm: its machine, and what is asked of it on the command line.
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
    const char *file; /* mapped from here, shared; NULL: a memfd */
    bool private; /* anonymous memory instead */
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
    char resume[256]; /* where to go on; "": that was not told */
    pthread_mutex_t session; /* send, while another takes its place */
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

/* False: wrong usage. Texts of argv are borrowed. */
bool request_parse(int argc, char **argv, struct machine *m, struct request *q);
/* none_vm_images.c: NAME=FILE of the command line (false: it is not); to the vm; write k to each of them. */
bool image_parse(struct machine *m, char *text);
int images_add(struct machine *m, struct gw_error *err);
void images_change(struct machine *m, uint64_t k);
/* The vm is gone. */
void images_close(struct machine *m);
/* none_vm_disks.c: what the command line says of disks; and whether this is one of their words, carried out. */
int disks_make(struct machine *m, struct request *q, struct gw_error *err);
bool disks_word(struct machine *m, const char *word, int *ret_result, struct gw_error *err);
/* none_vm_says.c: a string of JSON; an event in one line, with a text where key is not NULL; those of a session; what the machine
 * is now; how the session ended. */
void json_text(const char *s);
void say(const char *event, const char *key, const char *text);
void on_event(void *opaque, const struct gw_event *e);
void say_state(struct machine *m);
void say_end(struct machine *m, int r, const struct gw_error *err);
/* none_vm.c: gw_vm_ops.running. */
bool machine_running(void *opaque);
/* Tells the usage; returns the exit status for it. */
int request_usage(void);

#endif

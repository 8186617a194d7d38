/* SPDX-License-Identifier: MIT */
#include "examine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <godwit/snapshot.h>

#include "cmd.h"
#include "interrupts.h"
#include "shown.h"

int gw_cli_failed(const char *command, const char *what, const char *why)
{
    fprintf(stderr, "godwit %s: %s%s%s\n", command, what ? gw_shown(what) : "", what ? ": " : "", gw_shown(why));
    return GW_EXIT_FAILED;
}

int gw_cli_end(const char *command, int status)
{
    errno = 0;
    if ((!fflush(stdout) && !ferror(stdout)) || status == GW_EXIT_FAILED)
        return status;
    return gw_cli_failed(command, "writing", errno ? strerror(errno) : "the output is incomplete");
}

int gw_cli_open(const char *file, const char *snapshot, struct gw_image **ret_image, struct gw_error *err)
{
    const char *temporary_folder = getenv("TMPDIR");

    return snapshot ? gw_image_open_snapshot(file, snapshot, temporary_folder, ret_image, err)
                    : gw_image_open_in(file, temporary_folder, ret_image, err);
}

int gw_cli_open_half(const char *file, const char *snapshot, struct gw_image **ret_image, struct gw_error *err)
{
    return snapshot ? gw_cli_open(file, snapshot, ret_image, err) : gw_image_open_half(file, getenv("TMPDIR"), ret_image, err);
}

int gw_cli_inspect(struct gw_inspect *inspect, const char *file, const char *snapshot, struct gw_error *err)
{
    const char *temporary_folder = getenv("TMPDIR");

    return snapshot ? gw_inspect_snapshot(inspect, file, snapshot, temporary_folder, err)
                    : gw_inspect_file(inspect, file, temporary_folder, err);
}

void gw_cli_print_found(json_t *take_all, json_t *found)
{
    json_object_set(take_all, "found", found);
    json_dumpf(take_all, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    printf("\n");
    json_decref(take_all);
}

void gw_cli_progress_init(struct gw_cli_progress *p, const char *what, bool quiet)
{
    *p = (struct gw_cli_progress){.what = what};
    gw_progress_init(&p->line, !quiet);
}

void gw_cli_progress_watch(struct gw_cli_progress *p)
{
    gw_cli_interrupts_block();
    p->watched = true;
}

static bool is_interrupted(struct gw_cli_progress *p)
{
    if (p->watched && gw_cli_interrupt_pending())
        p->interrupted = true;
    return p->interrupted;
}

bool gw_cli_progress_step(void *progress, uint64_t done_bytes, uint64_t total_bytes)
{
    struct gw_cli_progress *p = progress;
    const struct gw_progress_at at = {.phase = p->what,
                                      .sent = (double)done_bytes,
                                      .total = (double)total_bytes,
                                      .left = done_bytes < total_bytes ? (double)(total_bytes - done_bytes) : 0};

    if (is_interrupted(p))
        return true;
    gw_progress_show(&p->line, &at);
    return false;
}

void gw_cli_progress_done(struct gw_cli_progress *p)
{
    gw_progress_clear(&p->line);
}

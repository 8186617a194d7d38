/* SPDX-License-Identifier: MIT
 *
 * godwit inspect --html: writes the page of a file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inspect_page.h"

/* The map is left out if the file is not a complete machine; the rest is shown nevertheless. */
static int get_map(struct gw_inspect_page *page, const char *name, const char *snapshot, struct gw_cli_progress *progress,
                   struct gw_error *why, struct gw_error *err)
{
    int r = gw_cli_open_half(name, snapshot, &page->image, why);

    if (r >= 0)
        r = gw_ram_map_new(page->image, true, gw_cli_progress_step, progress, &page->ram, why);
    page->why = why->text;
    if (r >= 0 || (r != -ECANCELED && r != -ENOMEM))
        return 0;
    *err = *why;
    return r;
}

static int write_page(const struct gw_inspect_page *page, const char *path, struct gw_error *err)
{
    struct gw_output *output = NULL;
    FILE *to = NULL;
    int r = gw_output_new(path, true, &output, err), fd = -1;
    bool good;

    if (r < 0)
        return r;
    fd = gw_output_fd(output) < 0 ? -1 : dup(gw_output_fd(output));
    to = fd < 0 ? NULL : fdopen(fd, "w");
    if (!to) {
        r = gw_fail(err, -EINVAL, GW_BLAME_CALLER, "%s: the page is written to a file only", path);
        if (fd >= 0)
            close(fd);
    } else {
        errno = 0;
        good = gw_inspect_page(to, page);
        good = fclose(to) == 0 && good;
        r = good ? gw_output_commit(output, err)
                 : gw_fail(err, -(errno ? errno : ENOMEM), GW_BLAME_LOCAL, "%s: writing: %s", path, strerror(errno ? errno : ENOMEM));
    }
    gw_output_free(output);
    return r;
}

int gw_inspect_html(const struct gw_inspect *in, const char *name, const char *snapshot, const char *path, struct gw_cli_progress *progress,
                    struct gw_error *err)
{
    const struct gw_inspect_options how = {.json = true};
    struct gw_inspect_page page = {.title = name};
    struct gw_error why = GW_ERROR_INIT;
    json_t *told = NULL;
    char *text = NULL;
    int r = gw_inspect_print(in, &how, &text, err);

    if (r >= 0) {
        told = json_loads(text, JSON_DECODE_INT_AS_REAL, NULL);
        if (!told)
            r = gw_fail(err, -ENOMEM, GW_BLAME_LOCAL, "no memory for the page");
    }
    page.told = told;
    if (r >= 0)
        r = get_map(&page, name, snapshot, progress, &why, err);
    if (r >= 0)
        r = write_page(&page, path, err);
    gw_ram_map_free(page.ram);
    gw_image_free(page.image);
    json_decref(told);
    free(text);
    return r;
}

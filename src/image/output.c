/* SPDX-License-Identifier: MIT
 *
 * gw_output: the file handling of gw_image_write, for callers that write the contents themselves.
 */
#include "image/image.h"

struct gw_output {
    struct gw_image_out out;
};

int gw_output_new(const char *path, bool replace, struct gw_output **ret_output, struct gw_error *err)
{
    struct gw_output *o = calloc(1, sizeof *o);
    int r;

    if (!o)
        return gw_nomem(err, "file");
    r = gw_image_out_open_anywhere(&o->out, path, replace, err);
    if (r < 0) {
        gw_image_out_close(&o->out);
        free(o);
        return r;
    }
    *ret_output = o;
    return 0;
}

int gw_output_fd(const struct gw_output *o)
{
    return o->out.fd;
}

int gw_output_commit(struct gw_output *o, struct gw_error *err)
{
    return gw_image_out_commit(&o->out, err);
}

struct gw_output *gw_output_free(struct gw_output *o)
{
    if (o)
        gw_image_out_close(&o->out);
    free(o);
    return NULL;
}

/* SPDX-License-Identifier: MIT
 *
 * godwit inspect: shows the contents of a migration stream.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <godwit/godwit.h>

#include "shown.h"
#include "cmd.h"
#include "confine.h"
#include "examine.h"
#include "inspect_page.h"
#include "table.h"

#define COMMAND "inspect"

int gw_cmd_inspect(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT, print_err = GW_ERROR_INIT;
    struct gw_inspect_options how = {0};
    struct gw_inspect *inspect = NULL;
    const char *name, *against = NULL, *snapshot = NULL, *html = NULL;
    struct gw_cli_progress progress;
    struct gw_confine confine = {.command = COMMAND};
    bool quiet = false, all = false;
    char *text = NULL;
    const struct gw_cli_option options[] = {
        {"device", .text = &how.device, .value = "NAME", .help = "Show only the devices of this name: cpu, cpu/1, piix4_pm."},
        {"ram", .flag = &how.ram, .help = "Show only the RAM."},
        {"against", .text = &against, .value = "INTO",
         .help = "Show why the machine in FILE would not load into the one that wrote INTO, as `godwit schema explain` does."},
        GW_CLI_SNAPSHOT_OPTION(&snapshot, "FILE"),
        {"all", .flag = &all, .help = "Show everything, also each element and the values of all devices."},
        {"html", .text = &html, .value = "OUT",
         .help = "Write a page with charts instead: a map of the RAM, its entropy, sizes of devices."},
        {"json", .flag = &how.json, .help = "Print one JSON object."},
        {"quiet", 'q', .flag = &quiet, .help = "Show no progress line on a terminal."},
        GW_CONFINE_OPTION(&confine),
        {0}};
    const struct gw_cli_command command = {
        .arguments = "FILE",
        .about = "Shows the contents of a migration stream (QEMU's or godwit's, also a mapped-ram file, also "
                 "compressed with gzip, "
                 "bzip2, xz, lzop or zstd), in a libvirt save image or a parked machine, on one screen: machine, RAM, "
                 "bytes by cause, devices. FILE '-' is standard input, FILE,offset=N what begins at byte N, "
                 "nbd://HOST/EXPORT what an NBD server has.",
        .options = options};
    int r = gw_cli_parse(argc, argv, &command);

    if (r >= 0)
        return r;
    if (against && (how.ram || how.device || html))
        return gw_cli_wrong(argv[0], "--%s cannot be used with --against", how.ram ? "ram" : how.device ? "device" : "html");
    name = argv[optind];
    confine.connects = gw_path_is_far(name) || (against && gw_path_is_far(against));
    if (gw_confine(&confine, GW_CONFINE_PROGRAMS, &err) < 0) /* programs that decompress are started later */
        return gw_cli_failed(COMMAND, NULL, err.text);
    if (against)
        return gw_inspect_against(name, snapshot, against, how.json);
    if (html && !strcmp(name, "-"))
        return gw_cli_failed(COMMAND, "--html", "the page reads its input twice, which standard input does not allow: "
                                                "give a file");
    how.screen = !all;
    how.title = strcmp(name, "-") ? gw_shown(name) : "standard input";
    gw_cli_progress_init(&progress, "inspected", quiet);
    r = gw_inspect_new(&inspect, &err);
    if (r >= 0) {
        gw_inspect_set_progress(inspect, gw_cli_progress_step, &progress);
        r = gw_cli_inspect(inspect, name, snapshot, &err);
        if (inspect && html && gw_inspect_html(inspect, name, snapshot, html, &progress, r < 0 ? &print_err : &err) < 0)
            r = r < 0 ? r : err.code;
        gw_cli_progress_done(&progress);
    }
    /* After an error the part read so far is printed, so that its place is visible. */
    if (inspect && !html && gw_inspect_print(inspect, &how, &text, &print_err) == 0 && fputs(text, stdout) < 0)
        r = r < 0 ? r : gw_fail(&err, -errno, GW_BLAME_LOCAL, "writing: %s", strerror(errno));
    else if (r >= 0 && print_err.code) {
        r = print_err.code;
        err = print_err;
    }
    free(text);
    gw_inspect_free(inspect);
    return gw_cli_end(COMMAND, r < 0 ? gw_cli_failed(COMMAND, name, err.text) : GW_EXIT_DONE);
}

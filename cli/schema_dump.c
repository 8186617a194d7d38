/* SPDX-License-Identifier: MIT
 *
 * godwit schema dump: the device state of the built-in test machine.
 */
#include <stdlib.h>

#include <godwit/godwit.h>

#include "cmd.h"
#include "examine.h"
#include "machine/machine.h"
#include "table.h"

#define COMMAND "schema"

int gw_schema_dump_machine(int argc, char **argv)
{
    struct gw_error err = GW_ERROR_INIT;
    struct gw_machine_config config;
    struct gw_machine *m = NULL;
    char *text = NULL, *schema = NULL;
    bool qemu = false;
    const struct gw_cli_option options[] = {
        {"cpus", .number = &config.cpus, .least = 1, .most = GW_GUEST_MAX_CPUS, .value = "N",
         .help = "Of a machine with so many vCPUs."},
        {"qemu", .flag = &qemu, .help = "Write it as QEMU does with -dump-vmstate."},
        {0}};
    const struct gw_cli_command command =
        {.usage = "dump [OPTION]...", .arguments = "", .about = GW_SCHEMA_DUMP, .options = options};
    int r;

    gw_machine_config_init(&config);
    config.incoming = true;
    r = gw_cli_parse(argc, argv, &command);
    if (r >= 0)
        return r;
    r = gw_machine_new(&config, &m, &err);
    if (r >= 0)
        r = gw_machine_attach(m, &err);
    if (r >= 0)
        r = gw_schema_dump(gw_vm_registry(gw_machine_vm(m)), "godwit-1", qemu ? &schema : &text, &err);
    if (r >= 0 && qemu)
        r = gw_schema_to_dump(schema, &text, &err);
    if (r >= 0)
        printf("%s\n", text);
    free(schema);
    free(text);
    gw_machine_free(m);
    return gw_cli_end(COMMAND, r < 0 ? gw_cli_failed(COMMAND, "dump", err.text) : GW_EXIT_DONE);
}

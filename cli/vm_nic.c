/* SPDX-License-Identifier: MIT
 *
 * vm --nic: addresses that the machine announces after its arrival, and the interfaces for it. Its guest has no
 * network.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "options.h"
#include "vm.h"

/* Six pairs of hexadecimal digits separated by colons. */
static bool take_mac(const char *text, uint8_t ret_mac[6])
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    uint8_t mac[6] = {0};

    if (strlen(text) != 17)
        return false;
    for (unsigned i = 0; i < 17; i++) {
        const char *digit = strchr(digits, text[i]);

        if (i % 3 == 2 ? text[i] != ':' : !digit)
            return false;
        if (i % 3 != 2)
            mac[i / 3] = (uint8_t)(mac[i / 3] << 4 | ((digit - digits) & 15));
    }
    memcpy(ret_mac, mac, 6);
    return true;
}

static const char *take_part(struct gw_vm_nic *n, const char *part)
{
    static const char *const kinds[] = {"tap=", "interface=", "fd="};
    uint64_t fd = 0;

    for (unsigned i = 0; i < 3; i++) {
        size_t length = strlen(kinds[i]);

        if (strncmp(part, kinds[i], length))
            continue;
        if (n->where)
            return "only one of tap=, interface= and fd= can be given";
        n->kind = (enum gw_vm_nic_kind)i;
        n->where = part + length;
        if (!strcmp(kinds[i], "fd=") && !gw_option_number(n->where, 0, 1 << 20, &fd))
            return "the number of a descriptor is expected";
        n->fd = (int)fd;
        return NULL;
    }
    if (!strncmp(part, "mac=", 4)) {
        n->has_mac = take_mac(part + 4, n->mac);
        return n->has_mac ? NULL : "an address is expected, as in 52:54:00:12:34:56";
    }
    if (!strncmp(part, "id=", 3) && part[3] && strlen(part + 3) < sizeof n->id) {
        strcpy(n->id, part + 3);
        return NULL;
    }
    return "unknown key: tap=, interface=, fd=, mac= and id= are possible";
}

const char *gw_vm_nic_parse(struct gw_vm_program *v, char *text, const char **ret_part)
{
    struct gw_vm_nic *n = &v->nics[v->nic_count];
    char *save = NULL;

    *ret_part = text;
    if (v->nic_count == GW_VM_NICS)
        return "too many network cards";
    snprintf(n->id, sizeof n->id, "net%u", v->nic_count);
    for (char *part = strtok_r(text, ",", &save); part; part = strtok_r(NULL, ",", &save)) {
        const char *why = take_part(n, part);

        *ret_part = part;
        if (why)
            return why;
    }
    if (!n->where || !n->has_mac)
        return n->where ? "mac= is needed: the address that the guest's card has" : "tap=, interface= or fd= is needed: where it is announced";
    n->program = v;
    v->nic_count++;
    return NULL;
}

static int send_frame(void *opaque, const void *frame, size_t bytes, struct gw_error *err)
{
    struct gw_vm_nic *n = opaque;
    int r = gw_nic_send(n->port, frame, bytes, err);

    if (r < 0)
        fprintf(stderr, "godwit vm: network card %s is not announced: %s\n", n->id, err->text);
    return r;
}

int gw_vm_nic_open(struct gw_vm_program *v, struct gw_error *err)
{
    int r = 0;

    for (unsigned i = 0; i < v->nic_count && r >= 0; i++) {
        struct gw_vm_nic *n = &v->nics[i];
        struct gw_nic_config config = {.id = n->id, .send = send_frame, .opaque = n};

        memcpy(config.mac, n->mac, 6);
        r = n->kind == GW_VM_NIC_TAP         ? gw_nic_open_tap(n->where, &n->port, err)
            : n->kind == GW_VM_NIC_INTERFACE ? gw_nic_open_interface(n->where, &n->port, err)
                                             : gw_nic_open_tap_fd(n->fd, &n->port, err);
        if (r >= 0)
            r = gw_vm_add_nic(gw_machine_vm(v->machine), &config, err);
        if (r < 0)
            gw_context(err, "--nic %s", n->id);
    }
    return r;
}

void gw_vm_nic_close(struct gw_vm_program *v)
{
    for (unsigned i = 0; i < v->nic_count; i++)
        v->nics[i].port = gw_nic_port_free(v->nics[i].port);
}

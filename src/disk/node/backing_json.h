/* SPDX-License-Identifier: MIT
 *
 * backing_json: "json:" names of backings. Nodes are objects inside each other, or keys with dots ("file.driver"), or both mixed:
 * here all of them are options with dotted names.
 */
#ifndef GW_DISK_NODE_BACKING_JSON_H
#define GW_DISK_NODE_BACKING_JSON_H

#include "disk/node/backing_name.h"

/* text: after "json:". Errors do not name the image. */
int gw_backing_json_get(const char *text, struct gw_backing_name *ret, struct gw_error *err);
/* The URI of an export: on a server at a socket path, or at host and port (NULL: the default port). NULL: no memory. */
char *gw_backing_nbd_uri(const char *socket, const char *host, const char *port, const char *export_name);

#endif

/* SPDX-License-Identifier: MIT
 *
 * image: the guest program as built, to be loaded at GW_GUEST_TEXT_GPA. A multiple of 8 bytes.
 */
#ifndef GW_MACHINE_IMAGE_H
#define GW_MACHINE_IMAGE_H

extern const unsigned char gw_guest_image[];
extern const unsigned long gw_guest_image_bytes;

#endif

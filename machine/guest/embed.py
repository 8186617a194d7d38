#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the guest program as a C array: embed.py PROGRAM.bin OUT.c"""
import sys

data = open(sys.argv[1], "rb").read()
data += bytes(-len(data) % 8)
with open(sys.argv[2], "w") as out:
    out.write('#include "machine/image.h"\n\n_Alignas(8) const unsigned char gw_guest_image[] = {\n')
    for at in range(0, len(data), 16):
        out.write("    " + " ".join(f"0x{b:02x}," for b in data[at : at + 16]) + "\n")
    out.write("};\nconst unsigned long gw_guest_image_bytes = sizeof(gw_guest_image);\n")

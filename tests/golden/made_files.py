# SPDX-License-Identifier: MIT
"""Files: qcow2 images, schemas."""
from making import accept, reject, u16, u32, u64

# ---- qcow2 -------------------------------------------------------------------------------------------------------------------

CLUSTER = 512


def header(version=3, backing=(0, 0), bits=9, size=32768, crypt=0, table=(1, 3 * CLUSTER), counts=(CLUSTER, 1), snapshots=(0, 0),
           features=(0, 0, 0), order=4, length=104, extension=b"", magic=b"QFI\xfb"):
    data = magic + u32(version) + u64(backing[0]) + u32(backing[1], bits) + u64(size) + u32(crypt, table[0])
    data += u64(table[1], counts[0]) + u32(counts[1], snapshots[0]) + u64(snapshots[1])
    return data + (u64(*features) + u32(order, length) + extension if version > 2 else b"")


def image(first=None, l1=None, l2=None, counts=(1,) * 6, count_table=2 * CLUSTER, last=b"\x33" * CLUSTER, **kw):
    """The header, one cluster each: table of counts, counts, L1, L2, data."""
    copied = 1 << 63
    clusters = [header(**kw) if first is None else first, u64(count_table), b"".join(u16(c) for c in counts),
                u64(copied | 4 * CLUSTER if l1 is None else l1), u64(*[copied | 5 * CLUSTER] if l2 is None else l2), last]
    return b"".join(c.ljust(CLUSTER, b"\0") for c in clusters)


def qcow2():
    t, copied = "qcow2", 1 << 63

    def bad(name, text, **kw):
        reject(t, name, image(**kw), text)

    accept(t, "version-3", image(), "A disk of 32 KiB with one cluster of 512 bytes.")
    accept(t, "version-2", image(version=2), "The same in version 2.")
    accept(t, "empty", image(l1=0, counts=(1,) * 4), "A disk without contents.")
    accept(t, "extension", image(extension=u32(0x12345678, 5) + b"hello\0\0\0" + u32(0, 0)),
           "An extension of the header that nobody knows.")
    reject(t, "short", image()[:60], "60 bytes of the header.")
    reject(t, "cut", image()[:3 * CLUSTER - 1], "The file ends before its L1 table.")
    bad("magic", "Another magic.", magic=b"QFI\xfa")
    bad("version-4", "Version 4.", version=4)
    bad("cluster-8", "Clusters of 256 bytes.", bits=8)
    bad("cluster-22", "Clusters of 4 MiB.", bits=22)
    bad("cluster-200", "Clusters of 2^200 bytes.", bits=200)
    bad("size", "A disk of 2^64 - 1 bytes.", size=2 ** 64 - 1)
    bad("l1-few", "The L1 table has one entry, and the disk needs 64.", size=64 * 32768)
    bad("l1-many", "2^32 - 1 entries of the L1 table.", table=(0xFFFFFFFF, 3 * CLUSTER))
    bad("l1-odd", "The L1 table begins within a cluster.", first=header(table=(1, 3 * CLUSTER + 8)))
    bad("l1-far", "The L1 table is behind what 64 bits can say.", first=header(table=(1, 2 ** 64 - CLUSTER)))
    bad("counts-none", "A table of counts of 0 clusters.", first=header(counts=(CLUSTER, 0)))
    bad("counts-many", "A table of counts of 2^32 - 1 clusters.", first=header(counts=(CLUSTER, 0xFFFFFFFF)))
    bad("counts-odd", "The table of counts begins within a cluster.", first=header(counts=(CLUSTER + 8, 1)))
    bad("counts-order", "Counts of 128 bits.", first=header(order=7))
    bad("crypt", "An encryption that nobody knows.", first=header(crypt=3))
    bad("incompatible", "A feature that must be known, and is not.", first=header(features=(1 << 60, 0, 0)))
    bad("corrupt", "It says itself that it is damaged.", first=header(features=(2, 0, 0)))
    bad("header-long", "A header of 4 GiB - 1.", first=header(length=0xFFFFFFFF))
    bad("header-short", "A header of 100 bytes in version 3.", first=header(length=100))
    bad("backing-long", "The name of a backing file has 2000 bytes.", first=header(backing=(104, 2000)))
    bad("backing-far", "The name of a backing file is behind the first cluster.", first=header(backing=(2 ** 63, 10)))
    bad("extension-long", "An extension of the header of 4 GiB - 1.", first=header(extension=u32(0x12345678, 0xFFFFFFFF)))
    bad("snapshots-many", "2^32 - 1 snapshots.", first=header(snapshots=(0xFFFFFFFF, CLUSTER)))
    bad("snapshots-none", "A table of a snapshot of zeros.", first=header(snapshots=(1, 4 * CLUSTER)), l2=[0])
    bad("l2-far", "An L2 table behind the file.", l1=copied | 1 << 40)
    bad("data-far", "A cluster of data far behind the file.", l2=[copied | 1 << 50])
    bad("data-in-tables", "A cluster of data where the counts are.", l2=[copied | 2 * CLUSTER])
    bad("shared", "Two clusters of the disk in one of the file, of which each may be written.", l2=[copied | 5 * CLUSTER] * 2)
    bad("count-0", "A cluster that is in use and counted as free.", counts=(1, 1, 1, 1, 1, 0))
    bad("counts-far", "The counts are far behind the file.", count_table=1 << 50)
    bad("compressed", "A compressed cluster that cannot be decompressed.", l2=[1 << 62 | 5 * CLUSTER], last=b"\xff" * CLUSTER)
    bad("compressed-far", "A compressed cluster far behind the file.", l2=[1 << 62 | 1 << 55])


# ---- two schemas -------------------------------------------------------------------------------------------------------------


def schemas():
    t = "schema"

    def schema(fields='{"name":"a","type":"uint32","size":4}', more="", number=1, device='"name":"d","instance_id":0'):
        state = '{"name":"d","version":2,"oldest":1,"fields":[%s]}' % fields
        return '{"godwit_schema":%d,"machine":"m","devices":[{%s,"state":%s}%s]}' % (number, device, state, more)

    def both(first, second=None):
        return first.encode() + b"\0" + (schema() if second is None else second).encode()

    def bad(name, text, first, second=None):
        reject(t, name, both(first, second), text)

    accept(t, "same", both(schema()), "The same schema twice.")
    accept(t, "breaks", both(schema('{"name":"a","type":"uint64","size":8}')), "A field that has another length: read, and told.")
    accept(t, "old-style", both('{"godwit_schema":1,"machine":"m","devices":[{"name":"d","instance_id":0,"version":3}]}'),
           "A device of which only the version is known.")
    bad("nothing", "Nothing on the one side.", "")
    bad("nothing-there", "Nothing on the other side.", schema(), "")
    bad("cut", "The text ends within it.", schema()[:-5])
    bad("behind", "Something behind the schema.", schema() + "1")
    bad("array", "An array.", "[" + schema() + "]")
    bad("number", "A number of the format that is not known.", schema(number=2))
    bad("no-devices", "No list of devices.", '{"godwit_schema":1,"machine":"m"}')
    bad("state-is-number", "A description that is a number.",
        '{"godwit_schema":1,"machine":"m","devices":[{"name":"d","instance_id":0,"state":3}]}')
    bad("field-is-text", "A field that is a string.", schema('"a"'))
    bad("size-is-text", "A size that is a string, where it is read.", schema(), schema('{"name":"a","type":"uint32","size":"4"}'))
    bad("no-version", "A description without its version.", schema().replace('"version":2,', ""))
    bad("deep", "10000 brackets.", "[" * 10000 + "]" * 10000)

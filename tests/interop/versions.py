# SPDX-License-Identifier: MIT
"""The versions of QEMU that scripts/peers fetches, and what of them differs for these tests."""

VERSIONS = ("5.2", "7.2", "10.0", "11.1")


def at_least(version, since):
    """Whether a QEMU of this version, "10.0", has what came with another one."""
    return numbers(version) >= numbers(since)


def numbers(version):
    return tuple(int(n) for n in version.split("."))


def has_file(version):
    """`file:` as a URI of a migration."""
    return at_least(version, "8.2")


def has_mapped_ram(version):
    return at_least(version, "9.0")


def says_switchover(version):
    """Whether it sends SWITCHOVER_START when its machine type is the newest or has no version."""
    return at_least(version, "10.0")


def profile(version):
    """What our --peer calls it: the newest that is known and not newer."""
    return ([p for p in ("7.2", "9.0", "10.0") if at_least(version, p)] or ["7.2"])[-1]


def ack_properties(version):
    """With switchover-ack, 11.1 waits for a word only where a device asks for one, and for good when it comes unasked. To
    talk to any other it has to be told, as its machine types up to 11.0 do by themselves."""
    return [("switchover-ack-legacy", "on")] if at_least(version, "11.1") else []


def circuit(nodes):
    """A list that begins and ends with the first node and has each ordered pair of nodes, equal ones too, side by side
    exactly once."""
    walk, left = [], {n: list(nodes) for n in nodes}
    stack = [nodes[0]]
    while stack:
        if left[stack[-1]]:
            stack.append(left[stack[-1]].pop(0))
        else:
            walk.append(stack.pop())
    return walk[::-1]

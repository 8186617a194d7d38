/* SPDX-License-Identifier: MIT
 *
 * Every vCPU starts here, in 64-bit mode: rdi is its number, rsp the end of its stack. The second function is at
 * GW_GUEST_YIELD_GPA and does nothing; see there why. */
    .section .start, "ax"
    .code64
    .globl _start
_start:
    xor %ebp, %ebp
    call gw_guest_main
1:  jmp 1b

    .balign 16
    .globl guest_yield
guest_yield:
    nop
    ret
    .section .note.GNU-stack, "", @progbits

#!/usr/bin/env python3
"""Runs a command under a filter of system calls (seccomp(2)) in which io_uring_setup fails.

    without_io_uring.py EPERM|ENOSYS COMMAND [ARGUMENTS]

As containers do it: Docker's filter says EPERM, others ENOSYS, as if the kernel had no such call.
"""

import ctypes
import errno
import os
import struct
import sys

PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
PR_SET_NO_NEW_PRIVS = 38

# The number on every architecture but Alpha (asm-generic/unistd.h).
IO_URING_SETUP = 425

# linux/bpf_common.h and linux/seccomp.h.
LOAD_WORD = 0x20
JUMP_IF_EQUAL = 0x15
RETURN = 0x06
RET_ERRNO = 0x00050000
RET_ALLOW = 0x7FFF0000


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def instruction(code, operand, if_true=0, if_false=0):
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def deny(error):
    instructions = b"".join(
        [
            # The first word of what is judged is the call's number.
            instruction(LOAD_WORD, 0),
            instruction(JUMP_IF_EQUAL, IO_URING_SETUP, if_false=1),
            instruction(RETURN, RET_ERRNO | error),
            instruction(RETURN, RET_ALLOW),
        ]
    )
    program = Program(len(instructions) // 8, instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    # Without new privileges no privilege is needed for a filter.
    for option, argument, more in [
        (PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), ctypes.c_ulong(0)),
        (PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.byref(program)),
    ]:
        if libc.prctl(option, argument, more, ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
            raise OSError(ctypes.get_errno(), "the filter can't be installed")


deny(getattr(errno, sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])

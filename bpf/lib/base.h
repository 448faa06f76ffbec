/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What every header needs: kernel types, helpers, and the numbers that vmlinux.h (BTF) does not carry because they are macros. */
#pragma once

/* vmlinux.h has a typedef of this name; ours is the noun that matters here. */
#define config vmlinux_config
#include "vmlinux.h"
#undef config

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define TC_ACT_OK   0
#define TC_ACT_SHOT 2

/* What a step returns when the walk goes on. An action is >= 0 and small, a drop is -(enum drop_reason). */
#define CONTINUE 256
/* An action as well: the walk has ended, and the program that made it hands on to the one that reads HTTP (http_connection.h). */
#define TO_READER 257

#define ETH_P_IP   0x0800
#define ETH_P_ARP  0x0806
#define ETH_P_IPV6 0x86DD
#define ETH_HLEN   14
#define ETH_ALEN   6

#define PACKET_TYPE_HOST      0
#define PACKET_TYPE_BROADCAST 1
#define PACKET_TYPE_MULTICAST 2

#define IPV4_DONT_FRAGMENT 0x4000

#define AF_INET  2
#define AF_INET6 10

#define ENOENT       2
#define E2BIG        7
#define ENOMEM       12
#define EEXIST       17
#define EINVAL       22
#define EADDRINUSE   98
#define ECONNREFUSED 111
#define EHOSTUNREACH 113

#define IPPROTO_ICMPV6 58	/* the kernel has it as a macro, the others as an enum */

#define NANOSECONDS 1000000000ULL

#define member_offset(type, member) __builtin_offsetof(type, member)
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Keeps clang 19 from copying a value before its bounds check: the verifier follows the copy that was checked, not its twin. */
static __always_inline __u64 opaque(__u64 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Addresses are 16 bytes everywhere; IPv4 is ::ffff:a.b.c.d. So every step is written once for both families. */
#pragma once

#include "base.h"

/* No 64-bit member: it would align to 8 bytes, and keys of 20 bytes would carry hidden padding. */
struct addr {
	union {
		__u8 bytes[16];
		__be32 words[4];
	};
};
_Static_assert(sizeof(struct addr) == 16, "addr");

#define ADDR_V4_MARK bpf_htonl(0x0000ffff)

static __always_inline struct addr addr_from_v4(__be32 v4)
{
	struct addr addr;

	addr.words[0] = 0;
	addr.words[1] = 0;
	addr.words[2] = ADDR_V4_MARK;
	addr.words[3] = v4;
	return addr;
}

static __always_inline bool addr_is_v4(const struct addr *addr)
{
	return addr->words[2] == ADDR_V4_MARK && addr->words[1] == 0 && addr->words[0] == 0;
}

static __always_inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->words[3] == b->words[3] && a->words[2] == b->words[2] && a->words[1] == b->words[1] && a->words[0] == b->words[0];
}

static __always_inline bool addr_is_zero(const struct addr *addr)
{
	return (addr->words[0] | addr->words[1] | addr->words[2] | addr->words[3]) == 0;
}

/* memcmp order, so that user space can build the same sorted keys. */
static __always_inline int addr_compare(const struct addr *a, const struct addr *b)
{
	for (int i = 0; i < 4; i++) {
		__u32 left = bpf_ntohl(a->words[i]), right = bpf_ntohl(b->words[i]);

		if (left != right)
			return left < right ? -1 : 1;
	}
	return 0;
}

static __always_inline bool addr_is_link_local(const struct addr *addr)
{
	return (addr->words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Multicast of either family, and the limited broadcast. Directed broadcasts are unknown to the node: they are unknown addresses. */
static __always_inline bool addr_is_multicast(const struct addr *addr)
{
	if (!addr_is_v4(addr))
		return addr->bytes[0] == 0xff;
	return (addr->words[3] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || addr->words[3] == 0xffffffff;
}

/* What nobody on a network can be: unspecified (0.0.0.0/8, ::), loopback (127.0.0.0/8, ::1), multicast. */
static __always_inline bool addr_is_martian(const struct addr *addr)
{
	if (addr_is_v4(addr))
		return addr->bytes[12] == 0 || addr->bytes[12] == 127 || addr_is_multicast(addr);
	return addr_is_multicast(addr) || !(addr->words[0] | addr->words[1] | addr->words[2] | (addr->words[3] & ~bpf_htonl(1)));
}

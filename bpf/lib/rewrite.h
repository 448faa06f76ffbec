/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Rewrites an end of a TCP or UDP packet in place: a fourth of what the helpers of translate.h take. They know how far the packet's
 * checksum has been computed and we ask the kernel's own structure, so kernels without that (before 6.2) go on with the helpers.
 */
#pragma once

#include <bpf/bpf_core_read.h>

#include "checksum.h"
#include "packet.h"

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

#define CHECKSUM_UNNECESSARY 1
#define CHECKSUM_PARTIAL     3

/* What the transport checksum of this packet is now. */
enum checksum_state {
	CHECKSUM_WHOLE,		/* complete, and nobody has a copy of it */
	CHECKSUM_PSEUDO,	/* of the addresses alone: the device adds the rest (CHECKSUM_PARTIAL) */
	CHECKSUM_HELPERS,	/* the device has summed up the packet as it came (CHECKSUM_COMPLETE), or we cannot know */
};

static __always_inline enum checksum_state checksum_state_of(struct __sk_buff *skb)
{
	struct sk_buff *kernel;
	__u8 state;

	if (!bpf_cast_to_kern_ctx)
		return CHECKSUM_HELPERS;
	kernel = bpf_cast_to_kern_ctx(skb);
	state = BPF_CORE_READ_BITFIELD(kernel, ip_summed);
	if (state == CHECKSUM_PARTIAL)
		return CHECKSUM_PSEUDO;
	return state <= CHECKSUM_UNNECESSARY ? CHECKSUM_WHOLE : CHECKSUM_HELPERS;
}

static __always_inline __u64 words_difference(const __be32 *old, const struct addr *new, const bool v6)
{
	if (!v6)
		return (__u64)(__u32)~old[0] + new->words[3];
	return (__u64)(__u32)~old[0] + new->words[0] + (__u32)~old[1] + new->words[1] +
	       (__u32)~old[2] + new->words[2] + (__u32)~old[3] + new->words[3];
}

/*
 * `at` points to the end's address in the IP header and `port` to its port, both within checked bounds; `check` is the transport checksum
 * and `ip_check` that of the IPv4 header.
 */
struct rewrite {
	__be32 *at;
	__be16 *port;
	__u16 *check;
	__u16 *ip_check;	/* IPv4 only */
};

static __always_inline void rewrite_end(const struct rewrite *where, const struct addr *addr, __be16 port, enum checksum_state state, bool udp, const bool v6)
{
	__u64 difference = words_difference(where->at, addr, v6);
	__u16 check = *where->check;

	if (state == CHECKSUM_PSEUDO) {
		*where->check = sum_fold(difference + check);
	} else if (!udp || check) {
		check = ~sum_fold(difference + (__u16)~check + (__u16)~*where->port + port);
		/* UDP: 0 would mean "none". */
		*where->check = udp && !check ? 0xffff : check;
	}
	*where->port = port;
	if (v6) {
		where->at[0] = addr->words[0];
		where->at[1] = addr->words[1];
		where->at[2] = addr->words[2];
	} else {
		*where->ip_check = ~sum_fold(difference + (__u16)~*where->ip_check);
	}
	where->at[v6 ? 3 : 0] = addr->words[3];
}

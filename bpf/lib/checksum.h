/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The Internet checksum (RFC 1071), made and mended. The order of bytes does not matter as long as all words have the same. */
#pragma once

#include "base.h"

/* A sum of 16-bit or 32-bit words as 16 bits, every carry brought round. */
static __always_inline __u16 sum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Of whole words whose own checksum field is 0. */
static __always_inline __sum16 checksum_of(void *words, __u32 size)
{
	return ~sum_fold((__u32)bpf_csum_diff(NULL, 0, words, size, 0));
}

/* One hop less: the header's sum falls by 0x0100, so its complement rises by as much (RFC 1624). */
static __always_inline void hop_v4(struct iphdr *ip)
{
	__u32 check = (__u32)ip->check + bpf_htons(0x0100);

	ip->check = check + (check >= 0xffff);
	ip->ttl--;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Rewrites one end of a packet: address, port, and every checksum that covers them. */
#pragma once

#include "crc32c.h"
#include "packet.h"

enum packet_end {
	END_SOURCE = 0,
	END_DESTINATION = 1,
};

/* Where the address of an end is written, in the IP header at `l3`. */
static __always_inline __u32 address_offset(__u32 l3, bool v6, bool destination)
{
	return l3 + (v6 ? (destination ? 24 : 8) : (destination ? 16 : 12));
}

/* Sum of the difference between two addresses, for bpf_l4_csum_replace with from = 0. */
static __always_inline __s64 address_difference(struct addr *old, struct addr *new, bool v6)
{
	return v6 ? bpf_csum_diff(old->words, 16, new->words, 16, 0) : bpf_csum_diff(&old->words[3], 4, &new->words[3], 4, 0);
}

static __always_inline long address_store(struct __sk_buff *skb, __u32 l3, bool v6, bool destination, struct addr *old, struct addr *new)
{
	__u32 at = address_offset(l3, v6, destination);

	if (v6)
		return bpf_skb_store_bytes(skb, at, new->words, 16, 0);
	if (bpf_l3_csum_replace(skb, l3 + member_offset(struct iphdr, check), old->words[3], new->words[3], 4))
		return -1;
	return bpf_skb_store_bytes(skb, at, &new->words[3], 4, 0);
}

/* Distance of the checksum from the transport header, 0 when the header has none that covers addresses or ports (SCTP). */
static __always_inline __u32 checksum_distance(__u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return member_offset(struct tcphdr, check);
	case IPPROTO_UDP:
		return member_offset(struct udphdr, check);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 2;
	default:
		return 0;
	}
}

static __always_inline __u32 port_distance(__u8 protocol, bool destination)
{
	return protocol_has_ports(protocol) ? (destination ? 2 : 0) : 4;
}

/* Source and destination port are the first two halves of the first word, in memory as on the wire. */
static __always_inline int translate_sctp(struct __sk_buff *skb, struct headers *packet, int end, __be16 port)
{
	__be16 old = end == END_SOURCE ? packet->source_port : packet->destination_port;
	__u32 change = __builtin_bswap16(bpf_ntohs(old ^ port));
	int verdict;

	if (old == port)
		return CONTINUE;
	verdict = sctp_checksum_change(skb, packet, end == END_SOURCE ? change : change << 16);
	if (verdict != CONTINUE)
		return verdict;
	return bpf_skb_store_bytes(skb, packet->l4_offset + (end == END_SOURCE ? 0 : 2), &port, 2, 0) ? -DROP_WRITE_ERROR : CONTINUE;
}

/* The transport header of an ordinary packet. */
static __noinline int translate_transport(struct __sk_buff *skb, struct headers *packet, int end, __be16 port, __s64 difference)
{
	__u32 l4 = packet->l4_offset, sum = l4 + checksum_distance(packet->protocol);
	__be16 old = end == END_SOURCE ? packet->source_port : packet->destination_port;
	/* A UDP checksum of 0 means "none" and stays 0; one that becomes 0 is written as 0xffff. */
	__u64 flags = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;

	if (packet->protocol == IPPROTO_SCTP)
		return translate_sctp(skb, packet, end, port);
	if (sum == l4)
		return old == port ? CONTINUE : -DROP_NAT_UNSUPPORTED_PROTOCOL;
	if (packet->protocol != IPPROTO_ICMP && bpf_l4_csum_replace(skb, sum, 0, difference, flags | BPF_F_PSEUDO_HDR))
		return -DROP_WRITE_ERROR;
	if (old == port)
		return CONTINUE;
	if (bpf_l4_csum_replace(skb, sum, old, port, flags | 2) ||
	    bpf_skb_store_bytes(skb, l4 + port_distance(packet->protocol, end == END_DESTINATION), &port, 2, 0))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/*
 * The quoted headers of an ICMP error, whose ends are the other way round. In ICMPv4 the quoted address and the quoted header checksum
 * cancel out in the ICMP checksum. The quoted transport checksum is left as it was: it may not be quoted at all, and nobody verifies
 * it, as the quoted packet is cut.
 */
static __noinline int translate_quoted(struct __sk_buff *skb, struct headers *packet, int end, struct addr *addr, __be16 port)
{
	bool v6 = packet_is_v6(packet), destination = end == END_SOURCE;
	struct addr old = end == END_SOURCE ? packet->source : packet->destination;
	__be16 old_port = end == END_SOURCE ? packet->source_port : packet->destination_port;
	__u32 sum = packet->l4_offset + 2;
	__u32 at = packet->quoted_l4_offset + port_distance(packet->protocol, destination);

	if (address_store(skb, packet->quoted_l3_offset, v6, destination, &old, addr))
		return -DROP_WRITE_ERROR;
	if (v6 && bpf_l4_csum_replace(skb, sum, 0, address_difference(&old, addr, v6), 0))
		return -DROP_WRITE_ERROR;
	if (old_port != port &&
	    (bpf_l4_csum_replace(skb, sum, old_port, port, 2) || bpf_skb_store_bytes(skb, at, &port, 2, 0)))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

static __always_inline void end_note(struct headers *packet, int end, const struct addr *addr, __be16 port)
{
	if (end == END_SOURCE) {
		packet->source = *addr;
		packet->source_port = port;
	} else {
		packet->destination = *addr;
		packet->destination_port = port;
	}
}

/* Packet pointers are stale after this. */
__noinline int translate(struct __sk_buff *skb, struct headers *packet, int end, struct addr *addr, __be16 port)
{
	int verdict = CONTINUE;
	struct addr old;
	__s64 difference;
	bool v6, quoted;

	if (!packet || !addr)
		return -DROP_INVALID_PACKET;
	if (unlikely(packet->flags & PACKET_OTHER_FAMILY)) {
		end_note(packet, end, addr, port);
		return CONTINUE;
	}
	v6 = packet_is_v6(packet);
	quoted = packet->flags & PACKET_ICMP_ERROR;
	old = end == END_SOURCE ? packet->source : packet->destination;
	difference = address_difference(&old, addr, v6);
	if (addr_is_v4(addr) == v6)
		return -DROP_INVALID_PACKET;
	if (quoted)
		verdict = translate_quoted(skb, packet, end, addr, port);
	else if (!(packet->flags & PACKET_LATER_FRAGMENT))
		verdict = translate_transport(skb, packet, end, port, difference);
	if (verdict != CONTINUE)
		return verdict;

	/* An error about a connection may come from a router on the way: then its own source is not one of the ends. */
	if (!quoted || end == END_DESTINATION || addr_equal(&packet->reporter, &old)) {
		if (address_store(skb, ETH_HLEN, v6, end == END_DESTINATION, &old, addr))
			return -DROP_WRITE_ERROR;
		if (quoted && v6 && bpf_l4_csum_replace(skb, packet->l4_offset + 2, 0, difference, BPF_F_PSEUDO_HDR))
			return -DROP_WRITE_ERROR;
		if (end == END_SOURCE)
			packet->reporter = *addr;
	}
	end_note(packet, end, addr, port);
	return CONTINUE;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Rewrites one end of a packet: address, port, and every checksum that covers them. */
#pragma once

#include "crc32c.h"
#include "packet.h"
#include "rewrite.h"

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

/* An ordinary TCP or UDP packet whose headers lie in one piece. False: nothing has been changed, the helpers must do it. */
static __always_inline bool translate_in_place(struct __sk_buff *skb, const struct headers *packet, int end, const struct addr *addr, __be16 port, const bool v6)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end, *l4;
	enum checksum_state state = checksum_state_of(skb);
	bool destination = end == END_DESTINATION, udp = packet->protocol == IPPROTO_UDP;
	__u64 offset = opaque(packet->l4_offset);
	struct rewrite where = {};

	if (state == CHECKSUM_HELPERS || offset > DIRECT_OFFSET_MAX || (!udp && packet->protocol != IPPROTO_TCP))
		return false;
	l4 = data + offset;
	if (l4 + sizeof(struct tcphdr) > data_end || data + ETH_HLEN + sizeof(struct ipv6hdr) > data_end)
		return false;
	where.at = data + address_offset(ETH_HLEN, v6, destination);
	where.port = l4 + port_distance(packet->protocol, destination);
	where.check = udp ? l4 + member_offset(struct udphdr, check) : l4 + member_offset(struct tcphdr, check);
	where.ip_check = data + ETH_HLEN + member_offset(struct iphdr, check);
	rewrite_end(&where, addr, port, state, udp, v6);
	return true;
}

/* Writes the end into an ordinary packet or a later fragment. */
static __always_inline int translate_plain(struct __sk_buff *skb, struct headers *packet, int end, struct addr *old, struct addr *addr, __be16 port)
{
	bool v6 = packet_is_v6(packet);
	int verdict;

	if (!(packet->flags & PACKET_LATER_FRAGMENT)) {
		if (v6 ? translate_in_place(skb, packet, end, addr, port, true) : translate_in_place(skb, packet, end, addr, port, false))
			return CONTINUE;
		verdict = translate_transport(skb, packet, end, port, address_difference(old, addr, v6));
		if (verdict != CONTINUE)
			return verdict;
	}
	return address_store(skb, ETH_HLEN, v6, end == END_DESTINATION, old, addr) ? -DROP_WRITE_ERROR : CONTINUE;
}

/* The address in the outer header of an ICMP error. It may come from a router on the way: then its own source is not one of the ends. */
static __always_inline int translate_reporter(struct __sk_buff *skb, struct headers *packet, int end, struct addr *old, struct addr *addr)
{
	bool v6 = packet_is_v6(packet);

	if (end == END_SOURCE && !addr_equal(&packet->reporter, old))
		return CONTINUE;
	if (address_store(skb, ETH_HLEN, v6, end == END_DESTINATION, old, addr))
		return -DROP_WRITE_ERROR;
	if (v6 && bpf_l4_csum_replace(skb, packet->l4_offset + 2, 0, address_difference(old, addr, v6), BPF_F_PSEUDO_HDR))
		return -DROP_WRITE_ERROR;
	if (end == END_SOURCE)
		packet->reporter = *addr;
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
	struct addr old;
	int verdict;

	if (!packet || !addr)
		return -DROP_INVALID_PACKET;
	if (unlikely(packet->flags & PACKET_OTHER_FAMILY)) {
		end_note(packet, end, addr, port);
		return CONTINUE;
	}
	if (addr_is_v4(addr) == packet_is_v6(packet))
		return -DROP_INVALID_PACKET;
	old = end == END_SOURCE ? packet->source : packet->destination;
	if (packet->flags & PACKET_ICMP_ERROR) {
		verdict = translate_quoted(skb, packet, end, addr, port);
		if (verdict == CONTINUE)
			verdict = translate_reporter(skb, packet, end, &old, addr);
	} else {
		verdict = translate_plain(skb, packet, end, &old, addr, port);
		if (end == END_SOURCE)
			packet->reporter = *addr;
	}
	if (verdict == CONTINUE)
		end_note(packet, end, addr, port);
	return verdict;
}

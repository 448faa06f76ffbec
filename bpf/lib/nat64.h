/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Between the families, where a service and its backend are not of the same (SERVICE_NAT46X64). Addresses are 16 bytes everywhere, so a
 * connection between an IPv6 client and an IPv4 backend has an entry like any other; only the frame is late: while a packet has the flag
 * PACKET_OTHER_FAMILY, translate() notes new ends and leaves the frame alone, until family_cross() writes them all at once.
 *
 * Who a backend of the other family hears: instead of a client outside the node (nat.h), instead of a pod the pod under its own address of
 * that family, so that policy, connections and masquerade are those of any pod's packets.
 *
 * TCP and UDP without fragments, options and errors, whose translation (RFC 7915) is another matter.
 */
#pragma once

#include "service.h"
#include "translate.h"

static __always_inline bool family_may_cross(const struct headers *packet)
{
	if (packet->flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT | PACKET_ICMP_ERROR) || packet_has_options(packet))
		return false;
	return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
}

/* A pod's packet, on its way to such a backend. */
static __noinline int family_enter(struct packet *packet, const struct service *service)
{
	if (!(service->flags & SERVICE_NAT46X64) || !family_may_cross(&packet->headers) || !packet->from || addr_is_zero(&packet->from->other))
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	packet->source = packet->from->other;
	packet->flags |= PACKET_OTHER_FAMILY;
	return CONTINUE;
}

/* The answer to such a packet, on its way to the pod. */
static __noinline int family_return(struct packet *packet)
{
	if (!family_may_cross(&packet->headers) || !packet->to || addr_is_zero(&packet->to->other))
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	packet->destination = packet->to->other;
	packet->flags |= PACKET_OTHER_FAMILY;
	return CONTINUE;
}

/* The addresses that stand in the frame. An IPv4 address in 16 bytes adds 0xffff more than in four, which is nothing in these sums. */
static __always_inline long frame_addresses(struct __sk_buff *skb, bool v6, struct address_pair *pair)
{
	__be32 v4[2];

	if (v6)
		return bpf_skb_load_bytes(skb, ETH_HLEN + member_offset(struct ipv6hdr, saddr), pair, sizeof(*pair));
	if (bpf_skb_load_bytes(skb, ETH_HLEN + member_offset(struct iphdr, saddr), v4, sizeof(v4)))
		return -1;
	pair->source = addr_from_v4(v4[0]);
	pair->destination = addr_from_v4(v4[1]);
	return 0;
}

/* Ends and checksum of the transport header, while the old IP header is still there. */
static __noinline int family_transport(struct __sk_buff *skb, struct headers *packet)
{
	__u32 l4 = packet->l4_offset, check_at = l4 + checksum_distance(packet->protocol);
	__u64 flags = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	struct address_pair before = {}, after = { packet->source, packet->destination };
	__be16 new_ports[2] = { packet->source_port, packet->destination_port };
	__be32 old, new;
	__sum16 check;

	if (frame_addresses(skb, packet_is_v6(packet), &before) || bpf_skb_load_bytes(skb, l4, &old, sizeof(old)) ||
	    bpf_skb_load_bytes(skb, check_at, &check, sizeof(check)))
		return -DROP_INVALID_PACKET;
	/* IPv6 knows no datagram without a checksum, and nobody here sums one up. */
	if (packet->protocol == IPPROTO_UDP && !check)
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	__builtin_memcpy(&new, new_ports, sizeof(new));
	if (bpf_l4_csum_replace(skb, check_at, 0, bpf_csum_diff((__be32 *)&before, sizeof(before), (__be32 *)&after, sizeof(after), 0), flags | BPF_F_PSEUDO_HDR) ||
	    bpf_l4_csum_replace(skb, check_at, old, new, flags | sizeof(new)) ||
	    bpf_skb_store_bytes(skb, l4, &new, sizeof(new), 0))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

static __always_inline int family_write6(struct __sk_buff *skb, const struct headers *packet)
{
	struct ipv6hdr ip = { .version = 6, .payload_len = bpf_htons(packet->l4_length), .nexthdr = packet->protocol, .hop_limit = packet->hop_limit };
	__be16 type = bpf_htons(ETH_P_IPV6);

	__builtin_memcpy(&ip.saddr, &packet->source, sizeof(ip.saddr));
	__builtin_memcpy(&ip.daddr, &packet->destination, sizeof(ip.daddr));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) || bpf_skb_store_bytes(skb, ETH_HLEN - 2, &type, 2, 0) ? -DROP_WRITE_ERROR : CONTINUE;
}

static __always_inline int family_write4(struct __sk_buff *skb, const struct headers *packet)
{
	struct iphdr ip = {
		.version = 4, .ihl = 5, .tot_len = bpf_htons(packet->l4_length + sizeof(ip)), .frag_off = bpf_htons(IPV4_DONT_FRAGMENT),
		.ttl = packet->hop_limit, .protocol = packet->protocol, .saddr = packet->source.words[3], .daddr = packet->destination.words[3],
	};
	__be16 type = bpf_htons(ETH_P_IP);

	ip.check = checksum_of(&ip, sizeof(ip));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0) || bpf_skb_store_bytes(skb, ETH_HLEN - 2, &type, 2, 0) ? -DROP_WRITE_ERROR : CONTINUE;
}

/* The frame becomes what `packet` says, which is of the other family now. Packet pointers are stale after this. */
__noinline int family_cross(struct __sk_buff *skb, struct headers *packet)
{
	bool to_v6;
	int verdict;

	if (!packet)
		return -DROP_INVALID_PACKET;
	to_v6 = !packet_is_v6(packet);
	if (!family_may_cross(packet) || addr_is_v4(&packet->source) == to_v6 || addr_is_v4(&packet->destination) == to_v6)
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	verdict = family_transport(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (bpf_skb_change_proto(skb, bpf_htons(to_v6 ? ETH_P_IPV6 : ETH_P_IP), 0))
		return -DROP_WRITE_ERROR;
	packet->flags = (packet->flags ^ PACKET_V6) & ~PACKET_OTHER_FAMILY;
	packet->reporter = packet->source;
	packet->l4_offset = ETH_HLEN + (to_v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	return to_v6 ? family_write6(skb, packet) : family_write4(skb, packet);
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Pods see one neighbour, the host side of their veth: it answers for every address, so nothing of the node's stack is asked. */
#pragma once

#include "checksum.h"
#include "config.h"
#include "packet.h"

#define ARP_REQUEST 1
#define ARP_REPLY   2

struct arp_frame {
	__u8 destination[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__be16 type;
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__u8 sender[4];
	__u8 target_mac[ETH_ALEN];
	__u8 target[4];
} __attribute__((packed));
_Static_assert(sizeof(struct arp_frame) == 42, "arp_frame");

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] && a[5] == b[5];
}

/* The address, the device and the MAC address must be one endpoint's. */
static __always_inline int sender_check(const struct __sk_buff *skb, const struct endpoint *endpoint, const __u8 *mac)
{
	if (!endpoint || endpoint->ifindex != skb->ifindex || endpoint->flags & ENDPOINT_HOST)
		return -DROP_INVALID_SOURCE_IP;
	if (!(endpoint->flags & ENDPOINT_READY))
		return -DROP_ENDPOINT_NOT_READY;
	return mac_equal(endpoint->mac, mac) ? CONTINUE : -DROP_INVALID_SOURCE_MAC;
}

static __always_inline struct addr addr_from_bytes4(const __u8 *bytes)
{
	__be32 v4;

	__builtin_memcpy(&v4, bytes, 4);
	return addr_from_v4(v4);
}

/* ARP from a pod: requests are answered in place; replies about the pod itself are for the node's stack. */
static __noinline int arp_from_pod(struct __sk_buff *skb, struct packet *packet)
{
	struct arp_frame arp;
	const struct endpoint *endpoint;
	__u8 target[4];
	int verdict;

	if (bpf_skb_load_bytes(skb, 0, &arp, sizeof(arp)) || arp.hardware != bpf_htons(1) || arp.protocol != bpf_htons(ETH_P_IP) ||
	    arp.hardware_length != ETH_ALEN || arp.protocol_length != 4)
		return -DROP_INVALID_PACKET;
	packet->source = addr_from_bytes4(arp.sender);
	packet->destination = addr_from_bytes4(arp.target);
	/* A probe of its own address before use, or an announcement: the answer is silence. */
	if (!(arp.sender[0] | arp.sender[1] | arp.sender[2] | arp.sender[3]) || addr_equal(&packet->source, &packet->destination)) {
		packet->flags |= PACKET_SILENT;
		return -DROP_NOISE;
	}
	endpoint = packet->from = endpoint_find(&packet->source);
	verdict = sender_check(skb, endpoint, arp.sender_mac);
	if (verdict != CONTINUE)
		return verdict;
	if (!mac_equal(arp.source, arp.sender_mac))
		return -DROP_INVALID_SOURCE_MAC;
	if (arp.operation == bpf_htons(ARP_REPLY))
		return TC_ACT_OK;
	if (arp.operation != bpf_htons(ARP_REQUEST))
		return -DROP_INVALID_PACKET;

	__builtin_memcpy(target, arp.target, 4);
	__builtin_memcpy(arp.target, arp.sender, 4);
	__builtin_memcpy(arp.sender, target, 4);
	__builtin_memcpy(arp.destination, endpoint->mac, ETH_ALEN);
	__builtin_memcpy(arp.target_mac, endpoint->mac, ETH_ALEN);
	__builtin_memcpy(arp.source, endpoint->host_mac, ETH_ALEN);
	__builtin_memcpy(arp.sender_mac, endpoint->host_mac, ETH_ALEN);
	arp.operation = bpf_htons(ARP_REPLY);
	if (bpf_skb_store_bytes(skb, 0, &arp, sizeof(arp), 0))
		return -DROP_WRITE_ERROR;
	return bpf_redirect(skb->ifindex, 0);
}

/* What follows the first 8 bytes of the IPv6 header in an advertisement with the one option it needs, and what its checksum adds to that. */
struct neighbour_advertisement {
	struct addr source;
	struct addr destination;
	__u8 type;
	__u8 code;
	__be16 check;
	__be32 flags;
	struct addr target;
	__u8 option_type;
	__u8 option_length;
	__u8 option_mac[ETH_ALEN];
	__be32 pseudo_length;
	__be32 pseudo_protocol;
};
_Static_assert(sizeof(struct neighbour_advertisement) == 72, "neighbour_advertisement");

#define NEIGHBOUR_SOURCE_OFFSET (ETH_HLEN + 8)
#define NEIGHBOUR_TARGET_OFFSET (ETH_HLEN + 40 + 8)
#define NEIGHBOUR_FRAME_LENGTH  (ETH_HLEN + 40 + 32)
#define NEIGHBOUR_ROUTER_SOLICITED_OVERRIDE 0xe0000000

struct mac_pair {
	__u8 destination[ETH_ALEN];
	__u8 source[ETH_ALEN];
};

static __always_inline void mac_swap(struct mac_pair *macs)
{
	__u8 mac[ETH_ALEN];

	__builtin_memcpy(mac, macs->source, ETH_ALEN);
	__builtin_memcpy(macs->source, macs->destination, ETH_ALEN);
	__builtin_memcpy(macs->destination, mac, ETH_ALEN);
}

/* Answers a solicitation with `macs->source`. The ends of `packet` and `macs` are turned round already. */
static __noinline int neighbour_answer(struct __sk_buff *skb, const struct packet *packet, const struct mac_pair *macs)
{
	struct neighbour_advertisement answer = {
		.source = packet->source,
		.destination = packet->destination,
		.type = ICMP6_NEIGHBOUR_ADVERTISEMENT,
		.flags = bpf_htonl(NEIGHBOUR_ROUTER_SOLICITED_OVERRIDE),
		.target = packet->source,
		.option_type = 2,
		.option_length = 1,
		.pseudo_length = bpf_htonl(32),
		.pseudo_protocol = bpf_htonl(IPPROTO_ICMPV6),
	};
	__be16 payload_length = bpf_htons(32);

	__builtin_memcpy(answer.option_mac, macs->source, ETH_ALEN);
	answer.check = checksum_of(&answer, sizeof(answer));
	if (bpf_skb_change_tail(skb, NEIGHBOUR_FRAME_LENGTH, 0) ||
	    bpf_skb_store_bytes(skb, 0, macs, sizeof(*macs), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN + member_offset(struct ipv6hdr, payload_len), &payload_length, 2, 0) ||
	    bpf_skb_store_bytes(skb, NEIGHBOUR_SOURCE_OFFSET, &answer, 64, 0))
		return -DROP_WRITE_ERROR;
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline bool icmp6_is_neighbour(const struct headers *packet)
{
	return packet->protocol == IPPROTO_ICMPV6 && packet_is_v6(packet) && !(packet->flags & PACKET_LATER_FRAGMENT) &&
	       packet->icmp_type >= ICMP6_ROUTER_SOLICITATION && packet->icmp_type <= ICMP6_REDIRECT;
}

static __always_inline bool icmp6_is_listener(const struct headers *packet)
{
	return packet->protocol == IPPROTO_ICMPV6 && packet_is_v6(packet) && !(packet->flags & PACKET_LATER_FRAGMENT) &&
	       ((packet->icmp_type >= ICMP6_MLD_FIRST && packet->icmp_type <= ICMP6_MLD_LAST) || packet->icmp_type == ICMP6_MLD2);
}

/* The sender of neighbour discovery: the pod, under its address or a link-local one. A link-local sender is known by its device alone. */
static __always_inline int neighbour_sender_check(struct __sk_buff *skb, struct packet *packet, const __u8 *mac)
{
	if (addr_is_link_local(&packet->source))
		return CONTINUE;
	packet->from = endpoint_find(&packet->source);
	return sender_check(skb, packet->from, mac);
}

/*
 * Neighbour discovery from a pod. Solicitations are answered in place, whatever the target; advertisements about the pod itself are for
 * the node's stack. Link-local senders get the MAC address they wrote to, or config.host_mac when they asked all.
 */
static __noinline int neighbour_from_pod(struct __sk_buff *skb, struct packet *packet)
{
	const struct endpoint *owner;
	struct mac_pair macs;
	struct addr target;
	int verdict;

	if (packet->icmp_type == ICMP6_ROUTER_SOLICITATION) {
		packet->flags |= PACKET_SILENT;
		return -DROP_NOISE;
	}
	if (packet->icmp_type != ICMP6_NEIGHBOUR_SOLICITATION && packet->icmp_type != ICMP6_NEIGHBOUR_ADVERTISEMENT)
		return -DROP_FORBIDDEN_ICMP6;
	if (packet->l4_offset != ETH_HLEN + sizeof(struct ipv6hdr) || packet->hop_limit != 255 || packet->l4_length < 24 ||
	    bpf_skb_load_bytes(skb, 0, &macs, sizeof(macs)) ||
	    bpf_skb_load_bytes(skb, NEIGHBOUR_TARGET_OFFSET, &target, sizeof(target)))
		return -DROP_INVALID_PACKET;
	/* "Is this address free?" Here every pod is alone with the node: silence means yes. */
	if (addr_is_zero(&packet->source)) {
		packet->flags |= PACKET_SILENT;
		return -DROP_NOISE;
	}
	verdict = neighbour_sender_check(skb, packet, macs.source);
	if (verdict != CONTINUE)
		return verdict;

	if (packet->icmp_type == ICMP6_NEIGHBOUR_ADVERTISEMENT) {
		if (addr_is_multicast(&packet->destination)) {
			packet->flags |= PACKET_SILENT;
			return -DROP_NOISE;
		}
		owner = endpoint_find(&target);
		return addr_is_link_local(&target) || (owner && owner->ifindex == skb->ifindex) ? TC_ACT_OK : -DROP_INVALID_SOURCE_IP;
	}
	if (addr_is_multicast(&target))
		return -DROP_INVALID_PACKET;
	packet->destination = packet->source;
	packet->source = target;
	if (!packet->from && macs.destination[0] & 1)
		config_host_mac(macs.destination);
	else if (packet->from)
		__builtin_memcpy(macs.destination, packet->from->host_mac, ETH_ALEN);
	mac_swap(&macs);
	return neighbour_answer(skb, packet, &macs);
}

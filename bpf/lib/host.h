/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Policy of the node itself: traffic between its own addresses and pods, other nodes and the world. A node must not cut itself off,
 * whatever its policies say; so these pass, and nothing else does without being asked:
 *
 *     neighbour discovery   ARP; ICMPv6 router and neighbour messages (hop limit 255) and listener reports
 *     DHCP                  UDP 67 ↔ 68, 547 ↔ 546
 *     the overlay           UDP to OVERLAY_PORT between this node and other nodes of the cluster
 *     API servers           what the node sends to identity kube-apiserver, and what that answers, also in connections older than the policy
 *     its own pods          what the node sends to pods of its own, and their answers: probes (allow-localhost)
 *
 * The first three are let through without a connection's entry, the others with one. docs/policies.md has the same list.
 */
#pragma once

#include "config.h"
#include "packet.h"
#include "runtime.h"

#define OVERLAY_PORT       8472
#define DHCP4_SERVER_PORT  67
#define DHCP4_CLIENT_PORT  68
#define DHCP6_CLIENT_PORT  546
#define DHCP6_SERVER_PORT  547

/* Is anything of this address restricted? Then its connections are tracked, in both directions. */
static __always_inline bool host_is_restricted(const struct endpoint *endpoint)
{
	return endpoint && endpoint->flags & ENDPOINT_HOST && (endpoint->ingress_set | endpoint->egress_set);
}

/* The node's row of a family. Not inline: the stack is small. */
static __noinline const struct endpoint *host_row(bool v6)
{
	struct addr node = v6 ? config_addr(&config.node_ip6) : config_addr(&config.node_ip4);

	return endpoint_find(&node);
}

/* The node's row for an address of its own. Link-local ones have none: they are the node's too, under the policy of its IPv6 address. */
static __always_inline const struct endpoint *host_find(const struct addr *addr)
{
	return likely(!addr_is_link_local(addr)) ? endpoint_find(addr) : host_row(true);
}

/* Broadcasts and multicasts reach the node's sockets as well: they are for the node where it has a policy. */
static __always_inline const struct endpoint *host_find_for_all(const struct __sk_buff *skb, const struct headers *packet)
{
	if (skb->pkt_type != PACKET_TYPE_BROADCAST && skb->pkt_type != PACKET_TYPE_MULTICAST && !addr_is_multicast(&packet->destination))
		return NULL;
	return host_policy_exists() ? host_row(skb->protocol == bpf_htons(ETH_P_IPV6)) : NULL;
}

static __always_inline bool host_neighbour_talk(const struct headers *packet)
{
	if (!packet_is_v6(packet) || packet->protocol != IPPROTO_ICMPV6)
		return false;
	if (packet->icmp_type >= ICMP6_ROUTER_SOLICITATION && packet->icmp_type <= ICMP6_NEIGHBOUR_ADVERTISEMENT)
		return packet->hop_limit == 255;
	return (packet->icmp_type >= ICMP6_MLD_FIRST && packet->icmp_type <= ICMP6_MLD_LAST) || packet->icmp_type == ICMP6_MLD2;
}

static __always_inline bool ports_are(const struct headers *packet, __u16 one, __u16 other)
{
	__u16 source = bpf_ntohs(packet->source_port), destination = bpf_ntohs(packet->destination_port);

	return (source == one && destination == other) || (source == other && destination == one);
}

static __always_inline bool host_dhcp(const struct headers *packet)
{
	if (packet->protocol != IPPROTO_UDP)
		return false;
	return packet_is_v6(packet) ? ports_are(packet, DHCP6_CLIENT_PORT, DHCP6_SERVER_PORT) : ports_are(packet, DHCP4_CLIENT_PORT, DHCP4_SERVER_PORT);
}

static __always_inline bool host_overlay(const struct headers *packet, const struct addr *other)
{
	const struct ipcache_entry *node;

	if (!config.overlay_ifindex || packet->protocol != IPPROTO_UDP || packet->destination_port != bpf_htons(OVERLAY_PORT))
		return false;
	node = ipcache_find(other);
	return node && node->flags & IPCACHE_NODE;
}

/* What needs no entry. `other`: the end that is not the node. ICMP errors about such traffic are judged as any other. */
static __noinline bool host_is_exempt(const struct headers *packet, const struct addr *other)
{
	if (packet->flags & PACKET_ICMP_ERROR)
		return false;
	return host_neighbour_talk(packet) || host_dhcp(packet) || host_overlay(packet, other);
}

/* API servers: a node that cannot reach them hears of no change, not even of the one that would let it. */
static __always_inline bool host_may_send(const struct headers *packet)
{
	return packet->destination_identity == IDENTITY_KUBE_APISERVER;
}

/* The same connection, when the API server's packet is the first that is seen of it: nothing but SYN opens one. */
static __always_inline bool host_may_receive(const struct headers *packet)
{
	return packet->source_identity == IDENTITY_KUBE_APISERVER && packet->protocol == IPPROTO_TCP && !(packet->flags & PACKET_ICMP_ERROR) &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN;
}

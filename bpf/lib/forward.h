/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The last step: into the pod, into the tunnel, out of the uplink, or up the stack. */
#pragma once

#include "connection.h"
#include "nat.h"
#include "nat64.h"

#define TUNNEL_TTL 64

/* As Cilium's for packets that have had their NAT; of the bits that rules of others leave alone. */
#define MARK_FORWARDED 0x0300

static __always_inline void mac_write(void *at, const __u8 *mac)
{
	__builtin_memcpy(at, mac, ETH_ALEN);
}

/* One hop: MAC addresses and hop limit. Packet pointers are fetched anew, as earlier steps may have made them stale. */
static __always_inline int hop(struct __sk_buff *skb, const struct packet *packet, const __u8 *destination_mac, const __u8 *source_mac)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (packet->hop_limit <= 1)
		return -DROP_TTL_EXCEEDED;
	if (packet_is_v6(&packet->headers)) {
		struct ipv6hdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -DROP_INVALID_PACKET;
		ip->hop_limit--;
	} else {
		struct iphdr *ip = data + ETH_HLEN;

		if ((void *)(ip + 1) > end)
			return -DROP_INVALID_PACKET;
		hop_v4(ip);
	}
	mac_write(data, destination_mac);
	mac_write(data + ETH_ALEN, source_mac);
	return CONTINUE;
}

/* Into a pod on this node, without the node's stack. Only from ingress hooks. */
static __always_inline int forward_local(struct __sk_buff *skb, const struct packet *packet)
{
	int verdict;

	if (!packet->to)
		return -DROP_UNROUTABLE_IP;
	verdict = hop(skb, packet, packet->to->mac, packet->to->host_mac);
	if (verdict == CONTINUE && unlikely(http_is_read(packet)))
		return http_forward(skb, packet->to->ifindex);
	return verdict == CONTINUE ? bpf_redirect_peer(packet->to->ifindex, 0) : verdict;
}

/* The identity in the tunnel is the sender's, whichever way the connection was opened. */
static __noinline int tunnel_key_set(struct __sk_buff *skb, const struct addr *node, __u32 identity)
{
	struct bpf_tunnel_key key = { .tunnel_id = identity, .tunnel_ttl = TUNNEL_TTL };
	__u64 flags = 0;

	if (addr_is_zero(node))
		return -DROP_NO_TUNNEL_ENDPOINT;
	if (addr_is_v4(node)) {
		/* Host order, unlike all other addresses. No outer checksum: the inner one is there. */
		key.remote_ipv4 = bpf_ntohl(node->words[3]);
		flags = BPF_F_ZERO_CSUM_TX;
	} else {
		/* IPv6 receivers drop a checksum of zero unless told otherwise. */
		__builtin_memcpy(key.remote_ipv6, node->words, 16);
		flags = BPF_F_TUNINFO_IPV6;
	}
	/* Kernels differ in what follows local_ipv4; all know the size up to there. */
	if (bpf_skb_set_tunnel_key(skb, &key, member_offset(struct bpf_tunnel_key, local_ipv4), flags))
		return -DROP_WRITE_ERROR;
	return CONTINUE;
}

/*
 * Out of the uplink. The mark tells to_network that the packet is not the node's own, though it may bear the node's address. Nobody else
 * sets it: marks do not survive the way out of a pod.
 */
static __always_inline int leave(struct __sk_buff *skb)
{
	skb->mark = MARK_FORWARDED;
	return bpf_redirect_neigh(config.uplink_ifindex, NULL, 0, 0);
}

static __always_inline bool way_is_tunnel(const struct packet *packet)
{
	return config.overlay_ifindex && packet->remote && packet->remote->flags & IPCACHE_HAS_TUNNEL;
}

/* Decided when the connection began; what is of no connection is asked about now, and refused by nat_masquerade(). */
static __always_inline bool leaves_masqueraded(const struct packet *packet)
{
	if (packet->flags & PACKET_UNRELATED)
		return needs_masquerade(packet);
	return packet->ct_flags & CONNTRACK_MASQUERADED && !packet_is_reply(packet);
}

static __always_inline int family_step(struct __sk_buff *skb, struct packet *packet)
{
	return likely(!(packet->flags & PACKET_OTHER_FAMILY)) ? CONTINUE : family_cross(skb, &packet->headers);
}

/* One hop towards another node or the world. bpf_redirect_neigh writes the MAC addresses anew. */
static __always_inline int hop_away(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 mac[ETH_ALEN];

	config_host_mac(mac);
	return hop(skb, packet, mac, mac);
}

static __always_inline int enter_tunnel(struct __sk_buff *skb, const struct packet *packet, __u32 identity)
{
	int verdict = tunnel_key_set(skb, &packet->remote->tunnel, identity);

	return verdict == CONTINUE ? bpf_redirect(config.overlay_ifindex, 0) : verdict;
}

static __noinline int forward_remote(struct __sk_buff *skb, struct packet *packet)
{
	struct addr address;
	int verdict;

	if (!packet->remote)
		packet->remote = ipcache_find(&packet->destination);
	if (!packet->remote)
		return -DROP_INVALID_IDENTITY;
	if (packet->remote->flags & IPCACHE_CLUSTER && !packet->remote->identity)
		return -DROP_UNKNOWN_CLUSTER_ADDRESS;

	verdict = family_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	verdict = hop_away(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (way_is_tunnel(packet))
		return enter_tunnel(skb, packet, packet->source_identity);
	if (leaves_masqueraded(packet)) {
		address = nat_node_address(&packet->headers);
		verdict = nat_masquerade(skb, packet, &address);
		if (verdict != CONTINUE)
			return verdict;
	}
	return leave(skb);
}

/* Numbers that mean the same on all nodes. A prefix's is this node's own: for another node that is the world. */
static __always_inline __u32 identity_of_client(__u32 identity, bool v6)
{
	if (identity < IDENTITY_FIRST_LOCAL)
		return identity;
	if (identity >= IDENTITY_FIRST_REMOTE_NODE)
		return IDENTITY_REMOTE_NODE;
	return v6 ? IDENTITY_WORLD_IPV6 : IDENTITY_WORLD_IPV4;
}

static __always_inline __u32 identity_for_others(const struct packet *packet)
{
	return identity_of_client(packet->source_identity, packet_is_v6(&packet->headers));
}

/* One of the node's addresses stands in for the client, which is of the family that the backend has. */
static __always_inline int stand_in(struct __sk_buff *skb, struct packet *packet, struct addr *address)
{
	int verdict;

	if (addr_is_zero(address))
		return -DROP_UNROUTABLE_IP;
	/* Before anything is taken for it. */
	if (packet->hop_limit <= 1)
		return -DROP_TTL_EXCEEDED;
	verdict = nat_masquerade(skb, packet, address);
	return verdict == CONTINUE ? family_step(skb, packet) : verdict;
}

/* To a service's backend on another node, whose answers come back here: the client's end is one of the node's addresses. */
static __noinline int forward_transit(struct __sk_buff *skb, struct packet *packet)
{
	bool tunnel = way_is_tunnel(packet);
	struct addr address = tunnel ? nat_router_address(&packet->headers) : nat_node_address(&packet->headers);
	int verdict;

	if (!packet->remote)
		return -DROP_UNROUTABLE_IP;
	verdict = stand_in(skb, packet, &address);
	if (verdict == CONTINUE)
		verdict = hop_away(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	return tunnel ? enter_tunnel(skb, packet, identity_for_others(packet)) : leave(skb);
}

/* The same, and the backend's node answers the client: this one keeps nothing but the flow's backend. */
static __noinline int forward_dsr(struct __sk_buff *skb, struct packet *packet)
{
	const struct service_address *frontend = service_address_find(packet->service);
	const struct ipcache_entry *client = ipcache_find(&packet->source);
	int verdict;

	if (!frontend || !client || !packet->remote)
		return -DROP_UNROUTABLE_IP;
	packet->source_identity = client->identity;
	packet->destination_identity = packet->remote->identity;
	verdict = hop_away(skb, packet);
	if (verdict == CONTINUE && dsr_is_told(&packet->headers))
		verdict = dsr_add(skb, &packet->headers, frontend);
	if (verdict != CONTINUE)
		return verdict;
	return way_is_tunnel(packet) ? enter_tunnel(skb, packet, identity_for_others(packet)) : leave(skb);
}

/* Into a pod of this node that knows the client's family not: from the router's address, so that its answers come back here. */
static __noinline int forward_local_crossed(struct __sk_buff *skb, struct packet *packet)
{
	struct addr address = nat_router_address(&packet->headers);
	int verdict = stand_in(skb, packet, &address);

	return verdict == CONTINUE ? forward_local(skb, packet) : verdict;
}

/* Where a packet from outside goes, once its connection is known. Only from ingress hooks. */
static __always_inline int forward_from_outside(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (unlikely(packet->flags & PACKET_TO_PROXY))
		return forward_to_proxy(skb, packet);
	if (packet->flags & PACKET_TRANSIT)
		return forward_transit(skb, packet);
	if (!packet->to)
		return forward_remote(skb, packet);
	if (unlikely(packet->flags & PACKET_OTHER_FAMILY && !packet_is_reply(packet)))
		return forward_local_crossed(skb, packet);
	verdict = family_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	return endpoint_is_host(packet->to) ? TC_ACT_OK : forward_local(skb, packet);
}

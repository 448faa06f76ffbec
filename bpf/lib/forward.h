/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The last step: into the pod, into the tunnel, out of the uplink, or up the stack. */
#pragma once

#include "connection.h"
#include "nat.h"

#define TUNNEL_TTL 64

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
		__u32 check;

		if ((void *)(ip + 1) > end)
			return -DROP_INVALID_PACKET;
		/* The header's sum falls by 0x0100, so its complement rises by as much, with the carry brought round. */
		check = (__u32)ip->check + bpf_htons(0x0100);
		ip->check = check + (check >= 0xffff);
		ip->ttl--;
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

static __noinline int forward_remote(struct __sk_buff *skb, struct packet *packet)
{
	__u8 mac[ETH_ALEN];
	int verdict;

	if (!packet->remote)
		packet->remote = ipcache_find(&packet->destination);
	if (!packet->remote)
		return -DROP_INVALID_IDENTITY;
	if (packet->remote->flags & IPCACHE_CLUSTER && !packet->remote->identity)
		return -DROP_UNKNOWN_CLUSTER_ADDRESS;

	config_host_mac(mac);
	if (config.overlay_ifindex && packet->remote->flags & IPCACHE_HAS_TUNNEL) {
		verdict = hop(skb, packet, mac, mac);
		if (verdict == CONTINUE)
			verdict = tunnel_key_set(skb, &packet->remote->tunnel, packet->source_identity);
		return verdict == CONTINUE ? bpf_redirect(config.overlay_ifindex, 0) : verdict;
	}
	/* bpf_redirect_neigh writes the MAC addresses. */
	verdict = hop(skb, packet, mac, mac);
	if (verdict != CONTINUE)
		return verdict;
	if (needs_masquerade(packet) && !packet_is_reply(packet)) {
		verdict = nat_masquerade(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
	}
	return bpf_redirect_neigh(config.uplink_ifindex, NULL, 0, 0);
}

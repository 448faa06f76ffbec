// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The VXLAN device: the network identifier is the sender's identity. */
#include "external.h"
#include "way.h"

/* Who sent the tunnel packet, and who it says the sender is. */
static __noinline int tunnel_key_get(struct __sk_buff *skb, struct addr *node, __u32 *identity)
{
	const __u32 size = member_offset(struct bpf_tunnel_key, local_ipv4);
	struct bpf_tunnel_key key = {};

	if (!bpf_skb_get_tunnel_key(skb, &key, size, 0)) {
		*node = addr_from_v4(bpf_htonl(key.remote_ipv4));
	} else if (!bpf_skb_get_tunnel_key(skb, &key, size, BPF_F_TUNINFO_IPV6)) {
		__builtin_memcpy(node->words, key.remote_ipv6, 16);
	} else {
		return -DROP_NO_TUNNEL_KEY;
	}
	*identity = key.tunnel_id;
	return CONTINUE;
}

static __always_inline bool identity_is_world(__u32 identity)
{
	return identity == IDENTITY_WORLD || identity == IDENTITY_WORLD_IPV4 || identity == IDENTITY_WORLD_IPV6;
}

/* A client outside that comes as itself: which part of the world that is, this node knows. When it comes as the other node it is just the world. */
static __always_inline void world_identify(struct packet *packet)
{
	const struct ipcache_entry *client = ipcache_find(&packet->reporter);

	if (client && client->identity && !(client->flags & IPCACHE_CLUSTER))
		packet->source_identity = client->identity;
}

/* Only nodes may tunnel to us, and only for addresses that are not ours. */
static __always_inline int tunnel_source_step(struct __sk_buff *skb, struct packet *packet)
{
	const struct ipcache_entry *sender;
	struct addr node;
	int verdict = tunnel_key_get(skb, &node, &packet->source_identity);

	if (verdict != CONTINUE)
		return verdict;
	sender = ipcache_find(&node);
	if (!sender || !(sender->flags & IPCACHE_NODE) || endpoint_find(&node))
		return -DROP_SPOOFED_TUNNEL_SOURCE;
	if (addr_is_martian(&packet->reporter) || endpoint_find(&packet->reporter))
		return -DROP_INVALID_SOURCE_IP;
	if (packet->source_identity == IDENTITY_REMOTE_NODE) {
		sender = ipcache_find(&packet->reporter);
		if (!sender || !(sender->flags & IPCACHE_NODE))
			return -DROP_INVALID_SOURCE_IP;
		/* Which node: numbers of nodes by their labels are each node's own, and too long for the network identifier. */
		packet->source_identity = sender->identity;
		return CONTINUE;
	}
	if (unlikely(identity_is_world(packet->source_identity)))
		world_identify(packet);
	/* "Host" is always the receiving node, and 0 is nobody. */
	return packet->source_identity <= IDENTITY_HOST ? -DROP_INVALID_IDENTITY : CONTINUE;
}

/* For one of the node's addresses: an answer to whom it stood in for, a packet for a service, or the node's own. */
static __always_inline int own_address_step(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (!packet->to)
		return -DROP_UNROUTABLE_IP;
	if (packet->flags & PACKET_DSR)
		return CONTINUE;
	verdict = nat_unmasquerade(skb, packet);
	if (verdict != CONTINUE || packet->flags & PACKET_UNMASQUERADED)
		return verdict;
	verdict = external_step(skb, packet);
	if (verdict != CONTINUE)
		return external_refuse(skb, packet, verdict);
	if (packet->service)
		return CONTINUE;
	return likely(!host_is_restricted(packet->to)) ? TC_ACT_OK : CONTINUE;
}

static __always_inline int walk_from_overlay(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (!skb_is_ip(skb))
		return -DROP_UNSUPPORTED_L3;
	verdict = parse(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	packet->flags |= PACKET_OVERLAY;
	verdict = tunnel_source_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	verdict = fragment_learn(packet);
	if (verdict != CONTINUE)
		return verdict;
	packet->to = endpoint_find(&packet->destination);
	verdict = dsr_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	/* The inner frame is addressed to no device of ours. */
	if (bpf_skb_change_type(skb, PACKET_TYPE_HOST))
		return -DROP_WRITE_ERROR;
	if (!endpoint_is_pod(packet->to)) {
		verdict = own_address_step(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
	}
	sender_outside(packet);
	verdict = connection_step(skb, packet, false);
	if (unlikely(packet->tell & TELL_RESET))
		return reset_outside(skb, packet, verdict);
	return verdict == CONTINUE ? forward_from_outside(skb, packet) : verdict;
}

/* Neither way is inline: the stack is small. */
static __noinline int way_from_overlay(struct __sk_buff *skb)
{
	return way_step(skb, HOOK_FROM_OVERLAY);
}

static __noinline int long_way_from_overlay(struct __sk_buff *skb)
{
	struct packet packet = { .direction = DIRECTION_INGRESS };

	return finish(skb, &packet, walk_from_overlay(skb, &packet), HOOK_FROM_OVERLAY);
}

/* What other nodes send through the tunnel. */
SEC("tc")
int from_overlay(struct __sk_buff *skb)
{
	int action = way_from_overlay(skb);

	if (unlikely(action == CONTINUE))
		action = long_way_from_overlay(skb);
	return likely(action != TO_READER) ? action : http_read_here(skb);
}

/* Pods' packets come here with their key. An IPv6 key does not answer to this question, but is there: -EPROTO. */
static __noinline bool has_tunnel_key(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};

	return bpf_skb_get_tunnel_key(skb, &key, member_offset(struct bpf_tunnel_key, local_ipv4), 0) != -EINVAL;
}

/*
 * The proxy's, to a client or a server on another node: who that is told to be is who the packet's source is. The mark ends here, or the
 * tunnel's packet would have it.
 */
static __always_inline int walk_proxy_to_overlay(struct __sk_buff *skb, struct packet *packet)
{
	int verdict = parse(skb, packet);

	if (verdict != CONTINUE)
		return verdict;
	packet->flags |= PACKET_FROM_PROXY;
	packet->from = endpoint_find(&packet->source);
	verdict = connection_step(skb, packet, false);
	if (verdict != CONTINUE)
		return verdict;
	packet->remote = ipcache_find(&packet->destination);
	if (!packet->remote || !(packet->remote->flags & IPCACHE_HAS_TUNNEL))
		return -DROP_NO_TUNNEL_ENDPOINT;
	verdict = tunnel_key_set(skb, &packet->remote->tunnel, identity_for_others(packet));
	skb->mark = 0;
	return verdict == CONTINUE ? TC_ACT_OK : verdict;
}

static __always_inline int walk_to_overlay(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (has_tunnel_key(skb))
		return TC_ACT_OK;
	if (!skb_is_ip(skb))
		return -DROP_UNSUPPORTED_L3;
	verdict = parse(skb, packet);
	if (verdict != CONTINUE && verdict != -DROP_FRAGMENT_NOT_FOUND)
		return verdict;
	if (addr_is_multicast(&packet->destination)) {
		packet->flags |= PACKET_SILENT;
		return -DROP_NOISE;
	}
	packet->from = endpoint_find(&packet->reporter);
	if (!endpoint_is_host(packet->from))
		return -DROP_INVALID_SOURCE_IP;
	if (unlikely(host_is_restricted(packet->from))) {
		if (verdict == CONTINUE)
			verdict = host_send(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
	}
	packet->source_identity = IDENTITY_HOST;
	packet->remote = ipcache_find(&packet->destination);
	if (!packet->remote || !(packet->remote->flags & IPCACHE_HAS_TUNNEL))
		return -DROP_NO_TUNNEL_ENDPOINT;
	packet->destination_identity = packet->remote->identity;
	if (!packet->remote->identity)
		return -DROP_UNKNOWN_CLUSTER_ADDRESS;
	verdict = tunnel_key_set(skb, &packet->remote->tunnel, IDENTITY_REMOTE_NODE);
	return verdict == CONTINUE ? TC_ACT_OK : verdict;
}

static __noinline int way_to_overlay(struct __sk_buff *skb)
{
	return way_out_step(skb, HOOK_TO_OVERLAY);
}

static __noinline int proxy_to_overlay(struct __sk_buff *skb)
{
	struct packet packet = { .direction = DIRECTION_EGRESS };

	return finish(skb, &packet, walk_proxy_to_overlay(skb, &packet), HOOK_TO_OVERLAY);
}

static __noinline int stack_to_overlay(struct __sk_buff *skb)
{
	struct packet packet = { .direction = DIRECTION_EGRESS };

	return finish(skb, &packet, walk_to_overlay(skb, &packet), HOOK_TO_OVERLAY);
}

/* The node's stack to remote pods: for the receiver it is a remote node. Pods' packets come here with their key. */
SEC("tc")
int to_overlay(struct __sk_buff *skb)
{
	int action;

	if (likely(!mark_is_from_proxy(skb) || !skb_is_ip(skb)))
		return stack_to_overlay(skb);
	action = way_to_overlay(skb);
	return action != CONTINUE ? action : proxy_to_overlay(skb);
}

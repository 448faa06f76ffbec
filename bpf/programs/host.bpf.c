// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The node's network device. Traffic of the node itself is counted with direction 0, except where its policy drops it. */
#include "way.h"

/* Nobody comes from nowhere. With an overlay, remote pods come through the tunnel and not in the open: on the bare network anybody can write any source. */
static __always_inline int open_source_step(struct packet *packet)
{
	const struct ipcache_entry *source;

	if (addr_is_martian(&packet->reporter))
		return -DROP_INVALID_SOURCE_IP;
	if (!config.overlay_ifindex)
		return CONTINUE;
	source = ipcache_find(&packet->reporter);
	if (source && (source->flags & (IPCACHE_HAS_TUNNEL | IPCACHE_NODE)) == IPCACHE_HAS_TUNNEL)
		return -DROP_INVALID_SOURCE_IP;
	return CONTINUE;
}

/* For the node itself: nothing is asked where nothing is restricted. */
static __always_inline bool host_takes(const struct packet *packet)
{
	return likely(!host_is_restricted(packet->to)) || host_is_exempt(&packet->headers, &packet->source);
}

static __always_inline int walk_from_network(struct __sk_buff *skb, struct packet *packet)
{
	int parsed, verdict;

	if (!skb_is_ip(skb))
		return TC_ACT_OK;
	parsed = parse(skb, packet);
	/* What cannot be read has no addresses, or those of a fragment: then it is the stack's business, unless it is for a pod. */
	packet->to = host_find(&packet->destination);
	if (!packet->to)
		packet->to = host_find_for_all(skb, &packet->headers);
	if (endpoint_find(&packet->reporter))
		return -DROP_INVALID_SOURCE_IP;
	if (!packet->to)
		return TC_ACT_OK;
	if (parsed != CONTINUE)
		return endpoint_is_host(packet->to) && !host_is_restricted(packet->to) ? TC_ACT_OK : parsed;
	verdict = fragment_learn(packet);
	if (verdict != CONTINUE)
		return verdict;
	if (endpoint_is_host(packet->to)) {
		verdict = nat_unmasquerade(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
		if (!(packet->flags & PACKET_UNMASQUERADED) && host_takes(packet))
			return TC_ACT_OK;
	}
	packet->direction = DIRECTION_INGRESS;
	verdict = open_source_step(packet);
	if (verdict != CONTINUE)
		return verdict;
	sender_outside(packet);
	verdict = connection_step(skb, packet, false);
	if (verdict != CONTINUE)
		return verdict;
	return endpoint_is_host(packet->to) ? TC_ACT_OK : forward_local(skb, packet);
}

/* Neither way is inline: the stack is small. */
static __noinline int way_from_network(struct __sk_buff *skb)
{
	return way_step(skb, WAY_FROM_NETWORK);
}

static __noinline int long_way_from_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, walk_from_network(skb, &packet));
}

/* Native routing, answers to masqueraded connections, traffic of the node. */
SEC("tc")
int from_network(struct __sk_buff *skb)
{
	int action = way_from_network(skb);

	return likely(action != CONTINUE) ? action : long_way_from_network(skb);
}

/* Pods' packets have been judged before; masqueraded ones bear the node's address and are told by their mapping. */
static __always_inline int walk_to_network(struct __sk_buff *skb, struct packet *packet)
{
	int parsed, verdict;

	if (likely(!host_policy_exists()) || !skb_is_ip(skb))
		return TC_ACT_OK;
	parsed = parse(skb, packet);
	packet->from = host_find(parsed == CONTINUE ? &packet->reporter : &packet->source);
	if (!host_is_restricted(packet->from))
		return TC_ACT_OK;
	if (parsed != CONTINUE)
		return parsed;
	if (host_is_exempt(&packet->headers, &packet->destination) || nat_is_mapped(packet))
		return TC_ACT_OK;
	verdict = host_send(skb, packet);
	return verdict == CONTINUE ? TC_ACT_OK : verdict;
}

/* All that leaves the node. */
SEC("tc")
int to_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, walk_to_network(skb, &packet));
}

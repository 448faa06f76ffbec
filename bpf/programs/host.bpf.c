// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The node's network device. Traffic of the node itself is counted with direction 0. */
#include "forward.h"

/* With an overlay, remote pods come through the tunnel and not in the open: on the bare network anybody can write any source. */
static __always_inline int open_source_step(struct packet *packet)
{
	const struct ipcache_entry *source;

	if (!config.overlay_ifindex)
		return CONTINUE;
	source = ipcache_find(&packet->reporter);
	if (source && (source->flags & (IPCACHE_HAS_TUNNEL | IPCACHE_NODE)) == IPCACHE_HAS_TUNNEL)
		return -DROP_INVALID_SOURCE_IP;
	return CONTINUE;
}

static __always_inline int walk_from_network(struct __sk_buff *skb, struct packet *packet)
{
	int parsed, verdict;

	if (!skb_is_ip(skb))
		return TC_ACT_OK;
	parsed = parse(skb, packet);
	/* What cannot be read has no addresses, or those of a fragment: then it is the stack's business, unless it is for a pod. */
	packet->to = endpoint_find(&packet->destination);
	if (endpoint_find(&packet->reporter))
		return -DROP_INVALID_SOURCE_IP;
	if (!packet->to)
		return TC_ACT_OK;
	if (parsed != CONTINUE)
		return endpoint_is_host(packet->to) ? TC_ACT_OK : parsed;
	verdict = fragment_learn(packet);
	if (verdict != CONTINUE)
		return verdict;
	if (endpoint_is_host(packet->to)) {
		verdict = nat_unmasquerade(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
		if (!(packet->flags & PACKET_UNMASQUERADED))
			return TC_ACT_OK;
	}
	packet->direction = DIRECTION_INGRESS;
	verdict = open_source_step(packet);
	if (verdict != CONTINUE)
		return verdict;
	packet->from = endpoint_find(&packet->source);
	verdict = connection_step(skb, packet, false);
	return verdict == CONTINUE ? forward_local(skb, packet) : verdict;
}

/* Native routing, answers to masqueraded connections, traffic of the node. */
SEC("tc")
int from_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, walk_from_network(skb, &packet));
}

/* All that leaves the node; pods' packets have been judged before. */
SEC("tc")
int to_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, TC_ACT_OK);
}

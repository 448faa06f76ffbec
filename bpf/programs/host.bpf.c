// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The node's network device. What the node itself sends is counted with direction 0, except where its policy drops it. */
#include "external.h"
#include "way.h"

/* For the node itself: nothing is asked where nothing is restricted. */
static __always_inline bool host_takes(const struct packet *packet)
{
	return likely(!host_is_restricted(packet->to)) || host_is_exempt(&packet->headers, &packet->source);
}

/* For somebody here. */
static __always_inline int arrive_step(struct __sk_buff *skb, struct packet *packet)
{
	int verdict = fragment_learn(packet);

	return verdict == CONTINUE ? dsr_step(skb, packet) : verdict;
}

/*
 * What is not for a pod: answers to masqueraded connections, and packets for services. TC_ACT_OK is the stack's; CONTINUE, a packet whose
 * connection is to be looked up.
 */
static __always_inline int enter_step(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (packet->to) {
		verdict = arrive_step(skb, packet);
		if (verdict == CONTINUE && !(packet->flags & PACKET_DSR))
			verdict = nat_unmasquerade(skb, packet);
		if (verdict != CONTINUE || packet->flags & (PACKET_UNMASQUERADED | PACKET_DSR))
			return verdict;
	}
	verdict = external_step(skb, packet);
	if (verdict != CONTINUE)
		return external_refuse(skb, packet, verdict);
	if (packet->service)
		return CONTINUE;
	if (packet->to && !host_takes(packet))
		return CONTINUE;
	packet->direction = DIRECTION_UNKNOWN;
	return TC_ACT_OK;
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
	if (parsed != CONTINUE)
		return endpoint_is_pod(packet->to) || host_is_restricted(packet->to) ? parsed : TC_ACT_OK;
	packet->direction = DIRECTION_INGRESS;
	verdict = endpoint_is_pod(packet->to) ? arrive_step(skb, packet) : enter_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (packet->flags & PACKET_DSR && !packet->to)
		return forward_dsr(skb, packet);
	verdict = open_source_step(packet);
	if (verdict != CONTINUE)
		return verdict;
	sender_outside(packet);
	verdict = connection_step(skb, packet, false);
	if (unlikely(packet->tell & TELL_RESET))
		return reset_outside(skb, packet, verdict);
	return verdict == CONTINUE ? forward_from_outside(skb, packet) : verdict;
}

/* Neither way is inline: the stack is small. */
static __noinline int way_from_network(struct __sk_buff *skb)
{
	return way_step(skb, HOOK_FROM_NETWORK);
}

static __noinline int long_way_from_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, walk_from_network(skb, &packet), HOOK_FROM_NETWORK);
}

/* Native routing, answers to masqueraded connections, clients of services, traffic of the node. */
SEC("tc")
int from_network(struct __sk_buff *skb)
{
	int action = way_from_network(skb);

	if (unlikely(action == CONTINUE))
		action = long_way_from_network(skb);
	return likely(action != TO_READER) ? action : http_read_here(skb);
}

/* The proxy's, to a client or a server outside of the node. */
static __always_inline int walk_proxy_to_network(struct __sk_buff *skb, struct packet *packet)
{
	struct addr address;
	int verdict = parse(skb, packet);

	if (verdict != CONTINUE)
		return verdict;
	packet->flags |= PACKET_FROM_PROXY;
	packet->direction = DIRECTION_EGRESS;
	packet->from = endpoint_find(&packet->source);
	verdict = connection_step(skb, packet, false);
	if (verdict != CONTINUE)
		return verdict;
	if (!leaves_masqueraded(packet))
		return TC_ACT_OK;
	address = nat_node_address(&packet->headers);
	verdict = nat_masquerade(skb, packet, &address);
	return verdict == CONTINUE ? TC_ACT_OK : verdict;
}

/* Forwarded packets have been judged before. Of the node's own, answers to services' clients get the service's address. */
static __always_inline int walk_to_network(struct __sk_buff *skb, struct packet *packet)
{
	int parsed, verdict;

	if (skb->mark == MARK_FORWARDED || !skb_is_ip(skb))
		return TC_ACT_OK;
	parsed = parse(skb, packet);
	packet->from = host_find(parsed == CONTINUE ? &packet->reporter : &packet->source);
	if (!host_is_restricted(packet->from)) {
		if (!packet->from || parsed != CONTINUE || !host_answers_client(packet))
			return TC_ACT_OK;
	}
	if (parsed != CONTINUE)
		return parsed;
	if (host_is_restricted(packet->from) && host_is_exempt(&packet->headers, &packet->destination))
		return TC_ACT_OK;
	verdict = host_send(skb, packet);
	return verdict == CONTINUE ? TC_ACT_OK : verdict;
}

static __noinline int way_to_network(struct __sk_buff *skb)
{
	return way_out_step(skb, HOOK_TO_NETWORK);
}

static __noinline int proxy_to_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, walk_proxy_to_network(skb, &packet), HOOK_TO_NETWORK);
}

static __noinline int stack_to_network(struct __sk_buff *skb)
{
	struct packet packet = {};

	return finish(skb, &packet, walk_to_network(skb, &packet), HOOK_TO_NETWORK);
}

/* All that leaves the node. */
SEC("tc")
int to_network(struct __sk_buff *skb)
{
	int action;

	/* Most nodes, nearly always: nothing of the packet need be known. */
	if (likely(!mark_is_from_proxy(skb) && !host_policy_exists() && !host_backends_exist())) {
		metrics_count(0, DIRECTION_UNKNOWN, skb->len);
		return TC_ACT_OK;
	}
	if (!mark_is_from_proxy(skb) || !skb_is_ip(skb))
		return stack_to_network(skb);
	action = way_to_network(skb);
	return action != CONTINUE ? action : proxy_to_network(skb);
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Conntrack and policy together: known connections pass, new ones are judged at every local end. */
#pragma once

#include "config.h"
#include "conntrack.h"
#include "policy.h"
#include "runtime.h"
#include "service_step.h"

static __always_inline bool endpoint_is_pod(const struct endpoint *endpoint)
{
	return endpoint && !(endpoint->flags & ENDPOINT_HOST);
}

static __always_inline bool endpoint_is_host(const struct endpoint *endpoint)
{
	return endpoint && endpoint->flags & ENDPOINT_HOST;
}

/* Nothing goes to a pod whose policy is not in place. */
static __always_inline int endpoint_ready(const struct endpoint *endpoint)
{
	return endpoint && !(endpoint->flags & (ENDPOINT_READY | ENDPOINT_HOST)) ? -DROP_ENDPOINT_NOT_READY : CONTINUE;
}

static __always_inline int ipcache_identity(const struct ipcache_entry *entry, __u32 *identity)
{
	if (!entry)
		return -DROP_INVALID_IDENTITY;
	*identity = entry->identity;
	if (entry->identity)
		return CONTINUE;
	return entry->flags & IPCACHE_CLUSTER ? -DROP_UNKNOWN_CLUSTER_ADDRESS : -DROP_INVALID_IDENTITY;
}

/* Who the two ends are now. A source identity that the tunnel told is kept. */
static __noinline int identify(struct packet *packet)
{
	int verdict = CONTINUE;

	if (packet->from)
		packet->source_identity = packet->from->identity;
	else if (!packet->source_identity)
		verdict = ipcache_identity(ipcache_find(&packet->source), &packet->source_identity);
	if (verdict != CONTINUE)
		return verdict;
	if (packet->to) {
		packet->destination_identity = packet->to->identity;
	} else if (!packet->destination_identity) {
		packet->remote = ipcache_find(&packet->destination);
		verdict = ipcache_identity(packet->remote, &packet->destination_identity);
	}
	return verdict;
}

/* The "port" of ICMP is its type, and that of the connection is the type of the packet that opened it. */
static __always_inline __be16 policy_port(const struct headers *packet, bool reply)
{
	bool v6 = packet_is_v6(packet);
	__u8 type = packet->icmp_type;

	if (protocol_has_ports(packet->protocol))
		return reply ? packet->source_port : packet->destination_port;
	if (!packet_is_icmp(packet))
		return 0;
	if (packet->flags & PACKET_ICMP_ERROR)
		type = v6 ? ICMP6_ECHO : ICMP4_ECHO;
	else if (reply && icmp_is_echo(type, v6))
		type = v6 ? type ^ ICMP6_ECHO ^ ICMP6_ECHO_REPLY : type ^ ICMP4_ECHO ^ ICMP4_ECHO_REPLY;
	return bpf_htons(type);
}

static __noinline int judge_end(struct __sk_buff *skb, struct packet *packet, const struct endpoint *endpoint, bool reply, int direction)
{
	struct policy_question question = {
		.protocol = packet->protocol,
		.port = policy_port(&packet->headers, reply),
		.direction = direction,
		.audit = config.audit || endpoint->flags & ENDPOINT_AUDIT,
	};

	question.set = direction == DIRECTION_EGRESS ? endpoint->egress_set : endpoint->ingress_set;
	question.identity = (direction == DIRECTION_EGRESS) != reply ? packet->destination_identity : packet->source_identity;
	return policy_ask(skb, &packet->headers, &question);
}

/*
 * Asks policy about the connection that this packet belongs to: the egress set of the end that opened it, then the ingress set of the
 * other, as far as they are pods here. What the node itself sends always passes. `reply`: this packet goes against that direction.
 */
static __noinline int judge(struct __sk_buff *skb, struct packet *packet, bool reply, bool announce)
{
	const struct endpoint *from = reply ? packet->to : packet->from, *to = reply ? packet->from : packet->to;
	__u8 direction = packet->direction;
	int verdict;

	if (endpoint_is_pod(from)) {
		verdict = judge_end(skb, packet, from, reply, DIRECTION_EGRESS);
		if (verdict != CONTINUE)
			return verdict;
		if (packet->verdict == VERDICT_AUDIT)
			packet->ct_flags |= CONNTRACK_AUDITED;
		if (announce)
			event_verdict(skb, packet);
	}
	if (endpoint_is_pod(to) && !endpoint_is_host(from)) {
		verdict = judge_end(skb, packet, to, reply, DIRECTION_INGRESS);
		if (verdict != CONTINUE)
			return verdict;
		if (packet->verdict == VERDICT_AUDIT)
			packet->ct_flags |= CONNTRACK_AUDITED;
		if (announce)
			event_verdict(skb, packet);
	} else if (endpoint_is_host(from)) {
		packet->ct_flags |= CONNTRACK_HOST;
		packet->verdict = VERDICT_ALLOW;
		if (announce)
			event_verdict(skb, packet);
	}
	packet->direction = direction;
	return CONTINUE;
}

/* Does a packet to this place take the node's address? Not inside the cluster; towards other nodes only when no route leads back. */
static __always_inline bool needs_masquerade(const struct packet *packet)
{
	__u32 flags;

	if (!config.masquerade || packet->to || !packet->remote)
		return false;
	flags = packet->remote->flags;
	if (flags & IPCACHE_NODE)
		return config.overlay_ifindex && !(flags & IPCACHE_HAS_TUNNEL);
	return !(flags & IPCACHE_CLUSTER);
}

static __noinline int connection_new(struct __sk_buff *skb, struct packet *packet)
{
	struct conntrack_entry entry = {};
	struct conntrack_key key;
	bool source_is_low;
	int verdict;

	packet->ct_state = STATE_NEW;
	packet->ct_flags = packet->flags & PACKET_OVERLAY ? CONNTRACK_OVERLAY : 0;
	/* An answer to a connection that is no more must not open one from outside. */
	if (packet->flags & PACKET_UNMASQUERADED)
		return -DROP_NO_MAPPING_FOR_NAT;
	if (packet->flags & PACKET_ICMP_ERROR) {
		packet_make_unrelated(&packet->headers);
		packet->from = endpoint_find(&packet->source);
	}
	/* Before the verdict: a commit that comes between makes the entry stale, and it is judged again. */
	entry.generation = policy_generation();
	if (packet->flags & PACKET_HAIRPIN) {
		packet->ct_flags |= CONNTRACK_HAIRPIN;
		packet->source_identity = packet->destination_identity = packet->to ? packet->to->identity : 0;
	} else {
		verdict = identify(packet);
		if (verdict == CONTINUE)
			verdict = judge(skb, packet, false, true);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (packet->flags & PACKET_UNRELATED)
		return CONTINUE;

	if (needs_masquerade(packet))
		packet->ct_flags |= CONNTRACK_MASQUERADED;
	source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);
	entry.flags = conntrack_flags_after(&packet->headers, packet->ct_flags | (source_is_low ? CONNTRACK_ORIGINATOR_LOW : 0), false);
	entry.expires_ns = conntrack_expiry(packet->protocol, entry.flags, bpf_ktime_get_coarse_ns());
	entry.forward_packets = 1;
	entry.forward_bytes = skb->len;
	entry.source_identity = packet->source_identity;
	entry.destination_identity = packet->destination_identity;
	entry.source_endpoint = endpoint_id(packet->from);
	entry.destination_endpoint = endpoint_id(packet->to);
	entry.service = packet->service;
	entry.backend = packet->backend;
	return bpf_map_update_elem(&conntrack, &key, &entry, BPF_ANY) ? -DROP_CONNTRACK_FULL : CONTINUE;
}

/* Policy, identities or addresses have changed since the connection was allowed: what was allowed then is asked again now. */
static __noinline int connection_judge_again(struct __sk_buff *skb, struct packet *packet, struct conntrack_entry *entry, bool reply)
{
	__u32 generation = policy_generation();
	int verdict;

	/* A source behind the tunnel is who the tunnel said it is; only its own packets can say otherwise. */
	if (reply && entry->flags & CONNTRACK_OVERLAY)
		packet->destination_identity = entry->source_identity;
	verdict = identify(packet);
	if (verdict != CONTINUE)
		return verdict;
	verdict = judge(skb, packet, reply, false);
	if (verdict != CONTINUE)
		return verdict;
	entry->source_identity = reply ? packet->destination_identity : packet->source_identity;
	entry->destination_identity = reply ? packet->source_identity : packet->destination_identity;
	entry->generation = generation;
	return CONTINUE;
}

static __always_inline int connection_known(struct __sk_buff *skb, struct packet *packet, struct conntrack_entry *entry, bool reply, __u64 now)
{
	__u32 told = packet->source_identity;
	int verdict;

	packet->ct_state = packet->flags & PACKET_ICMP_ERROR ? STATE_RELATED : reply ? STATE_REPLY : STATE_ESTABLISHED;
	packet->service = entry->service;
	packet->ct_flags = entry->flags;
	if (unlikely((entry->generation != policy_generation() && !(entry->flags & CONNTRACK_HAIRPIN)) ||
		     (!reply && told && told != entry->source_identity))) {
		verdict = connection_judge_again(skb, packet, entry, reply);
		if (verdict != CONTINUE)
			return verdict;
	} else {
		packet->source_identity = reply ? entry->destination_identity : entry->source_identity;
		packet->destination_identity = reply ? entry->source_identity : entry->destination_identity;
	}
	conntrack_touch(entry, &packet->headers, reply, skb->len, now);
	if (likely(!reply || !packet->service))
		return CONTINUE;
	if (packet->ct_flags & CONNTRACK_HAIRPIN) {
		verdict = hairpin_reverse(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
	}
	return service_reverse(skb, packet);
}

/* A reply in this sense is any packet against the direction in which the connection was opened. */
static __always_inline bool packet_is_reply(const struct packet *packet)
{
	return packet->flags & PACKET_REPLY;
}

/* Finds or makes the packet's connection. `services`: the packet may still carry a service's address. */
static __always_inline int connection_step(struct __sk_buff *skb, struct packet *packet, const bool services)
{
	struct conntrack_entry *entry;
	struct conntrack_key key;
	bool source_is_low, reply;
	__u64 now = bpf_ktime_get_coarse_ns();
	int verdict = endpoint_ready(packet->to);

	if (verdict != CONTINUE)
		return verdict;
	source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);
	entry = conntrack_find(packet, &key, source_is_low, now);
	/* A connection that was answered is not to a service address: no lookup. One that was not may be older than the service. */
	if (services && (!entry || !(entry->flags & CONNTRACK_SEEN_REPLY)) &&
	    !(entry && conntrack_is_reply(entry, source_is_low))) {
		verdict = service_step(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
		if (packet->service) {
			packet->to = endpoint_find(&packet->destination);
			verdict = endpoint_ready(packet->to);
			if (verdict != CONTINUE)
				return verdict;
			source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);
			entry = conntrack_find(packet, &key, source_is_low, now);
		}
	}
	if (unlikely(!entry))
		return connection_new(skb, packet);
	reply = conntrack_is_reply(entry, source_is_low);
	if (reply)
		packet->flags |= PACKET_REPLY;
	return connection_known(skb, packet, entry, reply, now);
}

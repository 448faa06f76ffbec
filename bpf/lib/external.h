/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Services for clients outside: node ports, load balancer and external addresses, host ports.
 *
 *     client ─► service's address at this node ─┬─► backend here: policy asks who the client is, the client's address stays
 *                                               └─► backend on another node: the client's end becomes one of this node's addresses,
 *                                                   so that answers come back here (CONNTRACK_TRANSIT); policy asks there
 *
 * Which backend a flow has is noted under CONNTRACK_SERVICE, whatever becomes of it then.
 */
#pragma once

#include "forward.h"

/*
 * Programs write, the node's own packets ask: 1 once a client outside was sent to one of the node's own addresses. Answers to those need
 * the service's address; until then what the node sends is not looked at.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} host_backends SEC(".maps");

static __always_inline __u32 *host_backends_row(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&host_backends, &zero);
}

static __always_inline bool host_backends_exist(void)
{
	const __u32 *row = host_backends_row();

	return row && *row;
}

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

/* Pods and nodes that come by the network are inside: source ranges are not for them, and services may have a row of their own for them. */
static __noinline bool client_is_inside(const struct packet *packet)
{
	const struct ipcache_entry *client = ipcache_find(&packet->source);

	return client && client->flags & IPCACHE_CLUSTER;
}

static __always_inline int client_step(const struct packet *packet, const struct service **service)
{
	const struct service *internal;

	if (likely(!((*service)->flags & (SERVICE_TWO_SCOPES | SERVICE_SOURCE_RANGES))))
		return CONTINUE;
	if (!client_is_inside(packet))
		return service_source_allowed(*service, &packet->source) ? CONTINUE : -DROP_NOT_IN_SOURCE_RANGE;
	if (!((*service)->flags & SERVICE_TWO_SCOPES))
		return CONTINUE;
	internal = service_find_scope(&packet->destination, packet->destination_port, packet->protocol, SCOPE_INTERNAL);
	if (internal)
		*service = internal;
	return CONTINUE;
}

/* Frames that the switch sent to every port are somebody else's: two nodes would serve them. */
static __always_inline bool frame_is_ours(const struct __sk_buff *skb, const struct packet *packet)
{
	return skb->pkt_type == PACKET_TYPE_HOST || packet->flags & PACKET_OVERLAY;
}

/* Who serves the packet: one of this node, or the way to another. */
static __always_inline int backend_step(struct packet *packet, const struct addr *addr)
{
	__u32 *row;

	packet->to = endpoint_find(addr);
	if (endpoint_is_pod(packet->to))
		return CONTINUE;
	if (packet->to) {
		row = host_backends_row();
		if (row && !*row)
			*row = 1;
		return CONTINUE;
	}
	packet->remote = ipcache_find(addr);
	if (!packet->remote || !packet->remote->identity)
		return -DROP_NO_SERVICE_BACKEND;
	packet->flags |= PACKET_TRANSIT;
	return CONTINUE;
}

/* A packet for the node, or for nobody here: when it is for a service it becomes one for a backend, and packet->service is set. */
static __noinline int external_step(struct __sk_buff *skb, struct packet *packet)
{
	const struct service *service;
	const struct backend *backend;
	struct addr addr;
	int verdict = CONTINUE;

	if (!protocol_has_services(packet->protocol))
		return CONTINUE;
	service = service_find_for(&packet->destination, packet->destination_port, packet->protocol, false);
	if (!service || !frame_is_ours(skb, packet))
		return CONTINUE;
	if (!(packet->flags & PACKET_OVERLAY))
		verdict = open_source_step(packet);
	if (verdict != CONTINUE)
		return verdict;
	sender_outside(packet);
	if (packet->flags & PACKET_UNRELATED)
		return CONTINUE;
	verdict = client_step(packet, &service);
	if (verdict == CONTINUE)
		verdict = fragment_learn(packet);
	if (verdict != CONTINUE)
		return verdict;

	verdict = service_select(packet, service);
	backend = verdict == CONTINUE ? backend_find(packet->backend) : NULL;
	if (!backend) {
		if (service->flags & SERVICE_SILENT)
			packet->flags |= PACKET_SILENT;
		return verdict == CONTINUE ? -DROP_NO_SERVICE_BACKEND : verdict;
	}
	addr = backend->addr;
	verdict = backend_step(packet, &addr);
	return verdict == CONTINUE ? translate(skb, &packet->headers, END_DESTINATION, &addr, backend->port) : verdict;
}

/* Does the node itself answer a client outside that asked for a service? Then the packet is to get the service's address. */
static __noinline bool host_answers_client(const struct packet *packet)
{
	const struct conntrack_entry *entry;
	struct conntrack_key key;
	bool source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);

	entry = bpf_map_lookup_elem(&conntrack, &key);
	return entry && entry->service && conntrack_is_reply(entry, source_is_low);
}

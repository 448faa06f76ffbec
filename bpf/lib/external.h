/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Services for clients outside: node ports, load balancer and external addresses, host ports.
 *
 *     client ─► service's address at this node ─┬─► backend here: policy asks who the client is, the client's address stays
 *                                               └─► backend on another node: the client's end becomes one of this node's addresses,
 *                                                   so that answers come back here (CONNTRACK_TRANSIT), or the client's end stays and
 *                                                   the backend's node answers itself (dsr.h); policy asks there
 *
 * Which backend a flow has is noted under CONNTRACK_SERVICE, whatever becomes of it then.
 */
#pragma once

#include "forward.h"
#include "reject.h"

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

/* Nobody comes from nowhere. With an overlay, remote pods and routers come through the tunnel and not in the open: on the bare network anybody can write any source. */
static __always_inline int open_source_step(struct packet *packet)
{
	const struct ipcache_entry *source;

	if (addr_is_martian(&packet->reporter))
		return -DROP_INVALID_SOURCE_IP;
	if (!config.overlay_ifindex)
		return CONTINUE;
	source = ipcache_find(&packet->reporter);
	if (source && source->flags & IPCACHE_HAS_TUNNEL)
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

static __always_inline void host_backend_note(const struct endpoint *to)
{
	__u32 *row;

	if (likely(!endpoint_is_host(to)))
		return;
	row = host_backends_row();
	if (row && !*row)
		*row = 1;
}

/* From a node that forwards for clients outside: the packet may say in an option whom its client believes to talk to. */
static __noinline int dsr_arrives(struct __sk_buff *skb, struct packet *packet)
{
	struct service_address frontend = {};
	int verdict = dsr_take(skb, packet, &frontend);

	if (verdict != CONTINUE || !(packet->flags & PACKET_DSR))
		return verdict;
	if (!(packet->flags & PACKET_OVERLAY))
		verdict = open_source_step(packet);
	if (verdict != CONTINUE)
		return verdict;
	host_backend_note(packet->to);
	return dsr_note(packet, &frontend);
}

static __always_inline int dsr_step(struct __sk_buff *skb, struct packet *packet)
{
	return likely(!packet_has_options(&packet->headers)) ? CONTINUE : dsr_arrives(skb, packet);
}

/*
 * Who serves the packet: one of this node, or the way to another. What a client inside asks for never goes without SNAT: the backend may
 * be on the client's own node, where nobody comes from outside with an address of that node.
 */
static __always_inline int backend_step(struct packet *packet, const struct service *service, const struct addr *addr)
{
	packet->to = endpoint_find(addr);
	host_backend_note(packet->to);
	if (packet->to)
		return CONTINUE;
	packet->remote = ipcache_find(addr);
	if (!packet->remote || !packet->remote->identity)
		return -DROP_NO_SERVICE_BACKEND;
	packet->flags |= service->flags & SERVICE_DSR && !(packet->flags & PACKET_OTHER_FAMILY) && !client_is_inside(packet) ? PACKET_DSR : PACKET_TRANSIT;
	return CONTINUE;
}

/* The answer that a packet has become, back the way it came; `identity`: of whose address it bears. */
static __noinline int send_back(struct __sk_buff *skb, const struct packet *packet, __u32 identity)
{
	const struct ipcache_entry *client;
	int verdict;

	if (!(packet->flags & PACKET_OVERLAY)) {
		skb->mark = MARK_FORWARDED;
		return bpf_redirect(skb->ifindex, 0);
	}
	client = ipcache_find(&packet->source);
	if (!client)
		return -DROP_NO_TUNNEL_ENDPOINT;
	verdict = tunnel_key_set(skb, &client->tunnel, identity);
	return verdict == CONTINUE ? bpf_redirect(config.overlay_ifindex, 0) : verdict;
}

static __always_inline int reset_outside(struct __sk_buff *skb, struct packet *packet, int verdict)
{
	/* A pod's, unless the client has asked for an address of the node's. */
	__u32 identity = endpoint_is_pod(packet->to) && !packet->service ? packet->to->identity : IDENTITY_REMOTE_NODE;

	verdict = reset_client(skb, packet, verdict);
	return verdict == CONTINUE ? send_back(skb, packet, identity) : verdict;
}

/* May a router on the way, or the tunnel's underlay, cut it into fragments? Those that are fragments already go on as such. */
static __always_inline bool packet_may_be_cut(struct __sk_buff *skb, const struct headers *packet)
{
	__be16 fragment = 0;

	if (packet_is_v6(packet))
		return packet->flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT);
	bpf_skb_load_bytes(skb, ETH_HLEN + member_offset(struct iphdr, frag_off), &fragment, sizeof(fragment));
	return !(fragment & bpf_htons(IPV4_DONT_FRAGMENT));
}

/* To another node, with what will be added: 0 where it fits, else how long such a packet may be. */
static __noinline __u32 size_allowed(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 room = packet->flags & PACKET_DSR && dsr_is_told(&packet->headers) ? dsr_room(packet_is_v6(&packet->headers)) : 0;
	__u32 mtu = 0;

	if (unlikely(packet->flags & PACKET_OTHER_FAMILY && !packet_is_v6(&packet->headers)))
		room = sizeof(struct ipv6hdr) - sizeof(struct iphdr);

	/* The kernel measures a segmentation-offloaded packet by its segments, but then takes no difference: none has an option. */
	if (bpf_check_mtu(skb, way_is_tunnel(packet) ? config.overlay_ifindex : config.uplink_ifindex, &mtu, room, room ? 0 : BPF_MTU_CHK_SEGS) <= 0)
		return 0;
	return mtu > room ? mtu - room : 1;
}

/* What may be cut goes through the tunnel in pieces; without a tunnel nobody would cut it. */
static __always_inline int size_step(struct __sk_buff *skb, struct packet *packet)
{
	if (likely(!size_allowed(skb, packet)) || (way_is_tunnel(packet) && packet_may_be_cut(skb, &packet->headers)))
		return CONTINUE;
	return -DROP_PACKET_TOO_BIG;
}

/* Tells the sender how long packets may be (RFC 1191, RFC 8201), in the service's name. */
static __noinline int refuse_size(struct __sk_buff *skb, struct packet *packet)
{
	__u32 mtu = size_allowed(skb, packet), length = skb->len;
	int verdict;

	if (!report_is_allowed(skb, &packet->headers))
		return -DROP_PACKET_TOO_BIG;
	verdict = packet_is_v6(&packet->headers) ? answer_with_report(skb, &packet->headers, ICMP6_PACKET_TOO_BIG, 0, bpf_htonl(mtu)) :
						   answer_with_report(skb, &packet->headers, ICMP4_UNREACHABLE, ICMP4_FRAGMENTATION_NEEDED, bpf_htonl(mtu));
	if (verdict != CONTINUE)
		return -DROP_PACKET_TOO_BIG;
	metrics_count(DROP_PACKET_TOO_BIG, packet->direction, length);
	event_drop(skb, packet, DROP_PACKET_TOO_BIG);
	packet->tell = 0;
	return CONTINUE;
}

/* What external_step() refuses: the client is told where it can do something about it. */
static __always_inline int external_refuse(struct __sk_buff *skb, struct packet *packet, int verdict)
{
	if (likely(verdict != -DROP_NO_SERVICE_BACKEND && verdict != -DROP_PACKET_TOO_BIG))
		return verdict;
	verdict = verdict == -DROP_PACKET_TOO_BIG ? refuse_size(skb, packet) : reject(skb, packet);
	return verdict == CONTINUE ? send_back(skb, packet, IDENTITY_REMOTE_NODE) : verdict;
}

/* A backend of the other family, where the service may have such. The node itself is none: it would hear itself. */
static __always_inline int family_choose(struct packet *packet, const struct service *service, const struct addr *addr)
{
	if (likely(addr_is_v4(addr) != packet_is_v6(&packet->headers)))
		return CONTINUE;
	if (!(service->flags & SERVICE_NAT46X64) || !family_may_cross(&packet->headers) || endpoint_is_host(endpoint_find(addr)))
		return -DROP_NAT_UNSUPPORTED_PROTOCOL;
	packet->flags |= PACKET_OTHER_FAMILY;
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
	/* Most of what a node gets with a tunnel. */
	if (config.overlay_ifindex && packet->protocol == IPPROTO_UDP && packet->destination_port == bpf_htons(OVERLAY_PORT))
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
	if (!backend)
		return verdict == CONTINUE ? -DROP_NO_SERVICE_BACKEND : verdict;
	addr = backend->addr;
	verdict = family_choose(packet, service, &addr);
	if (verdict == CONTINUE)
		verdict = backend_step(packet, service, &addr);
	if (verdict == CONTINUE && packet->flags & (PACKET_TRANSIT | PACKET_DSR))
		verdict = size_step(skb, packet);
	return verdict == CONTINUE ? translate(skb, &packet->headers, END_DESTINATION, &addr, backend->port) : verdict;
}

/* Does the node itself answer a client outside that asked for a service? Then the packet is to get the service's address. */
static __noinline bool host_answers_client(const struct packet *packet)
{
	const struct conntrack_entry *entry;
	struct conntrack_key key;
	bool source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);

	entry = bpf_map_lookup_elem(&conntrack, &key);
	return entry && (entry->service || entry->flags & CONNTRACK_DSR) && conntrack_is_reply(entry, source_is_low);
}

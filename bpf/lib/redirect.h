/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Packets of connections that the node's layer 7 proxy carries (proxy.h): which are its, and what it is told of them.
 *
 * Such a packet keeps its ends and goes up the stack with MARK_TO_PROXY, which a rule of the node makes local. The stack finds the proxy's
 * socket by the ends; where there is none yet, or none any more, socket_of_proxy (programs/proxy.bpf.c) gives it to the listening socket,
 * which answers a SYN, knows its cookies, and resets the rest. Nothing of it is ever forwarded.
 */
#pragma once

#include "conntrack.h"
#include "proxy.h"
#include "runtime.h"

static __always_inline bool mark_is_from_proxy(const struct __sk_buff *skb)
{
	return (skb->mark & MARK_MASK) == MARK_FROM_PROXY;
}

/* The row of a listening socket in `proxy_listeners`: for 2, 4, 8 or 16 workers each has its share, for other numbers nearly. */
static __always_inline __u32 proxy_row(__u32 hash, __u32 workers, bool v6)
{
	return 2 * (hash % workers) + v6;
}

/* Does anybody listen? The socket itself is found later. */
static __always_inline bool proxy_listens(bool v6)
{
	__u32 row = proxy_row(0, 1, v6);
	struct bpf_sock *listener = bpf_map_lookup_elem(&proxy_listeners, &row);

	if (!listener)
		return false;
	bpf_sk_release(listener);
	return true;
}

static __always_inline void proxy_key_of(const struct headers *packet, struct proxy_connection_key *key)
{
	key->client = packet->source;
	key->server = packet->destination;
	key->client_port = packet->source_port;
	key->server_port = packet->destination_port;
}

/* Tells the proxy who the ends of the connection are, and what holds for it now. `packet` goes forward in it, and has been judged. */
static __noinline int proxy_note(const struct packet *packet, __u32 generation)
{
	struct proxy_connection row = {
		.generation = generation,
		.source_identity = packet->source_identity,
		.destination_identity = packet->destination_identity,
		.source_endpoint = endpoint_id(packet->from),
		.destination_endpoint = endpoint_id(packet->to),
		.egress_l7 = packet->egress_l7,
		.ingress_l7 = packet->ingress_l7,
		.egress_rule = packet->egress_rule,
		.ingress_rule = packet->ingress_rule,
		.service = packet->service,
	};
	const struct proxy_connection *before;
	struct proxy_connection_key key;

	proxy_key_of(&packet->headers, &key);
	/* What goes on under a denial goes on as it was. */
	before = packet->ct_flags & CONNTRACK_KEPT ? bpf_map_lookup_elem(&proxy_connections, &key) : NULL;
	if (unlikely(before)) {
		row.egress_l7 = before->egress_l7;
		row.ingress_l7 = before->ingress_l7;
	}
	return bpf_map_update_elem(&proxy_connections, &key, &row, BPF_ANY) ? -DROP_PROXYMAP_FULL : CONTINUE;
}

/* A new connection that policy wants to be the proxy's. Only a SYN can begin one there; the rest is for the stack to refuse. */
static __noinline int proxy_take(struct packet *packet, __u32 generation)
{
	if (packet->flags & (PACKET_OTHER_FAMILY | PACKET_TRANSIT))
		return -DROP_PROXY_NOT_SUPPORTED;
	packet->flags |= PACKET_TO_PROXY;
	packet->ct_flags |= CONNTRACK_PROXIED;
	return proxy_note(packet, generation);
}

static __noinline int proxy_revoke(const struct headers *packet)
{
	struct proxy_connection_key key;
	struct proxy_connection *row;

	proxy_key_of(packet, &key);
	row = bpf_map_lookup_elem(&proxy_connections, &key);
	if (row) {
		row->flags |= PROXY_REVOKED;
		row->generation = policy_generation();
	}
	return 0;
}

/* The proxy's own connections begin with a SYN, under a client's address and a port of theirs. */
static __always_inline bool proxy_may_open(const struct packet *packet)
{
	__u16 port = bpf_ntohs(packet->source_port);

	return packet_opens_tcp(&packet->headers) && port >= PROXY_PORT_MIN && port <= PROXY_PORT_MAX && !endpoint_is_host(packet->from);
}

/* Whatever policy says by now: what the proxy ends is over for both. */
static __always_inline bool proxy_resets(const struct headers *packet)
{
	return packet->flags & PACKET_FROM_PROXY && packet->tcp_flags & TCP_RST;
}

/*
 * Of the four ways in which a packet can belong to a connection of the proxy's, which is this?
 *
 *                     client's leg (PROXIED)        proxy's leg (PROXY_LEG)
 *     forward         client: to the proxy          the proxy: to the server
 *     reply           the proxy: to the client      server: to the proxy
 *
 * Whoever else has the same ends and ports came later, and gives way.
 */
static __noinline int proxy_check(struct packet *packet, const struct conntrack_entry *entry, bool reply)
{
	__u32 wanted = reply ? CONNTRACK_PROXIED : CONNTRACK_PROXY_LEG;

	if (packet->flags & PACKET_FROM_PROXY)
		return entry->flags & wanted ? CONTINUE : -DROP_PROXY_PORT;
	if (entry->flags & wanted)
		return -DROP_PROXY_PORT;
	/* A server opens nothing under the ports of the proxy's connection to it. */
	if (reply && packet_opens_tcp(&packet->headers))
		return -DROP_CONNTRACK_INVALID;
	packet->flags |= PACKET_TO_PROXY;
	return CONTINUE;
}

/* Up the node's stack to the proxy. Nobody else sets the mark: marks do not survive the way out of a pod. */
static __always_inline int forward_to_proxy(struct __sk_buff *skb, struct packet *packet)
{
	if (packet_opens_tcp(&packet->headers) && !proxy_listens(packet_is_v6(&packet->headers)))
		return -DROP_NO_PROXY;
	if (skb->pkt_type != PACKET_TYPE_HOST && bpf_skb_change_type(skb, PACKET_TYPE_HOST))
		return -DROP_WRITE_ERROR;
	skb->mark = MARK_TO_PROXY;
	return TC_ACT_OK;
}

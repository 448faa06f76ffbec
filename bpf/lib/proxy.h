/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections that the node's layer 7 proxy carries. Each is two connections: the client's, which the proxy accepts under the server's
 * address, and the proxy's own to the server, under the client's address and another port.
 *
 *     client ── from_pod, from_overlay, from_network ──► proxy ── to_pod, to_overlay, to_network ──► server
 *
 * Whoever opens the client's is judged as always; where the verdict is "redirect", proxy_connections is told who the two ends are and
 * which layer 7 sets hold, and the packet goes up the node's stack to the listening socket.
 */
#pragma once

#include "addr.h"

/* Marks, of the bits that Cilium uses for the same (mask 0x0F00). Nobody but the node's own processes can set one. */
#define MARK_MASK        0x0F00
#define MARK_TO_PROXY    0x0200	/* delivered here, whatever its destination is: a rule and a route of the node */
#define MARK_FROM_PROXY  0x0A00	/* on all sockets of the proxy, the accepted ones too */

/* Source ports of the proxy's own connections: of the node's local ports (the kernel narrows that range, it does not widen it), apart from
 * those that pods choose from by default (32768 up). */
#define PROXY_PORT_MIN 16384
#define PROXY_PORT_MAX 29999

/* As the proxy's accepted socket has it: after a service's translation. */
struct proxy_connection_key {
	struct addr client;
	struct addr server;
	__be16 client_port;
	__be16 server_port;
};
_Static_assert(sizeof(struct proxy_connection_key) == 36, "proxy_connection_key");

enum proxy_connection_flag {
	PROXY_REVOKED = 1,	/* policy does not allow it any more: nothing more passes */
};

struct proxy_connection {
	__u32 generation;	/* of policy, under which this was decided: runtime.policy_generation */
	__u32 flags;		/* enum proxy_connection_flag */
	__u32 source_identity;
	__u32 destination_identity;
	__u32 source_endpoint;	/* local ids; 0 = not local */
	__u32 destination_endpoint;
	__u32 egress_l7;	/* layer 7 sets of the two ends' policies; 0 = that end does not restrict layer 7 */
	__u32 ingress_l7;
	__u32 egress_rule;
	__u32 ingress_rule;
	__u32 service;		/* key of service_addresses; 0 = not translated */
	__u32 pad;
};
_Static_assert(sizeof(struct proxy_connection) == 48, "proxy_connection");

/* Packets write, when a connection is redirected and when policy is asked about it again; the proxy reads, and deletes when it has ended. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct proxy_connection_key);
	__type(value, struct proxy_connection);
} proxy_connections SEC(".maps");

#define PROXY_WORKERS_MAX 16

/* The proxy writes: row 2 × worker for IPv4, 2 × worker + 1 for IPv6. A row is empty while nobody listens: then redirected packets are dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2 * PROXY_WORKERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} proxy_listeners SEC(".maps");

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Knobs fixed when the programs are loaded. The verifier knows their values: a feature that is off costs nothing. */
#pragma once

#include "addr.h"

/* How much is told of connections that pass; drops are told always. Hubble's words. */
enum monitor_aggregation {
	AGGREGATION_NONE = 0,	/* every packet, where it arrives and where it is handed on */
	AGGREGATION_LOW = 1,	/* every packet, where it is handed on */
	AGGREGATION_MEDIUM = 2,	/* a connection's first packet, first answer, each direction's FIN or RST, and end */
	AGGREGATION_MAX = 3,	/* a connection's first packet, first answer and end */
	AGGREGATION_SILENT = 4,	/* nothing: what telling costs is measured against it */
};

struct config {
	struct addr node_ip4;		/* the node's address on the underlay; source of masqueraded IPv4; zero = none */
	struct addr node_ip6;		/* the same for IPv6 */
	struct addr router_ip4;		/* the node's address inside its pod network, the pods' gateway */
	struct addr router_ip6;
	struct addr service_net4;	/* where ClusterIPs are: a hint which table to ask first */
	struct addr service_mask4;
	struct addr service_net6;
	struct addr service_mask6;
	__u32 uplink_ifindex;		/* the device towards other nodes and the world */
	__u32 overlay_ifindex;		/* the VXLAN device; 0 = native routing */
	__u32 cluster_id;
	__u16 nat_port_min;		/* masquerade uses these ports; keep net.ipv4.ip_local_port_range outside of them */
	__u16 nat_port_max;
	__u8 host_mac[6];		/* source of the inner Ethernet header of tunnelled packets */
	__u8 masquerade;		/* 1 = pods that talk to the world take the node's address */
	__u8 policy_mode;		/* 0 default, 1 always, 2 never: the policy compiler's business, here for the record */
	__u8 audit;			/* 1 = denials are reported as audit and pass */
	__u8 socket_host_only;		/* 1 = sockets outside of the node's own namespace are left alone: services packet by packet */
	__u8 no_backend_drop;		/* 1 = a service without a backend is silence, 0 = ICMP unreachable or RST */
	__u8 monitor_aggregation;	/* enum monitor_aggregation */
	__u8 ordered_stores;		/* 1 = this processor's kind shows stores to others in their order (x86): a plain store ends what one processor at a time may do */
	__u8 pad0[3];
	__u64 host_cookie;		/* of the node's own network namespace */
	__u32 maglev_seed;		/* the same on all nodes: what a flow's hash starts from */
	__u16 node_port_min;
	__u16 node_port_max;
	__u32 dns_min_ttl;		/* seconds that an address belongs to its name at least */
	__u8 dns_rcode;			/* of the answer to a question that no rule lets pass: 5 REFUSED, 3 NXDOMAIN */
	__u8 pad1[3];
};
_Static_assert(sizeof(struct config) == 184, "config");

const volatile struct config config = {
	.nat_port_min = 32768,
	.nat_port_max = 65535,
	.node_port_min = 30000,
	.node_port_max = 32767,
	.monitor_aggregation = AGGREGATION_MEDIUM,
	.dns_min_ttl = 60,
	.dns_rcode = 5,
};

/* Read member by member: through a pointer without "volatile" clang folds in the zeros that are there before loading. */
static __always_inline struct addr config_addr(const volatile struct addr *from)
{
	struct addr addr;

	addr.words[0] = from->words[0];
	addr.words[1] = from->words[1];
	addr.words[2] = from->words[2];
	addr.words[3] = from->words[3];
	return addr;
}

static __always_inline void config_host_mac(__u8 *mac)
{
	for (int i = 0; i < ETH_ALEN; i++)
		mac[i] = config.host_mac[i];
}

static __always_inline bool is_host_mac(const __u8 *mac)
{
	__u8 different = 0;

	for (int i = 0; i < ETH_ALEN; i++)
		different |= mac[i] ^ config.host_mac[i];
	return !different;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who lives on this node: pods, and the node's own addresses. */
#pragma once

#include "addr.h"

enum endpoint_flag {
	ENDPOINT_READY = 1,	/* policy loaded and read back: may talk */
	ENDPOINT_HOST = 2,	/* one of the node's own addresses */
	ENDPOINT_AUDIT = 4,	/* denials are reported as audit and pass */
	ENDPOINT_HTTP = 8,	/* http_to_pod and http_from_pod are at its device: its HTTP may be carried out there */
};

struct endpoint_key {
	struct addr addr;
};
_Static_assert(sizeof(struct endpoint_key) == 16, "endpoint_key");

struct endpoint {
	__u32 ifindex;		/* host side of the pod's veth */
	__u32 id;
	__u32 identity;
	__u32 policy_identity;	/* as a destination of egress policy; 0 = identity */
	__u32 ingress_set;	/* policy sets; 0 = none: pods are not ready, the node's own addresses are not restricted */
	__u32 egress_set;
	__u8 mac[6];		/* the pod's */
	__u8 host_mac[6];	/* the host side's, which answers for every address */
	__u32 flags;
	struct addr other;	/* the pod's address of the other family; zero: none */
};
_Static_assert(sizeof(struct endpoint) == 56, "endpoint");

/* The agent writes, every packet reads (twice); room for every address a node can hold (110–256 pods, two families, generously). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct endpoint_key);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

static __always_inline const struct endpoint *endpoint_find(const struct addr *addr)
{
	return bpf_map_lookup_elem(&endpoints, addr);
}

static __always_inline bool endpoint_is_pod(const struct endpoint *endpoint)
{
	return endpoint && !(endpoint->flags & ENDPOINT_HOST);
}

static __always_inline bool endpoint_is_host(const struct endpoint *endpoint)
{
	return endpoint && endpoint->flags & ENDPOINT_HOST;
}

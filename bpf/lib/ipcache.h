/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Address → identity and way, for every address that is not local. */
#pragma once

#include "addr.h"

enum ipcache_flag {
	IPCACHE_HAS_TUNNEL = 1,	/* `tunnel` is the node to send to */
	IPCACHE_CLUSTER = 2,	/* belongs to the cluster; with identity 0: nobody's */
	IPCACHE_NODE = 4,	/* a node's own or router address */
};

/* Identities that the programs know by number; src/model/identity.ts has them all. */
#define IDENTITY_HOST           1
#define IDENTITY_WORLD          2
#define IDENTITY_REMOTE_NODE    6
#define IDENTITY_KUBE_APISERVER 7
#define IDENTITY_WORLD_IPV4     9
#define IDENTITY_WORLD_IPV6     10
#define IDENTITY_FIRST_LOCAL       (1 << 24)	/* prefixes of this node, and after them other nodes by their labels */
#define IDENTITY_FIRST_REMOTE_NODE (2 << 24)

/* Prefix length first, as the kernel wants it; the address in network order, so 96 + n bits for IPv4. */
struct ipcache_key {
	__u32 prefix_bits;
	struct addr addr;
};
_Static_assert(sizeof(struct ipcache_key) == 20, "ipcache_key");

struct ipcache_entry {
	__u32 identity;
	__u32 policy_identity;	/* as a destination of egress policy; 0 = identity */
	__u32 flags;
	struct addr tunnel;
};
_Static_assert(sizeof(struct ipcache_entry) == 28, "ipcache_entry");

/* The agent writes, new connections and packets that leave the node read; as many as Cilium's, as it must hold a whole cluster. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 512000);
	__type(key, struct ipcache_key);
	__type(value, struct ipcache_entry);
} ipcache SEC(".maps");

static __always_inline const struct ipcache_entry *ipcache_find(const struct addr *addr)
{
	struct ipcache_key key = { .prefix_bits = 128, .addr = *addr };

	return bpf_map_lookup_elem(&ipcache, &key);
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Masquerade: pods talk to the world from the node's address. */
#pragma once

#include "packet.h"

enum nat_direction {
	NAT_OUTGOING = 0,	/* local = pod's address and port → the node's */
	NAT_INCOMING = 1,	/* local = node's address and port → the pod's */
};

struct nat_key {
	struct addr local;
	struct addr remote;
	__be16 local_port;
	__be16 remote_port;
	__u8 protocol;
	__u8 direction;
	__u16 pad;
};
_Static_assert(sizeof(struct nat_key) == 40, "nat_key");

struct nat_entry {
	struct addr addr;
	__be16 port;
	__u16 pad;
	__u32 endpoint;		/* local id of the pod that made the mapping */
	__u64 created_ns;
};
_Static_assert(sizeof(struct nat_entry) == 32, "nat_entry");

/* Packets write and read. Two entries a connection: half as many masqueraded connections as conntrack has entries would be 524288, a quarter is kept. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 262144);
	__type(key, struct nat_key);
	__type(value, struct nat_entry);
} nat SEC(".maps");

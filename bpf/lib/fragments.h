/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Ports of fragmented datagrams: the first fragment tells the later ones. */
#pragma once

#include "addr.h"

struct fragment_key {
	struct addr source;
	struct addr destination;
	__be32 id;
	__u8 protocol;
	__u8 pad[3];
};
_Static_assert(sizeof(struct fragment_key) == 40, "fragment_key");

struct fragment {
	__be16 source_port;
	__be16 destination_port;
	__u8 icmp_type;
	__u8 pad[3];
};
_Static_assert(sizeof(struct fragment) == 8, "fragment");

/* First fragments write, later ones read; datagrams in flight at one time, as many as Cilium's. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

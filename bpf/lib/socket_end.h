/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Sockets whose backend went away. */
#pragma once

#include "service.h"

struct gone_backend_key {
	struct addr addr;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
_Static_assert(sizeof(struct gone_backend_key) == 20, "gone_backend_key");

/* The agent writes before it reads the iterators, and empties after; a burst of backends, more take another round. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct gone_backend_key);
	__type(value, __u32);
} gone_backends SEC(".maps");

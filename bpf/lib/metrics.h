/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Everything that leaves finish() is counted. */
#pragma once

#include "base.h"
#include "drop.h"

struct metric_key {
	__u8 reason;		/* enum drop_reason; 0 = forwarded */
	__u8 direction;		/* enum direction */
	__u16 pad;
};
_Static_assert(sizeof(struct metric_key) == 4, "metric_key");

struct metric {
	__u64 packets;
	__u64 bytes;
};
_Static_assert(sizeof(struct metric) == 16, "metric");

/*
 * Programs write (each processor its own), the agent reads: 256 reasons in four directions. An array, because every packet comes here: the
 * key's bytes are its index, and the look-up is a few instructions. Rows that count nothing are zero.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, struct metric_key);
	__type(value, struct metric);
} metrics SEC(".maps");

static __always_inline void metrics_count(__u8 reason, __u8 direction, __u32 bytes)
{
	struct metric_key key = { .reason = reason, .direction = direction };
	struct metric *row = bpf_map_lookup_elem(&metrics, &key);

	if (!row)
		return;
	row->packets++;
	row->bytes += bytes;
}

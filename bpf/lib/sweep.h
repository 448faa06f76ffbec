/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the agent and the programs that it calls (sweep.bpf.c) say to each other. */
#pragma once

#include "http_connection.h"
#include "nat.h"

#define SWEEP_MAX 1024

/* Mappings younger than this are left alone: their connections are just being made. */
#define SWEEP_YOUNG_SECONDS 10

/* The agent writes, sweep_conntrack reads: candidates. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWEEP_MAX);
	__type(key, __u32);
	__type(value, struct conntrack_key);
} sweep_connections SEC(".maps");

/* The agent writes, sweep_nat reads: candidates. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWEEP_MAX);
	__type(key, __u32);
	__type(value, struct nat_key);
} sweep_mappings SEC(".maps");

/* Connections of HTTP whose client has spoken since are not asked about. */
#define SWEEP_SILENT_SECONDS 10

/* The agent writes, sweep_http reads: candidates. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWEEP_MAX);
	__type(key, __u32);
	__type(value, struct proxy_connection_key);
} sweep_requests SEC(".maps");

/* What they are called with and answer. */
struct sweep {
	__u32 count;		/* candidates */
	__u32 removed;
	__u64 pad;		/* a packet has at least 14 bytes */
};
_Static_assert(sizeof(struct sweep) == 16, "sweep");

/* Entries of the maps that the kernel counts itself (since 6.6). */
struct occupancy {
	__u64 conntrack;
	__u64 nat;
	__u64 affinities;
	__u64 socket_services;
	__u64 endpoints;
	__u64 policy_classes;
	__u64 services;
	__u64 service_slots;
	__u64 backends;
	__u64 service_addresses;
};
_Static_assert(sizeof(struct occupancy) == 80, "occupancy");

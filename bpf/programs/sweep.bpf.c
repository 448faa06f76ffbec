// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * What the agent runs (BPF_PROG_TEST_RUN; the "packet" is what they are called with, and their answer) to keep the tables of connections
 * clean, a thousand entries at a time. Of kind tc, as syscall programs know no coarse clock. The agent walks the tables and names
 * candidates; here each is looked at again, as a packet may have come for it meanwhile. Between that look and the removal lie nanoseconds: who comes
 * in between loses an entry that was over, and with its next packet makes another.
 */
#include "sweep.h"
#include "tell.h"

struct sweep_state {
	__u64 now;
	__u32 removed;
};

/* A connection that ends by age says so, and its rules get what it has not credited yet: nothing is lost. */
static long sweep_connection(__u32 index, struct sweep_state *state)
{
	struct conntrack_key *key = bpf_map_lookup_elem(&sweep_connections, &index);
	struct conntrack_entry *entry = key ? bpf_map_lookup_elem(&conntrack, key) : NULL;

	if (!key || !entry || entry->expires_ns >= state->now)
		return 0;
	if (key->kind == CONNTRACK_FLOW) {
		conntrack_credit(entry);
		tell_end(key, entry, END_IDLE);
	}
	if (!bpf_map_delete_elem(&conntrack, key))
		state->removed++;
	return 0;
}

SEC("tc")
int sweep_conntrack(struct __sk_buff *skb)
{
	struct sweep_state state = { .now = bpf_ktime_get_coarse_ns() };
	struct sweep *sweep = (void *)(long)skb->data;

	if ((void *)(sweep + 1) > (void *)(long)skb->data_end)
		return -1;
	bpf_loop(sweep->count < SWEEP_MAX ? sweep->count : SWEEP_MAX, sweep_connection, &state, 0);
	sweep->removed = state.removed;
	return 0;
}

/* Is the connection of a mapping over? Incoming mappings know the pod's end by their value, the others by their key. */
static long sweep_mapping(__u32 index, struct sweep_state *state)
{
	struct nat_key *key = bpf_map_lookup_elem(&sweep_mappings, &index);
	struct nat_entry *entry = key ? bpf_map_lookup_elem(&nat, key) : NULL;
	struct nat_entry own = {};

	if (!key || !entry || entry->created_ns + SWEEP_YOUNG_SECONDS * NANOSECONDS > state->now)
		return 0;
	own = *entry;
	if (key->direction != NAT_INCOMING) {
		own.addr = key->local;
		own.port = key->local_port;
	}
	if (nat_is_abandoned(key, &own) && !bpf_map_delete_elem(&nat, key))
		state->removed++;
	return 0;
}

SEC("tc")
int sweep_nat(struct __sk_buff *skb)
{
	struct sweep_state state = { .now = bpf_ktime_get_coarse_ns() };
	struct sweep *sweep = (void *)(long)skb->data;

	if ((void *)(sweep + 1) > (void *)(long)skb->data_end)
		return -1;
	bpf_loop(sweep->count < SWEEP_MAX ? sweep->count : SWEEP_MAX, sweep_mapping, &state, 0);
	sweep->removed = state.removed;
	return 0;
}

/* Does conntrack still know the connection of these ends, as one that is read here and goes on? */
static __always_inline bool http_is_abandoned(const struct proxy_connection_key *ends, __u64 now)
{
	struct conntrack_key key = {
		.low = ends->client,
		.high = ends->server,
		.low_port = ends->client_port,
		.high_port = ends->server_port,
		.protocol = IPPROTO_TCP,
	};
	const struct conntrack_entry *connection;

	conntrack_key_sort(&key);
	connection = bpf_map_lookup_elem(&conntrack, &key);
	return !connection || connection->expires_ns < now || !(connection->flags & CONNTRACK_HTTP) || connection->flags & (CONNTRACK_ENDED | CONNTRACK_REVOKED);
}

static long sweep_request(__u32 index, struct sweep_state *state)
{
	struct proxy_connection_key *key = bpf_map_lookup_elem(&sweep_requests, &index);
	struct http_connection *row = key ? bpf_map_lookup_elem(&http_connections, key) : NULL;

	if (!key || !row || row->seen_ns + SWEEP_SILENT_SECONDS * NANOSECONDS > state->now)
		return 0;
	if (http_is_abandoned(key, state->now) && http_forget(key, row))
		state->removed++;
	return 0;
}

SEC("tc")
int sweep_http(struct __sk_buff *skb)
{
	struct sweep_state state = { .now = bpf_ktime_get_coarse_ns() };
	struct sweep *sweep = (void *)(long)skb->data;

	if ((void *)(sweep + 1) > (void *)(long)skb->data_end)
		return -1;
	bpf_loop(sweep->count < SWEEP_MAX ? sweep->count : SWEEP_MAX, sweep_request, &state, 0);
	sweep->removed = state.removed;
	return 0;
}

extern __s64 bpf_map_sum_elem_count(const struct bpf_map *map) __ksym __weak;

SEC("tc")
int occupancy_count(struct __sk_buff *skb)
{
	struct occupancy *count = (void *)(long)skb->data;

	if (!bpf_map_sum_elem_count || (void *)(count + 1) > (void *)(long)skb->data_end)
		return -1;
	count->conntrack = bpf_map_sum_elem_count((void *)&conntrack);
	count->nat = bpf_map_sum_elem_count((void *)&nat);
	count->affinities = bpf_map_sum_elem_count((void *)&affinities);
	count->socket_services = bpf_map_sum_elem_count((void *)&socket_services);
	count->endpoints = bpf_map_sum_elem_count((void *)&endpoints);
	count->policy_classes = bpf_map_sum_elem_count((void *)&policy_classes);
	count->services = bpf_map_sum_elem_count((void *)&services);
	count->service_slots = bpf_map_sum_elem_count((void *)&service_slots);
	count->backends = bpf_map_sum_elem_count((void *)&backends);
	count->service_addresses = bpf_map_sum_elem_count((void *)&service_addresses);
	return 0;
}

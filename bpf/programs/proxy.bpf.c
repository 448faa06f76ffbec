// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Sockets for packets that are the layer 7 proxy's. */
#include "redirect.h"

/* As conntrack_key_of(), of a packet that no socket is connected for. True when the sender is the low end. */
static __always_inline bool key_of_lookup(const struct bpf_sk_lookup *ctx, struct conntrack_key *key)
{
	struct headers packet = { .protocol = IPPROTO_TCP, .source_port = ctx->remote_port, .destination_port = bpf_htons(ctx->local_port) };

	if (ctx->family == AF_INET) {
		packet.source = addr_from_v4(ctx->remote_ip4);
		packet.destination = addr_from_v4(ctx->local_ip4);
	} else {
		const volatile struct bpf_sk_lookup *words = ctx;	/* or clang adds to the pointer, which the verifier forbids */

		packet.source.words[0] = words->remote_ip6[0];
		packet.source.words[1] = words->remote_ip6[1];
		packet.source.words[2] = words->remote_ip6[2];
		packet.source.words[3] = words->remote_ip6[3];
		packet.destination.words[0] = words->local_ip6[0];
		packet.destination.words[1] = words->local_ip6[1];
		packet.destination.words[2] = words->local_ip6[2];
		packet.destination.words[3] = words->local_ip6[3];
	}
	return conntrack_key_of(&packet, CONNTRACK_FLOW, key);
}

/* The first of fewer and fewer workers that is there. */
static __always_inline struct bpf_sock *listener_of(__u32 hash, bool v6)
{
	struct bpf_sock *listener = NULL;

	for (__u32 workers = PROXY_WORKERS_MAX; workers && !listener; workers /= 2) {
		__u32 row = proxy_row(hash, workers, v6);

		listener = bpf_map_lookup_elem(&proxy_listeners, &row);
	}
	return listener;
}

/*
 * Each TCP packet to the node that belongs to no connected socket: the first of a connection, an ACK that brings a cookie, and what comes when all is
 * over. Those of the proxy's connections are for the socket that it listens with, whatever else listens on this node. So the ends of
 * connections that have been closed by the proxy may be used again, as the stack asks here when their time is not over yet.
 */
SEC("sk_lookup")
int socket_of_proxy(struct bpf_sk_lookup *ctx)
{
	const struct conntrack_entry *entry;
	struct bpf_sock *listener;
	struct conntrack_key key;
	bool source_is_low;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	source_is_low = key_of_lookup(ctx, &key);
	entry = bpf_map_lookup_elem(&conntrack, &key);
	/* Forward in the client's connection, back in the proxy's own. */
	if (!entry || !(entry->flags & (conntrack_is_reply(entry, source_is_low) ? CONNTRACK_PROXY_LEG : CONNTRACK_PROXIED)))
		return SK_PASS;
	listener = listener_of(bpf_ntohs(ctx->remote_port) * 0x9e3779b1U >> 16, ctx->family == AF_INET6);
	if (!listener)
		return SK_DROP;
	if (bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_REPLACE)) {
		bpf_sk_release(listener);
		return SK_DROP;
	}
	bpf_sk_release(listener);
	return SK_PASS;
}

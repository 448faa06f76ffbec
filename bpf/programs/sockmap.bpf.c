// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* TCP between two sockets of this node: joined when established, and messages that need not pass through the stack. */
#include "sockmap.h"

#define SOCKOPS_DONE 1

/* Is the local end what its address says, and may it talk? */
static __always_inline bool is_owner(const struct endpoint *endpoint, __u64 cookie)
{
	struct namespace_endpoint key = { .cookie = cookie, .endpoint = endpoint->id };

	return endpoint->flags & ENDPOINT_READY && bpf_map_lookup_elem(&namespace_endpoints, &key);
}

/*
 * Both ends here, and the connection is known as one between these very ends. A service that packets are rewritten for is not: the two
 * sockets know different addresses. And between a client and the layer 7 proxy every byte is the proxy's.
 */
static __always_inline bool may_join(struct bpf_sock_ops *ops, const struct socket_pair *pair)
{
	const struct endpoint *local = endpoint_find(&pair->local);
	const struct endpoint *remote = endpoint_find(&pair->remote);
	const struct conntrack_entry *entry;
	struct conntrack_key key;

	if (!local || !remote || local->id == remote->id || !is_owner(local, bpf_get_netns_cookie(ops)))
		return false;
	socket_conntrack_key(pair, &key);
	entry = bpf_map_lookup_elem(&conntrack, &key);
	return entry && !entry->service && !(entry->flags & CONNTRACK_LAYER_7);
}

/* Both may do this at once; they write the same. */
static __always_inline void join_peer(const struct socket_pair *pair, const struct socket_reference *own)
{
	struct joined_socket joined = {};
	const struct socket_reference *peer;
	struct socket_pair other;
	__u64 cookie;

	socket_pair_reverse(pair, &other);
	peer = bpf_map_lookup_elem(&socket_pairs, &other);
	if (!peer)
		return;
	cookie = peer->cookie;
	joined.peer = *peer;
	joined.is_low = socket_conntrack_key(pair, &joined.connection);
	bpf_map_update_elem(&joined_sockets, &own->cookie, &joined, BPF_ANY);
	joined.peer = *own;
	joined.is_low = !joined.is_low;
	bpf_map_update_elem(&joined_sockets, &cookie, &joined, BPF_ANY);
}

static __always_inline int join(struct bpf_sock_ops *ops, struct tcp_sock *socket)
{
	struct socket_reference own = { .address = (__u64)socket };
	struct socket_pair pair;

	socket_pair_of(socket, &pair);
	if (!may_join(ops, &pair))
		return SOCKOPS_DONE;
	own.cookie = bpf_get_socket_cookie(ops);
	/* What is written must be deleted, so the call for that comes first; and a socket that is found must be one to redirect to. */
	if (bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG) ||
	    bpf_sock_hash_update(ops, &sockets, &own.cookie, BPF_ANY) ||
	    bpf_map_update_elem(&socket_pairs, &pair, &own, BPF_ANY))
		return SOCKOPS_DONE;
	join_peer(&pair, &own);
	return SOCKOPS_DONE;
}

static __always_inline int part(struct bpf_sock_ops *ops, struct tcp_sock *socket)
{
	__u64 cookie = bpf_get_socket_cookie(ops), peer;
	const struct socket_reference *reference;
	struct conntrack_entry *entry;
	struct joined_socket *joined;
	struct socket_pair pair;

	socket_pair_of(socket, &pair);
	reference = bpf_map_lookup_elem(&socket_pairs, &pair);
	/* A new connection may have taken the ports already. */
	if (reference && reference->cookie == cookie)
		bpf_map_delete_elem(&socket_pairs, &pair);
	joined = bpf_map_lookup_elem(&joined_sockets, &cookie);
	if (!joined)
		return SOCKOPS_DONE;
	entry = bpf_map_lookup_elem(&conntrack, &joined->connection);
	if (entry)
		joined_count(joined, entry, bpf_ktime_get_coarse_ns());
	peer = joined->peer.cookie;
	bpf_map_delete_elem(&joined_sockets, &peer);
	bpf_map_delete_elem(&joined_sockets, &cookie);
	return SOCKOPS_DONE;
}

/* Every TCP socket of the node's cgroup that is established, and the end of those that were joined. */
SEC("sockops")
int sockmap_sockops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sock = ops->sk;
	struct tcp_sock *socket;

	if (ops->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    (ops->op != BPF_SOCK_OPS_STATE_CB || ops->args[1] != BPF_TCP_CLOSE))
		return SOCKOPS_DONE;
	if (!sock)
		return SOCKOPS_DONE;
	socket = bpf_skc_to_tcp_sock(sock);
	if (!socket)
		return SOCKOPS_DONE;
	return ops->op == BPF_SOCK_OPS_STATE_CB ? part(ops, socket) : join(ops, socket);
}

/* NULL when it is gone. */
static __always_inline struct tcp_sock *socket_read(const struct socket_reference *reference)
{
	struct tcp_sock *socket = bpf_rdonly_cast((void *)reference->address, bpf_core_type_id_kernel(struct tcp_sock));

	return (__u64)socket_common(socket)->skc_cookie.counter == reference->cookie ? socket : NULL;
}

/* A message of a joined socket: into the other's queue, or into the stack. Never refused here: what is denied is the packets' business. */
SEC("sk_msg")
int sockmap_message(struct sk_msg_md *message)
{
	struct tcp_sock *sender = bpf_rdonly_cast(message->sk, bpf_core_type_id_kernel(struct tcp_sock)), *receiver;
	__u64 cookie = socket_common(sender)->skc_cookie.counter;
	struct joined_socket *joined = bpf_map_lookup_elem(&joined_sockets, &cookie);

	if (!joined || !joined_may_go_on(joined))
		return SK_PASS;
	receiver = socket_read(&joined->peer);
	if (!receiver || !receiver_is_clear(joined, sender, receiver) || !receiver_has_room(receiver, message->size) ||
	    !receiver_reads(receiver) || !ends_are_plain(sender, receiver))
		return SK_PASS;
	if (bpf_msg_redirect_hash(message, &sockets, &joined->peer.cookie, BPF_F_INGRESS) != SK_PASS)
		return SK_PASS;
	joined->messages++;
	joined->bytes += message->size;
	return SK_PASS;
}

/* What joined sockets carry for their whole life; see message_programs. */
SEC("sk_msg")
int sockmap_gate(struct sk_msg_md *message)
{
	bpf_tail_call(message, &message_programs, 0);
	return SK_PASS;
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TCP between two sockets of this node that goes from socket to socket. Which sockets may be joined, and when a message may take the
 * short way: never before what went through the stack has been read, never without the connection's conntrack entry.
 */
#pragma once

#include "config.h"
#include "conntrack.h"
#include "runtime.h"

#include <bpf/bpf_core_read.h>

#define RCV_SHUTDOWN 1
#define O_NONBLOCK   04000

extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym __weak;

/* A socket, by how it sees its connection. */
struct socket_pair {
	struct addr local;
	struct addr remote;
	__be16 local_port;
	__be16 remote_port;
};
_Static_assert(sizeof(struct socket_pair) == 36, "socket_pair");

/* A socket, for reading: the address is valid only while what it points to still has the cookie, which no other socket ever gets. */
struct socket_reference {
	__u64 address;
	__u64 cookie;
};

/*
 * What the sender of a message wants to know: all that can be known beforehand. Only the sender writes here, with its socket locked. The
 * connection's entry is asked once a tick and generation, and is told then what has gone by since.
 */
struct joined_socket {
	struct socket_reference peer;
	struct conntrack_key connection;
	__u8 is_low;		/* this socket is the connection's low end */
	__u8 is_clear;		/* nobody has anything to read of what the sender gave to the stack up to clear_sequence */
	__u16 pad;
	__u32 clear_sequence;
	__u32 generation;	/* of policy, when the entry was asked */
	__u32 pad2;
	__u64 asked_jiffies;
	__u64 messages;		/* not counted in the entry yet */
	__u64 bytes;
};
_Static_assert(sizeof(struct joined_socket) == 96, "joined_socket");

/* Whose sockets these are: a pod may give itself any address inside its namespace, and must not be taken for the address's owner. */
struct namespace_endpoint {
	__u64 cookie;		/* of the network namespace */
	__u32 endpoint;		/* a pod with several devices has several */
	__u32 pad;
};
_Static_assert(sizeof(struct namespace_endpoint) == 16, "namespace_endpoint");

/* The agent writes, sockets read when their connection is established: pods, and the node itself. A row says yes, whatever its value. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct namespace_endpoint);
	__type(value, __u8);
} namespace_endpoints SEC(".maps");

/* Sockets by cookie, whose peers may be local too; the kernel takes out those that close. Full: connections stay with the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

/* By which the two sockets of a connection find each other, once. Sockets write and, closing, delete. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, struct socket_pair);
	__type(value, struct socket_reference);
} socket_pairs SEC(".maps");

/* By cookie: sockets that have found their peer. Either writes and, closing, deletes both. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 131072);
	__type(key, __u64);
	__type(value, struct joined_socket);
} joined_sockets SEC(".maps");

/*
 * Sockets keep the program that they met when they were joined, for their whole life, with its maps: after an update of the agent they
 * would go on asking maps that nobody writes. So that program only jumps here: what is in the one slot can be exchanged, or taken out,
 * for all sockets at once. The agent writes.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} message_programs SEC(".maps");

/* A queue may hold this many messages of the size of the next one: small messages cost far more memory than the kernel charges for. */
#define QUEUE_MESSAGES 64

static __always_inline struct sock_common *socket_common(struct tcp_sock *socket)
{
	return &socket->inet_conn.icsk_inet.sk.__sk_common;
}

/* An IPv4 connection of an AF_INET6 socket has ::ffff:a.b.c.d here: the same 16 bytes as in the maps. */
static __always_inline void socket_pair_of(struct tcp_sock *socket, struct socket_pair *pair)
{
	struct sock_common *common = socket_common(socket);

	if (common->skc_family == AF_INET) {
		pair->local = addr_from_v4(common->skc_rcv_saddr);
		pair->remote = addr_from_v4(common->skc_daddr);
	} else {
		for (int i = 0; i < 4; i++) {
			pair->local.words[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			pair->remote.words[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	}
	pair->local_port = bpf_htons(common->skc_num);
	pair->remote_port = common->skc_dport;
}

static __always_inline void socket_pair_reverse(const struct socket_pair *pair, struct socket_pair *other)
{
	other->local = pair->remote;
	other->remote = pair->local;
	other->local_port = pair->remote_port;
	other->remote_port = pair->local_port;
}

/* True when the local end is the low one. */
static __always_inline bool socket_conntrack_key(const struct socket_pair *pair, struct conntrack_key *key)
{
	int order = addr_compare(&pair->local, &pair->remote);
	bool local_is_low = order ? order < 0 : bpf_ntohs(pair->local_port) <= bpf_ntohs(pair->remote_port);

	key->low = local_is_low ? pair->local : pair->remote;
	key->high = local_is_low ? pair->remote : pair->local;
	key->low_port = local_is_low ? pair->local_port : pair->remote_port;
	key->high_port = local_is_low ? pair->remote_port : pair->local_port;
	key->protocol = IPPROTO_TCP;
	key->kind = CONNTRACK_FLOW;
	key->pad = 0;
	return local_is_low;
}

/*
 * Would the packet path let the connection pass without asking? Whatever it would ask, or refuse, or tell, it must see: then the stack
 * carries the message, and the next ones until it has decided.
 */
static __always_inline bool connection_is_settled(const struct conntrack_entry *entry, __u64 now)
{
	return entry && entry->expires_ns >= now && !(entry->flags & (CONNTRACK_REVOKED | CONNTRACK_HAIRPIN | CONNTRACK_LAYER_7)) && entry->generation == policy_generation();
}

/* What a queue of ours cannot keep: TLS in the kernel, and completions of sends without copying. */
static __always_inline bool ends_are_plain(struct tcp_sock *sender, struct tcp_sock *receiver)
{
	return !sender->inet_conn.icsk_ulp_ops && !receiver->inet_conn.icsk_ulp_ops &&
	       !(socket_common(sender)->skc_flags & (1UL << SOCK_ZEROCOPY));
}

/* The kernel charges a queue for its bytes and sets it no limit. Beyond half of the receiver's buffer the stack's flow control does. */
static __always_inline bool receiver_has_room(struct tcp_sock *receiver, __u32 size)
{
	struct sock *sock = &receiver->inet_conn.icsk_inet.sk;
	__u64 queued = (__u32)sock->sk_backlog.rmem_alloc.counter;

	return queued < (__u64)size * QUEUE_MESSAGES && queued < (__u32)sock->sk_rcvbuf / 2;
}

/*
 * Might a reader sleep over what the stack has brought, waiting for more of it (MSG_WAITALL)? Our queue would not wake it. It has the
 * socket locked until it sleeps, and then stands in the socket's wait queue; who sleeps over our queue has a hold on its psock, who
 * waits otherwise (epoll) does not block. Asked only where the stack has brought something: before that, nobody can.
 */
static __always_inline bool receiver_is_stuck(struct tcp_sock *receiver)
{
	struct sock *sock = &receiver->inet_conn.icsk_inet.sk;
	struct wait_queue_head *sleepers;
	struct sk_psock *psock;

	if (!receiver->bytes_received || !sock->sk_socket || sock->sk_socket->file->f_flags & O_NONBLOCK)
		return false;
	if (sock->sk_lock.owned)
		return true;
	sleepers = &sock->sk_wq->wait;
	if ((__u64)sleepers->head.next == (__u64)&sleepers->head)
		return false;
	psock = bpf_rdonly_cast((void *)((__u64)sock->sk_user_data & ~7ULL), bpf_core_type_id_kernel(struct sk_psock));
	return psock->refcnt.refs.counter < 2;
}

/*
 * May the next message of `sender` go straight into the receiver's queue? The receiver reads that queue before what the stack has for it.
 * So all that the sender ever gave to the stack must have been read: both count with the same sequence numbers, the sender's stands
 * still, for it is locked, and the receiver's only grows up to it. Once so, it is so until the sender gives the stack more. The way back
 * needs no care: what the stack brings is read last.
 */
static __always_inline bool receiver_is_clear(struct joined_socket *joined, struct tcp_sock *sender, struct tcp_sock *receiver)
{
	__u32 sequence = sender->write_seq;

	if (likely(joined->is_clear && joined->clear_sequence == sequence))
		return true;
	/* Not kept while it is not so: sequence numbers come again after 4 GiB. */
	joined->clear_sequence = sequence;
	joined->is_clear = receiver->copied_seq == sequence && !receiver_is_stuck(receiver);
	return joined->is_clear;
}

/* Readers that wait for more than one byte, and those that want none, are the stack's. */
static __always_inline bool receiver_reads(struct tcp_sock *receiver)
{
	struct sock *sock = &receiver->inet_conn.icsk_inet.sk;

	return sock->sk_rcvlowat <= 1 && !(sock->sk_shutdown & RCV_SHUTDOWN);
}

/* Counts messages as packets of their own size: frames there are none. */
static __always_inline void joined_count(struct joined_socket *joined, struct conntrack_entry *entry, __u64 now)
{
	__u32 flags = entry->flags;

	if (!joined->messages)
		return;
	entry->expires_ns = conntrack_expiry(IPPROTO_TCP, flags, now);
	if (conntrack_is_reply(entry, joined->is_low)) {
		entry->reply_packets += joined->messages;
		entry->reply_bytes += joined->bytes;
	} else {
		entry->forward_packets += joined->messages;
		entry->forward_bytes += joined->bytes;
	}
	joined->messages = 0;
	joined->bytes = 0;
	conntrack_credit_step(entry, flags);
}

/* May the connection go on without the packet path? */
static __noinline bool joined_ask(struct joined_socket *joined)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct conntrack_entry *entry;

	if (!joined)
		return false;
	entry = bpf_map_lookup_elem(&conntrack, &joined->connection);
	if (entry)
		joined_count(joined, entry, now);
	if (!connection_is_settled(entry, now))
		return false;
	joined->generation = entry->generation;
	joined->asked_jiffies = bpf_jiffies64();
	return true;
}

static __always_inline bool joined_may_go_on(struct joined_socket *joined)
{
	return likely(joined->asked_jiffies == bpf_jiffies64() && joined->generation == policy_generation()) || joined_ask(joined);
}

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The short way, of packets that need nothing decided: TCP and UDP, whole and plain, of a connection that was judged under the policy that
 * is in force and whose two ends were found where they are now (connection.h, way_learn). One look-up instead of three to seven:
 *
 *     headers ─► entry ─► sender is who it was? ─► (service's address) ─► receiver
 *          └─── anything else: CONTINUE, nothing has been changed, and the walk begins from the start
 *
 * Nothing is dropped here. What is checked of a sender is what the long way checks, and what is told is what the long way tells.
 */
#pragma once

#include "forward.h"
#include "rewrite.h"

/* Connections of which more is to be known than where the ends are. */
#define CONNTRACK_LONG_WAY (CONNTRACK_MASQUERADED | CONNTRACK_HOST | CONNTRACK_HAIRPIN | CONNTRACK_REVOKED | CONNTRACK_TRANSIT | \
			    CONNTRACK_DSR | CONNTRACK_OTHER_FAMILY | CONNTRACK_NAMES | CONNTRACK_READS_NAMES)

/* What of a packet the short way needs. Offsets are constant: there are no options. */
struct plain {
	union {
		struct conntrack_key key;
		__u64 words[5];		/* aligned for copies of 8 bytes */
	};
	__u32 ports;			/* as in the packet */
	__u8 protocol;
	bool source_is_low;
	__u8 tcp_flags;			/* 0: not TCP */
	__u64 now;			/* CLOCK_MONOTONIC; coarse, where not every packet is told */
};

static __always_inline bool port_order(__u32 ports)
{
	return bpf_ntohs((__be16)ports) <= bpf_ntohs((__be16)(ports >> 16));
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "two ports in one word: the source's is taken to be the low half"
#endif

/* Addresses as two words each; they are compared as bytes in memory. */
static __always_inline void plain_key(struct plain *plain, const __u64 *source, const __u64 *destination, __u32 ports)
{
	bool low;

	if (source[0] != destination[0])
		low = bpf_be64_to_cpu(source[0]) < bpf_be64_to_cpu(destination[0]);
	else if (source[1] != destination[1])
		low = bpf_be64_to_cpu(source[1]) < bpf_be64_to_cpu(destination[1]);
	else
		low = port_order(ports);
	plain->source_is_low = low;
	plain->ports = ports;
	plain->words[0] = low ? source[0] : destination[0];
	plain->words[1] = low ? source[1] : destination[1];
	plain->words[2] = low ? destination[0] : source[0];
	plain->words[3] = low ? destination[1] : source[1];
	*(__u32 *)&plain->key.low_port = low ? ports : ports << 16 | ports >> 16;
	plain->key.protocol = plain->protocol;
	plain->key.kind = CONNTRACK_FLOW;
	plain->key.pad = 0;
}

/* A transport header in which nothing begins or breaks off; `length` is what the IP header leaves for it. */
static __always_inline bool transport_is_plain(const void *l4, const void *end, struct plain *plain, __u32 length)
{
	__u8 protocol = plain->protocol;

	plain->tcp_flags = 0;
	if (likely(protocol == IPPROTO_TCP)) {
		const struct tcphdr *tcp = l4;
		__u8 flags;

		if ((void *)(tcp + 1) > end)
			return false;
		flags = ((__u8 *)tcp)[13];
		plain->tcp_flags = flags;
		return tcp->doff >= 5 && tcp->doff * 4 <= length && (flags & (TCP_SYN | TCP_RST | TCP_ACK)) == TCP_ACK;
	}
	if (protocol == IPPROTO_UDP) {
		const struct udphdr *udp = l4;

		return (void *)(udp + 1) <= end && bpf_ntohs(udp->len) >= 8 && bpf_ntohs(udp->len) <= length;
	}
	return false;
}

static __always_inline bool plain_read_v4(struct __sk_buff *skb, struct plain *plain)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct iphdr *ip = data + ETH_HLEN;
	__u64 source[2] = {}, destination[2] = {};
	__u32 total;

	if ((void *)(ip + 1) + 8 > end || *(__u8 *)ip != 0x45 || ip->frag_off & bpf_htons(0x3fff) || ip->ttl <= 1)
		return false;
	total = bpf_ntohs(ip->tot_len);
	plain->protocol = ip->protocol;
	if (total < sizeof(*ip) || total > skb->len - ETH_HLEN || !transport_is_plain(ip + 1, end, plain, total - sizeof(*ip)))
		return false;
	source[1] = ADDR_V4_MARK | (__u64)ip->saddr << 32;
	destination[1] = ADDR_V4_MARK | (__u64)ip->daddr << 32;
	plain_key(plain, source, destination, *(__u32 *)(ip + 1));
	return true;
}

static __always_inline bool plain_read_v6(struct __sk_buff *skb, struct plain *plain)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const struct ipv6hdr *ip = data + ETH_HLEN;
	const __u64 *source, *destination;
	__u32 payload;

	if ((void *)(ip + 1) + 8 > end || *(__u8 *)ip >> 4 != 6 || ip->hop_limit <= 1)
		return false;
	payload = bpf_ntohs(ip->payload_len);
	plain->protocol = ip->nexthdr;
	if (payload > skb->len - ETH_HLEN - sizeof(*ip) || !transport_is_plain(ip + 1, end, plain, payload))
		return false;
	source = (void *)&ip->saddr;
	destination = (void *)&ip->daddr;
	/* v4-mapped on the wire: it would be taken for IPv4 */
	if (!source[0] || !destination[0])
		return false;
	plain_key(plain, source, destination, *(__u32 *)(ip + 1));
	return true;
}

/* The tunnel's word on who sends: the same node as before, and going forward the same identity. */
static __always_inline bool tunnel_is_same(struct __sk_buff *skb, const struct conntrack_entry *entry, const struct conntrack_end *sender, bool reply)
{
	struct bpf_tunnel_key key = {};

	if (bpf_skb_get_tunnel_key(skb, &key, member_offset(struct bpf_tunnel_key, local_ipv4), 0))
		return false;
	if (bpf_htonl(key.remote_ipv4) != sender->target || key.tunnel_id <= IDENTITY_HOST || key.tunnel_id == IDENTITY_REMOTE_NODE)
		return false;
	return reply || key.tunnel_id == entry->source_identity;
}

static __always_inline bool mac_is(const void *at, const __u8 *mac)
{
	return *(__u32 *)at == *(__u32 *)mac && *(__u16 *)(at + 4) == *(__u16 *)(mac + 4);
}

static __always_inline bool sender_is_same(struct __sk_buff *skb, const struct conntrack_entry *entry, const struct conntrack_end *sender, bool reply, const enum hook hook)
{
	void *data = (void *)(long)skb->data;

	if (hook == HOOK_FROM_NETWORK)
		return sender->kind == END_UPLINK;
	if (hook == HOOK_FROM_OVERLAY)
		return sender->kind == END_TUNNEL && tunnel_is_same(skb, entry, sender, reply);
	return sender->kind == END_POD && sender->target == skb->ifindex && !skb->vlan_present &&
	       data + ETH_HLEN <= (void *)(long)skb->data_end && mac_is(data + ETH_ALEN, sender->mac);
}

/* Is all that the entry knows still so? */
static __always_inline bool entry_is_current(const struct conntrack_entry *entry, bool reply, __u64 now)
{
	__u32 generation = policy_generation();

	return entry->way_generation == generation && (reply || entry->generation == generation) &&
	       entry->expires_ns >= now && !(entry->flags & CONNTRACK_LONG_WAY);
}

/* Gives an end of a plain packet another address and port. */
static __always_inline bool plain_rewrite(struct __sk_buff *skb, bool destination, const struct addr *addr, __be16 port, const bool v6)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end, *l4 = data + ETH_HLEN + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	struct rewrite where = {};
	enum checksum_state state = checksum_state_of(skb);
	bool udp;

	if (state == CHECKSUM_HELPERS || l4 + 8 > end || addr_is_v4(addr) == v6)
		return false;
	udp = *(__u8 *)(data + ETH_HLEN + (v6 ? 6 : 9)) == IPPROTO_UDP;
	if (!udp && l4 + 20 > end)
		return false;
	where.check = l4 + (udp ? 6 : 16);
	where.ip_check = data + ETH_HLEN + 10;
	where.at = data + address_offset(ETH_HLEN, v6, destination);
	where.port = l4 + (destination ? 2 : 0);
	rewrite_end(&where, addr, port, state, udp, v6);
	return true;
}

/* A MAC address in two words. */
struct mac_words {
	__u32 first;
	__u16 second;
};

static __always_inline struct mac_words mac_words_of_host(void)
{
	struct mac_words words = { .first = *(const volatile __u32 *)config.host_mac, .second = *(const volatile __u16 *)(config.host_mac + 4) };

	return words;
}

/* One hop. The caller has looked at the hop limit. */
static __always_inline bool plain_hop(struct __sk_buff *skb, struct mac_words receiver, const bool v6)
{
	void *data = (void *)(long)skb->data;
	struct mac_words host = mac_words_of_host();

	if (data + ETH_HLEN + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) > (void *)(long)skb->data_end)
		return false;
	if (v6)
		((struct ipv6hdr *)(data + ETH_HLEN))->hop_limit--;
	else
		hop_v4(data + ETH_HLEN);
	*(__u32 *)data = receiver.first;
	*(__u16 *)(data + 4) = receiver.second;
	*(__u32 *)(data + ETH_ALEN) = host.first;
	*(__u16 *)(data + ETH_ALEN + 4) = host.second;
	return true;
}

/* The identity in the tunnel is the sender's. Changes nothing of the packet's bytes. */
static __always_inline bool way_enter_tunnel(struct __sk_buff *skb, const struct conntrack_entry *entry, const struct conntrack_end *receiver, bool reply)
{
	struct addr node = addr_from_v4(receiver->target);

	return tunnel_key_set(skb, &node, reply ? entry->destination_identity : entry->source_identity) == CONTINUE;
}

/* A pod's way leads to all ends; what comes from outside is for pods. */
static __always_inline bool receiver_is_reachable(const struct conntrack_end *receiver, const enum hook hook)
{
	if (receiver->kind == END_POD)
		return true;
	if (hook != HOOK_FROM_POD)
		return false;
	return receiver->kind == END_UPLINK || (receiver->kind == END_TUNNEL && config.overlay_ifindex);
}

/* The answer of a service's backend, under the address that the client asked for. */
static __always_inline bool way_reverse(struct __sk_buff *skb, const struct conntrack_entry *entry, const bool v6)
{
	const struct service_address *address = service_address_find(entry->service);

	return address && plain_rewrite(skb, false, &address->addr, address->port, v6);
}

/* What the packet is besides its entry. */
struct way {
	__u64 now;
	__u8 protocol;
	bool reply;
	__u8 tcp_flags;
	__be16 backend_port;
	struct addr backend;	/* to be written in place of a service's address ... */
	struct conntrack_entry *service;	/* ... by the service's own entry of the connection; else NULL */
};

static __always_inline bool way_translate(struct __sk_buff *skb, const struct way *way, const struct conntrack_entry *entry, const bool v6)
{
	if (unlikely(way->service))
		return plain_rewrite(skb, true, &way->backend, way->backend_port, v6);
	return likely(!way->reply || !entry->service) || way_reverse(skb, entry, v6);
}

static __always_inline void way_count_service(const struct way *way)
{
	struct conntrack_entry *entry = way->service;

	if (likely(!entry))
		return;
	entry->flags |= way->protocol == IPPROTO_TCP ? CONNTRACK_SEEN_NON_SYN : 0;
	entry->expires_ns = service_expiry(way->protocol, entry->flags, way->now);
	entry->forward_packets++;
}

/* As tell_known() and tell() do it together; `where` is the hook, and where the packet is handed on to. */
__noinline int way_tell(struct __sk_buff *skb, struct plain *plain, struct conntrack_entry *entry, __u32 fresh, __u32 where)
{
	struct connection_event *room = event_room();

	if (!room || !plain || !entry)
		return 0;
	event_of_entry(&room->event, &plain->key, entry, conntrack_is_reply(entry, plain->source_is_low), every_packet_tells() ? plain->now : bpf_ktime_get_ns());
	room->event.tcp_flags = plain->tcp_flags;
	room->event.ifindex = skb->ifindex;
	room->event.length = skb->len;
	if (progress_note(room, entry, fresh))
		trace_write(room, where & 0xff, where >> 8);
	return 0;
}

/* Flags that a plain packet adds to its entry. */
static __always_inline __u32 way_flags(const struct way *way)
{
	__u32 flags = way->reply ? CONNTRACK_SEEN_REPLY : 0;

	if (way->protocol == IPPROTO_TCP)
		flags |= CONNTRACK_SEEN_NON_SYN;
	if (unlikely(way->tcp_flags & TCP_FIN))
		flags |= way->reply ? CONNTRACK_REPLY_CLOSING : CONNTRACK_FORWARD_CLOSING;
	return flags;
}

/* Notes and tells a packet of a connection of the proxy's; the proxy's own is told of nowhere. */
static __always_inline void way_note_proxy(struct __sk_buff *skb, struct plain *plain, const struct way *way, struct conntrack_entry *entry, __u32 hook, __u32 point, __u32 direction)
{
	__u32 fresh = conntrack_count(entry, way->protocol, entry->flags | way_flags(way), way->reply, skb->len, way->now);

	if (packet_tells(fresh) && !(entry->flags & CONNTRACK_PROXY_LEG))
		way_tell(skb, plain, entry, fresh, hook | point << 8);
	metrics_count(0, direction, skb->len);
}

/* From a client, or from a server's answer to the proxy: up the stack (redirect.h has the four cases). */
static __always_inline int way_to_proxy(struct __sk_buff *skb, struct plain *plain, const struct way *way, struct conntrack_entry *entry, const enum hook hook, const bool v6)
{
	if (entry->flags & (way->reply ? CONNTRACK_PROXIED : CONNTRACK_PROXY_LEG))
		return CONTINUE;
	if (skb->pkt_type != PACKET_TYPE_HOST && bpf_skb_change_type(skb, PACKET_TYPE_HOST))
		return CONTINUE;
	if (!way_translate(skb, way, entry, v6))
		return CONTINUE;
	way_count_service(way);
	way_note_proxy(skb, plain, way, entry, hook, POINT_TO_PROXY, hook == HOOK_FROM_POD ? DIRECTION_EGRESS : DIRECTION_INGRESS);
	skb->mark = MARK_TO_PROXY;
	return TC_ACT_OK;
}

static __always_inline int way_take(struct __sk_buff *skb, struct plain *plain, const struct way *way, struct conntrack_entry *entry, const enum hook hook, const bool v6)
{
	const struct conntrack_end *sender = way->reply ? &entry->destination_end : &entry->source_end;
	const struct conntrack_end *receiver = way->reply ? &entry->source_end : &entry->destination_end;
	__u32 flags = entry->flags;
	struct mac_words mac = mac_words_of_host();
	bool local = receiver->kind == END_POD;
	__u32 point = local ? POINT_TO_ENDPOINT : receiver->kind == END_UPLINK ? POINT_TO_NETWORK : POINT_TO_OVERLAY, fresh;

	if (!entry_is_current(entry, way->reply, way->now) || !sender_is_same(skb, entry, sender, way->reply, hook))
		return CONTINUE;
	if (unlikely(entry->flags & CONNTRACK_OF_PROXY))
		return way_to_proxy(skb, plain, way, entry, hook, v6);
	if (!receiver_is_reachable(receiver, hook))
		return CONTINUE;
	flags |= way_flags(way);
	if (hook == HOOK_FROM_OVERLAY && bpf_skb_change_type(skb, PACKET_TYPE_HOST))
		return CONTINUE;
	if (hook == HOOK_FROM_POD && receiver->kind == END_TUNNEL && !way_enter_tunnel(skb, entry, receiver, way->reply))
		return CONTINUE;
	if (!way_translate(skb, way, entry, v6))
		return CONTINUE;
	if (likely(local)) {
		mac.first = *(__u32 *)receiver->mac;
		mac.second = *(__u16 *)(receiver->mac + 4);
	}
	if (!plain_hop(skb, mac, v6))
		return CONTINUE;
	way_count_service(way);
	fresh = conntrack_count(entry, way->protocol, flags, way->reply, skb->len, way->now);
	if (packet_tells(fresh))
		way_tell(skb, plain, entry, fresh, hook | point << 8);
	metrics_count(0, hook == HOOK_FROM_POD ? DIRECTION_EGRESS : DIRECTION_INGRESS, skb->len);
	if (unlikely(flags & CONNTRACK_HTTP && !way->reply))
		return http_forward(skb, receiver->target);
	if (likely(local))
		return bpf_redirect_peer(receiver->target, 0);
	return receiver->kind == END_UPLINK ? leave(skb) : bpf_redirect(config.overlay_ifindex, 0);
}

/*
 * A pod's packet to a service that its connection is known to: the entry of the connection to the backend, or NULL.
 */
static __always_inline struct conntrack_entry *way_of_service(struct plain *plain, struct way *way)
{
	const struct addr *destination = plain->source_is_low ? &plain->key.high : &plain->key.low;
	struct conntrack_entry *chosen, *entry;
	const struct service *service;
	const struct backend *backend;
	__u64 source[2], to[2];

	/* The service's own entry notes an end too. */
	if (plain->tcp_flags & TCP_FIN)
		return NULL;
	service = service_find_for(destination, plain->ports >> 16, plain->protocol, true);
	if (!service || service->flags & (SERVICE_REDIRECT_EXEMPT | SERVICE_NAT46X64))
		return NULL;
	plain->key.kind = CONNTRACK_SERVICE;
	chosen = bpf_map_lookup_elem(&conntrack, &plain->key);
	if (!chosen || chosen->expires_ns < way->now || chosen->service != service->id || chosen->flags & (CONNTRACK_LONG_WAY | CONNTRACK_CLOSING))
		return NULL;
	backend = backend_find(chosen->backend);
	if (!backend)
		return NULL;
	way->backend = backend->addr;
	way->backend_port = backend->port;
	source[0] = plain->source_is_low ? plain->words[0] : plain->words[2];
	source[1] = plain->source_is_low ? plain->words[1] : plain->words[3];
	to[0] = backend->addr.words[0] | (__u64)backend->addr.words[1] << 32;
	to[1] = backend->addr.words[2] | (__u64)backend->addr.words[3] << 32;
	plain_key(plain, source, to, (plain->ports & 0xffff) | (__u32)backend->port << 16);
	entry = bpf_map_lookup_elem(&conntrack, &plain->key);
	if (!entry || conntrack_is_reply(entry, plain->source_is_low) || entry->service != service->id || entry->source_endpoint != chosen->source_endpoint)
		return NULL;
	way->service = chosen;
	return entry;
}

/* Is this packet for a ClusterIP, most likely? Two words of the destination. */
static __always_inline bool is_to_service_range(const struct plain *plain, const bool v6)
{
	const __u64 *to = plain->source_is_low ? &plain->words[2] : &plain->words[0];

	if (!v6)
		return !((to[1] >> 32 ^ config.service_net4.words[3]) & config.service_mask4.words[3]) && config.service_mask4.words[3];
	return !(((__u32)to[0] ^ config.service_net6.words[0]) & config.service_mask6.words[0]) &&
	       !((to[0] >> 32 ^ config.service_net6.words[1]) & config.service_mask6.words[1]) &&
	       !(((__u32)to[1] ^ config.service_net6.words[2]) & config.service_mask6.words[2]) &&
	       !((to[1] >> 32 ^ config.service_net6.words[3]) & config.service_mask6.words[3]) && config.service_mask6.words[0];
}

static __always_inline int way_find(struct __sk_buff *skb, const enum hook hook, const bool v6)
{
	struct conntrack_entry *entry = NULL;
	struct plain plain;
	struct way way = {};

	if (v6 ? !plain_read_v6(skb, &plain) : !plain_read_v4(skb, &plain))
		return CONTINUE;
	/* One look at the clock: the exact one costs as much as all the rest of telling. */
	way.now = plain.now = every_packet_tells() ? bpf_ktime_get_ns() : bpf_ktime_get_coarse_ns();
	way.protocol = plain.protocol;
	way.tcp_flags = plain.tcp_flags;
	if (hook != HOOK_FROM_POD || !is_to_service_range(&plain, v6)) {
		entry = bpf_map_lookup_elem(&conntrack, &plain.key);
		if (entry)
			way.reply = conntrack_is_reply(entry, plain.source_is_low);
		/*
		 * A pod's connection that nobody has answered may be older than the service that has its address now, and one by way of a
		 * service is another than what goes to the backend itself (connection_is_of_another()).
		 */
		if (hook == HOOK_FROM_POD && entry && !way.reply && (!(entry->flags & CONNTRACK_SEEN_REPLY) || entry->service))
			return CONTINUE;
	}
	if (hook == HOOK_FROM_POD && !entry)
		entry = way_of_service(&plain, &way);
	return entry ? way_take(skb, &plain, &way, entry, hook, v6) : CONTINUE;
}

/* An action, or CONTINUE. Each family is walked by the verifier on its own. */
static __always_inline int way_step(struct __sk_buff *skb, const enum hook hook)
{
	/* With an overlay no pod is on the bare network. */
	if (hook == HOOK_FROM_NETWORK && config.overlay_ifindex)
		return CONTINUE;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return way_find(skb, hook, false);
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? way_find(skb, hook, true) : CONTINUE;
}

/* Does the stack's way out lead where the receiver was found? */
static __always_inline bool receiver_is_here(const struct __sk_buff *skb, const struct conntrack_end *receiver, const enum hook hook)
{
	if (hook == HOOK_TO_POD)
		return receiver->kind == END_POD && receiver->target == skb->ifindex;
	return receiver->kind == (hook == HOOK_TO_OVERLAY ? END_TUNNEL : END_UPLINK);
}

/* The proxy's, to its client or on to the server; routed and addressed by the stack. */
static __always_inline int way_from_proxy(struct __sk_buff *skb, const enum hook hook, const bool v6)
{
	const __u32 point = hook == HOOK_TO_POD ? POINT_TO_ENDPOINT : hook == HOOK_TO_OVERLAY ? POINT_TO_OVERLAY : POINT_TO_NETWORK;
	const struct conntrack_end *receiver;
	struct conntrack_entry *entry;
	struct plain plain;
	struct way way = {};

	if (v6 ? !plain_read_v6(skb, &plain) : !plain_read_v4(skb, &plain))
		return CONTINUE;
	entry = bpf_map_lookup_elem(&conntrack, &plain.key);
	if (!entry)
		return CONTINUE;
	way.now = plain.now = every_packet_tells() ? bpf_ktime_get_ns() : bpf_ktime_get_coarse_ns();
	way.protocol = plain.protocol;
	way.tcp_flags = plain.tcp_flags;
	way.reply = conntrack_is_reply(entry, plain.source_is_low);
	receiver = way.reply ? &entry->source_end : &entry->destination_end;
	if (!(entry->flags & (way.reply ? CONNTRACK_PROXIED : CONNTRACK_PROXY_LEG)) || !entry_is_current(entry, way.reply, way.now) ||
	    !receiver_is_here(skb, receiver, hook))
		return CONTINUE;
	if (hook == HOOK_TO_OVERLAY && !way_enter_tunnel(skb, entry, receiver, way.reply))
		return CONTINUE;
	if (!way_translate(skb, &way, entry, v6))
		return CONTINUE;
	way_note_proxy(skb, &plain, &way, entry, hook, point, hook == HOOK_TO_POD ? DIRECTION_INGRESS : DIRECTION_EGRESS);
	/* Or the tunnel's packet would have it. */
	if (hook == HOOK_TO_OVERLAY)
		skb->mark = 0;
	return TC_ACT_OK;
}

static __always_inline int way_out_step(struct __sk_buff *skb, const enum hook hook)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return way_from_proxy(skb, hook, false);
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? way_from_proxy(skb, hook, true) : CONTINUE;
}

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The short way for connections in transit, on the uplink, before the kernel makes a packet of the frame:
 *
 *     client ─► service's address ─┬─ both ends rewritten ─► backend on another node     (in VXLAN where there is a tunnel)
 *     client ◄─ service's address ─┴─ both ends rewritten ◄─ backend
 *
 * It admits nothing: from_network has chosen the backend, taken the port and made the entries, and has seen an answer. Everything that could
 * change one of these, or that is not plain TCP or UDP, goes on to from_network (XDP_PASS) as it came. So it may be absent at any time.
 */
#include "external.h"

#define OVERLAY_HEAD 50	/* Ethernet, IPv4, UDP, VXLAN: the tunnel's IPv6 underlay goes the long way */

struct overlay_head {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct udphdr udp;
	__be32 vxlan_flags;
	__be32 vxlan_identity;	/* upper 24 bits */
} __attribute__((packed));
_Static_assert(sizeof(struct overlay_head) == OVERLAY_HEAD, "overlay_head");

#define VXLAN_HAS_IDENTITY bpf_htonl(0x08000000)

enum xdp_direction {
	XDP_TO_BACKEND = 0,
	XDP_TO_CLIENT = 1,
};

/* xdp_uplink writes, each processor its own; the agent reads: packets that went the short way, by direction. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);	/* enum xdp_direction */
	__type(value, __u64);
} xdp_packets SEC(".maps");

/* The ends as they will be, and all that has to be noted when the packet leaves. */
struct crossing {
	struct addr source;
	struct addr destination;
	struct addr next;		/* on the underlay: the client, the backend or its node */
	__be16 source_port;
	__be16 destination_port;
	__u32 identity;			/* for the tunnel; 0 = no tunnel */
	__u32 way;			/* enum xdp_direction */
	struct conntrack_entry *flow;
	struct conntrack_entry *service;
};

/* Of the frame that the IP packet needs: what is behind it is padding. */
static __always_inline __u32 frame_length(const struct headers *packet)
{
	return ETH_HLEN + (packet_is_v6(packet) ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + packet->l4_length;
}

struct pseudo_end {
	struct addr source;
	struct addr destination;
	__be32 length;
	__be32 protocol;
};

/* The transport header's checksum field; NULL where there is no such header. */
static __always_inline __sum16 *transport_check(void *l4, void *end, __u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return l4 + sizeof(struct tcphdr) <= end ? &((struct tcphdr *)l4)->check : NULL;
	return l4 + sizeof(struct udphdr) <= end ? &((struct udphdr *)l4)->check : NULL;
}

/*
 * A sender on this machine leaves checksums to the device, and no device has been passed yet: then there is only the sum of the pseudo header.
 * XDP does not see which. A true checksum that looks like it, one in 65,536, takes the long way.
 */
static __always_inline bool checksum_is_unfinished(const struct headers *packet, __sum16 check)
{
	struct pseudo_end pseudo = {
		.source = packet->source, .destination = packet->destination, .length = bpf_htonl(packet->l4_length), .protocol = bpf_htonl(packet->protocol),
	};

	return (__sum16)~checksum_of(&pseudo, sizeof(pseudo)) == check;
}

/* Headers of an IP packet at `offset`; false for all that goes the long way. */
static __always_inline bool short_parse(struct xdp_md *ctx, struct headers *packet, const __u32 offset, bool v6)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *l4;
	__sum16 *check;
	__u32 length;

	if (v6) {
		struct ipv6hdr *ip = data + offset;

		if ((void *)(ip + 1) > end || ip->version != 6)
			return false;
		__builtin_memcpy(&packet->source, &ip->saddr, sizeof(packet->source));
		__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
		packet->flags = PACKET_V6;
		packet->protocol = ip->nexthdr;
		packet->hop_limit = ip->hop_limit;
		length = bpf_ntohs(ip->payload_len);
		l4 = ip + 1;
	} else {
		struct iphdr *ip = data + offset;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 || ip->frag_off & bpf_htons(0x3fff) || bpf_ntohs(ip->tot_len) < sizeof(*ip))
			return false;
		packet->source = addr_from_v4(ip->saddr);
		packet->destination = addr_from_v4(ip->daddr);
		packet->protocol = ip->protocol;
		packet->hop_limit = ip->ttl;
		length = bpf_ntohs(ip->tot_len) - sizeof(*ip);
		l4 = ip + 1;
	}
	if ((packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP) || packet->hop_limit <= 1 || l4 + length > end)
		return false;
	packet->reporter = packet->source;
	packet->l4_length = length;
	check = transport_check(l4, end, packet->protocol);
	if (!check || (packet->protocol == IPPROTO_TCP ? length < sizeof(struct tcphdr) : length < sizeof(struct udphdr)))
		return false;
	packet->source_port = *(__be16 *)l4;
	packet->destination_port = *(__be16 *)(l4 + 2);
	if (packet->protocol == IPPROTO_TCP) {
		packet->tcp_flags = ((__u8 *)l4)[13];
		/* What begins or ends a connection is noted by the programs that know how. */
		if (packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
			return false;
	} else if (!*check) {
		return !v6;
	}
	return !checksum_is_unfinished(packet, *check);
}

/* The entry of a connection in transit that has been answered and that nothing has to be decided about. */
static __noinline struct conntrack_entry *transit_find(const struct headers *packet, bool reply)
{
	const __u32 needed = CONNTRACK_TRANSIT | CONNTRACK_SEEN_REPLY;
	const __u32 ended = CONNTRACK_FORWARD_CLOSING | CONNTRACK_REPLY_CLOSING | CONNTRACK_REVOKED | CONNTRACK_DSR | CONNTRACK_LAYER_7;
	struct conntrack_entry *entry;
	struct conntrack_key key;
	bool source_is_low = conntrack_key_of(packet, CONNTRACK_FLOW, &key);

	entry = bpf_map_lookup_elem(&conntrack, &key);
	if (!entry || entry->expires_ns < bpf_ktime_get_coarse_ns() || conntrack_is_reply(entry, source_is_low) != reply)
		return NULL;
	if ((entry->flags & (needed | ended)) != needed || entry->generation != policy_generation())
		return NULL;
	return entry;
}

/* The backend of a client's flow, as service_select() noted it, of a service that is still what it was then. */
static __noinline const struct backend *remembered_backend(const struct headers *packet, struct crossing *crossing)
{
	const struct service *service = service_find_for(&packet->destination, packet->destination_port, packet->protocol, false);
	const struct backend *backend;
	struct conntrack_entry *entry;
	struct conntrack_key key;

	if (!service || service->flags & (SERVICE_TWO_SCOPES | SERVICE_SOURCE_RANGES | SERVICE_DSR | SERVICE_NAT46X64))
		return NULL;
	conntrack_key_of(packet, CONNTRACK_SERVICE, &key);
	entry = bpf_map_lookup_elem(&conntrack, &key);
	if (!entry || entry->expires_ns < bpf_ktime_get_coarse_ns() || entry->service != service->id || entry->source_endpoint)
		return NULL;
	backend = backend_find(entry->backend);
	crossing->service = entry;
	return backend && addr_is_v4(&backend->addr) == !packet_is_v6(packet) ? backend : NULL;
}

/* Where the backend's node is. */
static __noinline bool way_to_backend(const struct headers *packet, struct crossing *crossing)
{
	const struct ipcache_entry *remote = ipcache_find(&crossing->destination);

	if (!remote || !remote->identity)
		return false;
	crossing->next = crossing->destination;
	if (!config.overlay_ifindex || !(remote->flags & IPCACHE_HAS_TUNNEL))
		return true;
	if (!addr_is_v4(&remote->tunnel))
		return false;
	crossing->next = remote->tunnel;
	crossing->identity = identity_of_client(crossing->flow->source_identity, packet_is_v6(packet));
	return true;
}

static __noinline bool cross_to_backend(struct headers *packet, struct crossing *crossing)
{
	const struct backend *backend = remembered_backend(packet, crossing);
	const struct nat_entry *mapping;
	struct nat_key outgoing = { .local = packet->source, .local_port = packet->source_port, .protocol = packet->protocol, .direction = NAT_OUTGOING };

	if (!backend)
		return false;
	outgoing.remote = crossing->destination = backend->addr;
	outgoing.remote_port = crossing->destination_port = backend->port;
	mapping = bpf_map_lookup_elem(&nat, &outgoing);
	if (!mapping || mapping->endpoint)
		return false;
	crossing->source = mapping->addr;
	crossing->source_port = mapping->port;
	crossing->way = XDP_TO_BACKEND;
	packet->destination = outgoing.remote;
	packet->destination_port = outgoing.remote_port;
	crossing->flow = transit_find(packet, false);
	return crossing->flow && way_to_backend(packet, crossing);
}

static __noinline bool cross_to_client(struct headers *packet, struct crossing *crossing)
{
	struct nat_key incoming = {
		.local = packet->destination, .remote = packet->source, .local_port = packet->destination_port, .remote_port = packet->source_port,
		.protocol = packet->protocol, .direction = NAT_INCOMING,
	};
	const struct nat_entry *mapping = bpf_map_lookup_elem(&nat, &incoming);
	const struct service_address *address;
	const struct ipcache_entry *client;

	if (!mapping || mapping->endpoint || addr_is_v4(&mapping->addr) == packet_is_v6(packet))
		return false;
	packet->destination = crossing->next = crossing->destination = mapping->addr;
	packet->destination_port = crossing->destination_port = mapping->port;
	crossing->flow = transit_find(packet, true);
	if (!crossing->flow)
		return false;
	client = ipcache_find(&crossing->destination);
	address = service_address_find(crossing->flow->service);
	if (!address || !client || !client->identity || client->flags & IPCACHE_HAS_TUNNEL)
		return false;
	crossing->source = address->addr;
	crossing->source_port = address->port;
	crossing->way = XDP_TO_CLIENT;
	return true;
}

/* MAC addresses of the next hop, where it is out of the device that the frame came in by. */
static __noinline bool next_hop(struct xdp_md *ctx, const struct crossing *crossing, struct mac_pair *macs)
{
	struct bpf_fib_lookup question = { .ifindex = ctx->ingress_ifindex, .l4_protocol = IPPROTO_UDP };

	if (addr_is_v4(&crossing->next)) {
		question.family = AF_INET;
		question.ipv4_src = config.node_ip4.words[3];
		question.ipv4_dst = crossing->next.words[3];
	} else {
		struct addr node = config_addr(&config.node_ip6);

		question.family = AF_INET6;
		__builtin_memcpy(question.ipv6_src, &node, sizeof(node));
		__builtin_memcpy(question.ipv6_dst, &crossing->next, sizeof(crossing->next));
	}
	if (bpf_fib_lookup(ctx, &question, sizeof(question), 0) != BPF_FIB_LKUP_RET_SUCCESS || question.ifindex != ctx->ingress_ifindex)
		return false;
	__builtin_memcpy(macs->destination, question.dmac, ETH_ALEN);
	__builtin_memcpy(macs->source, question.smac, ETH_ALEN);
	return true;
}

/* Both ends and the hop limit, with every checksum that covers them. */
static __always_inline bool short_rewrite(struct xdp_md *ctx, const struct headers *packet, const struct crossing *crossing, const __u32 offset, const bool v6)
{
	void *ip = (void *)(long)ctx->data + offset, *end = (void *)(long)ctx->data_end, *l4 = ip + (v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__sum16 *check = transport_check(l4, end, packet->protocol);
	struct rewrite source = { .at = ip + address_offset(0, v6, false), .port = l4, .check = check, .ip_check = ip + member_offset(struct iphdr, check) };
	struct rewrite destination = { .at = ip + address_offset(0, v6, true), .port = l4 + 2, .check = check, .ip_check = source.ip_check };
	bool udp = packet->protocol == IPPROTO_UDP;

	if (!check)
		return false;
	rewrite_end(&source, &crossing->source, crossing->source_port, CHECKSUM_WHOLE, udp, v6);
	rewrite_end(&destination, &crossing->destination, crossing->destination_port, CHECKSUM_WHOLE, udp, v6);
	if (v6)
		((struct ipv6hdr *)ip)->hop_limit--;
	else
		hop_v4(ip);
	return true;
}

static __always_inline bool overlay_add(struct xdp_md *ctx, const struct crossing *crossing, const struct mac_pair *macs, __u32 inner)
{
	struct overlay_head *head;
	struct iphdr ip = {
		.version = 4, .ihl = 5, .tot_len = bpf_htons(inner + OVERLAY_HEAD - ETH_HLEN), .id = bpf_get_prandom_u32(), .ttl = TUNNEL_TTL,
		.protocol = IPPROTO_UDP, .saddr = config.node_ip4.words[3], .daddr = crossing->next.words[3],
	};

	ip.check = checksum_of(&ip, sizeof(ip));
	if (bpf_xdp_adjust_head(ctx, -OVERLAY_HEAD))
		return false;
	head = (void *)(long)ctx->data;
	if ((void *)(head + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(head->ethernet.h_dest, macs->destination, ETH_ALEN);
	__builtin_memcpy(head->ethernet.h_source, macs->source, ETH_ALEN);
	head->ethernet.h_proto = bpf_htons(ETH_P_IP);
	head->ip = ip;
	/* The same for all packets of a connection, and different between connections: for whoever spreads load by ports. */
	head->udp.source = crossing->source_port | bpf_htons(0xc000);
	head->udp.dest = bpf_htons(OVERLAY_PORT);
	head->udp.len = bpf_htons(inner + OVERLAY_HEAD - ETH_HLEN - sizeof(ip));
	head->udp.check = 0;
	head->vxlan_flags = VXLAN_HAS_IDENTITY;
	head->vxlan_identity = bpf_htonl(crossing->identity << 8);
	return true;
}

static __always_inline bool ethernet_write(struct xdp_md *ctx, const __u8 *destination, const __u8 *source)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return false;
	__builtin_memcpy(ethernet->h_dest, destination, ETH_ALEN);
	__builtin_memcpy(ethernet->h_source, source, ETH_ALEN);
	return true;
}

/* As the long way would have noted it. */
static __noinline int short_note(struct headers *packet, struct crossing *crossing, __u32 bytes)
{
	__u64 now = bpf_ktime_get_coarse_ns(), *count;
	__u32 way = crossing->way;

	conntrack_touch(crossing->flow, packet, way == XDP_TO_CLIENT, bytes, now);
	if (crossing->service) {
		crossing->service->expires_ns = service_expiry(packet->protocol, crossing->service->flags, now);
		crossing->service->forward_packets++;
	}
	metrics_count(0, DIRECTION_INGRESS, bytes);
	count = bpf_map_lookup_elem(&xdp_packets, &way);
	if (count)
		(*count)++;
	return 0;
}

/* A frame of the tunnel to this node, and who it says sends is somebody. */
static __always_inline bool overlay_is_ours(struct xdp_md *ctx)
{
	struct overlay_head *head = (void *)(long)ctx->data;

	if ((void *)(head + 1) > (void *)(long)ctx->data_end)
		return false;
	return !(head->ethernet.h_proto != bpf_htons(ETH_P_IP) || head->ip.ihl != 5 || head->ip.version != 4 || head->ip.protocol != IPPROTO_UDP ||
	    head->ip.frag_off & bpf_htons(0x3fff) || head->ip.daddr != config.node_ip4.words[3] || head->udp.dest != bpf_htons(OVERLAY_PORT) ||
	    head->vxlan_flags != VXLAN_HAS_IDENTITY || bpf_ntohl(head->vxlan_identity) >> 8 <= IDENTITY_HOST);
}

/* Only nodes may tunnel to us. */
static __always_inline bool overlay_is_of_node(struct xdp_md *ctx)
{
	struct overlay_head *head = (void *)(long)ctx->data;
	const struct ipcache_entry *node;
	struct addr sender;

	if ((void *)(head + 1) > (void *)(long)ctx->data_end)
		return false;
	sender = addr_from_v4(head->ip.saddr);
	node = ipcache_find(&sender);
	return node && node->flags & IPCACHE_NODE;
}

/* `offset`: of the Ethernet header before the IP packet, 0 or behind the tunnel's. */
static __always_inline int short_walk(struct xdp_md *ctx, const __u32 offset)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data + offset;
	struct crossing crossing = {};
	struct headers packet = {};
	struct mac_pair macs;
	__u8 host[ETH_ALEN];
	__u32 mtu = 0, bytes;

	if ((void *)(ethernet + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	if (ethernet->h_proto != bpf_htons(ETH_P_IP) && ethernet->h_proto != bpf_htons(ETH_P_IPV6))
		return XDP_PASS;
	if (!short_parse(ctx, &packet, offset + ETH_HLEN, ethernet->h_proto == bpf_htons(ETH_P_IPV6)))
		return XDP_PASS;
	if (nat_port_in_range(packet.destination_port) ? !cross_to_client(&packet, &crossing) : offset || !cross_to_backend(&packet, &crossing))
		return XDP_PASS;
	if ((offset && !overlay_is_of_node(ctx)) || !next_hop(ctx, &crossing, &macs))
		return XDP_PASS;
	bytes = frame_length(&packet);
	if (crossing.identity && bpf_check_mtu(ctx, config.overlay_ifindex, &mtu, 0, 0))
		return XDP_PASS;

	/* From here on the frame is ours. */
	if (packet_is_v6(&packet) ? !short_rewrite(ctx, &packet, &crossing, offset + ETH_HLEN, true) : !short_rewrite(ctx, &packet, &crossing, offset + ETH_HLEN, false))
		return XDP_DROP;
	config_host_mac(host);
	if (offset && bpf_xdp_adjust_head(ctx, OVERLAY_HEAD))
		return XDP_DROP;
	if (crossing.identity) {
		if (!ethernet_write(ctx, host, host) || !overlay_add(ctx, &crossing, &macs, bytes))
			return XDP_DROP;
	} else if (!ethernet_write(ctx, macs.destination, macs.source)) {
		return XDP_DROP;
	}
	short_note(&packet, &crossing, bytes);
	return XDP_TX;
}

static __always_inline bool frame_is_for_us(struct xdp_md *ctx)
{
	struct ethhdr *ethernet = (void *)(long)ctx->data;

	return (void *)(ethernet + 1) <= (void *)(long)ctx->data_end && is_host_mac(ethernet->h_dest);
}

/* Frames of the uplink before all others. Where every packet is to be told, all are left to the programs that tell. */
SEC("xdp")
int xdp_uplink(struct xdp_md *ctx)
{
	if (every_packet_tells() || !frame_is_for_us(ctx))
		return XDP_PASS;
	if (config.overlay_ifindex && overlay_is_ours(ctx))
		return short_walk(ctx, OVERLAY_HEAD);
	return short_walk(ctx, 0);
}

// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Host side of each pod's veth. */
#include "way.h"
#include "external.h"
#include "neighbour.h"

static __always_inline const __u8 *source_mac(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;

	return data + ETH_HLEN <= (void *)(long)skb->data_end ? data + ETH_ALEN : NULL;
}

/* Who sends, and is it what its addresses say? */
static __always_inline int sender_step(struct __sk_buff *skb, struct packet *packet)
{
	const __u8 *mac = source_mac(skb);

	packet->from = endpoint_find(&packet->reporter);
	if (!mac)
		return -DROP_INVALID_PACKET;
	return sender_check(skb, packet->from, mac);
}

/* Multicast and what a stack says by itself. */
static __always_inline int noise_step(struct packet *packet)
{
	if (icmp6_is_listener(&packet->headers)) {
		packet->flags |= PACKET_SILENT;
		return -DROP_NOISE;
	}
	return addr_is_multicast(&packet->destination) ? -DROP_MULTICAST : CONTINUE;
}

/* Into the pod, past to_pod: nobody there asked whether the service may talk to it. */
static __always_inline int reject_pod(struct __sk_buff *skb, struct packet *packet)
{
	int verdict = reject(skb, packet);

	return verdict == CONTINUE ? bpf_redirect_peer(skb->ifindex, 0) : verdict;
}

/* The same, of a question that DNS rules do not let pass. */
static __always_inline int refuse_pod_name(struct __sk_buff *skb, struct packet *packet)
{
	int verdict = dns_refuse(skb, &packet->headers);

	return verdict == CONTINUE ? bpf_redirect_peer(skb->ifindex, 0) : verdict;
}

static __always_inline int reset_pod(struct __sk_buff *skb, struct packet *packet, int verdict)
{
	verdict = reset_client(skb, packet, verdict);
	return verdict == CONTINUE ? bpf_redirect_peer(skb->ifindex, 0) : verdict;
}

/* Longer in the other family than the way to another node bears: the pod is told, under the addresses that it has used. */
static __always_inline int refuse_pod_size(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (frame_addresses(skb, packet_is_v6(&packet->headers), &packet->ends))
		return -DROP_INVALID_PACKET;
	verdict = refuse_size(skb, packet);
	return verdict == CONTINUE ? bpf_redirect_peer(skb->ifindex, 0) : verdict;
}

/* To or from a service of the other family. What leaves the node becomes its new self in forward_remote(). */
static __noinline int crossed_step(struct __sk_buff *skb, struct packet *packet)
{
	if (packet->to)
		return family_step(skb, packet);
	if (!packet->remote)
		packet->remote = ipcache_find(&packet->destination);
	return packet->remote && size_allowed(skb, packet) ? refuse_pod_size(skb, packet) : CONTINUE;
}

static __always_inline int walk_from_pod(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (skb->vlan_present)
		return -DROP_VLAN;
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return arp_from_pod(skb, packet);
	if (!skb_is_ip(skb))
		return -DROP_UNSUPPORTED_L3;
	verdict = parse(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (packet_is_v6(&packet->headers) && icmp6_is_neighbour(&packet->headers))
		return neighbour_from_pod(skb, packet);
	if (unlikely(addr_is_multicast(&packet->destination) || icmp6_is_listener(&packet->headers)))
		return noise_step(packet);
	verdict = sender_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	/* A pod is no router: it reports only about packets to itself. */
	if (packet->flags & PACKET_ICMP_ERROR && !addr_equal(&packet->source, &packet->reporter))
		packet_make_unrelated(&packet->headers);
	verdict = fragment_learn(packet);
	if (verdict != CONTINUE)
		return verdict;
	packet->to = endpoint_find(&packet->destination);
	/* A pod's answer to a client of the other family, for whom the node stands in. */
	if (unlikely(endpoint_is_host(packet->to)))
		verdict = nat_unmasquerade(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	verdict = connection_step(skb, packet, true);
	if (unlikely(verdict == -DROP_NO_SERVICE_BACKEND))
		return reject_pod(skb, packet);
	if (unlikely(verdict == -DROP_NAME_REFUSED))
		return refuse_pod_name(skb, packet);
	if (unlikely(packet->tell & TELL_RESET))
		return reset_pod(skb, packet, verdict);
	if (verdict != CONTINUE)
		return verdict;
	if (unlikely(packet->flags & PACKET_TO_PROXY))
		return forward_to_proxy(skb, packet);
	if (unlikely(packet->flags & PACKET_OTHER_FAMILY))
		verdict = crossed_step(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (!packet->to)
		return forward_remote(skb, packet);
	return packet->to->flags & ENDPOINT_HOST ? TC_ACT_OK : forward_local(skb, packet);
}

/* Neither way is inline: the stack is small. */
static __noinline int way_from_pod(struct __sk_buff *skb)
{
	return way_step(skb, HOOK_FROM_POD);
}

static __noinline int long_way_from_pod(struct __sk_buff *skb)
{
	struct packet packet = { .direction = DIRECTION_EGRESS };

	return finish(skb, &packet, walk_from_pod(skb, &packet), HOOK_FROM_POD);
}

/* All that a pod sends. */
SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	int action = way_from_pod(skb);

	if (unlikely(action == CONTINUE))
		action = long_way_from_pod(skb);
	return likely(action != TO_READER) ? action : http_read_here(skb);
}

/* What the stack says to its neighbours by itself, and the answers of from_pod on their way back. */
static __always_inline bool is_link_talk(struct __sk_buff *skb, const struct packet *packet)
{
	return packet_is_v6(&packet->headers) && icmp6_is_neighbour(&packet->headers) && packet->hop_limit == 255;
}

static __always_inline int walk_to_pod(struct __sk_buff *skb, struct packet *packet)
{
	int verdict;

	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return TC_ACT_OK;
	if (!skb_is_ip(skb))
		return -DROP_UNSUPPORTED_L3;
	verdict = parse(skb, packet);
	if (verdict != CONTINUE)
		return verdict;
	if (is_link_talk(skb, packet))
		return TC_ACT_OK;
	packet->to = endpoint_find(&packet->destination);
	if (!packet->to || packet->to->ifindex != skb->ifindex) {
		if (addr_is_multicast(&packet->destination) || addr_is_link_local(&packet->destination)) {
			packet->flags |= PACKET_SILENT;
			return -DROP_NOISE;
		}
		return -DROP_UNROUTABLE_IP;
	}
	packet->from = endpoint_find(&packet->source);
	/* Pods' packets do not pass through the stack: one that comes out of it with a pod's address is not the pod's, but the proxy's. */
	if (unlikely(mark_is_from_proxy(skb)))
		packet->flags |= PACKET_FROM_PROXY;
	else if (endpoint_is_pod(packet->from))
		return -DROP_INVALID_SOURCE_IP;
	verdict = fragment_learn(packet);
	if (verdict != CONTINUE)
		return verdict;
	verdict = connection_step(skb, packet, false);
	/* Such packets do not come out of the stack, and past http_to_pod only if it is not there. */
	if (verdict == CONTINUE && unlikely(http_is_read(packet)))
		verdict = -DROP_HTTP_NO_ROW;
	if (verdict == CONTINUE)
		verdict = family_step(skb, packet);
	return verdict == CONTINUE ? TC_ACT_OK : verdict;
}

static __noinline int way_to_pod(struct __sk_buff *skb)
{
	return way_out_step(skb, HOOK_TO_POD);
}

static __noinline int long_way_to_pod(struct __sk_buff *skb)
{
	struct packet packet = { .direction = DIRECTION_INGRESS };

	return finish(skb, &packet, walk_to_pod(skb, &packet), HOOK_TO_POD);
}

/* What the node's own stack delivers to the pod. */
SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	int action = unlikely(mark_is_from_proxy(skb)) ? way_to_pod(skb) : CONTINUE;

	return action != CONTINUE ? action : long_way_to_pod(skb);
}

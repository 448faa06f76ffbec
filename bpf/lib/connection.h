/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Conntrack and policy together: known connections pass, new ones are judged at every local end. */
#pragma once

#include "config.h"
#include "conntrack.h"
#include "dns.h"
#include "dsr.h"
#include "host.h"
#include "http_connection.h"
#include "nat.h"
#include "policy.h"
#include "redirect.h"
#include "runtime.h"
#include "service_step.h"
#include "tell.h"

/* Nothing goes to a pod whose policy is not in place. */
static __always_inline int endpoint_ready(const struct endpoint *endpoint)
{
	return endpoint && !(endpoint->flags & (ENDPOINT_READY | ENDPOINT_HOST)) ? -DROP_ENDPOINT_NOT_READY : CONTINUE;
}

static __always_inline int ipcache_identity(const struct ipcache_entry *entry, __u32 *identity)
{
	if (!entry)
		return -DROP_INVALID_IDENTITY;
	*identity = entry->identity;
	if (entry->identity)
		return CONTINUE;
	return entry->flags & IPCACHE_CLUSTER ? -DROP_UNKNOWN_CLUSTER_ADDRESS : -DROP_INVALID_IDENTITY;
}

static __always_inline __u32 either(__u32 first, __u32 second)
{
	return first ? first : second;
}

/* Who the two ends are now. A source identity that the tunnel told is kept. */
static __noinline int identify(struct packet *packet)
{
	int verdict = CONTINUE;

	if (packet->from)
		packet->source_identity = packet->from->identity;
	else if (!packet->source_identity)
		verdict = ipcache_identity(ipcache_find(&packet->source), &packet->source_identity);
	if (verdict != CONTINUE)
		return verdict;
	if (packet->to) {
		packet->destination_identity = packet->to->identity;
		packet->destination_policy_identity = either(packet->to->policy_identity, packet->to->identity);
		return CONTINUE;
	}
	packet->remote = ipcache_find(&packet->destination);
	verdict = ipcache_identity(packet->remote, &packet->destination_identity);
	if (verdict == CONTINUE && packet->remote)
		packet->destination_policy_identity = either(packet->remote->policy_identity, packet->remote->identity);
	return verdict;
}

/* The "port" of ICMP is its type; that of an error about an echo is the request's. */
static __always_inline __be16 policy_port(const struct headers *packet)
{
	if (protocol_has_ports(packet->protocol))
		return packet->destination_port;
	if (!packet_is_icmp(packet))
		return 0;
	if (packet->flags & PACKET_ICMP_ERROR)
		return bpf_htons(packet_is_v6(packet) ? ICMP6_ECHO : ICMP4_ECHO);
	return bpf_htons(packet->icmp_type);
}

/* Tells what the shadow policies would have said: of new connections, and once of each that was established when they came. */
static __noinline int shadow_tell(struct __sk_buff *skb, struct packet *packet, const struct endpoint *endpoint, const struct conntrack_entry *known)
{
	__u32 told = packet->direction == DIRECTION_EGRESS ? CONNTRACK_SHADOW_EGRESS : CONNTRACK_SHADOW_INGRESS;
	struct shadow_key key = {
		.rule = packet->shadow_rule,
		.endpoint = endpoint_id(endpoint),
		.identity = packet->direction == DIRECTION_EGRESS ? packet->destination_identity : packet->source_identity,
		.port = policy_port(&packet->headers),
		.protocol = packet->protocol,
		.direction = packet->direction,
		.verdict = packet->shadow_verdict,
	};

	packet->ct_flags |= told;
	if (known && known->flags & told)
		return 0;
	shadow_count(&key, skb->len, !(packet->flags & PACKET_UNRELATED));
	return event_shadow(skb, &packet->headers, endpoint_id(packet->from), endpoint_id(packet->to));
}

/*
 * May this denial be overlooked? Only for a connection that was allowed when it was opened, between the same two as then: not for one
 * that is opened again under the same ports, nor for one that was revoked before.
 */
static __always_inline bool connection_is_kept(const struct packet *packet, const struct conntrack_entry *known)
{
	return known && packet->verdict_flags & POLICY_KEEP_ESTABLISHED && !(known->flags & CONNTRACK_REVOKED) &&
	       !packet_opens_tcp(&packet->headers) &&
	       packet->source_identity == known->source_identity && packet->destination_identity == known->destination_identity;
}

/* `known`: the entry of a connection that was allowed before, or NULL for a new one, which is told and counted. */
static __noinline int judge_end(struct __sk_buff *skb, struct packet *packet, const struct endpoint *endpoint, const struct conntrack_entry *known, int direction)
{
	struct policy_question question = {
		.protocol = packet->protocol,
		.port = policy_port(&packet->headers),
		.direction = direction,
		.audit = config.audit || endpoint->flags & ENDPOINT_AUDIT,
	};
	__u32 before = known ? direction == DIRECTION_EGRESS ? known->egress_rule : known->ingress_rule : 0;
	int verdict;

	question.set = direction == DIRECTION_EGRESS ? endpoint->egress_set : endpoint->ingress_set;
	question.identity = direction == DIRECTION_EGRESS ? packet->destination_policy_identity : packet->source_identity;
	verdict = policy_ask(&packet->headers, &question);
	if (direction == DIRECTION_EGRESS && unlikely(name_may_decide(packet)))
		verdict = name_judge(&packet->headers, &question, endpoint->id, known && known->flags & CONNTRACK_BY_NAME ? known->destination_identity : 0);
	/* The node itself is no client or server of the proxy's. */
	if (unlikely(packet->verdict == VERDICT_REDIRECT && endpoint_is_host(endpoint)))
		verdict = -DROP_PROXY_NOT_SUPPORTED;
	/* The client's connection to the proxy has been counted and told. */
	if (packet->flags & PACKET_FROM_PROXY && verdict == CONTINUE)
		return CONTINUE;
	if (packet->shadow_verdict)
		shadow_tell(skb, packet, endpoint, known);
	if (verdict == -DROP_POLICY_DENIED && connection_is_kept(packet, known)) {
		packet->ct_flags |= CONNTRACK_KEPT;
		packet->verdict = VERDICT_ALLOW;
		packet->rule = before;
		verdict = CONTINUE;
	}
	if (direction == DIRECTION_EGRESS)
		packet->egress_rule = packet->rule;
	else
		packet->ingress_rule = packet->rule;
	if (!known)
		rule_count(packet->rule, 1, skb->len, !(packet->flags & PACKET_UNRELATED));
	else if (verdict != CONTINUE)
		rule_count(packet->rule, 1, skb->len, 0);
	else if (packet->rule != before)
		rule_count(packet->rule, 0, 0, 1);
	/* A denial is told here and with its drop, as Hubble has it; the drop's record has its rule too. */
	if (!known && (verdict == CONTINUE || verdict == -DROP_POLICY_DENIED))
		event_verdict(skb, &packet->headers, endpoint_id(packet->from), endpoint_id(packet->to));
	if (verdict == CONTINUE && packet->verdict == VERDICT_AUDIT)
		packet->ct_flags |= CONNTRACK_AUDITED;
	return verdict;
}

/* Pods' own policy, and that of the node where it has one: not towards its own pods, and not towards API servers (see host.h). */
static __always_inline bool egress_is_judged(const struct packet *packet)
{
	if (!endpoint_is_host(packet->from))
		return packet->from;
	return packet->from->egress_set && !endpoint_is_pod(packet->to) && !host_may_send(&packet->headers);
}

/* What the node itself sends always reaches its pods. */
static __always_inline bool ingress_is_judged(const struct packet *packet)
{
	if (!endpoint_is_host(packet->to))
		return packet->to && !endpoint_is_host(packet->from);
	return packet->to->ingress_set && !host_may_receive(&packet->headers);
}

/* Has policy said that the proxy looks into it? DNS by UDP has its set too, and no proxy. */
static __always_inline bool wants_proxy(const struct packet *packet)
{
	return (packet->egress_l7 | packet->ingress_l7) && !(packet->ct_flags & CONNTRACK_ASKS);
}

/* Asks policy about the connection that this packet opens, or goes forward in: at the end that opened it, then at the other. */
static __noinline int judge(struct __sk_buff *skb, struct packet *packet, const struct conntrack_entry *known)
{
	__u8 direction = packet->direction;
	int verdict;

	packet->egress_rule = 0;
	packet->ingress_rule = 0;
	packet->egress_l7 = 0;
	if (packet->from && egress_is_judged(packet)) {
		verdict = judge_end(skb, packet, packet->from, known, DIRECTION_EGRESS);
		if (verdict != CONTINUE)
			return verdict;
	}
	packet->ingress_l7 = 0;
	if (packet->to && ingress_is_judged(packet)) {
		verdict = judge_end(skb, packet, packet->to, known, DIRECTION_INGRESS);
		if (verdict != CONTINUE)
			return verdict;
	} else if (endpoint_is_host(packet->from)) {
		packet->ct_flags |= CONNTRACK_HOST;
		packet->verdict = VERDICT_ALLOW;
		if (!known && endpoint_is_pod(packet->to))
			event_verdict(skb, &packet->headers, endpoint_id(packet->from), endpoint_id(packet->to));
	}
	packet->direction = direction;
	return CONTINUE;
}

/*
 * Does a packet to this place take the node's address? Not inside the cluster, and not where the operator wants pods to be seen; towards
 * other nodes only when no route leads back. Asked when a connection begins: what changes then is for new ones.
 */
static __always_inline bool needs_masquerade(const struct packet *packet)
{
	__u32 flags;

	if (!config.masquerade || packet->to || !packet->remote)
		return false;
	flags = packet->remote->flags;
	if (flags & IPCACHE_NODE)
		return config.overlay_ifindex && !(flags & IPCACHE_HAS_TUNNEL);
	return !(flags & IPCACHE_CLUSTER) && !masquerade_is_excluded(&packet->destination);
}

/* Does a pod here ask for names, or tell them? */
static __always_inline bool names_pass(const struct packet *packet)
{
	const __be16 port = bpf_htons(DNS_PORT);
	const struct service_address *address;

	if (likely(packet->protocol != IPPROTO_UDP) || config.monitor_aggregation == AGGREGATION_SILENT)
		return false;
	if (!endpoint_is_pod(packet->from) && !endpoint_is_pod(packet->to))
		return false;
	if (packet->destination_port == port || packet->source_port == port || packet->ct_flags & CONNTRACK_ASKS)
		return true;
	address = packet->service ? service_address_find(packet->service) : NULL;
	return address && address->port == port;
}

/* Is DNS of this connection to be read (dns.h)? What that has found out stands in packet->ct_flags. */
static __always_inline void names_read(struct packet *packet)
{
	const __be16 port = bpf_htons(DNS_PORT);
	const struct service_address *address;

	if (likely(packet->protocol != IPPROTO_UDP) || packet->ct_flags & CONNTRACK_ASKS || !endpoint_is_pod(packet->from) || !runtime_has(RUNTIME_NAMES))
		return;
	address = packet->service ? service_address_find(packet->service) : NULL;
	if (packet->destination_port == port || (address && address->port == port))
		packet->ct_flags |= CONNTRACK_LEARNS;
}

/* The entry of a connection that has been allowed, as it was under that generation of policy. `source_is_low`: the sender is the key's low end. */
static __noinline int connection_keep(struct __sk_buff *skb, struct packet *packet, const struct conntrack_key *key, bool source_is_low, __u32 generation)
{
	struct conntrack_entry entry = { .generation = generation };
	int verdict;

	entry.flags = conntrack_flags_after(&packet->headers, packet->ct_flags | (source_is_low ? CONNTRACK_ORIGINATOR_LOW : 0), false);
	entry.forward_packets = 1;
	entry.forward_bytes = skb->len;
	entry.source_identity = packet->source_identity;
	entry.destination_identity = packet->destination_identity;
	entry.source_endpoint = endpoint_id(packet->from);
	entry.destination_endpoint = endpoint_id(packet->to);
	entry.service = packet->service;
	entry.backend = packet->backend;
	entry.l7 = packet->egress_l7;
	/* The rules have been credited with this packet when they decided. */
	entry.egress_rule = packet->egress_rule;
	entry.ingress_rule = packet->ingress_rule;
	entry.credited_packets = 1;
	entry.credited_bytes = skb->len;
	if (unlikely(entry.flags & CONNTRACK_PROXY_LEG)) {
		/* One connection is told and counted, the client's. */
		entry.started_ns = bpf_ktime_get_coarse_ns();
		entry.expires_ns = conntrack_expiry(packet->protocol, entry.flags, entry.started_ns);
		entry.flags |= CONNTRACK_ENDED;
		return conntrack_insert(key, &entry);
	}
	entry.started_ns = tell_new(skb, &packet->headers, entry.flags, entry.source_endpoint, entry.destination_endpoint);
	entry.expires_ns = conntrack_expiry(packet->protocol, entry.flags, entry.started_ns);
	if (unlikely((entry.flags & CONNTRACK_CLOSING) == CONNTRACK_CLOSING))
		entry.flags |= CONNTRACK_ENDED;
	verdict = conntrack_insert(key, &entry);
	if (verdict != CONTINUE)
		return verdict;
	connection_count(END_NONE);
	if (unlikely(entry.flags & CONNTRACK_ENDED))
		connection_count(END_RESET);
	return CONTINUE;
}

/* `key` is the packet's, and whether its sender is the low end; they come from the caller because the stack is small. */
static __noinline int connection_new(struct __sk_buff *skb, struct packet *packet, const struct conntrack_key *key, bool source_is_low)
{
	__u32 generation;
	int verdict;

	if (unlikely(packet_opens_nothing(&packet->headers)))
		return -DROP_CONNTRACK_INVALID;
	if (unlikely(packet->flags & PACKET_FROM_PROXY && !proxy_may_open(packet)))
		return -DROP_CONNTRACK_INVALID;
	packet->ct_state = STATE_NEW;
	packet->ct_flags = (packet->flags & PACKET_OVERLAY ? CONNTRACK_OVERLAY : 0) | (packet->flags & PACKET_TRANSIT ? CONNTRACK_TRANSIT : 0) |
			   (packet->flags & PACKET_DSR ? CONNTRACK_DSR : 0) | (packet->flags & PACKET_OTHER_FAMILY ? CONNTRACK_OTHER_FAMILY : 0);
	/* An answer to a connection that is no more must not open one from outside. */
	if (packet->flags & PACKET_UNMASQUERADED)
		return -DROP_NO_MAPPING_FOR_NAT;
	if (packet->flags & PACKET_ICMP_ERROR) {
		packet_make_unrelated(&packet->headers);
		packet->from = endpoint_find(&packet->source);
	}
	/* Before the verdict: a commit that comes between makes the entry stale, and it is judged again. */
	generation = policy_generation();
	if (packet->flags & PACKET_HAIRPIN) {
		packet->ct_flags |= CONNTRACK_HAIRPIN;
		packet->source_identity = packet->destination_identity = packet->to ? packet->to->identity : 0;
	} else {
		verdict = identify(packet);
		if (verdict == CONTINUE)
			verdict = judge(skb, packet, NULL);
		if (verdict != CONTINUE)
			return verdict;
		if (unlikely(wants_proxy(packet)))
			verdict = http_may_take(packet) && http_take(packet) ? CONTINUE : proxy_take(packet, generation);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (packet->flags & PACKET_FROM_PROXY)
		packet->ct_flags |= CONNTRACK_PROXY_LEG;
	if (packet->flags & PACKET_UNRELATED) {
		tell_new(skb, &packet->headers, 0, endpoint_id(packet->from), endpoint_id(packet->to));
		return CONTINUE;
	}
	if (endpoint_is_pod(packet->from) && needs_masquerade(packet))
		packet->ct_flags |= CONNTRACK_MASQUERADED;
	names_read(packet);
	if (names_pass(packet))
		packet->ct_flags |= CONNTRACK_NAMES;
	verdict = connection_keep(skb, packet, key, source_is_low, generation);
	if (likely(!(packet->ct_flags & CONNTRACK_READS_NAMES)) || verdict != CONTINUE)
		return verdict;
	packet->rule = packet->egress_rule;
	return dns_question(skb, &packet->headers, endpoint_id(packet->from), packet->egress_l7);
}

/* Denied: dead in both directions. It lives, so that answers do not open it again, as long as either end goes on sending. */
static __always_inline void connection_revoke(const struct packet *packet, struct conntrack_key *key, struct conntrack_entry *entry)
{
	entry->egress_rule = packet->egress_rule;
	entry->ingress_rule = packet->ingress_rule;
	if (packet->ingress_rule)
		entry->egress_rule = 0;
	entry->expires_ns = conntrack_expiry(packet->protocol, entry->flags, bpf_ktime_get_coarse_ns());
	__sync_fetch_and_and(&entry->flags, ~(__u32)CONNTRACK_JUDGED);
	__sync_fetch_and_or(&entry->flags, CONNTRACK_REVOKED | (packet->verdict == VERDICT_DENY && packet->match != MATCH_NONE ? CONNTRACK_RULE_DENIES : 0));
	tell_end(key, entry, END_REVOKED);
}

/* An answer in a connection that is no longer allowed: nobody is asked about answers, the rule that revoked it is still known. */
static __noinline int connection_revoked(struct __sk_buff *skb, struct packet *packet, struct conntrack_entry *entry)
{
	packet->source_identity = entry->destination_identity;
	packet->destination_identity = entry->source_identity;
	packet->direction = entry->ingress_rule ? DIRECTION_INGRESS : DIRECTION_EGRESS;
	packet->rule = either(entry->ingress_rule, entry->egress_rule);
	packet->verdict = VERDICT_DENY;
	rule_count(packet->rule, 1, skb->len, 0);
	if (!(packet->flags & PACKET_ICMP_ERROR))
		entry->expires_ns = conntrack_expiry(packet->protocol, entry->flags, bpf_ktime_get_coarse_ns());
	return entry->flags & CONNTRACK_RULE_DENIES ? -DROP_POLICY_DENY : -DROP_POLICY_DENIED;
}

/* Refused by policy as it is now; other reasons pass. */
static __always_inline bool connection_is_over(int verdict)
{
	return verdict == -DROP_POLICY_DENIED || verdict == -DROP_PROXY_NOT_SUPPORTED || verdict == -DROP_PROXY_TOO_LATE;
}

/* Policy, identities or addresses have changed since the connection was allowed: what was allowed then is asked again now. */
static __noinline int connection_judge_again(struct __sk_buff *skb, struct packet *packet, struct conntrack_key *key, struct conntrack_entry *entry)
{
	__u32 generation = policy_generation();
	int verdict;

	packet->ct_flags &= ~(__u32)CONNTRACK_JUDGED;
	verdict = identify(packet);
	if (verdict != CONTINUE)
		return verdict;
	verdict = judge(skb, packet, entry);
	if (verdict == CONTINUE && unlikely(entry->flags & CONNTRACK_HTTP))
		verdict = http_note(packet);
	else if (verdict == CONTINUE && unlikely(wants_proxy(packet) && !(entry->flags & CONNTRACK_PROXIED)))
		verdict = -DROP_PROXY_TOO_LATE;
	if (verdict == CONTINUE || connection_is_over(verdict))
		conntrack_credit(entry);
	if (connection_is_over(verdict)) {
		connection_revoke(packet, key, entry);
		if (unlikely(entry->flags & CONNTRACK_PROXIED))
			proxy_revoke(&packet->headers);
		/* Its client comes again, through the proxy; a SYN that nobody has answered does so by itself. */
		if (unlikely(entry->flags & CONNTRACK_PROXIED || verdict == -DROP_PROXY_TOO_LATE) && !packet_opens_tcp(&packet->headers))
			packet->tell |= TELL_RESET;
	} else if (verdict == CONTINUE && unlikely(entry->flags & CONNTRACK_PROXIED)) {
		verdict = proxy_note(packet, generation);
	}
	if (verdict != CONTINUE)
		return verdict;
	/* It goes on, and will end again. */
	if (unlikely(entry->flags & CONNTRACK_REVOKED) && (entry->flags & CONNTRACK_CLOSING) != CONNTRACK_CLOSING)
		__sync_fetch_and_and(&entry->flags, ~(__u32)CONNTRACK_ENDED);
	entry->source_identity = packet->source_identity;
	entry->destination_identity = packet->destination_identity;
	entry->egress_rule = packet->egress_rule;
	entry->ingress_rule = packet->ingress_rule;
	names_read(packet);
	if (names_pass(packet))
		packet->ct_flags |= CONNTRACK_NAMES;
	entry->l7 = packet->egress_l7;
	__sync_fetch_and_and(&entry->flags, ~(__u32)CONNTRACK_JUDGED | packet->ct_flags);
	__sync_fetch_and_or(&entry->flags, packet->ct_flags & (CONNTRACK_JUDGED | CONNTRACK_NAMES));
	entry->generation = generation;
	return CONTINUE;
}

/* Answers are not judged: what lets them pass is that the other direction was allowed. */
static __always_inline bool connection_is_stale(const struct packet *packet, const struct conntrack_entry *entry)
{
	__u32 told = packet->source_identity;

	if (entry->flags & CONNTRACK_HAIRPIN)
		return false;
	if (unlikely(proxy_resets(&packet->headers)))
		return false;
	return entry->generation != policy_generation() || entry->flags & CONNTRACK_REVOKED || (told && told != entry->source_identity);
}

/* Where an end is, for packets that are to go there and as what those that come from there must look like. */
static __noinline int end_learn(struct conntrack_end *end, const struct addr *addr, __u32 id)
{
	const struct ipcache_entry *remote;
	const struct endpoint *endpoint;

	if (!end || !addr)
		return 0;
	end->kind = END_UNKNOWN;
	endpoint = endpoint_find(addr);
	if (endpoint_id(endpoint) != id)
		return 0;
	if (endpoint) {
		if ((endpoint->flags & (ENDPOINT_READY | ENDPOINT_HOST)) != ENDPOINT_READY || !is_host_mac(endpoint->host_mac))
			return 0;
		end->target = endpoint->ifindex;
		__builtin_memcpy(end->mac, endpoint->mac, ETH_ALEN);
		end->kind = END_POD;
		return 0;
	}
	remote = ipcache_find(addr);
	if (!remote || !remote->identity || addr_is_martian(addr))
		return 0;
	if (config.overlay_ifindex && remote->flags & IPCACHE_HAS_TUNNEL) {
		if (!addr_is_v4(&remote->tunnel))
			return 0;
		end->target = remote->tunnel.words[3];
		end->kind = END_TUNNEL;
	} else if ((remote->flags & (IPCACHE_CLUSTER | IPCACHE_NODE)) == IPCACHE_CLUSTER) {
		/* What goes to the world or to other nodes may be masqueraded: it goes the long way. */
		end->kind = END_UPLINK;
	}
	return 0;
}

/*
 * Two processors that learn at once, before and after a change, may leave a mixture for as long as it takes the slower one to write its
 * older generation: a packet in between goes astray as one does that was under way at the change.
 */
static __noinline int way_learn(const struct packet *packet, struct conntrack_entry *entry, bool reply)
{
	__u32 generation = policy_generation();
	struct addr addr = reply ? packet->destination : packet->source;

	if (packet->flags & PACKET_ICMP_ERROR)
		return 0;
	end_learn(&entry->source_end, &addr, entry->source_endpoint);
	addr = reply ? packet->source : packet->destination;
	end_learn(&entry->destination_end, &addr, entry->destination_endpoint);
	entry->way_generation = generation;
	return 0;
}

static __always_inline int connection_known(struct __sk_buff *skb, struct packet *packet, struct conntrack_key *key, struct conntrack_entry *entry, bool reply, __u64 now)
{
	__u32 fresh;
	int verdict;

	packet->ct_state = packet->flags & PACKET_ICMP_ERROR ? STATE_RELATED : reply ? STATE_REPLY : STATE_ESTABLISHED;
	packet->service = entry->service;
	packet->ct_flags = entry->flags;
	if (reply && unlikely(entry->flags & CONNTRACK_REVOKED) && !proxy_resets(&packet->headers))
		return connection_revoked(skb, packet, entry);
	/* What the tunnel tells of an error is who reports it. */
	if (!reply && packet->flags & PACKET_ICMP_ERROR)
		packet->source_identity = entry->source_identity;
	if (!reply && unlikely(connection_is_stale(packet, entry))) {
		verdict = connection_judge_again(skb, packet, key, entry);
		if (verdict != CONTINUE)
			return verdict;
	} else {
		packet->source_identity = reply ? entry->destination_identity : entry->source_identity;
		packet->destination_identity = reply ? entry->source_identity : entry->destination_identity;
	}
	fresh = conntrack_touch(entry, &packet->headers, reply, skb->len, now);
	if (unlikely(packet->ct_flags & CONNTRACK_PROXY_LEG))
		fresh = 0;
	else if (packet_tells(fresh) || unlikely(packet->ct_flags & CONNTRACK_NAMES))
		tell_known(skb, &packet->headers, entry, fresh);
	if (unlikely(entry->way_generation != policy_generation()))
		way_learn(packet, entry, reply);
	if (unlikely(packet->ct_flags & CONNTRACK_READS_NAMES)) {
		packet->rule = entry->egress_rule;
		verdict = reply ? dns_answer(skb, &packet->headers, entry->source_endpoint) :
				  dns_question(skb, &packet->headers, entry->source_endpoint, packet->ct_flags & CONNTRACK_ASKS ? entry->l7 : 0);
		if (verdict != CONTINUE)
			return verdict;
	}
	if (likely(!reply || (!packet->service && !(packet->ct_flags & CONNTRACK_DSR))))
		return CONTINUE;
	if (packet->ct_flags & CONNTRACK_DSR)
		return dsr_reverse(skb, packet);
	if (packet->ct_flags & CONNTRACK_HAIRPIN) {
		verdict = hairpin_reverse(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
	}
	return service_reverse(skb, packet);
}

/* It is about to be replaced: it tells its end, and its rules get what is theirs. */
static __always_inline void connection_forget(struct conntrack_key *key, struct conntrack_entry *entry)
{
	conntrack_credit(entry);
	tell_end(key, entry, END_IDLE);
}

/* The living entry of this packet's connection. */
static __always_inline struct conntrack_entry *conntrack_find(const struct packet *packet, struct conntrack_key *key, bool source_is_low, __u64 now)
{
	struct conntrack_entry *entry = bpf_map_lookup_elem(&conntrack, key);

	if (!entry || likely(conntrack_lives(packet, entry, source_is_low, now)))
		return entry;
	connection_forget(key, entry);
	return NULL;
}

/* A reply in this sense is any packet against the direction in which the connection was opened. */
static __always_inline bool packet_is_reply(const struct packet *packet)
{
	return packet->flags & PACKET_REPLY;
}

/*
 * Does a client's port of UDP speak by way of another service now, or of none, to the same backend? That is another conversation, whose
 * answers bear another address; TCP's would be told by its SYN. `services`: as a pod sent it, so that no service means none.
 */
static __always_inline bool connection_is_of_another(const struct packet *packet, const struct conntrack_entry *entry, bool source_is_low, const bool services)
{
	if (likely(packet->protocol != IPPROTO_UDP || entry->service == packet->service) || !(packet->service || services))
		return false;
	return !(packet->flags & PACKET_ICMP_ERROR) && !conntrack_is_reply(entry, source_is_low) &&
	       !(entry->flags & CONNTRACK_OTHER_FAMILY) == !(packet->flags & PACKET_OTHER_FAMILY);
}

/* Finds or makes the packet's connection. `services`: the packet may still carry a service's address. */
static __always_inline int connection_step(struct __sk_buff *skb, struct packet *packet, const bool services)
{
	struct conntrack_entry *entry;
	struct conntrack_key key;
	bool source_is_low, reply;
	__u64 now = bpf_ktime_get_coarse_ns();
	int verdict = endpoint_ready(packet->to);

	if (verdict != CONTINUE)
		return verdict;
	source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);
	entry = conntrack_find(packet, &key, source_is_low, now);
	/* A connection that was answered is not to a service address: no lookup. One that was not may be older than the service. */
	if (services && (!entry || !(entry->flags & CONNTRACK_SEEN_REPLY)) &&
	    !(entry && conntrack_is_reply(entry, source_is_low))) {
		verdict = service_step(skb, packet);
		if (verdict != CONTINUE)
			return verdict;
		if (packet->service) {
			packet->to = endpoint_find(&packet->destination);
			verdict = endpoint_ready(packet->to);
			if (verdict != CONTINUE)
				return verdict;
			source_is_low = conntrack_key_of(&packet->headers, CONNTRACK_FLOW, &key);
			entry = conntrack_find(packet, &key, source_is_low, now);
		}
	}
	if (entry && unlikely(connection_is_of_another(packet, entry, source_is_low, services))) {
		connection_forget(&key, entry);
		entry = NULL;
	}
	if (unlikely(!entry))
		return connection_new(skb, packet, &key, source_is_low);
	reply = conntrack_is_reply(entry, source_is_low);
	if (reply)
		packet->flags |= PACKET_REPLY;
	else if (unlikely(!(entry->flags & CONNTRACK_OTHER_FAMILY) != !(packet->flags & PACKET_OTHER_FAMILY)))
		/* A pod's sockets of both families use one port towards one backend: nobody could tell the answers apart. */
		return -DROP_NAT_CONTENDED;
	if (unlikely(entry->flags & CONNTRACK_OF_PROXY || packet->flags & PACKET_FROM_PROXY)) {
		verdict = proxy_check(packet, entry, reply);
		if (verdict != CONTINUE)
			return verdict;
	}
	return connection_known(skb, packet, &key, entry, reply, now);
}

/*
 * Who sends, from outside of the node. Routers report about packets that passed them: an error about a connection between two ends here
 * is not part of it, whoever claims so.
 */
static __always_inline void sender_outside(struct packet *packet)
{
	packet->from = endpoint_find(&packet->source);
	if (unlikely(packet->from && packet->flags & PACKET_ICMP_ERROR)) {
		packet_make_unrelated(&packet->headers);
		packet->from = NULL;
	}
}

/* From the node itself. CONTINUE where it may leave. */
static __always_inline int host_send(struct __sk_buff *skb, struct packet *packet)
{
	__u8 direction = packet->direction;
	int verdict = fragment_learn(packet);

	if (verdict != CONTINUE)
		return verdict;
	packet->direction = DIRECTION_EGRESS;
	packet->from = host_find(&packet->source);
	packet->to = endpoint_find(&packet->destination);
	verdict = connection_step(skb, packet, false);
	if (verdict == CONTINUE)
		packet->direction = direction;
	return verdict;
}

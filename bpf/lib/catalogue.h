/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Types that user space needs but that no map names: clang writes BTF only for what a variable or map reaches. Never read. */
#pragma once

#include "conntrack.h"
#include "drop.h"
#include "endpoint.h"
#include "events.h"
#include "http.h"
#include "http_connection.h"
#include "http_event.h"
#include "ipcache.h"
#include "nat.h"
#include "policy.h"
#include "runtime.h"
#include "service_choice.h"
#include "socket_end.h"
#include "sweep.h"

struct catalogue {
	struct flow_event flow_event;
	struct connection_event connection_event;
	struct name_event name_event;
	struct http_event http_event;
	struct http_set http_set;
	struct sweep sweep;
	struct occupancy occupancy;
	struct name_put name_put;
	struct name_state name_state;
	enum conntrack_end_kind conntrack_end_kind;
	enum drop_reason drop_reason;
	enum endpoint_flag endpoint_flag;
	enum ipcache_flag ipcache_flag;
	enum policy_verdict_kind policy_verdict_kind;
	enum policy_match policy_match;
	enum policy_verdict_flag policy_verdict_flag;
	enum runtime_flag runtime_flag;
	enum conntrack_kind conntrack_kind;
	enum conntrack_flag conntrack_flag;
	enum conntrack_state conntrack_state;
	enum service_scope service_scope;
	enum service_type service_type;
	enum service_flag service_flag;
	enum service_source_form service_source_form;
	enum backend_state backend_state;
	enum affinity_client affinity_client;
	enum redirect_exempt_kind redirect_exempt_kind;
	enum socket_service_kind socket_service_kind;
	enum nat_direction nat_direction;
	enum event_type event_type;
	enum event_flag event_flag;
	enum observation_point observation_point;
	enum connection_end connection_end;
	enum monitor_aggregation monitor_aggregation;
	enum direction direction;
	enum lost_ring lost_ring;
	enum proxy_connection_flag proxy_connection_flag;
	enum http_phase http_phase;
};

const volatile struct catalogue catalogue __attribute__((used)) = {};

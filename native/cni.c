/*
 * cirri-cni: the network plugin that container runtimes call (CNI 1.1, https://www.cni.dev/docs/spec/; 0.3.1 to 1.1.0 are
 * accepted). It decides nothing: it puts the call into one JSON line, sends it to the node's agent and relays the answer.
 *
 *   runtime ──env, config on stdin──► cirri-cni ──{"command":…,"config":{…}}\n──► agent (config "socket")
 *           ◄──result or error, exit──          ◄──{"code":0,"result":{…}}\n──
 *
 * An agent that is away: ADD and CHECK say "try again later" (11), STATUS says 50, DEL is noted down in pending-deletes/ID
 * beside the socket, which the agent takes when it starts, and succeeds. All input is bounded; nothing is allocated.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_MAX = 256 * 1024, ANSWER_MAX = 1024 * 1024, LINE_MAX_BYTES = CONFIG_MAX + 64 * 1024, ENV_MAX = 8 * 1024, DEPTH_MAX = 64 };
enum { CONNECT_MS = 2000, ADD_MS = 30000, OTHER_MS = 20000 };

/* CNI error codes (spec, section 5). */
enum {
	INCOMPATIBLE_VERSION = 1, INVALID_ENVIRONMENT = 4, IO_FAILURE = 5, DECODE_FAILURE = 6, INVALID_CONFIG = 7, TRY_AGAIN_LATER = 11,
	PLUGIN_NOT_AVAILABLE = 50,
};

#define SUPPORTED "[\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]"

struct span {
	const char *at;
	size_t length;
};

struct text {
	char *at;
	size_t used, room;
	bool full;
};

static char config[CONFIG_MAX + 1], line[LINE_MAX_BYTES], answer[ANSWER_MAX + 1], printed[ANSWER_MAX + 4096];
static char version[32] = "1.0.0";
static int64_t deadline_ms;

/* ---- writing JSON ------------------------------------------------------------------------------------------------------- */

static void put(struct text *t, const char *bytes, size_t length)
{
	if (length > t->room - t->used) {
		t->full = true;
		return;
	}
	memcpy(t->at + t->used, bytes, length);
	t->used += length;
}

static void put_text(struct text *t, const char *s)
{
	put(t, s, strlen(s));
}

static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	if (n == 0 || n > left) return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80) return 0;
	if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))) return 0;
	if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))) return 0;
	return n;
}

/* Environment variables are bytes: what is not UTF-8 becomes U+FFFD. */
static void put_string(struct text *t, const char *bytes, size_t length)
{
	put_text(t, "\"");
	for (size_t i = 0; i < length;) {
		unsigned char c = bytes[i];
		size_t n = utf8_length((const unsigned char *)bytes + i, length - i);
		char escaped[8];
		if (n == 0) {
			put_text(t, "\\ufffd");
		} else if (c == '"' || c == '\\') {
			escaped[0] = '\\';
			escaped[1] = c;
			put(t, escaped, 2);
		} else if (c < 0x20 || c == 0x7f) {
			snprintf(escaped, sizeof escaped, "\\u%04x", c);
			put(t, escaped, 6);
		} else {
			put(t, bytes + i, n);
		}
		i += n ? n : 1;
	}
	put_text(t, "\"");
}

static void write_all(int fd, const char *bytes, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = write(fd, bytes + done, length - done);
		if (n < 0 && errno == EINTR) continue;
		if (n <= 0) return;
		done += n;
	}
}

static void __attribute__((noreturn)) leave_with_error(int code, const char *msg, size_t msg_length, const char *details, size_t details_length)
{
	struct text t = { printed, 0, sizeof printed, false };
	char number[48];
	put_text(&t, "{\"cniVersion\":");
	put_string(&t, version, strlen(version));
	snprintf(number, sizeof number, ",\"code\":%d,\"msg\":", code);
	put_text(&t, number);
	put_string(&t, msg, msg_length);
	put_text(&t, ",\"details\":");
	put_string(&t, details, details_length);
	put_text(&t, "}\n");
	write_all(1, t.at, t.used);
	exit(1);
}

static void __attribute__((noreturn, format(printf, 3, 4))) refuse(int code, const char *msg, const char *details_format, ...)
{
	char details[1024];
	va_list arguments;
	va_start(arguments, details_format);
	vsnprintf(details, sizeof details, details_format, arguments);
	va_end(arguments);
	leave_with_error(code, msg, strlen(msg), details, strlen(details));
}

/* ---- reading JSON: a strict scanner (RFC 8259) that knows where values begin and end -------------------------------------- */

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
	return p;
}

/* Each scanner returns the place after the value, or NULL. */
static const char *scan_string(const char *p, const char *end)
{
	if (p >= end || *p != '"') return NULL;
	for (p++; p < end; p++) {
		unsigned char c = *p;
		if (c == '"') return p + 1;
		if (c < 0x20) return NULL;
		if (c != '\\') continue;
		if (++p >= end) return NULL;
		if (*p == 'u') {
			for (int i = 0; i < 4; i++)
				if (++p >= end || !isxdigit((unsigned char)*p)) return NULL;
		} else if (!strchr("\"\\/bfnrt", *p) || *p == '\0') {
			return NULL;
		}
	}
	return NULL;
}

static const char *scan_digits(const char *p, const char *end)
{
	const char *from = p;
	while (p < end && *p >= '0' && *p <= '9') p++;
	return p > from ? p : NULL;
}

static const char *scan_number(const char *p, const char *end)
{
	if (p < end && *p == '-') p++;
	if (p < end && *p == '0') p++;
	else if (!(p = scan_digits(p, end))) return NULL;
	if (p < end && *p == '.' && !(p = scan_digits(p + 1, end))) return NULL;
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		if (p < end && (*p == '+' || *p == '-')) p++;
		p = scan_digits(p, end);
	}
	return p;
}

static const char *scan_word(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);
	return (size_t)(end - p) >= n && memcmp(p, word, n) == 0 ? p + n : NULL;
}

typedef void (*on_member)(void *context, struct span key, struct span value);

static const char *scan_value(const char *p, const char *end, int depth, on_member member, void *context);

static const char *scan_members(const char *p, const char *end, int depth, char close, on_member member, void *context)
{
	p = skip_space(p + 1, end);
	if (p < end && *p == close) return p + 1;
	for (;;) {
		struct span key = { 0 };
		p = skip_space(p, end);
		if (close == '}') {
			const char *from = p;
			if (!(p = scan_string(p, end))) return NULL;
			key = (struct span){ from + 1, p - from - 2 };
			p = skip_space(p, end);
			if (p >= end || *p != ':') return NULL;
			p = skip_space(p + 1, end);
		}
		const char *from = p;
		if (!(p = scan_value(p, end, depth + 1, NULL, NULL))) return NULL;
		if (member) member(context, key, (struct span){ from, p - from });
		p = skip_space(p, end);
		if (p < end && *p == close) return p + 1;
		if (p >= end || *p != ',') return NULL;
		p++;
	}
}

static const char *scan_value(const char *p, const char *end, int depth, on_member member, void *context)
{
	if (p >= end || depth > DEPTH_MAX) return NULL;
	switch (*p) {
	case '{': return scan_members(p, end, depth, '}', member, context);
	case '[': return scan_members(p, end, depth, ']', NULL, NULL);
	case '"': return scan_string(p, end);
	case 't': return scan_word(p, end, "true");
	case 'f': return scan_word(p, end, "false");
	case 'n': return scan_word(p, end, "null");
	default: return scan_number(p, end);
	}
}

/* One object and nothing after it. */
static bool scan_object(struct span s, on_member member, void *context)
{
	const char *end = s.at + s.length, *p = skip_space(s.at, end);
	if (p >= end || *p != '{') return false;
	p = scan_value(p, end, 0, member, context);
	return p && skip_space(p, end) == end;
}

static bool span_is(struct span s, const char *word)
{
	return s.length == strlen(word) && memcmp(s.at, word, s.length) == 0;
}

static unsigned put_utf8(char *out, unsigned code)
{
	if (code < 0x80) return out[0] = code, 1;
	if (code < 0x800) return out[0] = 0xc0 | code >> 6, out[1] = 0x80 | (code & 63), 2;
	if (code < 0x10000) return out[0] = 0xe0 | code >> 12, out[1] = 0x80 | (code >> 6 & 63), out[2] = 0x80 | (code & 63), 3;
	return out[0] = 0xf0 | code >> 18, out[1] = 0x80 | (code >> 12 & 63), out[2] = 0x80 | (code >> 6 & 63), out[3] = 0x80 | (code & 63), 4;
}

static unsigned hex4(const char *p)
{
	char digits[5] = { p[0], p[1], p[2], p[3], 0 };
	return strtoul(digits, NULL, 16);
}

/* The text of a scanned string value; false when it is none, does not fit or holds a zero byte. */
static bool decode_string(struct span value, char *out, size_t room)
{
	size_t used = 0;
	if (value.length < 2 || value.at[0] != '"') return false;
	for (const char *p = value.at + 1, *end = value.at + value.length - 1; p < end; p++) {
		unsigned code;
		if (used + 5 > room) return false;
		if (*p != '\\') {
			out[used++] = *p;
			continue;
		}
		static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
		const char *simple = strchr(from, *++p);
		if (simple && *p) {
			out[used++] = to[simple - from];
			continue;
		}
		code = hex4(p + 1);
		p += 4;
		if (code >= 0xd800 && code < 0xdc00 && end - p > 6 && p[1] == '\\' && p[2] == 'u') {
			unsigned low = hex4(p + 3);
			if (low >= 0xdc00 && low < 0xe000) {
				code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
				p += 6;
			}
		}
		if (code >= 0xd800 && code < 0xe000) code = 0xfffd;
		if (code == 0) return false;
		used += put_utf8(out + used, code);
	}
	out[used] = '\0';
	return true;
}

/* ---- the call --------------------------------------------------------------------------------------------------------------- */

struct call {
	const char *command, *container, *netns, *ifname, *args, *path;
	struct span config;
	char socket[sizeof((struct sockaddr_un *)0)->sun_path];
	struct span version_value, socket_value;
};

static void config_member(void *context, struct span key, struct span value)
{
	struct call *c = context;
	if (span_is(key, "cniVersion")) c->version_value = value;
	if (span_is(key, "socket")) c->socket_value = value;
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* False when the time is up. */
static bool await(int fd, short events)
{
	for (;;) {
		int64_t left = deadline_ms - now_ms();
		struct pollfd p = { .fd = fd, .events = events };
		if (left <= 0) return false;
		int n = poll(&p, 1, left);
		if (n > 0) return true;
		if (n < 0 && errno != EINTR) return false;
	}
}

static size_t read_config(void)
{
	size_t used = 0;
	for (;;) {
		if (!await(0, POLLIN)) refuse(IO_FAILURE, "the network configuration did not arrive in time", "stdin was not closed");
		ssize_t n = read(0, config + used, sizeof config - used);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) refuse(IO_FAILURE, "cannot read the network configuration", "%s", strerror(errno));
		if (n == 0) return used;
		used += n;
		if (used == sizeof config) refuse(DECODE_FAILURE, "the network configuration is too large", "more than %d bytes on stdin", CONFIG_MAX);
	}
}

static bool supported(const char *v)
{
	return !strcmp(v, "0.3.1") || !strcmp(v, "0.4.0") || !strcmp(v, "1.0.0") || !strcmp(v, "1.1.0");
}

/* The version first: every answer, an error too, carries it. */
static void take_config(struct call *c)
{
	char wanted[sizeof version];
	c->config = (struct span){ config, read_config() };
	bool whole = scan_object(c->config, config_member, c);
	if (c->version_value.at && decode_string(c->version_value, wanted, sizeof wanted) && supported(wanted)) strcpy(version, wanted);
	else if (whole && strcmp(c->command, "VERSION") != 0)
		refuse(INCOMPATIBLE_VERSION, "incompatible CNI version", "the configuration's cniVersion must be one of " SUPPORTED);
	if (!whole && strcmp(c->command, "VERSION") != 0) refuse(DECODE_FAILURE, "the network configuration is not a JSON object", "%zu bytes on stdin", c->config.length);
}

static const char *env(const char *name)
{
	const char *value = getenv(name);
	if (value && strlen(value) > ENV_MAX) refuse(INVALID_ENVIRONMENT, "an environment variable is too long", "%s has more than %d bytes", name, ENV_MAX);
	return value ? value : "";
}

/* Container ids become file names here and in the agent (spec: alphanumeric, then also '_', '.', '-'). */
static bool valid_container(const char *id)
{
	if (!isalnum((unsigned char)id[0]) || strlen(id) > 200) return false;
	for (const char *p = id; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_.-", *p)) return false;
	return true;
}

static bool valid_ifname(const char *name)
{
	size_t n = strlen(name);
	return n > 0 && n <= 15 && strcmp(name, ".") && strcmp(name, "..") && !strpbrk(name, "/: \t\n\r");
}

static void check_environment(const struct call *c)
{
	bool is_add = !strcmp(c->command, "ADD"), is_check = !strcmp(c->command, "CHECK"), is_del = !strcmp(c->command, "DEL");
	if (!is_add && !is_check && !is_del && strcmp(c->command, "STATUS") && strcmp(c->command, "GC"))
		refuse(INVALID_ENVIRONMENT, "unknown CNI_COMMAND", "\"%.64s\" is none of ADD, DEL, CHECK, GC, STATUS, VERSION", c->command);
	if (!is_add && !is_check && !is_del) return;
	if (!valid_container(c->container)) refuse(INVALID_ENVIRONMENT, "CNI_CONTAINERID is missing or not valid", "\"%.64s\"", c->container);
	if (!valid_ifname(c->ifname)) refuse(INVALID_ENVIRONMENT, "CNI_IFNAME is missing or not valid", "\"%.64s\"", c->ifname);
	if (!is_del && !*c->netns) refuse(INVALID_ENVIRONMENT, "CNI_NETNS is missing", "%s needs the path of a network namespace", c->command);
}

static void put_member(struct text *t, const char *name, const char *value)
{
	put_text(t, "\"");
	put_text(t, name);
	put_text(t, "\":");
	put_string(t, value, strlen(value));
	put_text(t, ",");
}

/* Line breaks in the configuration are white space between its tokens (they cannot stand in strings): blanks make it one line. */
static size_t compose(const struct call *c)
{
	struct text t = { line, 0, sizeof line, false };
	put_text(&t, "{");
	put_member(&t, "command", c->command);
	put_member(&t, "containerId", c->container);
	put_member(&t, "netns", c->netns);
	put_member(&t, "ifname", c->ifname);
	put_member(&t, "args", c->args);
	put_member(&t, "path", c->path);
	put_text(&t, "\"config\":");
	put(&t, c->config.at, c->config.length);
	put_text(&t, "}");
	if (t.full || t.used + 1 > sizeof line) refuse(DECODE_FAILURE, "the call is too large", "more than %d bytes with its configuration", LINE_MAX_BYTES);
	for (size_t i = 0; i < t.used; i++)
		if (line[i] == '\n' || line[i] == '\r') line[i] = ' ';
	line[t.used++] = '\n';
	return t.used;
}

/* ---- the agent ---------------------------------------------------------------------------------------------------------------- */

/* A socket, or -1 with errno. A full backlog is waited for. */
static int connect_agent(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int64_t until = now_ms() + CONNECT_MS;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0) return -1;
	while (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		if (errno == EINTR) continue;
		if (errno != EAGAIN || now_ms() >= until) {
			int kept = errno;
			close(fd);
			errno = kept;
			return -1;
		}
		poll(NULL, 0, 5);
	}
	return fd;
}

static bool send_line(int fd, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = send(fd, line + done, length - done, MSG_NOSIGNAL);
		if (n > 0) done += n;
		else if (n < 0 && errno == EAGAIN && await(fd, POLLOUT)) continue;
		else if (n < 0 && errno == EINTR) continue;
		else return false;
	}
	return true;
}

/* Bytes of the answer's line; 0 with errno when none came. */
static size_t receive_line(int fd)
{
	size_t used = 0;
	for (;;) {
		if (!await(fd, POLLIN)) {
			errno = ETIMEDOUT;
			return 0;
		}
		ssize_t n = read(fd, answer + used, sizeof answer - used);
		if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
		if (n < 0) return 0;
		char *end = n > 0 ? memchr(answer + used, '\n', n) : NULL;
		used += n;
		if (end) return end - answer;
		if (n == 0 && used == 0) errno = ECONNRESET;
		if (n == 0) return used;
		if (used == sizeof answer) refuse(DECODE_FAILURE, "the agent's answer is too large", "more than %d bytes", ANSWER_MAX);
	}
}

struct reply {
	struct span code, result, msg, details;
};

static void reply_member(void *context, struct span key, struct span value)
{
	struct reply *r = context;
	if (span_is(key, "code")) r->code = value;
	if (span_is(key, "result")) r->result = value;
	if (span_is(key, "msg")) r->msg = value;
	if (span_is(key, "details")) r->details = value;
}

static void find_version(void *context, struct span key, struct span value)
{
	if (span_is(key, "cniVersion")) *(bool *)context = true;
}

static void print_result(struct span result)
{
	struct text t = { printed, 0, sizeof printed, false };
	bool has_version = false;
	if (!result.at || span_is(result, "null")) return;
	if (!scan_object(result, find_version, &has_version)) refuse(DECODE_FAILURE, "the agent's result is not an object", "%.*s", (int)(result.length < 200 ? result.length : 200), result.at);
	const char *inner = skip_space(result.at + 1, result.at + result.length);
	put_text(&t, "{");
	if (!has_version) {
		put_text(&t, "\"cniVersion\":");
		put_string(&t, version, strlen(version));
		if (*inner != '}') put_text(&t, ",");
	}
	put(&t, inner, result.at + result.length - inner);
	put_text(&t, "\n");
	write_all(1, t.at, t.used);
}

/* msg and details are JSON strings already: they go out as they came. */
static void __attribute__((noreturn)) relay_error(const struct reply *r, long code)
{
	struct text t = { printed, 0, sizeof printed, false };
	char number[48];
	bool has_msg = r->msg.at && r->msg.at[0] == '"', has_details = r->details.at && r->details.at[0] == '"';
	put_text(&t, "{\"cniVersion\":");
	put_string(&t, version, strlen(version));
	snprintf(number, sizeof number, ",\"code\":%ld,\"msg\":", code);
	put_text(&t, number);
	if (has_msg) put(&t, r->msg.at, r->msg.length);
	else put_text(&t, "\"the agent refused without a reason\"");
	put_text(&t, ",\"details\":");
	if (has_details) put(&t, r->details.at, r->details.length);
	else put_text(&t, "\"\"");
	put_text(&t, "}\n");
	write_all(1, t.at, t.used);
	exit(1);
}

static void relay(size_t length)
{
	struct reply r = { 0 };
	struct span whole = { answer, length };
	char number[24] = "";
	if (!scan_object(whole, reply_member, &r) || !r.code.at || r.code.length >= sizeof number || !(isdigit((unsigned char)r.code.at[0]) || r.code.at[0] == '-'))
		refuse(DECODE_FAILURE, "the agent's answer is not one", "%.*s", (int)(length < 200 ? length : 200), answer);
	memcpy(number, r.code.at, r.code.length);
	long code = strtol(number, NULL, 10);
	if (code != 0) relay_error(&r, code);
	print_result(r.result);
}

/* Written aside and renamed, so the agent never sees half a note. Asking twice leaves one. */
static bool note_delete(const struct call *c, size_t length)
{
	char dir[sizeof c->socket + 32], path[sizeof dir + 256], aside[sizeof dir + 256];
	const char *slash = strrchr(c->socket, '/');
	int base = slash ? (int)(slash - c->socket) : 0;
	snprintf(dir, sizeof dir, "%.*s/pending-deletes", base, c->socket);
	snprintf(path, sizeof path, "%s/%s", dir, c->container);
	snprintf(aside, sizeof aside, "%.*s/.pending-%s.%d", base, c->socket, c->container, getpid());
	if (mkdir(dir, 0700) != 0 && errno != EEXIST) return false;
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) return false;
	bool written = write(fd, line, length) == (ssize_t)length;
	close(fd);
	if (written && rename(aside, path) == 0) return true;
	unlink(aside);
	return false;
}

static void agent_away(const struct call *c, size_t length, int error)
{
	if (!strcmp(c->command, "DEL")) {
		if (note_delete(c, length)) return;
		refuse(IO_FAILURE, "the agent is away and the deletion cannot be noted down", "beside %s: %s", c->socket, strerror(errno));
	}
	if (!strcmp(c->command, "GC")) return;
	if (!strcmp(c->command, "STATUS")) refuse(PLUGIN_NOT_AVAILABLE, "the network agent is not running", "%s: %s", c->socket, strerror(error));
	refuse(TRY_AGAIN_LATER, "the network agent is not running", "%s: %s", c->socket, strerror(error));
}

static void ask(const struct call *c)
{
	size_t length = compose(c);
	int fd = connect_agent(c->socket);
	if (fd < 0) return agent_away(c, length, errno);
	size_t got = send_line(fd, length) ? receive_line(fd) : 0;
	if (got > 0) return relay(got);
	if (errno == ETIMEDOUT && strcmp(c->command, "DEL") != 0)
		refuse(TRY_AGAIN_LATER, "the network agent did not answer in time", "%s: %s after %d ms", c->socket, c->command, !strcmp(c->command, "ADD") ? ADD_MS : OTHER_MS);
	agent_away(c, length, errno);
}

int main(void)
{
	static struct call c;
	c.command = getenv("CNI_COMMAND") ? getenv("CNI_COMMAND") : "";
	deadline_ms = now_ms() + (!strcmp(c.command, "ADD") ? ADD_MS : OTHER_MS);
	if (!*c.command) refuse(INVALID_ENVIRONMENT, "CNI_COMMAND is missing", "cirri-cni is a CNI plugin: it is called by a container runtime");
	take_config(&c);
	if (!strcmp(c.command, "VERSION")) {
		dprintf(1, "{\"cniVersion\":\"%s\",\"supportedVersions\":" SUPPORTED "}\n", version);
		return 0;
	}
	c.container = env("CNI_CONTAINERID");
	c.netns = env("CNI_NETNS");
	c.ifname = env("CNI_IFNAME");
	c.args = env("CNI_ARGS");
	c.path = env("CNI_PATH");
	check_environment(&c);
	if (!c.socket_value.at || !decode_string(c.socket_value, c.socket, sizeof c.socket) || c.socket[0] != '/')
		refuse(INVALID_CONFIG, "the configuration needs \"socket\"", "the absolute path of the agent's cni.sock, at most %zu bytes", sizeof c.socket - 5);
	ask(&c);
	return 0;
}
